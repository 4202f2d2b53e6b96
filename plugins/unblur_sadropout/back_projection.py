"""The back-projection misfit of BP-DIP (Zukerman, Tirer & Giryes 2020), and Adam on it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info, State
from unblur.errors import CompositionError
from unblur.operators.convolution import Convolution
from unblur.operators.fourier import spectrum
from unblur.operators.missing import filled
from unblur.optimise import AdamGroups
from unblur.problem import Problem
from unblur_sadropout.noise import noise_in
from unblur_sadropout.params import BackProjectionParams

_SMALLEST = 1e-4
"""Of the regularisation: without noise, rounding would be divided by nearly nothing."""


class BackProjectionState(AdamGroups):
    """Adam on the image's parameters, and the weights of the residual's frequencies."""

    def __init__(self, problem: Problem, params: BackProjectionParams) -> None:
        super().__init__({"image": problem.image.parameters()}, {"image": params.image_rate})
        with torch.no_grad():
            latent = problem.draw(problem.batch, Clock(0, 1), None).latent
            kernel = problem.kernel(latent, Clock(0, 1), None)
        operator = problem.forward.prepared(kernel, problem.latent_shape)
        if not isinstance(operator, Convolution):
            raise CompositionError(
                f"back-projection: {type(problem.forward).__name__} calls itself stationary but prepares no convolution"
            )
        self.kernel, self.grid = kernel, operator.geometry.grid
        self.weights = 1 / (operator.otf.abs().square() + regularisation(problem, params))

    def misfit(self, residual: Tensor) -> Tensor:
        """The mean over pixels of r (H H* + epsilon)^-1 r."""
        half = spectrum(residual, self.grid)
        energy = self.weights * (half.real.square() + half.imag.square())
        twice = 2 * energy.sum() - energy[..., 0].sum()
        if self.grid[-1] % 2 == 0:
            twice = twice - energy[..., -1].sum()
        return twice / (math.prod(self.grid) * residual.numel())


class BackProjection(Estimator[BackProjectionParams]):
    """Adam on ‖(H H* + epsilon)^(-1/2) (H x - y)‖², the distance after back-projection by the pseudo-inverse.

    Frequencies that the blur weakens count as much as the others; squares would fit them last. Reading: H H* of a
    valid convolution is taken by its transfer function on the padded grid, so that borders count a little differently;
    a residual of zero stays a misfit of zero. Without a number, epsilon is the variance of the noise over that of the
    observation. Pixels that do not count have a residual of zero.
    """

    def init(self, problem: Problem, earlier: State | None) -> BackProjectionState:
        return BackProjectionState(problem, self.params)

    def step(self, problem: Problem, state: BackProjectionState, batch: Batch, clock: Clock) -> Info:
        draw = problem.draw(batch, clock, problem.rng)
        target = problem.forward.target(batch)
        residual = problem.predict(draw.latent, state.kernel) - target.observed
        counted = problem.counted(draw, target)
        misfit = state.misfit(residual if counted is None else residual * counted)
        state.step(misfit + problem.penalty(draw.latent, state.kernel, clock), clock.fraction)
        return Info(misfit.detach(), Draw(draw.latent.detach(), draw.weight), state.kernel)

    def soften(self, state: BackProjectionState) -> bool:
        return state.soften()


def regularisation(problem: Problem, params: BackProjectionParams) -> float:
    """epsilon: as given, or noise variance over the variance of the observation."""
    if params.epsilon is not None:
        return params.epsilon
    noise = noise_in(problem.batch, problem.context, "back-projection")
    variance = float(filled(problem.batch.observed, problem.batch.valid).var())
    return max(noise**2 / max(variance, 1e-12), _SMALLEST)
