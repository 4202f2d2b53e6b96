"""Blind deconvolution by Richardson-Lucy updates of image and kernel in turn.

Fish, Brinicombe, Pike & Walker, "Blind deconvolution by means of the Richardson-Lucy algorithm", JOSA A 12 (1995),
58-65.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info
from unblur.problem import Problem
from unblur_classical.algorithm_params import BlindRichardsonLucyParams
from unblur_classical.richardson_lucy import SEEN

_TINY = 1e-30
"""In place of ratios of zero, whose logarithm is multiplied by zero: quicker than xlogy."""


class BlindState:
    """Which pixels count; nothing that changes."""

    def __init__(self, problem: Problem) -> None:
        target = problem.forward.target(problem.batch)
        self.valid = target.valid
        self.counted = torch.ones_like(target.observed) if target.valid is None else target.valid
        self.count = float(self.counted.sum())

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing changes."""


class BlindRichardsonLucy(Estimator[BlindRichardsonLucyParams]):
    """In each step some updates of the image for the kernel (eq. 5) and some of the kernel for the image (eq. 4).

    The image is first: an image that is still the observed one would turn the kernel into a delta. The kernel is kept
    at sum one. Reports the mean Poisson deviance before the step.
    """

    def init(self, problem: Problem, earlier: Any) -> BlindState:
        with torch.no_grad():
            problem.image.parameters()[0].clamp_min_(self.params.epsilon)
            return BlindState(problem)

    @torch.no_grad()
    def step(self, problem: Problem, state: BlindState, batch: Batch, clock: Clock) -> Info:
        image, kernel = problem.image.parameters()[0], problem.kernels.parameters()[0]
        observed = problem.forward.target(batch).observed
        misfit = self._update_image(problem, state, observed, image, kernel)
        for _ in range(self.params.kernel_steps):
            self._update_kernel(problem, state, observed, image, kernel)
        return Info(misfit, Draw(image), kernel)

    def _update_image(
        self, problem: Problem, state: BlindState, observed: Tensor, image: Tensor, kernel: Tensor
    ) -> Tensor:
        operator = problem.forward.prepared(kernel.detach(), problem.latent_shape)
        seen = operator.adjoint(state.counted)
        divisor = seen.clamp_min(SEEN * float(seen.max()))
        misfits = []
        for _ in range(self.params.image_steps):
            ratio, misfit = compare(observed, operator.forward(image), state.valid, state.count, self.params.epsilon)
            image.mul_((1 + (operator.adjoint(ratio) - seen) / divisor).clamp_min_(0))
            misfits.append(misfit)
        return misfits[0]

    def _update_kernel(
        self, problem: Problem, state: BlindState, observed: Tensor, image: Tensor, kernel: Tensor
    ) -> None:
        predicted = problem.forward.predict(image, kernel)
        ratio, _ = compare(observed, predicted, state.valid, state.count, self.params.epsilon)
        seen = problem.forward.kernel_adjoint(state.counted, image, problem.spec)
        back = problem.forward.kernel_adjoint(ratio, image, problem.spec)
        kernel.mul_((back / seen.clamp_min(self.params.epsilon)).clamp_min_(0))
        total = kernel.flatten(1).sum(1).clamp_min(self.params.epsilon)
        kernel.div_(total.view(-1, *(1,) * (kernel.ndim - 1)))


def compare(
    observed: Tensor, predicted: Tensor, valid: Tensor | None, count: float, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Ratio observed / predicted, zero where pixels do not count, and mean Poisson deviance; `predicted` is used up."""
    predicted.clamp_min_(epsilon)
    ratio = observed / predicted
    deviance = ratio.clamp_min(_TINY).log_().mul_(observed.clamp_min(0)).sub_(observed).add_(predicted)
    if valid is not None:
        ratio.mul_(valid)
        deviance.mul_(valid)
    return ratio, 2 * deviance.sum() / count
