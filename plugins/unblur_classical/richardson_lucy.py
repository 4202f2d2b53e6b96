"""Richardson-Lucy deconvolution with a known kernel.

Richardson, "Bayesian-based iterative method of image restoration", JOSA 62 (1972), 55-59; Lucy, "An iterative
technique for the rectification of observed distributions", AJ 79 (1974), 745-754.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info
from unblur.operators.folded import folded
from unblur.problem import Problem
from unblur_classical.algorithm_params import RichardsonLucyParams

SEEN = 1e-2
"""Latent pixels seen by less than this part of the best-seen one move by smaller steps (Bertero & Boccacci 2005)."""

LEAST = 0.1
"""A penalty may not take more than all but this part of the divisor, which must stay positive."""

CLAMPED = 0.01
"""Part of the pixels at that limit from which the penalty is called too strong."""


class RichardsonLucyState:
    """What stays the same between the steps (prepared once), the image and, for the acceleration, the last steps.

    All in the operator's folded form. Outside of the images, observed and latent one are zero; products keep it so.
    """

    def __init__(self, problem: Problem, params: RichardsonLucyParams) -> None:
        image = problem.image.parameters()[0]
        kernel = problem.kernel(image.detach(), Clock(0, 1), None).detach()
        self.operator = folded(problem.forward.prepared(kernel, problem.latent_shape))
        target = problem.forward.target(problem.batch)
        counted = target.valid if target.valid is not None else torch.ones_like(target.observed)
        self.count = float(counted.sum()) if target.valid is not None else counted.numel()
        self.counted = self.operator.fold(counted)
        light = target.observed.clamp_min(0)  # no light is below darkness: it would leave the rest without bounds
        self.observed = self.operator.fold(light * counted)
        self.best = self.operator.fold(counted * (torch.xlogy(light, light) - light))
        seen = self.operator.adjoint(self.counted).clamp_min_(0).mul_(self.operator.fold(torch.ones_like(image)))
        self.seen = seen if params.edge_correction else torch.ones_like(seen)
        self.floor = SEEN * float(self.seen.max())
        self.gain = self.seen.clamp_min(self.floor).reciprocal_()
        self.rest = 1 - self.seen * self.gain
        self.background = problem.intensity.scaled(params.background, problem.context, problem.batch.observed)
        self.latent: Tensor | None = None
        self.previous: Tensor | None = None
        self.change: Tensor | None = None
        self.alpha = 0.0

    def compare(self, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Ratio observed / predicted, zero where pixels do not count, and mean deviance; `predicted` is used up."""
        ratio = self.observed / predicted
        deviance = torch.addcmul(self.best, self.counted, predicted)
        deviance.addcmul_(self.observed, predicted.log_(), value=-1)
        return ratio, deviance.sum() * (2 / self.count)

    def extrapolated(self, latent: Tensor) -> Tensor:
        """The point from which the next step is taken: eq. 7 of Biggs & Andrews."""
        if self.previous is None:
            return latent.clone()
        return torch.add(latent, latent - self.previous, alpha=self.alpha).clamp_min_(0)

    def remember(self, latent: Tensor, change: Tensor) -> None:
        """Keep this iterate and the change that a step made; the length of the next extrapolation follows (eq. 8)."""
        if self.change is not None:
            norm = float((self.change * self.change).sum())
            self.alpha = min(1.0, max(0.0, float((change * self.change).sum()) / norm)) if norm > 0 else 0.0
        self.previous, self.change = latent, change

    def state_dict(self) -> dict[str, Any]:
        return {"previous": self.previous, "change": self.change, "alpha": self.alpha}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.latent = None
        self.previous, self.change, self.alpha = state["previous"], state["change"], state["alpha"]


class RichardsonLucy(Estimator[RichardsonLucyParams]):
    """Multiplicative updates x ← x · Aᵀ(y / (Ax + b)) / (Aᵀ1 + ∇R(x)): each raises the Poisson likelihood.

    The latent image may be larger than the observed one: Aᵀ1 says how much of each pixel's light was seen. Penalties R
    on the image enter one step late (Green 1990; with total variation, Dey et al. 2006). Reports the mean Poisson
    deviance before the step.
    """

    def init(self, problem: Problem, earlier: Any) -> RichardsonLucyState:
        image = problem.image.parameters()[0]
        with torch.no_grad():
            state = RichardsonLucyState(problem, self.params)
            if earlier is None:  # the image to begin with has the background in it, and would lose it very slowly
                image.sub_(state.background)
            image.clamp_min_(self.params.epsilon)
            return state

    @torch.no_grad()
    def step(self, problem: Problem, state: RichardsonLucyState, batch: Batch, clock: Clock) -> Info:
        image = problem.image.parameters()[0]
        latent = state.operator.fold(image) if state.latent is None else state.latent
        start = state.extrapolated(latent) if self.params.acceleration else latent
        predicted = state.operator.forward(start)
        if state.background:
            predicted.add_(state.background)
        ratio, misfit = state.compare(predicted.clamp_min_(self.params.epsilon))
        factor = self._factor(problem, state, state.operator.adjoint(ratio), start, clock)
        if self.params.acceleration:
            state.remember(latent, change=start * (factor - 1))
        state.latent = start.mul_(factor)
        state.operator.unfold(state.latent, image)
        return Info(misfit, Draw(image), background=state.background)

    def _factor(
        self, problem: Problem, state: RichardsonLucyState, back: Tensor, start: Tensor, clock: Clock
    ) -> Tensor:
        if not problem.image_penalties:
            if not self.params.edge_correction:
                return back.clamp_min_(0)
            return torch.addcmul(state.rest, back, state.gain).clamp_min_(0)
        image = torch.empty_like(problem.image.parameters()[0])
        state.operator.unfold(start, image)
        slope = state.operator.fold(state.count * penalty_gradient(problem, image, clock))
        wanted, least = state.seen + slope, state.seen * LEAST
        well_seen = state.seen > 0.5 * state.floor / SEEN
        if float((wanted < least)[well_seen].float().mean()) > CLAMPED:
            problem.context.note("richardson-lucy: a penalty is too strong for one-step-late updates; lower its weight")
        wanted = torch.maximum(wanted, least)
        return (1 + (back - wanted) / wanted.clamp_min(state.floor)).clamp_min_(0)


def penalty_gradient(problem: Problem, image: Tensor, clock: Clock) -> Tensor:
    """Gradient of the weighted penalties on the image."""
    with torch.enable_grad():
        leaf = image.detach().requires_grad_()
        penalty = problem.penalty(leaf, leaf.new_zeros(()), clock)
        if not penalty.requires_grad:  # all have the weight zero
            return torch.zeros_like(leaf)
        return torch.autograd.grad(penalty, leaf)[0]
