"""The windowed moving variance of the reconstructions, which is smallest near the best one.

Wang, Li, Zhuang, Chen, Liang, Sun, "Early stopping for deep image prior" (2021); Zhuang et al. 2023, section 3.1.5 and
Algorithm 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from unblur.components import Clock, Info, Selector, StoppingRule
from unblur.operators.locate import cut
from unblur.operators.resample import resize
from unblur.problem import Problem
from unblur_classical.part_params import MovingVarianceParams, SmallestVarianceParams

_SIDE = {2: 128, 3: 32}
"""Larger images are averaged down to this many pixels along each axis, by the number of dimensions."""


class VarianceCurve:
    """The variance over the last reconstructions, the mean over pixels, and where it was smallest.

    The reconstructions are compared in the middle of the latent image, a window of the observed size. Those of a random
    network vary by its randomness too, which can make false minima when a schedule lowers it; `noise_free` avoids that.
    """

    def __init__(self, params: SmallestVarianceParams, problem: Problem) -> None:
        self.params, self.problem = params, problem
        self.count = max(2, params.window // params.every)
        self.images: list[Tensor] = []
        self.total: Tensor | None = None
        self.squares = 0.0
        self.smallest = math.inf
        self.step = 0

    def push(self, info: Info, clock: Clock) -> bool:
        """Take in the reconstruction of a step; whether the variance is the smallest so far."""
        if clock.step % self.params.every:
            return False
        image = self._seen(info, clock)
        self._slide(image)
        if len(self.images) < self.count or self.total is None:
            return False
        mean = self.total / self.count
        variance = (self.squares / self.count - float((mean * mean).sum())) / mean.numel()
        if not variance < self.smallest:
            return False
        self.smallest, self.step = variance, clock.step
        return True

    def _slide(self, image: Tensor) -> None:
        """Running sums over the window, in double precision: what leaves is taken off as exactly as it was put on."""
        exact = image.double()
        self.total = exact.clone() if self.total is None else self.total + exact
        self.squares += float((exact * exact).sum())
        self.images.append(image)
        if len(self.images) > self.count:
            old = self.images.pop(0).double()
            self.total -= old
            self.squares -= float((old * old).sum())

    @torch.no_grad()
    def _seen(self, info: Info, clock: Clock) -> Tensor:
        problem = self.problem
        latent = info.draw.latent
        if self.params.noise_free:
            latent = problem.draw(problem.batch, clock, None).latent
        shape = problem.batch.observed.shape[2:]
        window = tuple(map(min, shape, latent.shape[2:]))
        image = cut(latent, [(n - m) // 2 for n, m in zip(latent.shape[2:], window, strict=True)], window)
        side = _SIDE[len(window)]
        return resize(image, tuple(min(n, side) for n in window)) if max(window) > side else image.clone()

    def state_dict(self) -> dict[str, Any]:
        return {
            "images": list(self.images),
            "total": self.total,
            "squares": self.squares,
            "smallest": self.smallest,
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.problem.batch.observed.device
        self.images = [image.to(device) for image in state["images"]]
        self.total = None if state["total"] is None else state["total"].to(device)
        self.squares, self.smallest, self.step = state["squares"], state["smallest"], state["step"]


class MovingVariance(StoppingRule[MovingVarianceParams]):
    """Ends the stage when the moving variance has had no new minimum for `patience` steps."""

    def init(self, problem: Problem) -> None:
        self.curve = VarianceCurve(self.params, problem)

    def update(self, info: Info, clock: Clock) -> str | None:
        self.curve.push(info, clock)
        if math.isinf(self.curve.smallest) or clock.step - self.curve.step < self.params.patience:
            return None
        return f"the images varied least around step {self.curve.step}, {self.params.patience} steps ago"

    def state_dict(self) -> dict[str, Any]:
        return self.curve.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curve.load_state_dict(state)


class SmallestVariance(Selector[SmallestVarianceParams]):
    """The iterate at which the moving variance is smallest; none in a stage that is shorter than the window."""

    def init(self, problem: Problem) -> None:
        self.curve = VarianceCurve(self.params, problem)

    def better(self, info: Info, clock: Clock) -> bool:
        return self.curve.push(info, clock)

    def state_dict(self) -> dict[str, Any]:
        return self.curve.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curve.load_state_dict(state)
