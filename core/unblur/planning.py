"""What a run will cost, measured before it starts, and the plan of steps that a budget in seconds allows."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unblur.components import Clock, KernelSpec, Shape
from unblur.composition import Resolved, resolve
from unblur.compute import Compute, human_bytes, own_modes
from unblur.errors import CancelledError, ImageError, ParameterError, ResourceError
from unblur.footprint import peak_bytes
from unblur.forecast import RESERVE
from unblur.kernel_fit import spec_on
from unblur.pipeline import Pipeline, Stage
from unblur.problem import Observation, Problem, build, full_shape, size_text
from unblur.registry import Registry
from unblur.stages import WIDE, current, hand_over

_TIMED_STEPS = (2, 12)
"""At least, and at most as many as the time allows: the fastest counts. A run that is slower loses its last steps, and
one that is planned for a slow machine would leave time unused. One is enough where the step before it has taken all of
the time."""

_TIMED_PART = 0.1
"""Of a stage's steps that are timed, but for the least: a short stage is timed in less than it takes."""

_TIMED = (1.0, 1 / 120)
"""Seconds of timed steps in a stage at the most, and the part of a budget that they may take."""

_FINISH = 0.4
"""Part of a budget that stages beside the main ones may take whole; beyond it their long ones lose steps as well."""

_SHORT = 0.05
"""Part of a budget up to which a stage beside the main ones keeps its steps even where all of them do not."""

_ENOUGH = 100
"""Steps in which a kernel is found at a coarse resolution, or missed: no stage has fewer while others have more."""

_PROBE = 96
"""Side of the region on which memory is measured; it grows linearly with the latent image from there."""

_PROBED_PSF = 47
"""Side of the part of a PSF that memory is measured with: a larger one would make the probe as large as the image."""

_STREAK = 4
"""Standard deviations of a `stand_in` that its shorter side has."""

_COPIES = 10
"""Numbers of memory for each parameter: itself, its gradient, two moments of Adam, and two snapshots of it and them."""

_UNSEEN = 1.3
"""What a step takes over what is counted: what operations need within themselves, and gaps between blocks."""

_LIBRARY = 40_000_000
"""Bytes that the library behind a network's layers takes for itself, whatever the size of the image."""

_WORK = 12
"""Numbers of memory for each pixel of the latent image beside a step: input, output, and copies between stages."""


@dataclass(frozen=True)
class Cost:
    """The estimate for one plane.

    Attributes:
        steps: planned steps per stage.
        seconds_per_step: measured per stage.
        memory: bytes at the most.
        spent: seconds that measuring took.
        main: start and stop of the stages that lose steps first where time is short: those of the first segment the
            image of which begins from nothing, and else of the one that takes longest. None for all.
        setup: seconds before the first step of each stage, with what it takes over from the one before;
            none where they were not measured.
        from_nothing: the image of the main stages begins as that of an untrained network, which is worse than the
            observed one.
    """

    steps: tuple[int, ...]
    seconds_per_step: tuple[float, ...]
    memory: int
    spent: float
    main: tuple[int, int] | None = None
    setup: tuple[float, ...] = ()
    from_nothing: bool = False

    @property
    def seconds(self) -> float:
        return self.seconds_from(0)

    @property
    def main_stages(self) -> range:
        return range(*(self.main or (0, len(self.steps))))

    def within(self, budget: float | None) -> Cost:
        """The same with fewer steps where the budget in seconds does not allow all.

        What runs before and after the main stages keeps its steps; where that takes much of the budget, only its short
        stages do.
        """
        if budget is None or self.seconds <= RESERVE * (budget - self.spent):
            return self
        allowed = max(0.0, RESERVE * (budget - self.spent))
        taken = [steps * pace for steps, pace in zip(self.steps, self.seconds_per_step, strict=True)]
        kept = [stage for stage in range(len(self.steps)) if stage not in self.main_stages]
        setup = self.setup or (0.0,) * len(self.steps)
        whole = sum(taken[stage] + setup[stage] for stage in kept) <= _FINISH * allowed
        kept_whole = {stage for stage in kept if whole or taken[stage] <= _SHORT * allowed}
        fixed = sum(self.setup) + sum(taken[stage] for stage in kept_whole)
        cut = [stage for stage in range(len(self.steps)) if stage not in kept_whole]
        fewer = dict(zip(cut, _fewer(self, cut, max(0.0, allowed - fixed)), strict=True))
        return dataclasses.replace(self, steps=tuple(fewer.get(stage, steps) for stage, steps in enumerate(self.steps)))

    def seconds_from(self, stage: int) -> float:
        """Seconds that a stage and those after it take."""
        pairs = zip(self.steps[stage:], self.seconds_per_step[stage:], strict=True)
        return sum(steps * pace for steps, pace in pairs) + sum(self.setup[stage:])


