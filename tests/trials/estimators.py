"""Trial estimators, each a few lines."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor
from typing_extensions import Doc

from unblur.components import Batch, Clock, Draw, Estimate, Estimator, Info
from unblur.optimise import AdamGroups
from unblur.params import NoParams, Schedule
from unblur.problem import Problem


@dataclass(frozen=True)
class AdamParams:
    image_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the image.")] = 1e-2
    kernel_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the kernel.")] = 1e-2


@dataclass(frozen=True)
class DivergingParams(AdamParams):
    at: Annotated[int, Ge(0), Doc("Step whose update spoils the image.")] = 5
    rate: Annotated[float, Gt(0), Doc("Only rates above this one diverge.")] = 5e-3
    stage: Annotated[int, Ge(0), Doc("Stage in which it does.")] = 0


@dataclass(frozen=True)
class LangevinParams(AdamParams):
    temperature: Annotated[float, Ge(0), Doc("Standard deviation of the noise per step.")] = 1e-4


class Joint(Estimator[Any]):
    """Adam on image and kernel at once."""

    def init(self, problem: Problem, earlier: Any) -> AdamGroups:
        return AdamGroups(
            {"image": problem.image.parameters(), "kernel": problem.kernels.parameters()},
            {"image": self.params.image_rate, "kernel": self.params.kernel_rate},
        )

    def step(self, problem: Problem, state: AdamGroups, batch: Batch, clock: Clock) -> Info:
        draw = problem.draw(batch, clock, problem.rng)
        kernel = problem.kernel(draw.latent, clock, problem.rng)
        misfit = problem.misfit(draw, kernel, batch, clock)
        state.step(misfit + problem.penalty(draw.latent, kernel, clock), clock.fraction)
        return Info(misfit.detach(), draw, kernel.detach())

    def soften(self, state: AdamGroups) -> bool:
        return state.soften()


class Diverging(Joint):
    """One update, while the rates are large, leaves NaN behind; only the next misfit shows it."""

    def step(self, problem: Problem, state: AdamGroups, batch: Batch, clock: Clock) -> Info:
        info = super().step(problem, state, batch, clock)
        here = clock.step == self.params.at and clock.stage == self.params.stage
        if here and state.softness * 1e-2 > self.params.rate:
            with torch.no_grad():
                problem.image.parameters()[0].fill_(math.nan)
        return info


class Alternating(Joint):
    """First the kernel on a detached sample, then the image on the same sample (one Monte-Carlo draw)."""

    def init(self, problem: Problem, earlier: Any) -> Any:
        groups = [("kernel", problem.kernels.parameters()), ("image", problem.image.parameters())]
        rates = {"image": self.params.image_rate, "kernel": self.params.kernel_rate}
        return _Several([AdamGroups({name: values}, rates) for name, values in groups if len(values)])

    def step(self, problem: Problem, state: Any, batch: Batch, clock: Clock) -> Info:
        draw = problem.draw(batch, clock, problem.rng)
        *kernel_steps, image_step = state.parts
        for adam in kernel_steps:
            fixed = Draw(draw.latent.detach(), draw.weight)
            kernel = problem.kernel(fixed.latent, clock, problem.rng)
            loss = problem.misfit(fixed, kernel, batch, clock) + problem.penalty(fixed.latent, kernel, clock)
            adam.step(loss, clock.fraction)
        kernel = problem.kernel(draw.latent, clock, problem.rng).detach()
        misfit = problem.misfit(draw, kernel, batch, clock)
        image_step.step(misfit + problem.penalty(draw.latent, kernel, clock), clock.fraction)
        return Info(misfit.detach(), draw, kernel)

    def soften(self, state: Any) -> bool:
        softened = [adam.soften() for adam in state.parts]
        return all(softened)


class _Several:
    def __init__(self, parts: list[AdamGroups]) -> None:
        self.parts = parts

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


class Langevin(Alternating):
    """E-step: a Langevin step on the image's parameters; M-step: Adam on the kernel's (Monte-Carlo EM)."""

    def step(self, problem: Problem, state: Any, batch: Batch, clock: Clock) -> Info:
        info = super().step(problem, state, batch, clock)
        with torch.no_grad():
            for parameter in problem.image.parameters():
                noise = torch.randn(parameter.shape, generator=problem.rng)
                parameter.add_(noise, alpha=self.params.temperature)
        return info


class Ensemble(Joint):
    """The mean of many random draws, and their standard deviation."""

    def estimate(self, problem: Problem, state: Any, batch: Batch, clock: Clock, rng: Generator) -> Estimate:
        draws = torch.stack([problem.draw(batch, clock, rng).latent for _ in range(6)])
        return Estimate(draws.mean(0), problem.kernel(draws.mean(0), clock, None), draws.std(0))


class FineTune(Joint):
    """Reblurring the video, and sharp frames of known pairs: L_S + 0.1 L_U."""

    def step(self, problem: Problem, state: AdamGroups, batch: Batch, clock: Clock) -> Info:
        draw = problem.draw(batch, clock, problem.rng)
        kernel = problem.kernel(draw.latent, clock, problem.rng)
        misfit = problem.misfit(draw, kernel, batch, clock)
        loss = 0.1 * misfit
        if problem.pairs:
            chosen = int(torch.randint(len(problem.pairs), (1,), generator=problem.rng))
            pair = problem.pairs[chosen]
            assert pair.truth is not None
            loss = loss + ((problem.draw(pair, clock, problem.rng).latent - pair.truth) ** 2).mean()
        state.step(loss, clock.fraction)
        return Info(misfit.detach(), draw, kernel.detach())


class _Nothing:
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class RichardsonLucy(Estimator[NoParams]):
    """x <- x A'(y / Ax) / A'1."""

    def init(self, problem: Problem, earlier: Any) -> Any:
        return _Nothing()

    @torch.no_grad()
    def step(self, problem: Problem, state: Any, batch: Batch, clock: Clock) -> Info:
        image = problem.image.parameters()[0]
        kernel = problem.kernel(image, clock, None)
        return _multiply_image(problem, image, kernel, batch)


def _multiply_image(problem: Problem, image: Tensor, kernel: Tensor, batch: Batch) -> Info:
    predicted = problem.forward.predict(image, kernel).clamp_min(1e-6)
    misfit = ((predicted - batch.observed) ** 2).mean()
    back = problem.forward.adjoint(batch.observed / predicted, kernel, problem.latent_shape)
    seen = problem.forward.adjoint(torch.ones_like(predicted), kernel, problem.latent_shape)
    before = Draw(image.clone())
    image.mul_((back / seen.clamp_min(0.05)).clamp_min(0))
    return Info(misfit, before, kernel)


class BlindRichardsonLucy(RichardsonLucy):
    """The same for the kernel, in turn."""

    @torch.no_grad()
    def step(self, problem: Problem, state: Any, batch: Batch, clock: Clock) -> Info:
        image, weights = problem.image.parameters()[0], problem.kernels.parameters()[0]
        kernel = problem.kernel(image, clock, None)
        predicted = problem.forward.predict(image, kernel).clamp_min(1e-6)
        ratio = problem.forward.kernel_adjoint(batch.observed / predicted, image, problem.spec)
        seen = problem.forward.kernel_adjoint(torch.ones_like(predicted), image, problem.spec)
        weights.copy_(kernel * (ratio / seen.clamp_min(1e-6)).clamp_min(0))
        return _multiply_image(problem, image, problem.kernel(image, clock, None), batch)


class Averaging(Joint):
    """The result is the mean of the iterates so far: it lives in the estimator's state, not in the prior's."""

    def init(self, problem: Problem, earlier: Any) -> Any:
        adam = super().init(problem, earlier)
        return _Mean(adam, torch.zeros(problem.latent_shape))

    def step(self, problem: Problem, state: Any, batch: Batch, clock: Clock) -> Info:
        info = super().step(problem, state.adam, batch, clock)
        state.total += info.draw.latent.detach()
        state.count += 1
        return info

    def estimate(self, problem: Problem, state: Any, batch: Batch, clock: Clock, rng: Generator) -> Estimate:
        plain = super().estimate(problem, state, batch, clock, rng)
        return Estimate(state.total / max(state.count, 1), plain.kernel)

    def soften(self, state: Any) -> bool:
        return bool(state.adam.soften())


class _Mean:
    def __init__(self, adam: AdamGroups, total: Tensor) -> None:
        self.adam, self.total, self.count = adam, total, 0

    def state_dict(self) -> dict[str, Any]:
        return {"adam": self.adam.state_dict(), "total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.adam.load_state_dict(state["adam"])
        self.total = copy.deepcopy(state["total"])
        self.count = state["count"]
