"""Simple stopping rules and selectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from unblur.components import Clock, Info, Selector, StoppingRule
from unblur.operators.missing import filled
from unblur.operators.noise import noise_std, tells_noise
from unblur.params import NoParams, value_at
from unblur.problem import Problem
from unblur_classical.misfits import weighted_mean
from unblur_classical.part_params import MaxSecondsParams, MaxStepsParams, NoiseLevelParams, NoProgressParams


def misfit_weights(problem: Problem, clock: Clock) -> list[float]:
    """Weights of the misfits in the step that ended at this clock: misfits compare only where these are equal."""
    fraction = max(clock.step - 1, 0) / clock.steps
    return [value_at(misfit.params.weight, fraction) for misfit in problem.misfits]


class MaxSteps(StoppingRule[MaxStepsParams]):
    """Ends the stage after a number of steps."""

    def update(self, info: Info, clock: Clock) -> str | None:
        return f"{self.params.steps} steps done" if clock.step >= self.params.steps else None


class MaxSeconds(StoppingRule[MaxSecondsParams]):
    """Ends the run after a time. Steps are planned by `budget`; the rule itself acts where the plan was too long."""

    ends = "run"

    def __init__(self, params: MaxSecondsParams) -> None:
        super().__init__(params)
        self.budget = params.seconds

    def update(self, info: Info, clock: Clock) -> str | None:
        return f"{self.params.seconds:g} seconds are over" if clock.elapsed >= self.params.seconds else None


class NoProgress(StoppingRule[NoProgressParams]):
    """Ends the stage when the misfit's mean over a window is hardly below that over the window before.

    Where a schedule changes the weights of the misfits, the comparison begins anew.
    """

    def init(self, problem: Problem) -> None:
        self.problem = problem
        self.misfits: list[float] = []
        self.weights: Sequence[float] = []

    def update(self, info: Info, clock: Clock) -> str | None:
        window = self.params.window
        weights = misfit_weights(self.problem, clock)
        if weights != self.weights:
            self.misfits, self.weights = [], weights
        self.misfits = [*self.misfits[1 - 2 * window :], float(info.misfit.detach())]
        if len(self.misfits) < 2 * window:
            return None
        before, after = sum(self.misfits[:window]) / window, sum(self.misfits[window:]) / window
        if before - after >= self.params.tolerance * abs(before):
            return None
        return f"no progress: the misfit fell by less than {self.params.tolerance:.3g} of itself in {window} steps"

    def state_dict(self) -> dict[str, Any]:
        return {"misfits": self.misfits, "weights": list(self.weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.misfits, self.weights = list(state["misfits"]), list(state["weights"])


class NoiseLevel(StoppingRule[NoiseLevelParams]):
    """Ends the stage when the mean squared residual is at most (factor · noise + margin)²: the discrepancy principle.

    Morozov 1966; with a margin and on the masked pixels Chen et al. 2022, section 4.1. The residual is predicted anew
    from the step's draw, whatever misfit the step used. The noise is estimated by Chen, Zhu, Heng 2015, or the given
    one, which falls with the stage's resolution as pixels are averaged.
    """

    def init(self, problem: Problem) -> None:
        self.problem = problem
        noise = self.params.noise
        if noise is not None:
            noise *= problem.stage.scale ** (problem.batch.observed.ndim / 2 - 1)
        elif not tells_noise(problem.batch.observed.shape[2:]):
            problem.context.note("noise-level: too small a resolution to tell the noise, at which all steps are done")
            noise = -math.inf
        else:
            batch = problem.batch
            noise = float(noise_std(filled(batch.observed, batch.valid), valid=batch.valid).square().mean().sqrt())
            problem.context.note(f"noise-level: noise of {noise:.3g} of the peak, estimated from the observed image")
        self.level = self.params.factor * noise + self.params.margin

    def update(self, info: Info, clock: Clock) -> str | None:
        if clock.step % self.params.every:
            return None
        problem, draw, kernel = self.problem, info.draw, info.kernel
        with torch.no_grad():
            if tuple(draw.latent.shape) != tuple(problem.latent_shape):  # a window of a series
                draw, kernel = problem.draw(problem.batch, clock, None), None
            kernel = problem.kernel(draw.latent, clock, None) if kernel is None else kernel
            target = problem.forward.target(problem.batch)
            squares = (problem.predict(draw.latent, kernel) + info.background - target.observed).square()
            residual = math.sqrt(float(weighted_mean(squares, problem.counted(draw, target))))
        return f"residual {residual:.3g} is down to the noise, {self.level:.3g}" if residual <= self.level else None


class Last(Selector[NoParams]):
    """The last iterate: none is better before the end."""

    def better(self, info: Info, clock: Clock) -> bool:
        return False


class BestMisfit(Selector[NoParams]):
    """The iterate with the smallest misfit, which each step measures before its update.

    Where a schedule changes the weights of the misfits, the search begins anew.
    """

    def init(self, problem: Problem) -> None:
        self.problem = problem
        self.best = math.inf
        self.weights: Sequence[float] = []

    def better(self, info: Info, clock: Clock) -> bool:
        weights = misfit_weights(self.problem, clock)
        if weights != self.weights:
            self.best, self.weights = math.inf, weights
        misfit = float(info.misfit.detach())
        if not misfit < self.best:
            return False
        self.best = misfit
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "weights": list(self.weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.weights = state["best"], list(state["weights"])
