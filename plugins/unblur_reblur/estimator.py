"""Fine-tuning of the deblurring and the flow network by blurring again: Chen et al. 2018, section 3.3, eq. 10."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Draw, Estimator, Info, State
from unblur.optimise import AdamGroups
from unblur.params import Schedule, value_at
from unblur.problem import Problem
from unblur_reblur.flows import agreeing
from unblur_reblur.own_pairs import SMALLEST, OwnPairs
from unblur_reblur.pairs import GeneratedPairs, by_shape, sample
from unblur_reblur.params import ReblurParams
from unblur_reblur.windows import Window, counted, joined, middle_window, random_window


class ReblurState:
    """Adam for both networks; the pairs, which follow from the problem's seed, are not part of what is saved."""

    def __init__(self, adam: AdamGroups, pairs: Sequence[Batch]) -> None:
        self.adam, self.pairs = adam, pairs

    def state_dict(self) -> dict[str, Any]:
        return self.adam.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.adam.load_state_dict(state)


class HybridTuning(Estimator[ReblurParams]):
    """Adam on L = L_S + alpha L_U (eq. 10), with mini-batches mixed from pairs and windows of the user's frames.

    L_S is the mean squared error of deblurred pairs (eq. 2). L_U is the pipeline's misfit between observed frames and
    the deblurred ones blurred again along their flow (eq. 7). Windows lie anywhere in time and space: one clip is tuned
    on by itself, a longer series as a group. L_U alone is zero for the identity and no motion, so that pairs are
    generated where the user has none. Reading: the learning rate is halved at 30, 50 and 100 of the 200 iterations.

    Reports the misfit of the windows of a step, and as its image the window in the middle, which is always the same.
    """

    patches = True

    def init(self, problem: Problem, earlier: State | None) -> ReblurState:
        groups = {"image": problem.image.parameters(), "kernel": problem.kernels.parameters()}
        rates = {"image": self.params.image_rate, "kernel": self.params.kernel_rate}
        return ReblurState(AdamGroups(groups, rates), self._pairs(problem))

    def _pairs(self, problem: Problem) -> Sequence[Batch]:
        params, note = self.params, problem.context.note
        if _highest(params.image_rate) + _highest(params.kernel_rate) == 0:
            note("the networks are used as they are, without fine-tuning")
            return ()
        if params.pairs == "none" or self._count() == 0:
            note("fine-tuning without pairs of blurred and sharp images: it can end in the identity")
            return ()
        if params.pairs == "auto" and problem.pairs:
            return problem.pairs
        if params.pairs not in ("auto", "generated"):
            own = OwnPairs(Path(params.pairs), problem)
            note(f"fine-tuning with {len(own)} pairs of blurred and sharp images from {params.pairs}")
            return own
        note(f"fine-tuning with pairs of blurred and sharp images from {params.generated} generated clips")
        shape = problem.batch.observed.shape
        size = max(SMALLEST, min(params.patch, *shape[2:]))
        context = problem.context
        return GeneratedPairs(params.generated, size, shape[1], context.rng, context.compute.tensor)

    def _count(self) -> int:
        """Pairs in a mini-batch."""
        return round(self.params.share * self.params.batch)

    def step(self, problem: Problem, state: ReblurState, batch: Batch, clock: Clock) -> Info:
        params, rng = self.params, problem.rng
        count = self._count() if state.pairs else 0
        drawn = [random_window(batch.observed, params.patch, rng) for _ in range(max(1, params.batch - count))]
        windows = list(dict.fromkeys(drawn))  # a small clip has only one
        chosen = sample(state.pairs, count, params.patch, rng)
        alpha = value_at(params.alpha, clock.fraction)
        learning = value_at(params.image_rate, clock.fraction) + value_at(params.kernel_rate, clock.fraction) > 0
        penalised = bool(problem.image_penalties or problem.kernel_penalties)
        with torch.set_grad_enabled(learning and (alpha > 0 or penalised)):
            misfit, penalty, kernel = self._reblurred(problem, windows, batch, clock)
        if learning:
            supervised = self._supervised(problem, chosen, clock)
            state.adam.step(supervised + alpha * misfit + penalty, clock.fraction)
        with torch.no_grad():
            seen = problem.draw(middle_window(batch.observed, params.patch).of_batch(batch), clock, None)
        return Info(misfit.detach(), seen, kernel.detach())

    def _reblurred(
        self, problem: Problem, windows: Sequence[Window], batch: Batch, clock: Clock
    ) -> tuple[Tensor, Tensor, Tensor]:
        """L_U and the penalties, means over the windows, and the flow of the last one."""
        parts = [window.of_batch(batch) for window in windows]
        latents = problem.draw(joined(parts), clock, problem.rng).latent.split(len(parts[0].observed))
        misfits, penalties = [], []
        for window, part, latent in zip(windows, parts, latents, strict=True):
            kernel = self._kernel(problem, window, latent, clock)
            weight = self._counted(problem, part, kernel)
            misfits.append(problem.misfit(Draw(latent, weight), kernel, part, clock))
            penalties.append(problem.penalty(latent, kernel, clock))
        return torch.stack(misfits).mean(), torch.stack(penalties).mean(), kernel

    def _kernel(self, problem: Problem, window: Window, latent: Tensor, clock: Clock) -> Tensor:
        kernel = problem.kernel(latent, clock, problem.rng)
        if kernel.shape[-2:] == latent.shape[-2:] and not getattr(problem.kernels, "whole", False):
            return kernel
        return window.of_kernel(kernel)

    def _counted(self, problem: Problem, part: Batch, kernel: Tensor) -> Tensor:
        target = problem.forward.target(part).observed
        weight = counted(target.shape, self.params.margin).to(target.device)
        return weight * agreeing(kernel.detach(), self.params.agreement) if self.params.agreement else weight

    def _supervised(self, problem: Problem, pairs: Sequence[tuple[Tensor, Tensor]], clock: Clock) -> Tensor:
        """L_S, the mean squared error over the pairs."""
        total = problem.batch.observed.new_zeros(())
        for blurred, sharp in by_shape(pairs):
            found = problem.draw(Batch(blurred), clock, problem.rng).latent
            total = total + (found - sharp).square().mean() * len(blurred) / len(pairs)
        return total

    def soften(self, state: ReblurState) -> bool:
        return state.adam.soften()


def _highest(schedule: Schedule) -> float:
    return max(value for _, value in schedule) if isinstance(schedule, tuple) else schedule
