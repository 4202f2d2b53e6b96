"""Limited-memory BFGS with a line search for the strong Wolfe conditions.

Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Program. 45 (1989), 503-528;
Nocedal & Wright, "Numerical Optimization" (2006), algorithms 3.5, 3.6 (line search) and 7.5 (L-BFGS).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info, State
from unblur.problem import Problem
from unblur_classical.gradient_params import LbfgsParams

EVALUATIONS = 5
"""Evaluations for each line search, on average over a step; most need one or two."""


class LbfgsState:
    """The optimiser with its history, and how much smaller than usual the first trial of a line search is."""

    def __init__(self, parameters: Sequence[Tensor], iterations: int, history: int) -> None:
        self.parameters = list(parameters)
        self.softness = 1.0
        # Means over pixels have gradients below any absolute tolerance.
        self.optimiser = torch.optim.LBFGS(
            self.parameters,
            max_iter=iterations,
            max_eval=EVALUATIONS * iterations,
            tolerance_grad=0,
            tolerance_change=0,
            history_size=history,
            line_search_fn="strong_wolfe",
        )

    def descend(self, loss: Tensor) -> Tensor:
        """Fill in the gradients of a scalar; zero where it does not depend on a parameter."""
        gradients: Sequence[Tensor | None] = [None] * len(self.parameters)
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.contiguous()
        return loss.detach()

    def finish_step(self, random: bool) -> None:
        """Drop from the history what would mislead the next step; `random` says whether that is of another function."""
        memory = self.optimiser.state[self.parameters[0]]
        if "t" not in memory:
            return
        if float(memory["t"]) == 0:
            self.optimiser.state.clear()
        elif random:
            memory["t"] = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"l-bfgs": self.optimiser.state_dict(), "softness": self.softness}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state["l-bfgs"])
        self.softness = state["softness"]


class Lbfgs(Estimator[LbfgsParams]):
    """In each step some quasi-Newton iterations on the parameters of image and kernel at once.

    A line search compares values of one function, so that all evaluations of a step draw the same random numbers; the
    next step draws others. Where a prior projects its parameters (pixels or weights below zero), a quasi-Newton
    direction can be blocked while the gradient's own never is: a step that gets nowhere begins the history anew. Many
    such bounds make it slow. Reports the misfit before the step.
    """

    def init(self, problem: Problem, earlier: State | None) -> LbfgsState:
        parameters = [*problem.image.parameters(), *problem.kernels.parameters()]
        return LbfgsState(parameters, self.params.iterations, self.params.history)

    def step(self, problem: Problem, state: LbfgsState, batch: Batch, clock: Clock) -> Info:
        begin = problem.rng.get_state()
        first: list[Info] = []

        def evaluate() -> Tensor:
            problem.rng.set_state(begin)
            draw = problem.draw(batch, clock, problem.rng)
            kernel = problem.kernel(draw.latent, clock, problem.rng)
            misfit = problem.misfit(draw, kernel, batch, clock)
            if not first:
                first.append(Info(misfit.detach(), Draw(draw.latent.detach(), draw.weight), kernel.detach()))
            return state.descend(misfit + problem.penalty(draw.latent, kernel, clock))

        state.optimiser.param_groups[0]["lr"] = state.softness
        state.optimiser.step(evaluate)  # type: ignore[no-untyped-call]
        state.finish_step(random=not torch.equal(problem.rng.get_state(), begin))
        return first[0]

    def soften(self, state: LbfgsState) -> bool:
        """Begin anew, along the gradient, with a tenth of the trial steps from now on."""
        state.optimiser.state.clear()
        state.softness *= 0.1
        return True
