"""Monte-Carlo expectation maximisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.components import Batch, Clock, Draw, Estimate, Estimator, Info, State
from unblur.moments import Moments
from unblur.noise import noise_of
from unblur.optimise import AdamGroups
from unblur.params import value_at
from unblur.pipeline import Stage
from unblur.problem import Problem
from unblur_mcem.langevin import Langevin
from unblur_mcem.params import McemParams

FAINTEST = 1e-3
"""The least noise that is assumed: a smaller estimate comes from images without any."""

ASSUMED = 1e-2
"""The noise of images too small for an estimate."""


ENOUGH = 10
"""Samples from which on their mean is taken: that of fewer is noisier than the image without randomness."""


class McemState:
    """The Langevin sampler of the image, Adam for the kernels, and the moments of the samples that count."""

    def __init__(self, langevin: Langevin, kernels: AdamGroups | None, noise: float, stage: Stage) -> None:
        self.langevin, self.kernels = langevin, kernels
        self.noise = noise
        self.place = stage.scale, stage.frames, stage.crop
        self.softness = 1.0
        self.kept = Moments()

    def state_dict(self) -> dict[str, Any]:
        return {
            "langevin": self.langevin.state_dict(),
            "kernels": None if self.kernels is None else self.kernels.state_dict(),
            "noise": self.noise,
            "softness": self.softness,
            "kept": self.kept.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.langevin.load_state_dict(state["langevin"])
        if self.kernels is not None:
            self.kernels.load_state_dict(state["kernels"])
        self.noise, self.softness = state["noise"], state["softness"]
        self.kept.load_state_dict(state["kept"])


class Mcem(Estimator[McemParams]):
    """The kernels of greatest marginal likelihood, with images from their posterior (Li et al. 2023, Algorithm 1).

    E-step: Langevin dynamics on the image's parameters θ draws n_s samples for the kernels at hand (eq. 9). M-step: n_l
    steps of Adam on the kernels' parameters, with these samples held (eq. 10). A known kernel has no M-step: what is
    left samples the posterior of the image.

    Readings: the density is exp(-N (misfit + penalties) / (2 σ²)) with N pixels that count and noise σ, the Gaussian
    likelihood where the misfit is the mean square. Algorithm 1 writes the sum of squares without 1 / (2 σ²); its noise
    of sqrt(2 α) would then destroy the weights of a network. Here α is the step for the mean square, which makes the
    variance of the noise 4 α σ² / N. Like the authors' released code, the dynamics are preconditioned by default.

    The spread is the standard deviation of the samples after burn-in, our addition. Reports the misfit of the last
    sample before its update.
    """

    def init(self, problem: Problem, earlier: State | None) -> McemState:
        params = self.params
        dims = len(problem.spec.shape)
        averaged = problem.stage.scale ** (dims / 2)  # pixels
        noise = params.noise * averaged if params.noise else self._noise(problem)
        langevin = Langevin(
            problem.image.parameters(),
            problem.rng,
            preconditioned=params.dynamics == "preconditioned",
            memory=params.memory,
            momentum=params.momentum,
        )
        learned = problem.kernels.parameters()
        kernels = AdamGroups({"kernel": learned}, {"kernel": params.kernel_rate}) if len(learned) else None
        state = McemState(langevin, kernels, noise, problem.stage)
        if isinstance(earlier, McemState) and earlier.place == state.place:
            langevin.take_over(earlier.langevin)
        return state

    @staticmethod
    def _noise(problem: Problem) -> float:
        return noise_of(problem.forward.target(problem.batch), problem.context, "mcem", FAINTEST, ASSUMED)

    def step(self, problem: Problem, state: McemState, batch: Batch, clock: Clock) -> Info:
        learned = list(problem.kernels.parameters())
        draws: list[Draw] = []
        slopes: list[list[Tensor]] = []
        for _ in range(self.params.samples):
            draw, kernel, misfit, slope = self._sample(problem, state, batch, clock)
            draws.append(draw)
            slopes.append(slope)
        held = draws
        if learned and self.params.redraw:  # the image of a sample is that of the next one's pass, but for the last
            with torch.no_grad():
                held = [*draws[1:], problem.draw(batch, clock, problem.rng)]
        if learned:
            self._maximise(problem, state, held, slopes, batch, clock)
        if clock.fraction >= self.params.burn_in:
            for draw in held:
                state.kept.add(draw.latent)
        return Info(misfit, draws[-1], kernel)

    def _sample(
        self, problem: Problem, state: McemState, batch: Batch, clock: Clock
    ) -> tuple[Draw, Tensor, Tensor, list[Tensor]]:
        """One Langevin step; gives the image before it, the kernels, the misfit, and without redrawing their slopes."""
        image = list(problem.image.parameters())
        learned = [] if self.params.redraw else list(problem.kernels.parameters())
        draw = problem.draw(batch, clock, problem.rng)
        with torch.set_grad_enabled(bool(learned)):
            kernel = problem.kernel(draw.latent, clock, problem.rng)
        misfit = problem.misfit(draw, kernel, batch, clock)
        loss = misfit + problem.penalty(draw.latent, kernel, clock)
        slopes = _gradients(loss, [*image, *learned])
        target = problem.forward.target(batch)
        counted = problem.counted(draw, target)
        pixels = target.observed.numel() if counted is None else max(1.0, float(counted.sum()))
        rate = state.softness * value_at(self.params.image_rate, clock.fraction)
        temperature = value_at(self.params.temperature, clock.fraction) * 2 * state.noise**2 / pixels
        state.langevin.step(slopes[: len(image)], rate, temperature, problem.rng)
        held = Draw(draw.latent.detach(), draw.weight)
        return held, kernel.detach(), misfit.detach(), slopes[len(image) :]

    def _maximise(
        self,
        problem: Problem,
        state: McemState,
        held: Sequence[Draw],
        slopes: Sequence[Sequence[Tensor]],
        batch: Batch,
        clock: Clock,
    ) -> None:
        """The M-step; where the E-step's passes gave slopes, their means are those of its first update."""
        assert state.kernels is not None
        learned = list(problem.kernels.parameters())
        for update in range(self.params.kernel_steps):
            if update == 0 and not self.params.redraw:
                gradients = [torch.stack(each).mean(0) for each in zip(*slopes, strict=True)]
            else:
                gradients = _gradients(self._expectation(problem, held, batch, clock), learned)
            state.kernels.follow(gradients, clock.fraction)

    @staticmethod
    def _expectation(problem: Problem, held: Sequence[Draw], batch: Batch, clock: Clock) -> Tensor:
        """The mean over the samples, eq. 10, as a misfit."""
        losses = []
        for draw in held:
            kernel = problem.kernel(draw.latent, clock, problem.rng)
            losses.append(problem.misfit(draw, kernel, batch, clock) + problem.penalty(draw.latent, kernel, clock))
        return torch.stack(losses).mean()

    def estimate(self, problem: Problem, state: McemState, batch: Batch, clock: Clock, rng: Generator) -> Estimate:
        kept, least = state.kept, 2 if clock.step >= clock.steps else ENOUGH
        if kept.mean is None or kept.count < least:
            image, spread = problem.draw(batch, clock, None).latent, None
        else:
            averaged = self.params.output == "mean"
            image, spread = kept.mean if averaged else problem.draw(batch, clock, None).latent, kept.std()
        return Estimate(image, problem.kernel(image, clock, None), spread)

    def soften(self, state: McemState) -> bool:
        state.softness *= 0.1
        return state.kernels is None or state.kernels.soften()


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Of a scalar, zero in what it does not depend on."""
    if not loss.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    pairs = zip(found, parameters, strict=True)
    return [torch.zeros_like(parameter) if gradient is None else gradient for gradient, parameter in pairs]
