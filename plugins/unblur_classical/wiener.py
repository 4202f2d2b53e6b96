"""The Wiener filter: the best linear estimate for known spectra of image and noise."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info
from unblur.problem import Problem
from unblur_classical.algorithm_params import WienerParams
from unblur_classical.noise import LEAST_NOISE, estimate_noise
from unblur_classical.periodic import PeriodicProblem, roughness


class WienerState:
    """The problem on the periodic grid, and what the next step filters."""

    def __init__(self, problem: Problem, params: WienerParams) -> None:
        self.periodic = PeriodicProblem(problem)
        observed = self.periodic.observed
        self.roughness = roughness(self.periodic.grid, observed.device)
        self.completed = observed.clone()
        if params.balance is not None:
            self.balance = torch.full((*observed.shape[:2], *(1,) * len(self.periodic.grid)), params.balance)
            self.balance = self.balance.to(observed.device)
        else:
            target = problem.forward.target(problem.batch)
            self.balance = self._likeliest(_variance(target.observed, target.valid, params.snr))

    def _likeliest(self, variance: float) -> Tensor:
        """Noise variance over the variance of the latent gradients, for each frame and channel."""
        half = self.periodic.spectrum(self.completed)
        pixels = math.prod(self.periodic.grid)
        response = self.periodic.otf.abs().square().expand(half.shape)
        found = half.real.new_empty(half.shape[:2])
        for index in torch.cartesian_prod(*map(torch.arange, found.shape)).view(-1, 2).tolist():
            where = tuple(index)
            found[where] = _balance(half[where].abs().square() / pixels, response[where], self.roughness, variance)
        return found.view(*found.shape, *(1,) * len(self.periodic.grid))

    def state_dict(self) -> dict[str, Any]:
        return {"completed": self.completed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.completed = state["completed"]


class Wiener(Estimator[WienerParams]):
    """X = H* Y / (H* H + b D* D), with b the noise variance over the variance of the latent image's gradients D x.

    Gradients of equal variance at all frequencies give the 1/f² power spectrum of natural images; that variance is the
    likeliest for what was observed (marginal likelihood; Galatsanos & Katsaggelos 1992). One step is the filter; more
    steps filter again with what the last one predicts beyond the borders. Reports the mean squared residual of each
    step's image.
    """

    def init(self, problem: Problem, earlier: Any) -> WienerState:
        with torch.no_grad():
            return WienerState(problem, self.params)

    @torch.no_grad()
    def step(self, problem: Problem, state: WienerState, batch: Batch, clock: Clock) -> Info:
        periodic, image = state.periodic, problem.image.parameters()[0]
        half = periodic.spectrum(state.completed) * periodic.otf.conj()
        half = half / (periodic.otf.abs().square() + state.balance * state.roughness)
        image.copy_(periodic.latent(periodic.image(half)))
        predicted = periodic.image(half * periodic.otf)
        state.completed = periodic.complete(predicted)
        return Info(periodic.misfit(predicted), Draw(image))


def _variance(observed: Tensor, valid: Tensor | None, snr: float | None) -> float:
    if snr is None:
        return max(estimate_noise(observed, valid), LEAST_NOISE) ** 2
    counted = observed if valid is None else observed[valid > 0]
    return float(counted.var()) / 10 ** (snr / 10)


def _balance(periodogram: Tensor, response: Tensor, rough: Tensor, variance: float) -> float:
    """`variance` over the gradients' variance g under which E[Y* Y] = g H* H / D* D + variance is likeliest."""
    inside = rough > 0
    energy = periodogram[inside].double()
    gain = (response[inside] / rough[inside]).double()

    def cost(log_gradient: float) -> float:
        expected = math.exp(log_gradient) * gain + variance
        return float((expected.log() + energy / expected).sum())

    best = minimize_scalar(cost, bounds=(-30.0, 5.0), method="bounded", options={"xatol": 0.02})
    return variance / math.exp(best.x)
