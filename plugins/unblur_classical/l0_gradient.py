"""Blind deconvolution by an image of few gradients, which keeps sharp edges and nothing else.

Xu, Zheng & Jia, "Unnatural L0 sparse representation for natural image deblurring", CVPR 2013; Pan, Hu, Su & Yang,
"Deblurring text images via L0-regularized intensity and gradient prior", CVPR 2014, without its prior of intensities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import label
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info
from unblur.operators.fourier import fast_length, image_of, spectrum
from unblur.operators.gradient import gradient, gradient_adjoint
from unblur.operators.noise import SMALLEST
from unblur.problem import Problem
from unblur_classical.algorithm_params import L0GradientParams
from unblur_classical.continuation import geometric
from unblur_classical.noise import LEAST_NOISE, noise_of, trusted
from unblur_classical.periodic import PeriodicProblem, differences

_CORRECTIONS = 3
_PROJECTED_STEPS = 150

_NOISE_WEIGHT = 10.0
"""Variances of the noise by which the weight of a gradient is raised, so that noise is no edge."""


class L0GradientState:
    """What is explained, the latent image on the periodic grid, and the noise."""

    def __init__(self, problem: Problem, params: L0GradientParams) -> None:
        self.target = problem.forward.target(problem.batch)
        if params.robust:
            self.target = trusted(self.target, problem.context, "l0-gradient")
        periodic = PeriodicProblem(problem, self.target)
        self.image = periodic.observed.clone()
        self.contrast = max(float(periodic.filled.std()), LEAST_NOISE)
        large = min(periodic.filled.shape[2:]) >= SMALLEST[periodic.filled.ndim - 2]
        self.noise = noise_of(periodic.filled, problem.context, "l0-gradient") if large else 0.0
        self.differences = differences(periodic.grid, periodic.observed.device)

    def state_dict(self) -> dict[str, Any]:
        return {"image": self.image}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.image = state["image"]


class L0Gradient(Estimator[L0GradientParams]):
    """In each step the image for the kernel, and then the kernel for the image.

    The image has least ‖k * x - y‖² + λ ‖∇x‖₀ (Xu et al., eq. 3; Pan et al., eq. 5 with σ = 0), by half-quadratic
    splitting with a rising β (Pan et al., eq. 9-12): gradients below √(λ/β) become zero. λ falls from step to step, so
    that the strongest edges decide first. The kernel has least ‖∇x * k - ∇y‖² + γ ‖k - k'‖² (Pan et al., eq. 13), where
    k' is the one before in place of zero, and is projected: no negative weights, sum one. Reports the mean squared
    residual of each step's image.
    """

    for_kernel = True

    def init(self, problem: Problem, earlier: Any) -> L0GradientState:
        with torch.no_grad():
            return L0GradientState(problem, self.params)

    @torch.no_grad()
    def step(self, problem: Problem, state: L0GradientState, batch: Batch, clock: Clock) -> Info:
        periodic = PeriodicProblem(problem, state.target)
        state.image, predicted = self._sharp(periodic, state, clock)
        image, kernel = problem.image.parameters()[0], problem.kernels.parameters()[0]
        image.copy_(periodic.latent(state.image))
        before = problem.kernel(image, clock, None)
        inertia = self.params.inertia + self.params.noise_inertia * (state.noise / state.contrast) ** 2
        kernel.copy_(self._explaining(problem, image, before, state.target, inertia))
        return Info(periodic.misfit(predicted), Draw(image), kernel)

    def _sharp(self, periodic: PeriodicProblem, state: L0GradientState, clock: Clock) -> tuple[Tensor, Tensor]:
        """The image on the grid, and what it predicts."""
        params = self.params
        weight = geometric(params.weight_first, params.weight_last, clock.step, clock.steps) * state.contrast**2
        weight += _NOISE_WEIGHT * state.noise**2
        first, last = 2 * weight, weight / max(params.smallest * state.contrast, state.noise) ** 2
        half = periodic.spectrum(state.image)
        predicted = periodic.image(half * periodic.otf)
        power = periodic.otf.abs().square()
        for split in range(params.splits):
            beta = geometric(first, last, split, params.splits)
            upper = periodic.otf.conj() * periodic.spectrum(periodic.complete(predicted)) / beta
            lower = power / beta
            gradients = [periodic.image(factor * half) for factor in state.differences]
            strength = torch.stack([part.square() for part in gradients]).sum(0).mean(1, keepdim=True)
            edges = strength > weight / beta
            for factor, part in zip(state.differences, gradients, strict=True):
                upper = upper + factor.conj() * periodic.spectrum(part * edges)
                lower = lower + factor.abs().square()
            half = upper / lower
            predicted = periodic.image(half * periodic.otf)
        return periodic.image(half), predicted

    def _explaining(self, problem: Problem, image: Tensor, before: Tensor, target: Batch, inertia: float) -> Tensor:
        """The kernel for an image, and for the kernel before.

        The quadratic form is exact but for what lies beyond the observed window, which makes it larger; a few
        corrections with the exact residual therefore descend to the minimum.
        """
        form = _QuadraticForm(image, problem.spec.shape)
        resistance = inertia * form.diagonal
        kernel = before
        for _ in range(_CORRECTIONS):
            residual = target.observed - problem.forward.predict(image, kernel)
            slope = problem.forward.kernel_adjoint(_roughened(residual, target.valid), image, problem.spec)
            kernel = form.least(kernel[0], slope[0] - resistance * (kernel - before)[0], resistance)[None]
        return _connected(kernel, self.params.cutoff, self.params.island)


class _QuadraticForm:
    """‖∇x * k‖² for kernels k of a shape: a Toeplitz matrix, applied by FFT on a grid twice as large as the kernel."""

    def __init__(self, image: Tensor, shape: Sequence[int]) -> None:
        sizes = image.shape[2:]
        grid = tuple(fast_length(n + k) for n, k in zip(sizes, shape, strict=True))
        power = torch.zeros((), device=image.device)
        for part in gradient(image):
            power = power + spectrum(part, grid).abs().square().sum((0, 1), keepdim=True)
        lags = image_of(power.to(torch.complex64), grid, grid)
        self.shape = tuple(shape)
        self.grid = tuple(fast_length(2 * k - 1) for k in shape)
        for axis, (k, small) in enumerate(zip(shape, self.grid, strict=True), 2):
            ahead, behind = lags.narrow(axis, 0, k), lags.narrow(axis, lags.shape[axis] - k + 1, k - 1)
            gap = [*ahead.shape]
            gap[axis] = small - 2 * k + 1
            lags = torch.cat((ahead, ahead.new_zeros(gap), behind), axis)
        self.diagonal = float(lags.flatten()[0])
        self.transfer = spectrum(lags, self.grid)
        self.largest = float(self.transfer.abs().max())

    def apply(self, kernel: Tensor) -> Tensor:
        """The matrix times a kernel (*shape)."""
        return image_of(spectrum(kernel[None, None], self.grid) * self.transfer, self.grid, self.shape)[0, 0]

    def least(self, kernel: Tensor, slope: Tensor, inertia: float) -> Tensor:
        """argmin over z >= 0 of ½ d·(A + inertia) d - slope·d, d = z - kernel.

        Projected gradients with momentum (Beck & Teboulle, SIAM J. Imaging Sci. 2 (2009), 183-202).
        """
        rate = 1 / (self.largest + inertia)
        here = ahead = kernel
        pace = 1.0
        for _ in range(_PROJECTED_STEPS):
            moved = ahead - kernel
            found = (ahead + rate * (slope - self.apply(moved) - inertia * moved)).clamp_min_(0)
            faster = (1 + math.sqrt(1 + 4 * pace**2)) / 2
            ahead = found + (pace - 1) / faster * (found - here)
            here, pace = found, faster
        return here


def _connected(kernel: Tensor, cutoff: float, island: float) -> Tensor:
    """A kernel without weights below a part of the largest, and without islands below a part of the sum."""
    kernel = torch.where(kernel > cutoff * kernel.max(), kernel, 0)
    places, count = label(kernel[0].cpu().numpy() > 0, np.ones((3,) * (kernel.ndim - 1)))
    index = torch.from_numpy(places).long().to(kernel.device)
    shares = kernel.new_zeros(count + 1).index_add_(0, index.flatten(), kernel.flatten()) / kernel.sum()
    kept = shares >= min(island, float(shares.max()))
    kernel = kernel * kept[index]
    return kernel / kernel.sum()


def _roughened(residual: Tensor, valid: Tensor | None) -> Tensor:
    """Adjoint differences of the differences of a residual, between pixels that both count."""
    differences = gradient(residual)
    if valid is not None:
        following = valid + gradient(valid)
        differences = differences * (valid * following)
    return gradient_adjoint(differences)
