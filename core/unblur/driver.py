"""The one loop. Command line, Python and napari consume its events; estimators own no loop of their own."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unblur.checkpoint import Checkpoint, load, save
from unblur.components import Clock, Estimate, Info, Selector, Shape, StoppingRule
from unblur.composition import Resolved, resolve
from unblur.compute import Compute, in_own_modes
from unblur.errors import CheckpointError, DivergedError, PluginError, described
from unblur.pipeline import Pipeline, Stage
from unblur.problem import Observation, Problem, build, name_of
from unblur.registry import Registry
from unblur.spread import after_then
from unblur.stages import current, hand_over, next_shape

SAFETY_INTERVAL = 100
"""Steps between the snapshots that a divergence goes back to."""

_REPEATED = "steps of the given plan done"


class CancelToken:
    """Asks a run to stop after the step in progress; the run keeps its selected result.

    Attributes:
        reason: why, None as long as nobody asks.
        late: it is to stop since its time is over.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.late = False

    def cancel(self, reason: str = "cancelled", late: bool = False) -> None:
        if self.reason is None:
            self.reason, self.late = reason, late


@dataclass(frozen=True)
class Event:
    """What happened in one step.

    Attributes:
        step, planned: steps done and planned, over all stages.
        stage, stages: number of the stage, from 0, and how many there are.
        misfit: of this step, before its update.
        elapsed, remaining: seconds; `remaining` follows from the pace of each stage.
    """

    step: int
    planned: int
    stage: int
    stages: int
    misfit: float
    elapsed: float
    remaining: float
    _run: Run = field(repr=False)

    def preview(self) -> Estimate:
        """The current estimate in the observed window and the input's units; looking changes nothing."""
        return self._run.preview()


@dataclass
class Outcome:
    """What a run gives back.

    Attributes:
        estimate: selected iterate, in the input's units, (frames, channels, *spatial).
        reason: why it stopped.
        plan, executed: steps per stage, planned and done.
        misfit: of the last executed step.
        residual: standard deviation of observed minus predicted in the problem's units: consistency with the model. NaN
            where a run ended in stages that only look for the kernel, and the image is that of those before.
        unit: of the problem's intensities, in the input's.
        late: its time was over before its steps were done, or those of its first stages.
        warnings: what the forward model finds remarkable in the estimate.
    """

    estimate: Estimate
    reason: str
    plan: list[int]
    executed: list[int]
    misfit: float
    residual: float
    unit: float
    selected_step: int
    seconds: float
    rewinds: int
    late: bool
    notes: list[str]
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Segment:
    resolved: Resolved
    stage: Stage
    begins: bool


