"""Noise and dropout that cost one pass over memory a step, drawn from the generator that is handed in.

Drawing every number anew in every step costs as much as a good part of the network. Here a pool of numbers is drawn
once, from a seed that is part of the state, and a forward pass takes windows of it at random offsets, for one number of
the generator. Within a window the numbers are independent. Over many passes an element meets 2**21 numbers, and two
elements as many pairs, so that its mean and variance, and their correlation, are off by some 2**-10.5 = 0.0007 at most.
As the pool never changes, a run that is resumed goes on with the same bits, and samples drawn with another generator
change nothing.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from unblur.errors import ParameterError
from unblur.networks.initialise import child_seed

OFFSETS = 1 << 21
CHUNK = 1 << 20
LEVELS = 1 << 16
KEPT_MASKS = 8


class RandomPool(nn.Module):
    """Numbers to take windows of; a network holds one, and its seed travels with the network's state.

    Args:
        rng: generator of the problem; one number of it becomes the pool's seed.
    """

    def __init__(self, rng: Generator) -> None:
        super().__init__()
        self.seed = child_seed(rng)
        self._drawn: dict[tuple[str, torch.device], Tensor] = {}
        self._masks: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}

    def open(self, rng: Generator | None) -> Sampler | None:
        """The randomness of one forward pass; None without a generator."""
        return None if rng is None else Sampler(self, child_seed(rng))

    def get_extra_state(self) -> int:
        return self.seed

    def set_extra_state(self, state: int) -> None:
        if state != self.seed:
            self.seed = state
            self._drawn.clear()
            self._masks.clear()

    def numbers(self, kind: str, count: int, device: torch.device) -> Tensor:
        """At least OFFSETS + count numbers: ``normal`` (float32) or ``level`` (int16, uniform over all its values).

        They come in chunks with a seed each, so that the first ones do not depend on how many were asked for.
        """
        drawn = self._drawn.get((kind, device))
        have = 0 if drawn is None else len(drawn) // CHUNK
        need = -(-(OFFSETS + count) // CHUNK)
        if drawn is None or have < need:
            chunks = [] if drawn is None else [drawn]
            chunks += [self._chunk(kind, index, device) for index in range(have, need)]
            drawn = self._drawn[kind, device] = torch.cat(chunks)
        return drawn

    def _chunk(self, kind: str, index: int, device: torch.device) -> Tensor:
        rng = Generator(device).manual_seed(scramble(self.seed, index))
        if kind == "normal":
            return torch.randn(CHUNK, generator=rng, device=device)
        words = torch.empty(CHUNK // 4, dtype=torch.int64, device=device)
        return words.random_(-(2**63), None, generator=rng).view(torch.int16)

    def mask(self, dropped: int, count: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """At least OFFSETS + count factors: 0 for `dropped` of LEVELS numbers, otherwise the inverse of the rest."""
        key = (dropped, device, dtype)
        mask = self._masks.pop(key, None)
        if mask is None or len(mask) < OFFSETS + count:
            kept = self.numbers("level", count, device) >= dropped - LEVELS // 2
            mask = kept.to(dtype).mul_(LEVELS / (LEVELS - dropped))
        self._masks[key] = mask
        if len(self._masks) > KEPT_MASKS:
            del self._masks[next(iter(self._masks))]
        return mask


class Sampler:
    """The randomness of one forward pass; every call takes a window of its own. Made by `RandomPool.open`."""

    def __init__(self, pool: RandomPool, key: int) -> None:
        self._pool = pool
        self._key = key
        self._calls = 0

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the shape, device and memory format of a tensor; float32, not to be changed."""
        return self._window(self._pool.numbers("normal", like.numel(), like.device), like)

    def levels(self, like: Tensor) -> Tensor:
        """Uniform numbers of the shape, device and memory format of a tensor; int16, not to be changed."""
        return self._window(self._pool.numbers("level", like.numel(), like.device), like)

    def add_noise(self, x: Tensor, std: float) -> Tensor:
        """The tensor plus Gaussian noise of a standard deviation, in the units of the tensor.

        Raises:
            ParameterError: the standard deviation is negative.
        """
        if std < 0:
            raise ParameterError(f"noise: standard deviation {std} is negative")
        return x if std == 0 else torch.add(x, self.normal(x), alpha=std)

    def dropout(self, x: Tensor, rate: float | Tensor) -> Tensor:
        """Element-wise dropout: zero with probability `rate`, otherwise divided by 1 - rate.

        Args:
            x: any shape.
            rate: one rate, or a tensor of them that broadcasts to x; exact to 1/65536.

        Raises:
            ParameterError: a rate (checked for one number only) outside [0, 1).
        """
        if isinstance(rate, Tensor):
            level = self.levels(x)
            dropped = (rate * LEVELS).round()
            return x * ((level >= dropped - LEVELS // 2) * (LEVELS / (LEVELS - dropped))).to(x.dtype)
        if not 0 <= rate < 1:
            raise ParameterError(f"dropout: rate {rate} is outside [0, 1)")
        levels = min(round(rate * LEVELS), LEVELS - 1)
        if levels == 0:
            return x
        return x * self._window(self._pool.mask(levels, x.numel(), x.device, x.dtype), x)

    def _window(self, numbers: Tensor, like: Tensor) -> Tensor:
        self._calls += 1
        offset = scramble(self._key, self._calls) % OFFSETS
        window = numbers[offset : offset + like.numel()]
        dense = torch.empty_like(like, device="meta")
        return window.as_strided(dense.shape, dense.stride())


class GaussianNoise(nn.Module):
    """A network's input, perturbed anew in every forward pass.

    Args:
        rng: generator of the problem; seeds the pool.
    """

    def __init__(self, rng: Generator) -> None:
        super().__init__()
        self.pool = RandomPool(rng)

    def forward(self, x: Tensor, std: float, rng: Generator | None) -> Tensor:
        """The input plus noise of a standard deviation; the input itself for ``rng=None``."""
        sampler = self.pool.open(rng)
        return x if sampler is None else sampler.add_noise(x, std)


def scramble(seed: int, index: int) -> int:
    """A seed below 2**63 for the index-th use of a seed (the mixing function of SplitMix64, Steele et al. 2014)."""
    mask = 2**64 - 1
    x = (seed + (index + 1) * 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return (x ^ (x >> 31)) >> 1
