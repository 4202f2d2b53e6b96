"""Dropout whose ratio is spatially adaptive: eq. 15 of Chen et al. 2022."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.networks.randomness import LEVELS, RandomPool
from unblur_sadropout.network import LARGEST_RATIO, Drop

SCALED = (0.5, 1.5)
"""The range that the variances of a layer are scaled to (section 3.4)."""


class AdaptiveDropout:
    """The dropout layers of a network: one ratio each at first, then one for every neuron.

    A neuron is kept where a number of a pool reaches its threshold, and divided by the probability of that, so that
    its mean stays (inverted scaling).

    Args:
        ratios: initial ratio of every layer.
        rng: seeds the pool that masks are cut from.
    """

    def __init__(self, ratios: Sequence[float], rng: Generator) -> None:
        self.initial = tuple(ratios)
        self.pool = RandomPool(rng)
        self.thresholds: list[Tensor] = []
        self._factors: dict[tuple[int, torch.dtype], Tensor] = {}

    @property
    def ratios(self) -> list[float | Tensor]:
        """The current ratio of each layer: a number, or (batch, channels, *spatial) of the layer's input."""
        if not self.thresholds:
            return list(self.initial)
        return [(threshold.float() + LEVELS // 2) / LEVELS for threshold in self.thresholds]

    def opened(self, rng: Generator) -> Drop:
        """The masks of one forward pass."""
        sampler = self.pool.open(rng)
        assert sampler is not None

        def drop(layer: int, x: Tensor) -> Tensor:
            if not self.thresholds:
                return sampler.dropout(x, self.initial[layer])
            kept = sampler.levels(x) >= self.thresholds[layer]
            return x * (self._factor(layer, x.dtype) * kept)

        return drop

    def adapt(self, variances: Sequence[Tensor], compound: bool = False) -> None:
        """p = min(v p₀, 0.5) with the variance v of every neuron, scaled to [0.5, 1.5] in its layer (eq. 15).

        Args:
            variances: for each layer, of the shape and the memory format of its input.
            compound: p₀ is the ratio before, as eq. 15 has it, and not the initial one.
        """
        before = self.ratios if compound else self.initial
        self.thresholds = []
        for variance, ratio in zip(variances, before, strict=True):
            adapted = (scaled(variance) * ratio).clamp_(max=LARGEST_RATIO)
            self.thresholds.append((adapted.mul_(LEVELS).round_() - LEVELS // 2).to(torch.int16))
        self._factors.clear()

    def _factor(self, layer: int, dtype: torch.dtype) -> Tensor:
        found = self._factors.get((layer, dtype))
        if found is None:
            found = (LEVELS / (LEVELS // 2 - self.thresholds[layer].float())).to(dtype)
            self._factors[layer, dtype] = found
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"pool": self.pool.state_dict(), "thresholds": list(self.thresholds)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.pool.load_state_dict(state["pool"])
        self.thresholds = [threshold.clone() for threshold in state["thresholds"]]
        self._factors.clear()


def scaled(variance: Tensor) -> Tensor:
    """A layer's variances, brought linearly to [0.5, 1.5]; one where they are all the same."""
    low, high = variance.aminmax()
    if not bool(high > low):
        return torch.ones_like(variance)
    return (variance - low).mul_((SCALED[1] - SCALED[0]) / (high - low)).add_(SCALED[0])


class Variances:
    """The variance of every neuron before its dropout, over passes; a `Drop` looks on and hands over to another."""

    def __init__(self, count: int) -> None:
        self.passes = 0
        self._sums: list[Any] = [None] * count
        self._squares: list[Any] = [None] * count

    def watching(self, drop: Drop) -> Drop:
        """A `Drop` for one more pass."""
        self.passes += 1

        def watch(layer: int, x: Tensor) -> Tensor:
            x32 = x.float()
            if self._sums[layer] is None:
                self._sums[layer], self._squares[layer] = x32.clone(), x32.square()
            else:
                self._sums[layer].add_(x32)
                self._squares[layer].addcmul_(x32, x32)
            return drop(layer, x)

        return watch

    def result(self) -> list[Tensor]:
        """Of every layer, in the shape and memory format of its input."""
        pairs = zip(self._sums, self._squares, strict=True)
        return [(squares / self.passes - (sums / self.passes).square()).clamp_min_(0) for sums, squares in pairs]
