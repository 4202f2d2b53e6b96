"""Adam on a random network, and the mean of its images."""

from __future__ import annotations

from torch import Generator

from unblur.components import Batch, Clock, Draw, Estimate, Estimator, Info, State
from unblur.moments import Moments
from unblur.optimise import AveragedAdam
from unblur.problem import Problem
from unblur_sadropout.params import DropoutEnsembleParams


class DropoutEnsemble(Estimator[DropoutEnsembleParams]):
    """Adam on one draw a step; the estimate is the mean over draws, E f(ŷ; θ ⊙ b), an approximate MMSE estimate.

    Chen et al. 2022, eq. 5 and 10. The standard deviation over the same draws is the uncertainty; where they do not
    differ there is none. A kernel that learns takes part in every step.
    """

    def init(self, problem: Problem, earlier: State | None) -> AveragedAdam:
        groups = {"image": problem.image.parameters(), "kernel": problem.kernels.parameters()}
        rates = {"image": self.params.image_rate, "kernel": self.params.kernel_rate}
        return AveragedAdam(groups, rates)

    def step(self, problem: Problem, state: AveragedAdam, batch: Batch, clock: Clock) -> Info:
        draw = problem.draw(batch, clock, problem.rng)
        kernel = problem.kernel(draw.latent, clock, problem.rng)
        misfit = problem.misfit(draw, kernel, batch, clock)
        state.step(misfit + problem.penalty(draw.latent, kernel, clock), clock.fraction)
        if clock.fraction >= self.params.average_from:
            state.kept.add(draw.latent)
        return Info(misfit.detach(), Draw(draw.latent.detach(), draw.weight), kernel.detach())

    def estimate(self, problem: Problem, state: AveragedAdam, batch: Batch, clock: Clock, rng: Generator) -> Estimate:
        drawn = state.kept
        if drawn.count < max(2, self.params.inferences):
            drawn = Moments()
            for _ in range(self.params.inferences):
                drawn.add(problem.draw(batch, clock, rng).latent)
        if drawn.mean is None:
            return super().estimate(problem, state, batch, clock, rng)
        spread = drawn.std()
        if spread is not None and not bool(spread.any()):
            spread = None
        return Estimate(drawn.mean, problem.kernel(drawn.mean, clock, None), spread)

    def soften(self, state: AveragedAdam) -> bool:
        return state.soften()
