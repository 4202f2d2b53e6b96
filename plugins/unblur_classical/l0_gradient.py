"""Blind deconvolution by an image of few gradients, which keeps sharp edges and nothing else.

Xu, Zheng & Jia, "Unnatural L0 sparse representation for natural image deblurring", CVPR 2013; Pan, Hu, Su & Yang,
"Deblurring text images via L0-regularized intensity and gradient prior", CVPR 2014, without its prior of intensities.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info
from unblur.noise import noise_of
from unblur.operators.missing import filled
from unblur.operators.noise import tells_noise
from unblur.problem import Problem
from unblur_classical.algorithm_params import L0GradientParams
from unblur_classical.continuation import geometric
from unblur_classical.kernel_step import connected, explaining
from unblur_classical.noise import LEAST_NOISE, contrast_of, trusted
from unblur_classical.splitting import Splitting, splitting

_COLOURS = 0.5
"""The resolution, as a part of the image's, up to which each colour is explained; the kernel is known well above it."""

_NOISE_WEIGHT = 10.0
"""Variances of the noise by which the weight of a gradient is raised, so that noise is no edge."""


class L0GradientState:
    """What is explained, the latent image on the splitting's grid, and the noise."""

    def __init__(self, problem: Problem, params: L0GradientParams) -> None:
        target = problem.forward.target(problem.batch)
        if problem.spec.count > 1 or problem.context.scale > _COLOURS:
            target = _grey(target)
        self.target = trusted(target, problem.context, "l0-gradient") if params.robust else target
        known = filled(self.target.observed, self.target.valid)
        self.image: Tensor | None = None
        self.contrast = contrast_of(known)
        cleaned = dataclasses.replace(self.target, observed=known, valid=target.valid)
        told = tells_noise(known.shape[2:])  # which few coarse resolutions do
        self.noise = noise_of(cleaned, problem.context, "l0-gradient", LEAST_NOISE) if told else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"image": self.image}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.image = state["image"]


class L0Gradient(Estimator[L0GradientParams]):
    """In each step the image for the kernel, and then the kernel for the image.

    The image has least ‖k * x - y‖² + λ ‖∇x‖₀ (Xu et al., eq. 3; Pan et al., eq. 5 with σ = 0), by half-quadratic
    splitting with a rising β (Pan et al., eq. 9-12): gradients below √(λ/β) become zero. λ falls from step to step, so
    that the strongest edges decide first. Colours have their edges in common; at fine resolutions, and for a grid of
    kernels, their mean is explained, at a third of the cost. The kernel has least ‖∇x * k - ∇y‖² + γ ‖k - k'‖² (Pan et
    al., eq. 13), where k' is the one before in place of zero, and is projected: no negative weights, sum one. Reports
    the mean squared residual of each step's image.
    """

    for_kernel = True

    def init(self, problem: Problem, earlier: Any) -> L0GradientState:
        with torch.no_grad():
            return L0GradientState(problem, self.params)

    @torch.no_grad()
    def step(self, problem: Problem, state: L0GradientState, batch: Batch, clock: Clock) -> Info:
        split = splitting(problem, state.target, state.image)
        self._sharpen(split, state, clock)
        state.image = split.image
        image, pixels, weights = split.latent(), problem.image.parameters()[0], problem.kernels.parameters()[0]
        pixels.copy_(image)
        inertia = self._inertia(state, math.prod(problem.spec.shape))
        found = explaining(problem, image, state.target, inertia, self.params.coupling)
        kept = connected(found, self.params.cutoff, self.params.island)
        weights.copy_(problem.kernels.centred(kept))
        return Info(split.misfit(), Draw(pixels), problem.kernel(image, clock, None))

    def _inertia(self, state: L0GradientState, weights: int) -> float:
        params = self.params
        in_noise = params.noise_inertia + params.noise_inertia_each * weights
        return params.inertia + in_noise * (state.noise / state.contrast) ** 2

    def _sharpen(self, split: Splitting, state: L0GradientState, clock: Clock) -> None:
        params = self.params
        weight = geometric(params.weight_first, params.weight_last, clock.step, clock.steps) * state.contrast**2
        weight += _NOISE_WEIGHT * state.noise**2
        first, last = 2 * weight, weight / max(params.smallest * state.contrast, state.noise) ** 2
        for number in range(params.splits):
            beta = geometric(first, last, number, params.splits)
            gradients = split.gradients()
            strength = torch.stack([part.square() for part in gradients]).sum(0).mean(1, keepdim=True)
            edges = strength > weight / beta
            split.solve(1 / beta, [part * edges for part in gradients])


def _grey(batch: Batch) -> Batch:
    """Frames of one channel, the mean of all; a pixel counts where it does in each."""
    valid = None if batch.valid is None else batch.valid.expand_as(batch.observed).amin(1, keepdim=True)
    return dataclasses.replace(batch, observed=batch.observed.mean(1, keepdim=True), valid=valid)