class Run:
    """One problem from its first to its last step.

    Args:
        pipeline: checked against `registry`; its stages' steps are the plan.
        seed: of this plane.
        checkpoint: file for checkpoints, none if None; `interval` seconds apart.
        fingerprint: what a checkpoint must have been made with to be resumed.
        limit: steps after which each stage ends, as it did in the run whose plan it repeats.
        paces: seconds that a step of each stage takes, where they were measured before.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        observation: Observation,
        registry: Registry,
        compute: Compute,
        seed: int = 0,
        cancel: CancelToken | None = None,
        checkpoint: Path | None = None,
        interval: float = 30.0,
        fingerprint: str = "",
        limit: Sequence[int] | None = None,
        paces: Sequence[float] | None = None,
    ) -> None:
        self.observation = observation
        self.compute = compute
        self.seed = seed
        self.cancel = cancel or CancelToken()
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self._limit = limit
        self._hurry: str | None = None
        self._checkpoint, self._interval, self._fingerprint = checkpoint, interval, fingerprint
        self._segments = [
            _Segment(resolve(part.in_stage(stage), registry), stage, begins=index == 0)
            for part in pipeline.segments()
            for index, stage in enumerate(part.stages)
        ]
        self.plan = [segment.stage.steps for segment in self._segments]
        self.executed = [0] * len(self.plan)
        self._pace = list(paces or [0.0] * len(self.plan))
        self._problem: Problem
        self._state: Any
        self._elapsed = 0.0
        self._misfit = math.nan
        self._rewinds = 0
        self._late = False
        self._selected: tuple[int, dict[str, Any], dict[str, Any]] | None = None
        self._ended: tuple[str, bool] | None = None
        self._last_save = 0.0
        self._safe: dict[str, Any] | None = None

    def events(self, resume: bool = False) -> Generator[Event, None, Outcome]:
        """Run to the end, one event a step; the generator's return value is the `Outcome`.

        Raises:
            DivergedError: the misfit stayed NaN or infinite after one return with a smaller step.
            CheckpointError: the checkpoint to resume belongs to another run.
        """
        self._begin = self._last_save = time.perf_counter()
        saved = None
        if resume and self._checkpoint:
            saved = load(self._checkpoint, self._fingerprint, self.compute.device)
        if saved is not None and len(saved.plan) != len(self.plan):
            raise CheckpointError(
                f"{self._checkpoint}: of {len(saved.plan)} stages, but the pipeline has {len(self.plan)}"
            )
        with self.compute.running():
            return (yield from in_own_modes(self._stages(saved)))

    def go_on(self, reason: str) -> None:
        """End the stages before the next `then`, if there is one, after the step that is taken: time is short."""
        if any(segment.begins for segment in self._segments[self._index + 1 :]):
            self._hurry = reason

    def preview(self) -> Estimate:
        """The current estimate, in the observed window and the input's units."""
        return self._placed(self._finished(current(self._problem, self._state, self._clock(self._step))))

    def _finished(self, estimate: Estimate) -> Estimate:
        """In the input's units, at full resolution, of the region and the frames that the stage uses."""
        crop = self._problem.stage.crop
        full = tuple(self.observation.pixels.shape[2:] if crop is None else (stop - start for start, stop in crop))
        finished = self._problem.finish(copy.copy(estimate), full)
        before = self.observation
        finished.spread = after_then(finished.image, finished.spread, before.estimate, before.spread)
        return finished

    def _placed(self, finished: Estimate) -> Estimate:
        """The same, of the whole input's size: NaN where the stage does not look."""
        stage, shape = self._problem.stage, self.observation.pixels.shape
        if stage.crop is None and stage.frames is None:
            return finished
        frames = list(stage.frames or range(shape[0]))
        region = tuple(slice(start, stop) for start, stop in stage.crop or [(0, size) for size in shape[2:]])

        def place(part: Tensor) -> Tensor:
            whole = part.new_full((shape[0], part.shape[1], *shape[2:]), math.nan)
            whole[(slice(None), slice(None), *region)][frames] = part
            return whole

        spread = None if finished.spread is None else place(finished.spread)
        return dataclasses.replace(finished, image=place(finished.image), spread=spread)

    def _stages(self, saved: Checkpoint | None) -> Generator[Event, None, Outcome]:
        reason = "planned steps done"
        for index in range(saved.stage if saved else 0, len(self._segments)):
            if self._limit is not None and self._limit[index] == 0:
                reason = _REPEATED
                continue
            if self._hurry is not None and not self._segments[index].begins:
                self._late = True
                self.notes.append(f"{self._hurry}: stage {index + 1} is left out")
                continue
            self._hurry = None
            self._enter(index, saved)
            saved = None
            ended = yield from self._steps()
            if ended is not None:
                reason, ends_run = ended
                if ends_run:
                    break
            else:
                reason = "planned steps done"
        return self._outcome(reason)

    def _enter(self, index: int, saved: Checkpoint | None) -> None:
        """Set up a stage: from a checkpoint, from the stage before, or from nothing."""
        segment = self._segments[index]
        stage = segment.stage
        shape: Shape | None = None
        centre: tuple[float, ...] = ()
        estimate: Estimate | None = None
        earlier: Problem | None = None
        observation = self.observation
        if saved is not None:
            shape = saved.shape
            observation = dataclasses.replace(observation, psf=saved.psf, estimate=saved.estimate, spread=saved.spread)
        elif index > 0:
            earlier, estimate = self._problem, self._selected_estimate()
            if segment.begins:
                observation = self._handed_on(earlier, self._finished(estimate))
                self.notes.append("the kernel of the stages before is handed to what follows")
            else:
                shape, centre = next_shape(earlier, estimate, stage)
        self.observation, self._index = observation, index
        begins = saved is None and (earlier is None or segment.begins)
        seed = self._stage_seed()
        problem = build(
            segment.resolved, stage, observation, self.compute, seed, self.notes, shape, begins, self.warnings
        )
        if earlier is not None and estimate is not None and not segment.begins:
            with torch.no_grad():
                hand_over(earlier, problem, centre, estimate)
        state = problem.begin(None if earlier is None or segment.begins else self._state)
        self._problem, self._state = problem, state
        self._rules: list[StoppingRule[Any]] = [p.build() for p in segment.resolved.having("stopping", "rule")]
        self._selector: Selector[Any] = segment.resolved.having("stopping", "selector")[0].build()
        for part in (*self._rules, self._selector):
            part.init(problem)
        self._step, self._selected, self._safe, self._ended = 0, None, None, None
        if saved is not None:
            self._restore(saved)

    def _handed_on(self, earlier: Problem, finished: Estimate) -> Observation:
        """What `then` starts with: the kernel, and the image if it is one of the whole input and meant to be seen."""
        whole = finished.image.shape == self.observation.pixels.shape
        image, spread = (finished.image, finished.spread) if whole else (None, None)
        if earlier.estimator.for_kernel:
            image, spread = self.observation.estimate, self.observation.spread
        return dataclasses.replace(self.observation, psf=finished.kernel, estimate=image, spread=spread)

    def _stage_seed(self) -> int:
        return self.seed + 7919 * self._index

    def _clock(self, step: int) -> Clock:
        now = self._elapsed + time.perf_counter() - self._begin
        return Clock(step, self.plan[self._index], self._index, len(self.plan), now)

    def _steps(self) -> Generator[Event, None, tuple[str, bool] | None]:
        """The steps of one stage; the reason why it ended early and whether that ends the run."""
        problem, began, done = self._problem, time.perf_counter(), 0
        candidate: dict[str, Any] | None = None
        while self._ended is None and self._step < self.plan[self._index]:
            if self._step % SAFETY_INTERVAL == 0:
                candidate = copy.deepcopy(self._snapshot())
                self._safe = self._safe or candidate
            info = problem.estimator.step(problem, self._state, problem.batch, self._clock(self._step))
            self._misfit = float(info.misfit)
            self._step += 1
            self.executed[self._index] = self._step
            if not math.isfinite(self._misfit):
                candidate = None
                self._step_back()
                continue
            if candidate is not None:  # only now: a state can be spoilt before a misfit shows it
                self._safe, candidate = candidate, None
            done += 1
            self._pace[self._index] = (time.perf_counter() - began) / done
            self._ended = self._judge(info)
            yield self._event()
            if self.cancel.reason is not None and not (self._ended and self._ended[1]):
                self._late |= self.cancel.late
                self._save()
                return self.cancel.reason, True
            if self._hurry is not None and self._ended is None and self._step < self.plan[self._index]:
                self._late = True
                self.notes.append(
                    f"{self._hurry}: on to what follows after {self._step} of {self.plan[self._index]} steps of stage "
                    f"{self._index + 1}"
                )
                return self._hurry, False
            if time.perf_counter() - self._last_save >= self._interval:
                self._save()
        return self._ended

    def _judge(self, info: Info) -> tuple[str, bool] | None:
        clock = self._clock(self._step)
        if self._selector.better(info, clock):
            self._selected = (self._step, *copy.deepcopy((self._problem.state_dict(), self._state.state_dict())))
        answers = [(_answer(rule, info, clock), rule) for rule in self._rules]
        said = [(reason, rule.ends == "run") for reason, rule in answers if reason is not None]
        ended = max(said, key=lambda one: one[1], default=None)  # what ends the run before what ends the stage
        self._late |= any(reason is not None and rule.budget is not None for reason, rule in answers)
        if self._limit is not None and self._step >= self._limit[self._index] and ended is None:
            return _REPEATED, False
        return ended

    def _event(self) -> Event:
        remaining = 0.0
        for index, steps in enumerate(self.plan[self._index :], self._index):
            left = steps - (self._step if index == self._index else 0)
            remaining += left * self._expected_pace(index)
        return Event(
            step=sum(self.executed),
            planned=sum(self.executed[: self._index]) + sum(self.plan[self._index :]),
            stage=self._index,
            stages=len(self.plan),
            misfit=self._misfit,
            elapsed=self._clock(self._step).elapsed,
            remaining=remaining,
            _run=self,
        )

    def _expected_pace(self, index: int) -> float:
        """Seconds a step of a stage; where none were measured, those of this one by the pixels of their resolutions."""
        now, then = (self._segments[at].stage.scale for at in (self._index, index))
        dims = self.observation.pixels.ndim - 2
        return self._pace[index] or self._pace[self._index] * (then / now) ** dims

    def _snapshot(self) -> dict[str, Any]:
        return {
            "problem": self._problem.state_dict(),
            "estimator": self._state.state_dict(),
            "rules": [rule.state_dict() for rule in self._rules],
            "selector": self._selector.state_dict(),
            "selected": self._selected,
            "step": self._step,
            "ended": self._ended,
        }

    def _load_snapshot(self, snapshot: dict[str, Any]) -> None:
        self._problem.load_state_dict(snapshot["problem"])
        self._state.load_state_dict(snapshot["estimator"])
        for rule, state in zip(self._rules, snapshot["rules"], strict=True):
            rule.load_state_dict(state)
        self._selector.load_state_dict(snapshot["selector"])
        self._selected = snapshot["selected"]
        self._step, self._ended = snapshot["step"], snapshot["ended"]

    def _step_back(self) -> None:
        """Back to the last safe state, once, with smaller steps."""
        at, self._rewinds = self._step, self._rewinds + 1
        softened = False
        if self._rewinds == 1 and self._safe is not None:
            self._load_snapshot(copy.deepcopy(self._safe))
            softened = self._problem.estimator.soften(self._state)
        if not softened:
            estimator = self._segments[self._index].resolved.base("estimator").name
            raise DivergedError(
                f"estimator {estimator!r}: the misfit is {self._misfit} in step {at} of stage {self._index + 1}, "
                f"after {self._rewinds - 1} return with smaller steps; try a smaller learning rate or another misfit"
            )
        self.notes.append(f"misfit not finite in step {at}: went back to step {self._step} with smaller steps")

    def _save(self) -> None:
        self._last_save = time.perf_counter()
        if self._checkpoint is None:
            return
        save(
            self._checkpoint,
            Checkpoint(
                fingerprint=self._fingerprint,
                stage=self._index,
                shape=self._problem.spec.shape,
                psf=self.observation.psf,
                estimate=self.observation.estimate,
                spread=self.observation.spread,
                snapshot=self._snapshot(),
                safe=self._safe,
                plan=self.plan,
                executed=self.executed,
                pace=self._pace,
                elapsed=self._clock(self._step).elapsed,
                misfit=self._misfit,
                rewinds=self._rewinds,
                late=self._late,
                notes=self.notes,
                warnings=self.warnings,
            ),
        )

    def _restore(self, saved: Checkpoint) -> None:
        try:
            self._load_snapshot(saved.snapshot)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self._checkpoint}: does not fit these parts ({error}). Delete it to start anew"
            ) from error
        self._safe, self._rewinds = saved.safe, saved.rewinds
        self.plan, self.executed, self._pace = list(saved.plan), list(saved.executed), list(saved.pace)
        self._elapsed, self._misfit, self._late = saved.elapsed, saved.misfit, saved.late
        self.notes[:], self.warnings[:] = saved.notes, saved.warnings
        self._begin = time.perf_counter()

    def _selected_estimate(self) -> Estimate:
        """The estimate of the selected iterate; the problem's parts end in that state."""
        step = self._step
        if self._selected is not None:
            step, problem, state = copy.deepcopy(self._selected)
            self._problem.load_state_dict(problem)
            self._state.load_state_dict(state)
        self._selected_step = step
        return current(self._problem, self._state, self._clock(step))

    def _kept(self, finished: Estimate) -> Estimate | None:
        """What a run that ends while the kernel is looked for gives in place of the image that only serves to find it.

        That is the image of the stages before, if they gave one, with the kernel as it is now.
        """
        ends_early = any(segment.begins for segment in self._segments[self._index + 1 :])
        if not (self._problem.estimator.for_kernel and ends_early):
            return None
        before = self.observation
        if before.estimate is None or before.estimate.shape != finished.image.shape:
            self.warnings.append("stopped while the kernel was looked for: the image only serves to find it")
            return None
        self.notes.append("stopped while the kernel was corrected: the image is that of the stages before")
        return Estimate(before.estimate, finished.kernel, before.spread, finished.grid)

    def _findings(self, estimate: Estimate) -> list[str]:
        """What the forward model says of a result, which is there whether that fails or not."""
        problem = self._problem
        try:
            found = list(problem.forward.findings(estimate, problem.batch))
        except Exception as error:
            found = [f"what the forward model says of the result is missing: {described(error)}"]
        return [str(text) for text in found]

    def _outcome(self, reason: str) -> Outcome:
        estimate = self._selected_estimate()
        if estimate.spread is not None and not bool((torch.isfinite(estimate.spread) & (estimate.spread >= 0)).all()):
            self.notes.append("the standard deviation is left out: it is negative or not finite somewhere")
            estimate = dataclasses.replace(estimate, spread=None)
        problem = self._problem
        with torch.no_grad():
            target = problem.forward.target(problem.batch)
            error = target.observed - problem.predict(estimate.image, estimate.kernel)
            residual = float(error.std() if target.valid is None else error[target.valid > 0].std())
            warnings = self._findings(estimate)
        finished = self._finished(estimate)
        before = self._kept(finished)
        if before is not None:
            finished, residual, warnings = before, math.nan, []
        elif problem.stage.scale != 1:
            self.warnings.append(
                f"stopped at {problem.stage.scale:g} of the resolution: the image was enlarged from there"
            )
        begun = None if before is not None else self.observation.estimate
        if finished.spread is not None and begun is not None and begun.shape == finished.spread.shape:
            self.notes.append(
                "the standard deviation counts how far the image lies from the one that `then` began with"
            )
        if not bool(torch.isfinite(finished.image).all()):
            raise DivergedError("the restored image has pixels that are not finite; nothing of it is kept")
        if problem.stage.crop is not None or problem.stage.frames is not None:
            self.notes.append("stopped in a stage that looks at a part of the input: the image is NaN outside of it")
        return Outcome(
            estimate=self._placed(finished),
            reason=reason,
            plan=self.plan,
            executed=self.executed,
            misfit=self._misfit,
            residual=residual,
            unit=1 / problem.intensity.scaled(1.0, problem.context, problem.batch.observed),
            selected_step=self._selected_step,
            seconds=self._clock(self._step).elapsed,
            rewinds=self._rewinds,
            late=self._late,
            notes=list(dict.fromkeys(self.notes)),
            warnings=list(dict.fromkeys([*self.warnings, *warnings])),
        )


def _answer(rule: StoppingRule[Any], info: Info, clock: Clock) -> str | None:
    """What a rule says, which is nothing or the reason to stop."""
    answer = rule.update(info, clock)
    if answer is not None and not isinstance(answer, str):
        raise PluginError(f"{name_of(rule)}: update gave {answer!r}; expected None to go on, or the reason to stop")
    return answer


def finish(events: Generator[Event, None, Outcome]) -> Outcome:
    """Exhaust a run's events for its outcome."""
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
