"""Wiener filtering that learns its own parameters: a Gibbs sampler.

Orieux, Giovannelli & Rodet, "Bayesian estimation of regularization and point spread function parameters for Wiener-Hunt
deconvolution", JOSA A 27 (2010), 1593-1607.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from unblur.components import Batch, Clock, Draw, Estimate, Estimator, Info
from unblur.noise import noise_of
from unblur.operators.fourier import roughness
from unblur.problem import Problem
from unblur_classical.algorithm_params import UnsupervisedWienerParams
from unblur_classical.noise import ASSUMED_NOISE, LEAST_NOISE
from unblur_classical.periodic import PeriodicProblem, power
from unblur_classical.quadratic import expanded, likeliest_balance, solved


class GibbsState:
    """The chain: precisions of noise and gradients, the completed observation; and the sums over its samples."""

    def __init__(self, problem: Problem) -> None:
        target = problem.forward.target(problem.batch)
        self.periodic = PeriodicProblem(problem, target)
        observed = self.periodic.observed
        self.roughness = roughness(self.periodic.grid, observed.device)
        lead = observed.shape[:2]
        noise = noise_of(target, problem.context, "unsupervised-wiener", LEAST_NOISE, ASSUMED_NOISE)
        balance = likeliest_balance(self.periodic, noise**2)
        self.completed = self.periodic.complete(solved(self.periodic, balance).predicted)
        self.noise_precision = torch.full(lead, noise**-2, device=observed.device)
        self.image_precision = balance * self.noise_precision
        self.samples = 0
        self.mean = torch.zeros_like(problem.image.parameters()[0])
        self.scatter = torch.zeros_like(self.mean)
        self.variance = torch.zeros(lead, device=observed.device)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _CHAIN}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in _CHAIN:
            setattr(self, name, state[name])


_CHAIN = ("completed", "noise_precision", "image_precision", "samples", "mean", "scatter", "variance")


class UnsupervisedWiener(Estimator[UnsupervisedWienerParams]):
    """Each step draws the image, the noise's precision, the gradients' precision and the pixels that were not observed.

    The image is the mean, over the samples after the burn-in, of its conditional means; its variance is that of these
    means plus the mean of the conditional variances. The precisions have Jeffreys' priors. Reports the mean squared
    residual.
    """

    def init(self, problem: Problem, earlier: Any) -> GibbsState:
        with torch.no_grad():
            return GibbsState(problem)

    @torch.no_grad()
    def step(self, problem: Problem, state: GibbsState, batch: Batch, clock: Clock) -> Info:
        periodic = state.periodic
        noise, gradients = (expanded(each, periodic) for each in (state.noise_precision, state.image_precision))
        precision = noise * periodic.otf.abs().square() + gradients * state.roughness
        mean = noise * periodic.otf.conj() * periodic.spectrum(state.completed) / precision
        white = torch.randn(state.completed.shape, generator=problem.rng, device=state.completed.device)
        sample = mean + periodic.spectrum(white) / precision.sqrt()
        self._collect(problem, state, periodic.latent(periodic.image(mean)), precision, clock)
        predicted = periodic.image(periodic.otf * sample)
        self._precisions(state, predicted, sample, problem.rng)
        fresh = torch.randn(predicted.shape, generator=problem.rng, device=predicted.device)
        state.completed = periodic.complete(predicted + fresh * expanded(state.noise_precision, periodic).rsqrt())
        return Info(periodic.misfit(periodic.image(periodic.otf * mean)), Draw(problem.image.parameters()[0]))

    def estimate(self, problem: Problem, state: GibbsState, batch: Batch, clock: Clock, rng: Generator) -> Estimate:
        found = super().estimate(problem, state, batch, clock, rng)
        if state.samples:
            total = state.scatter + expanded(state.variance, state.periodic)
            found.spread = (total / state.samples).sqrt()
        return found

    def _collect(self, problem: Problem, state: GibbsState, mean: Tensor, precision: Tensor, clock: Clock) -> None:
        if clock.step < min(self.params.burn_in, clock.steps - 1):
            problem.image.parameters()[0].copy_(mean)
            return
        state.samples += 1
        before = mean - state.mean
        state.mean = state.mean + before / state.samples
        state.scatter = state.scatter + before * (mean - state.mean)
        state.variance = state.variance + power(precision.rsqrt(), state.periodic.grid)
        problem.image.parameters()[0].copy_(state.mean)

    @staticmethod
    def _precisions(state: GibbsState, predicted: Tensor, sample: Tensor, rng: Generator) -> None:
        """Gamma distributions, given the sample and the pixels that were observed."""
        periodic = state.periodic
        error = (predicted - periodic.observed).square()
        axes = tuple(range(2, error.ndim))
        if periodic.known is None:
            residual, counts = error.sum(axes), torch.full(error.shape[:2], float(math.prod(periodic.grid)))
        else:
            residual, counts = (error * periodic.known).sum(axes), periodic.known.sum(axes).float()
        gradients = power(sample * state.roughness.sqrt(), periodic.grid)
        state.noise_precision = _gamma(counts / 2, 2 / residual.clamp_min(1e-12), rng)
        half = torch.full(gradients.shape, (math.prod(periodic.grid) - 1) / 2)
        state.image_precision = _gamma(half, 2 / gradients.clamp_min(1e-12), rng)


def _gamma(shape: Tensor, scale: Tensor, rng: Generator) -> Tensor:
    """Gamma variables from the problem's generator, which torch's own cannot take."""
    seed = int(torch.randint(2**62, (), generator=rng, device=rng.device))
    drawn = np.random.default_rng(seed).gamma(shape.cpu().numpy(), scale.cpu().numpy())
    return torch.from_numpy(drawn).to(scale)