def _fewer(cost: Cost, stages: Sequence[int], seconds: float) -> list[int]:
    """Steps for stages whose own do not fit: `_ENOUGH` for each of them first, then each a part of what it lacks."""
    wanted = [cost.steps[stage] for stage in stages]
    paces = [cost.seconds_per_step[stage] for stage in stages]
    least = [min(_ENOUGH, steps) for steps in wanted]
    whole, first = (sum(map(operator.mul, steps, paces)) for steps in (wanted, least))
    if seconds < first:
        return [max(1, math.floor(steps * seconds / first)) for steps in least]
    part = (seconds - first) / max(whole - first, 1e-9)
    return [few + math.floor(part * (steps - few)) for few, steps in zip(least, wanted, strict=True)]


def measure(
    pipeline: Pipeline,
    observation: Observation,
    registry: Registry,
    compute: Compute,
    budget: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Cost:
    """Time a few steps of every stage, on parts that are thrown away, and count the memory of the largest.

    A small budget in seconds, which pays for this as well, leaves less time for it.

    Args:
        cancelled: whether to stop; asked before each stage and after each step.

    Raises:
        ResourceError: the run would need more memory than there is; the message says what would fit.
        ParameterError: the budget is over.
        CancelledError: it was cancelled.
    """
    began = time.perf_counter()

    def look() -> None:
        if cancelled():
            raise CancelledError("cancelled before the run had begun: nothing was done")
        if budget is not None and time.perf_counter() - began > budget:
            raise ParameterError(
                f"the budget of {budget:g} seconds was over before a few steps of each stage were timed; give more "
                "(--max-seconds), or choose a smaller part of the image"
            )

    limit = _TIMED[0] if budget is None else min(_TIMED[0], _TIMED[1] * budget)
    paces, setup, memory, begins = [], [], 0, 0
    free = compute.free_memory()  # before the timed steps fill what a library keeps for itself
    probes: dict[str, _Probe] = {}
    psf = observation.psf
    with compute.running(), own_modes():
        for index, segment in enumerate(pipeline.segments()):
            if index and psf is not None:
                observation = dataclasses.replace(observation, psf=psf)
            earlier: tuple[Problem, Any] | None = None
            shape: Shape | None = None
            for stage in segment.stages:
                look()
                resolved = resolve(segment.in_stage(stage), registry)
                shape = expected_support(observation, stage, shape)
                need = memory_of(resolved, stage, observation, compute, shape, probes)
                refuse(need, compute, observation, free)
                memory = max(memory, need)
                start = time.perf_counter()
                problem = build(resolved, stage, observation, compute, 0, [], shape, begins=earlier is None)
                if earlier is not None:
                    found = current(*earlier, Clock(0, 1))
                    if earlier[0].spec.kind != "flow":
                        found.kernel = stand_in(len(found.kernel), found.kernel.shape[1:]).to(found.kernel)
                    hand_over(earlier[0], problem, (0.0,) * len(problem.spec.shape), found)
                state, begin = _begun(problem)
                setup.append(time.perf_counter() - start)
                begins = max(begins, begin)
                paces.append(_pace(problem, state, stage.steps, limit, look))
                earlier = problem, state
                psf = stand_in(problem.spec.count, problem.full_support)
    segments = list(pipeline.segments())
    steps = tuple(stage.steps for segment in segments for stage in segment.stages)
    stops = list(itertools.accumulate(len(segment.stages) for segment in segments))
    spans = list(zip([0, *stops[:-1]], stops, strict=True))
    nothing = [n for n, segment in enumerate(segments) if _begins_from_nothing(segment, registry)]
    seconds = [number * pace for number, pace in zip(steps, paces, strict=True)]
    main = spans[nothing[0]] if nothing else max(spans, key=lambda span: sum(seconds[slice(*span)]))
    return Cost(steps, tuple(paces), memory + begins, time.perf_counter() - began, main, tuple(setup), bool(nothing))


def stand_in(count: int, shape: Shape) -> Tensor:
    """Kernels (count, *shape) in the place of those that are not known yet: streaks.

    A network that begins with one takes about as long as with a true kernel; it gives even ones by itself.
    """
    offsets = torch.stack(torch.meshgrid(*(torch.arange(size) - size // 2.0 for size in shape), indexing="ij"))
    along = offsets.sum(0).square() / len(shape)
    across = offsets.square().sum(0) - along
    weights = torch.exp(-along / 2 * (_STREAK / min(shape)) ** 2 - across / 2)
    return (weights / weights.sum()).expand(count, *shape).clone()


def _begins_from_nothing(segment: Pipeline, registry: Registry) -> bool:
    """Whether the image is a network's that is neither given the observed image nor added to that of stages before."""
    base = resolve(segment.in_stage(segment.stages[0]), registry).base("image_prior")
    traits, start = base.registered.component.provides, getattr(base.params, "start", None)
    return "learns" in traits and not traits & {"pixels", "fed"} and start != "estimate"


def expected_support(observation: Observation, stage: Stage, before: Shape | None) -> Shape | None:
    """The largest support to reckon with, from the stage on where it shrinks; `before` is that of the stage before."""
    if before is None and stage.support != "shrink":
        return None
    return tuple(math.ceil(WIDE * stage.scale * size) | 1 for size in full_shape(observation, stage)[2:])


def _begun(problem: Problem) -> tuple[Any, int]:
    """The estimator's state, and the bytes that it takes to make: what is free again is not always given back."""
    made: list[Any] = []
    size = peak_bytes(lambda: made.append(problem.begin()))
    return made[0], size


def _pace(problem: Problem, state: Any, steps: int, limit: float, look: Callable[[], None]) -> float:
    least, most = _TIMED_STEPS
    most = min(most, max(least, math.ceil(_TIMED_PART * steps)))
    seconds: list[float] = []
    began = time.perf_counter()
    for step in range(1 + most):
        start = time.perf_counter()
        info = problem.estimator.step(problem, state, problem.batch, Clock(step, 1 + most))
        float(info.misfit)
        look()
        if step or not _learns(problem):
            seconds.append(time.perf_counter() - start)
        late = time.perf_counter() - began > limit
        least = 1 if late and step == 0 else least
        if step >= least and late:
            break
    return min(seconds)


def _learns(problem: Problem) -> bool:
    return bool(problem.image.parameters() or problem.kernels.parameters())


@dataclass(frozen=True)
class _Probe:
    """A stage on a small region: the problem, and the bytes of its parameters and of what else a step keeps."""

    problem: Problem
    learned: int
    kept: int


def memory_of(
    resolved: Resolved,
    stage: Stage,
    observation: Observation,
    compute: Compute,
    shape: Shape | None,
    probes: dict[str, _Probe] | None = None,
) -> int:
    """Bytes that a stage takes at the most, counted on a small region.

    Args:
        shape: the `expected_support`.
        probes: those of stages before; one serves all that differ in nothing but their resolution.
    """
    probes = {} if probes is None else probes
    key = repr((resolved.full(), stage.frames, shape))
    if key not in probes:
        probes[key] = _probed(resolved, stage, observation, compute, shape)
    probe, learned, kept = probes[key].problem, probes[key].learned, probes[key].kept
    full = full_shape(observation, stage)[2:]
    frames, channels = probe.batch.observed.shape[:2]
    spec = probe.spec
    if spec.kind != "flow":  # its size may follow from that of the region
        sizes = spec_on(full_shape(observation, stage), resolved, observation, compute).shape
        sizes = tuple(math.ceil(size * stage.scale) | 1 for size in sizes) if stage.scale != 1 else sizes
        spec = dataclasses.replace(spec, shape=sizes if shape is None else tuple(map(min, shape, sizes)))
    if spec.shape != probe.spec.shape:
        learned += _growth(resolved, probe, spec)
    latent = probe.forward.latent_shape((frames, channels, *(math.ceil(n * stage.scale) for n in full)), spec)
    growth = math.prod(latent) / math.prod(probe.latent_shape) if not probe.estimator.patches else 1.0
    work = _WORK * 4 * math.prod(latent)
    library = _LIBRARY if learned else 0
    return int(library + _COPIES * learned + _UNSEEN * kept * growth + work)


def _growth(resolved: Resolved, probe: Problem, spec: KernelSpec) -> int:
    """Bytes of the kernels' parameters beyond the probe's: a straight line in their pixels, through two sizes."""
    here = sum(_bytes(tensor) for tensor in probe.kernels.parameters())
    if not here:
        return 0
    smaller = dataclasses.replace(probe.spec, shape=tuple(math.ceil(size / 2) | 1 for size in probe.spec.shape))
    kernels = resolved.base("kernel_prior").build()
    kernels.init(smaller, dataclasses.replace(probe.context, notes=[], begins=False))
    fewer = sum(_bytes(tensor) for tensor in kernels.parameters())
    few, some, all_of_them = (math.prod(each.shape) for each in (smaller, probe.spec, spec))
    return round((here - fewer) / max(1, some - few) * (all_of_them - some))


def _probed(
    resolved: Resolved, stage: Stage, observation: Observation, compute: Compute, shape: Shape | None
) -> _Probe:
    notes: list[str] = []
    whole = Stage(steps=1, frames=stage.frames, crop=None)
    region = tuple(slice(0, min(size, _PROBE)) for size in full_shape(observation, stage)[2:])
    psf = None if observation.psf is None else _middle(observation.psf)
    pixels = observation.pixels[(slice(None), slice(None), *region)]
    cut = dataclasses.replace(observation, pixels=pixels, psf=psf, valid=None)
    try:
        probe = build(resolved, whole, cut, compute, 0, notes, shape, begins=False)
    except ImageError:  # the kernel is larger than the probe
        probe = build(resolved, whole, observation, compute, 0, notes, shape, begins=False)
    state = probe.begin()
    probe.estimator.step(probe, state, probe.batch, Clock(0, 2))  # what the first one makes and keeps comes before
    learned = sum(_bytes(tensor) for tensor in (*probe.image.parameters(), *probe.kernels.parameters()))
    kept = peak_bytes(lambda: probe.estimator.step(probe, state, probe.batch, Clock(1, 2)))
    return _Probe(probe, learned, max(0, kept - learned))  # but for the gradients, which do not grow with the image


def _middle(psf: Tensor) -> Tensor:
    """The part of kernels (count, *spatial) around their origin that is large enough to tell what a step keeps."""
    origins = (size // 2 for size in psf.shape[1:])
    window = tuple(slice(max(0, at - _PROBED_PSF // 2), at + _PROBED_PSF // 2 + 1) for at in origins)
    return psf[(slice(None), *window)]


def _bytes(tensor: Tensor) -> int:
    return tensor.element_size() * tensor.nelement()


def refuse(need: int, compute: Compute, observation: Observation, free: int | None = None) -> None:
    """Raise a ResourceError, which says what would fit, where there is less memory than a run needs.

    Args:
        free: bytes, where they were counted before.
    """
    free = compute.free_memory() if free is None else free
    if need <= free:
        return
    spatial: Sequence[int] = observation.pixels.shape[2:]
    fits = tuple(math.floor(size * (free / need) ** (1 / len(spatial))) for size in spatial)
    raise ResourceError(
        f"{size_text(spatial)} pixels would need {human_bytes(need)} of memory, {human_bytes(free)} are free "
        f"on {compute.device}; about {size_text(fits)} would fit: a region, or tiles (--tile auto), or fewer channels "
        "in a network"
    )
