"""The quadratic half of half-quadratic splitting: the image for given gradients, whatever the linear blur.

A convolution is diagonal on a periodic grid (`PeriodicProblem`); other blurs, such as a grid of kernels, take conjugate
gradients, preconditioned as if their mean kernel were everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Operator
from unblur.operators.convolution import Convolution
from unblur.operators.fourier import differences, fast_length, image_of, roughness, spectrum
from unblur.operators.gradient import gradient, gradient_adjoint
from unblur.operators.missing import filled
from unblur.problem import Problem
from unblur_classical.periodic import PeriodicProblem
from unblur_classical.quadratic import likeliest_balance, solved

_ITERATIONS = 3
"""Conjugate gradients of one solution, which begins with the one before."""

_FIRST_ITERATIONS = 15
"""Those of the first."""

_FAINT = 1e-3
"""The least variance of the noise that the smooth image reckons with, as a part of the squared gradients."""


def splitting(problem: Problem, target: Batch, image: Tensor | None = None) -> Splitting:
    """For a problem's blur and current kernel.

    Args:
        target: the frames to explain, of as many channels as the problem's, or of one that stands for all.
        image: that of an earlier splitting.
    """
    latent = problem.image.parameters()[0].detach()
    kernel = problem.kernel(latent, Clock(0, 1), None).detach()
    if target.observed.shape[1] < latent.shape[1]:
        latent = latent.mean(1, keepdim=True)
    operator = problem.forward.prepared(kernel, problem.latent_shape)
    if isinstance(operator, Convolution):
        periodic = PeriodicProblem(problem, target)
        return PeriodicSplitting(periodic, periodic.observed if image is None else image)
    return OperatorSplitting(operator, target, kernel, latent if image is None else image)


class Splitting(ABC):
    """The x of least f ‖A x - y‖² + Σ_j ‖D_j x - w_j‖² + t ‖x - x'‖², for one f, w and t after another.

    A x and y are compared where y was observed and counts. The image may live on a grid of its own.

    Attributes:
        image: x (frames, channels, *grid).
        predicted: A x.
    """

    image: Tensor
    predicted: Tensor
    changing: ClassVar[tuple[str, ...]] = ("image", "predicted")

    @abstractmethod
    def begin(self, variance: float) -> None:
        """Find the smooth image to begin with, for noise of a variance."""

    @abstractmethod
    def take(self, image: Tensor) -> None:
        """Go on from an image on the grid."""

    @abstractmethod
    def gradients(self) -> list[Tensor]:
        """D_j x along each axis."""

    @abstractmethod
    def solve(self, fidelity: float, wanted: Sequence[Tensor], held: Tensor | None = None, trust: float = 0.0) -> None:
        """Find image and prediction for the fidelity f, gradients w, and the image x' held to with trust t."""

    @abstractmethod
    def placed(self, image: Tensor) -> Tensor:
        """An image of the observed window (frames, channels, *window) on the grid, and the current one around it."""

    @abstractmethod
    def latent(self) -> Tensor:
        """The image on the problem's latent grid."""

    @abstractmethod
    def misfit(self) -> Tensor:
        """Mean squared residual over the pixels that were observed and count."""

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.changing}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self.changing:
            setattr(self, name, state[name])


class PeriodicSplitting(Splitting):
    """For a convolution: exact, and what was not observed is what the last image predicts."""

    changing = (*Splitting.changing, "_half")

    def __init__(self, periodic: PeriodicProblem, image: Tensor) -> None:
        self.periodic = periodic
        self._differences = differences(periodic.grid, image.device)
        self.take(image)

    def take(self, image: Tensor) -> None:
        self.image, self._half = image, self.periodic.spectrum(image)
        self.predicted = self.periodic.image(self._half * self.periodic.otf)

    def begin(self, variance: float) -> None:
        found = solved(self.periodic, likeliest_balance(self.periodic, variance))
        self._half, self.predicted = found.half, found.predicted
        self.image = self.periodic.image(self._half)

    def gradients(self) -> list[Tensor]:
        return [self.periodic.image(factor * self._half) for factor in self._differences]

    def solve(self, fidelity: float, wanted: Sequence[Tensor], held: Tensor | None = None, trust: float = 0.0) -> None:
        periodic = self.periodic
        upper = fidelity * periodic.otf.conj() * periodic.spectrum(periodic.complete(self.predicted))
        lower = fidelity * periodic.otf.abs().square()
        if held is not None:
            upper = upper + trust * periodic.spectrum(held)
            lower = lower + trust
        for factor, part in zip(self._differences, wanted, strict=True):
            upper = upper + factor.conj() * periodic.spectrum(part)
            lower = lower + factor.abs().square()
        self._half = upper / lower
        self.image = periodic.image(self._half)
        self.predicted = periodic.image(self._half * periodic.otf)

    def placed(self, image: Tensor) -> Tensor:
        return self.periodic.placed(image, self.image)

    def latent(self) -> Tensor:
        return self.periodic.latent(self.image)

    def misfit(self) -> Tensor:
        return self.periodic.misfit(self.predicted)


