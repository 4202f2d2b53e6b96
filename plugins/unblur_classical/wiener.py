"""The Wiener filter: the best linear estimate for given spectra of image and noise."""

from __future__ import annotations

from typing import Any

import torch

from unblur.components import Batch, Clock, Draw, Estimator, Info
from unblur.noise import noise_of
from unblur.problem import Problem
from unblur_classical.algorithm_params import WienerParams
from unblur_classical.noise import ASSUMED_NOISE, LEAST_NOISE, contrast_of
from unblur_classical.periodic import PeriodicProblem
from unblur_classical.quadratic import ConjugateGradients, likeliest_balance


class WienerState:
    """The iteration, and whether it has begun."""

    def __init__(self, problem: Problem, params: WienerParams) -> None:
        target = problem.forward.target(problem.batch)
        self.periodic = PeriodicProblem(problem, target)
        observed = self.periodic.observed
        if params.balance is not None:
            balance = torch.full(observed.shape[:2], params.balance, device=observed.device)
        elif params.snr is not None:
            variance = contrast_of(self.periodic.filled) ** 2 / 10 ** (params.snr / 10)
            balance = likeliest_balance(self.periodic, variance)
        else:
            noise = noise_of(target, problem.context, "wiener", LEAST_NOISE, ASSUMED_NOISE)
            balance = likeliest_balance(self.periodic, noise**2)
        self.solution = ConjugateGradients(self.periodic, balance)
        self.steps = 0

    def state_dict(self) -> dict[str, Any]:
        return {"solution": self.solution.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.solution.load_state_dict(state["solution"])
        self.steps = state["steps"]


class Wiener(Estimator[WienerParams]):
    """X = H* Y / (H* H + b D* D), with b the noise variance over the variance of the latent image's gradients D x.

    The first step is the filter, on an observation that is continued smoothly beyond its borders. Further steps let
    the borders (and pixels that do not count) be free: preconditioned conjugate gradients. Reports the mean squared
    residual of each step's image.
    """

    def init(self, problem: Problem, earlier: Any) -> WienerState:
        with torch.no_grad():
            return WienerState(problem, self.params)

    @torch.no_grad()
    def step(self, problem: Problem, state: WienerState, batch: Batch, clock: Clock) -> Info:
        if state.steps:
            state.solution.step()
        state.steps += 1
        image = problem.image.parameters()[0]
        image.copy_(state.periodic.latent(state.periodic.image(state.solution.half)))
        return Info(state.periodic.misfit(state.solution.predicted), Draw(image))
