"""Alternating Monte-Carlo estimation of the kernel, and of the network that the images are drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from unblur.components import Batch, Clock, Draw, Estimate, Estimator, Info, State
from unblur.moments import Moments
from unblur.optimise import AveragedAdam
from unblur.problem import Problem
from unblur_mapk.params import MonteCarloParams


class MonteCarloMap(Estimator[MonteCarloParams]):
    """MAP of the kernel, marginalised over images that a random network draws (Li, Nan & Ji 2022, Algorithm 1).

    In each step N images are drawn (eq. 20). They are held while Adam moves the kernel's parameters (eq. 25); then,
    with the kernel held, Adam moves the image's parameters for the same images (eq. 26). So penalties on the kernel
    count in the first half, penalties on the image in the second. A known kernel has no first half.

    The estimate is the mean of sampled images with their standard deviation, and the kernel without randomness. Where
    all images are the same, or none are kept and `draws` is 0, it is the single pass without randomness of Algorithm 1,
    line 8. Reports the misfit of the images with the new kernel.
    """

    def init(self, problem: Problem, earlier: State | None) -> AveragedAdam:
        groups = {"image": problem.image.parameters(), "kernel": problem.kernels.parameters()}
        rates = {"image": self.params.image_rate, "kernel": self.params.kernel_rate}
        return AveragedAdam(groups, rates)

    def step(self, problem: Problem, state: AveragedAdam, batch: Batch, clock: Clock) -> Info:
        draws = [problem.draw(batch, clock, problem.rng) for _ in range(self.params.samples)]
        if len(problem.kernels.parameters()):
            held = [Draw(draw.latent.detach(), draw.weight) for draw in draws]
            for _ in range(self.params.kernel_steps):
                kernels = [problem.kernel(draw.latent, clock, problem.rng) for draw in held]
                misfit = self._misfit(problem, held, kernels, batch, clock)
                state.step(misfit + self._penalty(problem, held, kernels, clock), clock.fraction)
        with torch.no_grad():
            kernels = [problem.kernel(draw.latent, clock, problem.rng) for draw in draws]
        misfit = self._misfit(problem, draws, kernels, batch, clock)
        state.step(misfit + self._penalty(problem, draws, kernels, clock), clock.fraction)
        if clock.fraction >= self.params.average_from:
            for draw in draws:
                state.kept.add(draw.latent)
        last = Draw(draws[-1].latent.detach(), draws[-1].weight)
        return Info(misfit.detach(), last, kernels[-1])

    @staticmethod
    def _misfit(
        problem: Problem, draws: Sequence[Draw], kernels: Sequence[Tensor], batch: Batch, clock: Clock
    ) -> Tensor:
        """The mean over the samples, eq. 24."""
        pairs = zip(draws, kernels, strict=True)
        return torch.stack([problem.misfit(draw, kernel, batch, clock) for draw, kernel in pairs]).mean()

    @staticmethod
    def _penalty(problem: Problem, draws: Sequence[Draw], kernels: Sequence[Tensor], clock: Clock) -> Tensor:
        pairs = zip(draws, kernels, strict=True)
        return torch.stack([problem.penalty(draw.latent, kernel, clock) for draw, kernel in pairs]).mean()

    def estimate(self, problem: Problem, state: AveragedAdam, batch: Batch, clock: Clock, rng: Generator) -> Estimate:
        sampled = state.kept
        if sampled.count < max(2, self.params.draws):
            sampled = self._sampled(problem, batch, clock, rng)
        spread = sampled.std()
        if sampled.mean is None or spread is None or not spread.any():
            return super().estimate(problem, state, batch, clock, rng)
        return Estimate(sampled.mean, problem.kernel(sampled.mean, clock, None), spread)

    def _sampled(self, problem: Problem, batch: Batch, clock: Clock, rng: Generator) -> Moments:
        """Moments of images drawn now, with the noise and the dropout of `drawn_at`."""
        step = min(clock.step, round(self.params.drawn_at * clock.steps))
        clock = dataclasses.replace(clock, step=step)
        moments = Moments()
        for _ in range(self.params.draws):
            moments.add(problem.draw(batch, clock, rng).latent)
        return moments

    def soften(self, state: AveragedAdam) -> bool:
        return state.soften()
