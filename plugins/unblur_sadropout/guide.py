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
from unblur.operators.fourier import image_of, spectrum
from unblur.problem import Problem
from unblur.registry import default_registry

_OCTAVES = (-40.0, 20.0)
"""Powers of two between which the balance is looked for."""

_FLOOR = 1e-8
"""Added to the divisor, which is zero where the blur removes the mean."""

_STEPS = 10
"""Of the classical estimator."""


def classical(problem: Problem, name: str, observed: Tensor, valid: Tensor | None, noise: float | None) -> Tensor:
    """The latent image that an estimator for free pixels finds for observed frames with the problem's kernel.

    Args:
        valid: which pixels of the frames count; all if None.
        noise: their standard deviation; estimated from them if None.

    Raises:
        UnknownNameError: no such estimator.
        ParameterError: it is not for free pixels.
    """
    registry = default_registry()
    found, pixels = registry.component("estimator", name), registry.component("image_prior", "pixels")
    if "image_prior:pixels" not in found.component.requires:
        fitting = [
            other
            for other, part in registry.components("estimator").items()
            if "image_prior:pixels" in part.component.requires and "learns-kernel" not in part.component.provides
        ]
        raise ParameterError(f"image_prior.start: {name!r} is not for free pixels; choose from {', '.join(fitting)}")
    image: ImagePrior[Any] = pixels.load()(pixels.component.params())
    batch = dataclasses.replace(problem.batch, observed=observed, valid=valid)
    context = dataclasses.replace(problem.context, noise=noise)
    image.init(problem.latent_shape, batch, context)
    estimator: Estimator[Any] = found.load()(found.component.params())
    simple = dataclasses.replace(
        problem, batch=batch, context=context, image=image, image_penalties=(), estimator=estimator
    )
    state = estimator.init(simple, None)
    for step in range(_STEPS):
        estimator.step(simple, state, batch, Clock(step, _STEPS))
    return estimator.estimate(simple, state, batch, Clock(_STEPS, _STEPS), simple.rng).image.detach().clone()


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


def roughness(grid: Sequence[int], device: torch.device) -> Tensor:
    """|D|² of the periodic forward differences, summed over the axes, on the half spectrum."""
    total = torch.zeros((), device=device)
    for axis, size in enumerate(grid):
        count = size // 2 + 1 if axis == len(grid) - 1 else size
        wave = 2 - 2 * torch.cos(2 * math.pi * torch.arange(count, device=device) / size)
        total = total + wave.view(-1, *(1,) * (len(grid) - 1 - axis))
    return total


def continued(image: Tensor, grid: Sequence[int]) -> Tensor:
    """On a larger periodic grid: linear from the last pixels of every axis to the first ones."""
    for axis, size in enumerate(grid, 2):
        extra = size - image.shape[axis]
        if extra == 0:
            continue
        share = torch.arange(1, extra + 1, device=image.device, dtype=image.dtype) / (extra + 1)
        share = share.view(-1, *(1,) * (image.ndim - 1 - axis))
        first, last = image.narrow(axis, 0, 1), image.narrow(axis, image.shape[axis] - 1, 1)
        image = torch.cat((image, last + (first - last) * share), axis)
    return image.contiguous()
