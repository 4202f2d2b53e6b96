"""Joint optimisation of both networks."""

from __future__ import annotations

from typing import Any

from unblur.components import Batch, Clock, Estimator, Info, State
from unblur.optimise import AdamGroups
from unblur.problem import Problem


class JointAdam(Estimator[Any]):
    """Adam on the parameters of image and kernel at once (Ren et al. 2020, Algorithm 2)."""

    def init(self, problem: Problem, earlier: State | None) -> AdamGroups:
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
