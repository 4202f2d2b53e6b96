"""Alternating minimisation in image and kernel.

Chan & Wong, "Total variation blind deconvolution", IEEE Trans. Image Process. 7 (1998), 370-375, with steps of Adam
(Kingma & Ba, ICLR 2015) in place of exact minimisers, so that any priors will do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info, State
from unblur.optimise import AdamGroups
from unblur.problem import Problem
from unblur_classical.gradient_params import AlternatingAdamParams


class AlternatingAdam(Estimator[AlternatingAdamParams]):
    """In each step some updates of the kernel for the image, and then some of the image for the kernel.

    What is held is drawn once. A known kernel has no updates. Reports the misfit before the first update of the step.
    """

    def init(self, problem: Problem, earlier: State | None) -> AdamGroups:
        return AdamGroups(
            {"image": problem.image.parameters(), "kernel": problem.kernels.parameters()},
            {"image": self.params.image_rate, "kernel": self.params.kernel_rate},
        )

    def step(self, problem: Problem, state: AdamGroups, batch: Batch, clock: Clock) -> Info:
        of_kernel = self._update_kernel(problem, state, batch, clock) if len(problem.kernels.parameters()) else []
        return (of_kernel + self._update_image(problem, state, batch, clock))[0]

    def _update_kernel(self, problem: Problem, state: AdamGroups, batch: Batch, clock: Clock) -> list[Info]:
        with torch.no_grad():
            draw = problem.draw(batch, clock, problem.rng)
        held = Draw(draw.latent.detach(), draw.weight)
        infos = []
        for _ in range(self.params.kernel_steps):
            kernel = problem.kernel(held.latent, clock, problem.rng)
            infos.append(_descend(problem, state, held, kernel, batch, clock))
        return infos

    def _update_image(self, problem: Problem, state: AdamGroups, batch: Batch, clock: Clock) -> list[Info]:
        held: Tensor | None = None
        infos = []
        for _ in range(self.params.image_steps):
            draw = problem.draw(batch, clock, problem.rng)
            if held is None:
                with torch.no_grad():
                    held = problem.kernel(draw.latent, clock, problem.rng).detach()
            infos.append(_descend(problem, state, draw, held, batch, clock))
        return infos

    def soften(self, state: AdamGroups) -> bool:
        return state.soften()


def _descend(problem: Problem, state: AdamGroups, draw: Draw, kernel: Tensor, batch: Batch, clock: Clock) -> Info:
    """Change what the draw or the kernel depend on; the optimiser leaves alone what has no gradient."""
    misfit = problem.misfit(draw, kernel, batch, clock)
    state.step(misfit + problem.penalty(draw.latent, kernel, clock), clock.fraction)
    return Info(misfit.detach(), Draw(draw.latent.detach(), draw.weight), kernel.detach())
