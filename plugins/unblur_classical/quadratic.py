"""The quadratic problem behind the Wiener filter, ½‖M (H x - y)‖² + b/2 ‖D x‖², where not every pixel is known (M)."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from unblur.operators.fourier import roughness
from unblur_classical.periodic import PeriodicProblem, half_sum

_HOLED = 1e-2
"""Of b, at least, where the problem begins and where it is preconditioned, in images with holes."""


class ConjugateGradients:
    """Its solution by conjugate gradients, preconditioned by the Wiener filter, which solves it where all is known.

    Each step costs two transforms (Reeves, "Fast image restoration without boundary artifacts", IEEE Trans. Image
    Process. 14 (2005), 1448-1453).

    Args:
        balance: b, for each frame and channel: (frames, channels).

    Attributes:
        half: half spectrum of x, which begins with the filter applied to the continued observation.
        predicted: H x on the periodic grid.
    """

    def __init__(self, periodic: PeriodicProblem, balance: Tensor) -> None:
        self.periodic = periodic
        rough = roughness(periodic.grid, balance.device)
        self._smooth = expanded(balance, periodic) * rough
        # What stands in a hole is no observation: divided by next to nothing, its edges would ring.
        held = balance.clamp_min(_HOLED) if periodic.holed else balance
        self._divisor = periodic.otf.abs().square() + expanded(held, periodic) * rough
        self.half = periodic.otf.conj() * periodic.spectrum(periodic.observed) / self._divisor
        self.predicted = periodic.image(periodic.otf * self.half)
        error = self._known(periodic.observed - self.predicted)
        self._residual = periodic.otf.conj() * periodic.spectrum(error) - self._smooth * self.half
        self._direction = self._residual / self._divisor
        self._product = self._dot(self._residual, self._direction)

    def step(self) -> None:
        """One iteration."""
        periodic, direction = self.periodic, self._direction
        blurred = periodic.image(periodic.otf * direction)
        image = periodic.otf.conj() * periodic.spectrum(self._known(blurred)) + self._smooth * direction
        length = expanded(_quotient(self._product, self._dot(direction, image)), periodic)
        self.half = self.half + length * direction
        self.predicted = self.predicted + length * blurred
        self._residual = self._residual - length * image
        filtered = self._residual / self._divisor
        before, self._product = self._product, self._dot(self._residual, filtered)
        self._direction = filtered + expanded(_quotient(self._product, before), periodic) * direction

    def _known(self, image: Tensor) -> Tensor:
        return image if self.periodic.known is None else image * self.periodic.known

    def _dot(self, first: Tensor, second: Tensor) -> Tensor:
        return half_sum(first.real * second.real + first.imag * second.imag, self.periodic.grid)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, state[name])


_STATE = ("half", "predicted", "_residual", "_direction", "_product")


def solved(periodic: PeriodicProblem, balance: Tensor, steps: int = 30) -> ConjugateGradients:
    """The solution, all at once; without unknown pixels the filter is enough."""
    found = ConjugateGradients(periodic, balance)
    for _ in range(steps if periodic.known is not None else 0):
        found.step()
    return found


def likeliest_balance(periodic: PeriodicProblem, variance: float) -> Tensor:
    """b = noise variance / variance of the gradients D x, for each frame and channel (frames, channels).

    Gradients of equal variance g at all frequencies give the 1/f² power spectrum of natural images. g is the one for
    which the observation, with E[Y* Y] = g H* H / D* D + variance, is likeliest (marginal likelihood: Galatsanos &
    Katsaggelos, "Methods for choosing the regularization parameter …", IEEE Trans. Image Process. 1 (1992), 322-336).
    A Hann window keeps borders, which are no part of that model, out of the spectrum Y.
    """
    window = torch.ones((), dtype=torch.float64)
    for size in periodic.filled.shape[2:]:
        window = window[..., None] * torch.hann_window(size + 2, periodic=False, dtype=torch.float64)[1:-1]
    window = window.to(periodic.filled)
    spatial = tuple(range(2, periodic.filled.ndim))
    half = periodic.spectrum((periodic.filled - periodic.filled.mean(spatial, keepdim=True)) * window)
    energy = half.abs().square().double() / float(window.square().sum())
    rough = roughness(periodic.grid, half.device)
    inside = rough > 0
    gain = (periodic.otf.abs().square().expand(half.shape)[..., inside] / rough[inside]).double()
    found = half.real.new_empty(half.shape[:2])
    for frame in range(half.shape[0]):
        for channel in range(half.shape[1]):
            found[frame, channel] = _likeliest(energy[frame, channel][inside], gain[frame, channel], variance)
    return variance / found


def expanded(values: Tensor, periodic: PeriodicProblem) -> Tensor:
    """(frames, channels) as (frames, channels, 1, …), to be multiplied with images and half spectra."""
    return values.reshape(*values.shape, *(1,) * len(periodic.grid))


def _likeliest(energy: Tensor, gain: Tensor, variance: float) -> float:
    def cost(log_gradient: float) -> float:
        expected = math.exp(log_gradient) * gain + variance
        return float((expected.log() + energy / expected).sum())

    return math.exp(minimize_scalar(cost, bounds=(-30.0, 5.0), method="bounded", options={"xatol": 0.02}).x)


def _quotient(upper: Tensor, lower: Tensor) -> Tensor:
    """Zero where there is nothing left to divide by: the solution was reached."""
    return torch.where(lower > 0, upper / lower.clamp_min(1e-30), 0)
