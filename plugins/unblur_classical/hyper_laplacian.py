"""Deconvolution with a hyper-Laplacian prior on the gradients.

Krishnan & Fergus, "Fast image deconvolution using hyper-Laplacian priors", NIPS 2009.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info
from unblur.noise import noise_of
from unblur.operators.missing import filled
from unblur.problem import Problem
from unblur_classical.algorithm_params import HyperLaplacianParams
from unblur_classical.continuation import geometric
from unblur_classical.noise import ASSUMED_NOISE, LEAST_NOISE, contrast_of, trusted
from unblur_classical.splitting import splitting

_NEWTON_STEPS = 5

FIDELITY, ALPHA, NOISE = 2000.0, 2 / 3, 0.01
"""The paper's lambda, and the exponent and the standard deviation of the noise that it is for (section 4)."""

PRIOR_WEIGHT = FIDELITY * NOISE**2
"""lambda · variance, by which what is not noise counts."""


class HyperLaplacianState:
    """The image on the splitting's grid and the weight of the residual."""

    def __init__(self, problem: Problem, params: HyperLaplacianParams) -> None:
        target = problem.forward.target(problem.batch)
        given = target.valid
        if params.robust:
            target = trusted(target, problem.context, "hyper-laplacian")
        self.splitting = splitting(problem, target)
        known = filled(target.observed, target.valid)
        cleaned = dataclasses.replace(target, observed=known, valid=given)
        noise = noise_of(cleaned, problem.context, "hyper-laplacian", LEAST_NOISE, assumed=ASSUMED_NOISE)
        share = (noise / contrast_of(known)) ** 2
        unexplained = params.model_error + params.noise_model_error * share
        self.fidelity = params.fidelity or fidelity(noise, unexplained, params.alpha)
        self.splitting.begin(noise**2)
        self.estimate, self.trust = None, 0.0
        if params.image_error is not None and problem.context.estimate is not None:
            trust = (1 + params.noise_image_trust * share) / params.image_error**2
            self.estimate, self.trust = problem.context.estimate, PRIOR_WEIGHT * trust
            self.splitting.take(self.splitting.placed(self.estimate))

    def state_dict(self) -> dict[str, Any]:
        return self.splitting.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.splitting.load_state_dict(state)


class HyperLaplacian(Estimator[HyperLaplacianParams]):
    """Half-quadratic splitting of lambda/2 ‖k * x - y‖² + sum_j ‖D_j x‖^alpha (eq. 2-4), coupled by a rising beta.

    Not in the paper: rho/2 ‖x - x'‖² holds x to the image x' of the stages before where the blur has left nothing.

    Each step solves for the auxiliary gradients w pixel by pixel (eq. 5) and for the image by FFT (eq. 6), with what
    the last image predicts beyond the borders. It begins with the Wiener filter's image, or with x'. Reports the mean
    squared residual of each step's image.
    """

    def init(self, problem: Problem, earlier: Any) -> HyperLaplacianState:
        with torch.no_grad():
            return HyperLaplacianState(problem, self.params)

    @torch.no_grad()
    def step(self, problem: Problem, state: HyperLaplacianState, batch: Batch, clock: Clock) -> Info:
        split, params = state.splitting, self.params
        first = params.beta_first if clock.steps > 1 else params.beta_last  # with the first alone it is hardly a prior
        beta = geometric(first, params.beta_last, clock.step, clock.steps)
        auxiliary = [shrink(part, params.alpha, beta) for part in split.gradients()]
        held = None if state.estimate is None else split.placed(state.estimate)
        split.solve(state.fidelity / beta, auxiliary, held, state.trust / beta)
        image = problem.image.parameters()[0]
        image.copy_(split.latent())
        return Info(split.misfit(), Draw(image))


def fidelity(noise: float, unexplained: float, alpha: float) -> float:
    """lambda for a noise, and for what an inaccurate kernel leaves unexplained (standard deviations).

    Not in the paper, whose lambda is for a noise of 1 %. For the most probable image it would fall with the noise's
    square, which smooths away far more than the noise: above 1 % it falls with the power 2 - alpha, so that the
    gradients below which eq. 5 gives zero grow as the noise does.
    """
    ratio, power = NOISE / noise, 2 - alpha
    known = FIDELITY ** (power / (2 - ALPHA)) * max(ratio**2, ratio**power)
    return 1 / (1 / known + unexplained**2 / PRIOR_WEIGHT)


def shrink(values: Tensor, alpha: float, beta: float) -> Tensor:
    """The w of least ‖w‖^alpha + beta/2 (w - v)² for every v: eq. 5, exact for any alpha in (0, 1].

    The derivative for w > 0 is convex, so Newton's method from v falls onto its larger root, if there is one; it is
    compared with w = 0.
    """
    size = values.abs()
    if alpha == 1:
        return torch.sign(values) * (size - 1 / beta).clamp_min_(0)
    turning = (alpha * (1 - alpha) / beta) ** (1 / (2 - alpha))
    found = size.clamp_min(turning)
    for _ in range(_NEWTON_STEPS):
        power = alpha * found.pow(alpha - 1)
        slope = power + beta * (found - size)
        curvature = (alpha - 1) * power / found + beta
        found = torch.maximum(found - slope / curvature.clamp_min_(1e-6 * beta), found.new_tensor(turning))
    gain = beta / 2 * size.square() - found.pow(alpha) - beta / 2 * (found - size).square()
    return torch.sign(values) * torch.where((gain > 0) & (found > turning), found, 0)