class OperatorSplitting(Splitting):
    """For any linear blur, on the latent grid.

    Args:
        operator: the blur A.
        target: the frames that it explains.
        kernel: its kernels (count, *k), whose mean makes the preconditioner.
        image: to begin with.
    """

    changing = (*Splitting.changing, "_begun")

    def __init__(self, operator: Operator, target: Batch, kernel: Tensor, image: Tensor) -> None:
        self.operator, self.target = operator, target
        self._grid = tuple(map(fast_length, image.shape[2:]))
        self._power = spectrum(kernel.mean(0), self._grid).abs().square()
        self._rough = roughness(self._grid, image.device)
        self._begun = False
        self.take(image)

    def take(self, image: Tensor) -> None:
        self.image, self.predicted = image, self.operator.forward(image)

    def begin(self, variance: float) -> None:
        rough = float(gradient(filled(self.target.observed, self.target.valid)).square().mean())
        self.solve(rough / max(variance, _FAINT * rough), [torch.zeros_like(self.image)] * (self.image.ndim - 2))

    def gradients(self) -> list[Tensor]:
        return list(gradient(self.image))

    def solve(self, fidelity: float, wanted: Sequence[Tensor], held: Tensor | None = None, trust: float = 0.0) -> None:
        operator, valid = self.operator, self.target.valid

        def seen(residual: Tensor) -> Tensor:
            return operator.adjoint(residual if valid is None else residual * valid)

        right = fidelity * seen(self.target.observed) + gradient_adjoint(torch.stack(list(wanted)))
        if held is not None:
            right = right + trust * held
        divisor = fidelity * self._power + self._rough + trust

        def normal(image: Tensor) -> tuple[Tensor, Tensor]:
            blurred = operator.forward(image)
            return blurred, fidelity * seen(blurred) + gradient_adjoint(gradient(image)) + trust * image

        def filtered(residual: Tensor) -> Tensor:
            return image_of(spectrum(residual, self._grid) / divisor, self._grid, residual.shape[2:])

        image, predicted = self.image, self.predicted
        back = fidelity * seen(predicted) + gradient_adjoint(gradient(image)) + trust * image
        residual = right - back
        direction = filtered(residual)
        product = _dot(residual, direction)
        for _ in range(_ITERATIONS if self._begun else _FIRST_ITERATIONS):
            if product <= 0:
                break
            blurred, turned = normal(direction)
            length = product / _dot(direction, turned)
            image = image + length * direction
            predicted = predicted + length * blurred
            residual = residual - length * turned
            smooth = filtered(residual)
            before, product = product, _dot(residual, smooth)
            direction = smooth + (product / before) * direction
        self.image, self.predicted, self._begun = image, predicted, True

    def placed(self, image: Tensor) -> Tensor:
        whole = self.image.clone()
        sizes = zip(whole.shape[2:], image.shape[2:], strict=True)
        whole[(..., *(slice((n - m) // 2, (n - m) // 2 + m) for n, m in sizes))] = image
        return whole

    def latent(self) -> Tensor:
        return self.image

    def misfit(self) -> Tensor:
        error, valid = (self.predicted - self.target.observed).square(), self.target.valid
        return error.mean() if valid is None else (error * valid).sum() / valid.expand_as(error).sum().clamp_min(1)


def _dot(first: Tensor, second: Tensor) -> float:
    return float((first * second).sum())
