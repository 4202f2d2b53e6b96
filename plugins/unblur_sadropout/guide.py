"""What a classical method makes of the observation, for the network to begin with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unblur.components import Clock, Estimator, ImagePrior, Shape
from unblur.errors import ParameterError
from unblur.operators.convolution import Convolution
from unblur.operators.fourier import image_of, roughness, spectrum
from unblur.operators.missing import continued
from unblur.problem import Problem
from unblur.records import Registered
from unblur.registry import default_registry

_OCTAVES = (-40.0, 20.0)
"""Powers of two between which the balance is looked for."""

_FLOOR = 1e-8
"""Added to the divisor, which is zero where the blur removes the mean."""

_STEPS = 10
"""Of the classical estimator."""


def classical(problem: Problem, name: str, observed: Tensor, valid: Tensor | None, noise: float | None) -> Tensor:
    """The latent image that an estimator for free pixels finds for observed frames with the problem's kernel.

    What the camera's responses would do to the prediction is undone on the frames, so that the blur is linear.

    Args:
        valid: which pixels of the frames count; all if None.
        noise: their standard deviation; estimated from them if None.

    Raises:
        UnknownNameError: no such estimator.
        ParameterError: it is not for free pixels and a known kernel.
    """
    registry = default_registry()
    found, pixels = registry.component("estimator", name), registry.component("image_prior", "pixels")
    if not _fits(found):
        fitting = ", ".join(other for other, part in registry.components("estimator").items() if _fits(part))
        raise ParameterError(
            f"image_prior.start: {name!r} is not for free pixels and a known kernel; choose from {fitting}"
        )
    image: ImagePrior[Any] = pixels.load()(pixels.component.params())
    observed = light(problem, observed)
    if problem.responses:
        noise = None  # that of the frames as they were
    batch = dataclasses.replace(problem.batch, observed=observed, valid=valid)
    context = dataclasses.replace(problem.context, noise=noise)
    image.init(problem.latent_shape, batch, context)
    estimator: Estimator[Any] = found.load()(found.component.params())
    simple = dataclasses.replace(
        problem, batch=batch, context=context, image=image, image_penalties=(), estimator=estimator, responses=()
    )
    state = estimator.init(simple, None)
    for step in range(_STEPS):
        estimator.step(simple, state, batch, Clock(step, _STEPS))
    return estimator.estimate(simple, state, batch, Clock(_STEPS, _STEPS), simple.rng).image.detach().clone()


def light(problem: Problem, observed: Tensor) -> Tensor:
    """Observed frames without what the camera's responses do to a prediction."""
    for response in problem.responses:
        observed = response.light(observed)
    return observed


def _fits(estimator: Registered) -> bool:
    """Whether an estimator is for free pixels and a known kernel."""
    component = estimator.component
    return "image_prior:pixels" in component.requires and "learns-kernel" not in component.provides


class Guide:
    """X = H* Y / (|H|² + b |D|²) of a seed, for several balances b between residual and squared gradients D.

    The reference is the balance that leaves a mean squared residual of `variance` (discrepancy principle, Morozov
    1966); smaller ones are sharper and noisier. What lies beyond the borders is continued smoothly.

    Args:
        operator: the blur.
        observed: (frames, channels, *observed) that the balance is found on.
        variance: of its errors.
        fractions: of the balance.
        latent: spatial shape of the latent image.
    """

    def __init__(
        self, operator: Convolution, observed: Tensor, variance: float, fractions: Sequence[float], latent: Shape
    ) -> None:
        self.grid, self.latent = operator.geometry.grid, latent
        otf, rough = operator.otf, roughness(self.grid, observed.device)
        power, energy = otf.abs().square(), spectrum(continued(observed, self.grid), self.grid).abs().square()

        def residual(balance: float) -> float:
            left = (1 - power / (power + balance * rough).clamp_min(1e-20)).square() * energy
            return float(left.sum()) / energy.numel() / math.prod(self.grid)

        low, high = _OCTAVES
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (low, middle) if residual(2.0**middle) > variance else (middle, high)
        self.balance = 2.0 ** ((low + high) / 2)
        self.filters = [otf.conj() / (power + fraction * self.balance * rough + _FLOOR) for fraction in fractions]

    def __call__(self, seed: Tensor) -> Tensor:
        """(frames, channels · filters, *latent)."""
        half = spectrum(continued(seed, self.grid), self.grid)
        return torch.cat([image_of(factor * half, self.grid, self.latent) for factor in self.filters], 1)
