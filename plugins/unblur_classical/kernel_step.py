"""The kernels for an image: those of least ‖∇(A k) - ∇y‖², held to the ones before, with no negative weights.

A k is the prediction, linear in the kernels. For one kernel of a convolution the quadratic form is a small Toeplitz
matrix; for a grid of kernels, which overlap, it is applied through the forward model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import label
from torch import Tensor

from unblur.components import Batch, Clock, WeightedKernelPrior
from unblur.operators.fourier import fast_length, image_of, spectrum
from unblur.operators.gradient import gradient, gradient_adjoint
from unblur.problem import Problem
from unblur_classical.descent import projected_descent

_CORRECTIONS = 3
_PROJECTED_STEPS = 150

_JOINT_STEPS = 25
"""Projected gradients for a grid of kernels."""

_POWER_STEPS = 8
"""Of the power iteration for the largest curvature."""

_FEW = 1e-2
"""The least weight of a kernel's window, as a part of the mean, so that none moves without bound."""


def explaining(problem: Problem, image: Tensor, target: Batch, inertia: float, coupling: float) -> Tensor:
    """The weights of the kernel prior (bodies, *any) whose kernels explain an image, not yet of sum one.

    Args:
        target: the observed frames.
        inertia: weight of ‖k - k'‖², k' the kernels before, as a part of what the image's gradients weigh.
        coupling: of a grid, weight of the squared differences of neighbouring kernels, likewise.
    """
    prior = problem.kernels
    assert isinstance(prior, WeightedKernelPrior)
    before, weights = problem.kernel(image, Clock(0, 1), None), prior.parameters()[0].detach()
    if len(before) == 1 and torch.equal(prior.expand(weights).flatten(), weights.flatten()):
        return _one(problem, image, before, target, inertia).view_as(weights)
    return _grid(problem, prior, image, before, target, inertia, coupling)


def _one(problem: Problem, image: Tensor, before: Tensor, target: Batch, inertia: float) -> Tensor:
    """By a quadratic form that is exact but for what lies beyond the observed window, which makes it larger.

    A few corrections with the exact residual therefore descend to the minimum.
    """
    form = _QuadraticForm(image, problem.spec.shape)
    resistance = inertia * form.diagonal
    kernel = before
    for _ in range(_CORRECTIONS):
        residual = target.observed - problem.forward.predict(image, kernel)
        slope = problem.forward.kernel_adjoint(_roughened(residual, target.valid), image, problem.spec)
        kernel = form.least(kernel[0], slope[0] - resistance * (kernel - before)[0], resistance)[None]
    return kernel


def _grid(
    problem: Problem,
    prior: WeightedKernelPrior[Any],
    image: Tensor,
    before: Tensor,
    target: Batch,
    inertia: float,
    coupling: float,
) -> Tensor:
    """By projected gradients with momentum, the weights scaled by the gradients under the windows they count in."""
    layout, origin = problem.spec.layout, (slice(None), *problem.spec.origin)

    def curved(kernels: Tensor) -> Tensor:
        roughened = _roughened(problem.forward.predict(image, kernels), target.valid)
        return problem.forward.kernel_adjoint(roughened, image, problem.spec)

    point = torch.zeros_like(before)
    point[origin] = 1
    weighing = curved(point)[origin]
    weights, mean = prior.parameters()[0].detach(), float(weighing.mean())
    if mean <= 0:  # an image without gradients explains nothing
        return weights
    weighing = weighing.clamp_min(_FEW * mean).view(-1, *(1,) * (before.ndim - 1))

    def slope(kernels: Tensor) -> Tensor:
        total = curved(kernels) + mean * inertia * kernels
        return total if layout is None else total + mean * coupling * _unlike(kernels, layout.shape)

    heavy = (weighing + mean * (inertia + 4 * coupling)).expand_as(before)
    scale = prior.gather(heavy * prior.expand(torch.ones_like(weights))).clamp_min(1e-6 * mean).rsqrt()

    def scaled(vector: Tensor) -> Tensor:
        return scale * prior.gather(slope(prior.expand(scale * vector)))

    largest = _largest(scaled, torch.ones_like(weights))
    wanted = problem.forward.kernel_adjoint(_roughened(target.observed, target.valid), image, problem.spec)
    wanted = wanted + inertia * mean * before
    return projected_descent(
        weights, lambda place: prior.gather(slope(prior.expand(place)) - wanted), scale.square() / largest, _JOINT_STEPS
    )


def _unlike(kernels: Tensor, grid: Sequence[int]) -> Tensor:
    """Half the slope of the squared differences of neighbours on a grid."""
    field = kernels.flatten(1).T.reshape(1, -1, *grid)
    back = gradient_adjoint(gradient(field))
    return back.flatten(2)[0].T.reshape(kernels.shape)


def _largest(apply: Callable[[Tensor], Tensor], vector: Tensor) -> float:
    """A bound of a symmetric operator's largest eigenvalue."""
    norm = 1.0
    for _ in range(_POWER_STEPS):
        vector = vector / vector.norm()
        vector = apply(vector)
        norm = float(vector.norm())
    return 1.1 * norm


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
        """argmin over z >= 0 of ½ d·(A + inertia) d - slope·d, d = z - kernel."""
        if self.largest + inertia <= 0:  # an image without gradients explains nothing
            return kernel

        def downhill(place: Tensor) -> Tensor:
            moved = place - kernel
            return self.apply(moved) + inertia * moved - slope

        return projected_descent(kernel, downhill, 1 / (self.largest + inertia), _PROJECTED_STEPS)


def connected(weights: Tensor, cutoff: float, island: float) -> Tensor:
    """Weights (bodies, *any), each body without what is below a part of its largest, without islands, of sum one."""
    return torch.stack([_connected(body, cutoff, island) for body in weights])


def _connected(kernel: Tensor, cutoff: float, island: float) -> Tensor:
    kernel = torch.where(kernel > cutoff * kernel.max(), kernel, 0)
    places, count = label(kernel.cpu().numpy() > 0, np.ones((3,) * kernel.ndim))
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
