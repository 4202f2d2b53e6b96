"""Which pipeline a job runs: a method by name or by a documented rule, a preset, settings, a kernel size, a budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unblur.composition import refuse_dims, resolve, wants_grid
from unblur.errors import CompositionError, ParameterError
from unblur.first import with_fitting_first
from unblur.image import PLANE, VOLUME, Image
from unblur.params import has_field, validate, whole_numbers
from unblur.pipeline import LEAST_SIDE, Part, Pipeline
from unblur.records import PRESETS, SLOTS
from unblur.registry import Registry

KernelSize = int | Sequence[int] | str | None
CameraValue = float | Literal["auto"] | None
_OF_GRID = ("grid", "orientation")
BUDGET_RULE = "max-seconds"


@dataclass(frozen=True)
class Choice:
    """The pipeline of a job, the method that it came from (None for a pipeline of the user's), and what was assumed."""

    pipeline: Pipeline
    method: str | None
    assumptions: tuple[str, ...]


def is_photograph(image: Image, white_level: float | None) -> bool:
    """Whether an image is treated as a photograph: its white is known, it has no further axes and no pixel size.

    Everything else (floating point, camera counts without a known white, stacks, channels) is science data.
    """
    return white_level is not None and not set(image.axes) & set("TCZ") and not image.pixel_size


def choose_method(photograph: bool, volume: bool, psf: bool, kernel_size: KernelSize) -> tuple[str, str]:
    """The method for a run that names none, and the reason in words.

    With a PSF: ``hyper-laplacian`` for a photograph, ``richardson-lucy`` for science data and every volume. Without
    one: ``l0-gradient`` for a photograph, which takes seconds, and networks for everything else: ``selfdeblur`` if the
    kernel size is given, ``practical-bid`` if it is unknown.
    """
    if psf and photograph and not volume:
        return "hyper-laplacian", "a PSF was given and the image is a photograph"
    if psf:
        return "richardson-lucy", "a PSF was given and the image is science data, or a volume (Poisson noise)"
    if photograph and not volume:
        return "l0-gradient", "no PSF was given and the image is a photograph"
    if kernel_size is None:
        return "practical-bid", "neither a PSF nor a kernel size was given"
    return "selfdeblur", "a kernel size was given, but no PSF"


def compose(
    *,
    image: Image,
    white_level: float | None,
    volume: bool,
    window: int | None,
    psf: bool,
    method: str | None,
    pipeline: Pipeline | str | Path | None,
    preset: str,
    settings: Mapping[str, Any] | None,
    kernel_size: KernelSize,
    max_seconds: float | None,
    offset: CameraValue,
    gain: CameraValue,
    registry: Registry,
) -> Choice:
    """The pipeline that these wishes make, checked against the registered components.

    Args:
        window: width of the part of the image that the kernel is estimated in, if it is known.

    Raises:
        ParameterError: wishes that exclude each other, an unknown preset, a setting that names nothing.
        UnknownNameError: a method or part that is not registered.
        CompositionError: parts that do not fit, or a method without the PSF that it needs.
    """
    kernel_size = None if isinstance(kernel_size, str) and kernel_size == "auto" else kernel_size
    if method is not None and pipeline is not None:
        raise ParameterError("both a method and a pipeline were given; give one of the two")
    if preset not in PRESETS:
        raise ParameterError(f"preset {preset!r}: choose one of {', '.join(PRESETS)}")
    said: list[str] = []
    if pipeline is not None:
        built = pipeline if isinstance(pipeline, Pipeline) else Pipeline.from_toml(pipeline)
    else:
        if method is None:
            method, reason = choose_method(is_photograph(image, white_level), volume, psf, kernel_size)
            said.append(f"method {method} was chosen: {reason}")
        built = _of_method(method, preset, registry, said)
    if settings is not None and not (isinstance(settings, Mapping) and all(isinstance(key, str) for key in settings)):
        raise ParameterError(
            f"settings = {settings!r:.80}: expected addresses with values, such as {{'image_prior.noise': 0}}"
        )
    # Slots that are filled anew come first: the kernel size and the camera go into what then stands there.
    filled = {address: value for address, value in (settings or {}).items() if address.rpartition(".")[2] in SLOTS}
    built = _refilled(built, filled, registry, said)
    if pipeline is None and built.then and wants_grid(built, registry) and not wants_grid(built.then, registry):
        said.append("what the method does in `then` takes one kernel, not a grid of them: it is left out")
        built = built.replace(then=None)
    if kernel_size is not None:
        if psf:
            raise ParameterError(f"a kernel size ({kernel_size}) and a PSF were given; give one of the two")
        built = _with_kernel_size(built, kernel_size, 3 if volume else 2, registry)
    if offset is not None or gain is not None:
        built = _with_camera(built, offset, gain)
    built = _changed(built, {key: value for key, value in (settings or {}).items() if key not in filled}, said)
    sizes = [min(image.sizes[axis], window or image.sizes[axis]) for axis in (VOLUME if volume else PLANE)]
    refilled = pipeline is None and "kernel_prior" in filled
    built = with_fitting_first(built, psf, refilled, sizes, registry, said)
    built = _without_coarsest(built, sizes, "the image" if window is None else "the window", said)
    if method is not None and not psf:
        _check_psf(method, preset, built, registry)
    if max_seconds is not None:
        built = _with_budget(built, max_seconds)
    built.check(registry)
    for segment in built.segments():
        refuse_dims(resolve(segment, registry), 3 if volume else 2)
    if built.then and wants_grid(built, registry):
        built = _with_grid_handed_on(built, registry)
    if psf:
        _refuse_second_psf(built, registry)
        said += _psf_assumed(built, registry)
    return Choice(built.chained(), method, (*said, *_camera_assumed(built, registry)))


def _of_method(name: str, preset: str, registry: Registry, said: list[str]) -> Pipeline:
    method = registry.method(name)
    if preset not in method.presets:
        said.append(f"method {name} has no preset {preset!r}: 'balanced' is used")
    return method.pipeline(preset)


def _refilled(pipeline: Pipeline, filled: Mapping[str, Any], registry: Registry, said: list[str]) -> Pipeline:
    """Slots filled anew; what stages change in them holds for the new parts that take it, and else is dropped."""
    if not filled:
        return pipeline
    changed, pipeline = [], pipeline.set(filled)
    for prefix, segment in pipeline.addressed():
        slots = {slot for address in filled for slot in SLOTS if address == prefix + slot}
        stages = []
        for stage in segment.stages:
            mine = sorted(address for address in stage.set if _slot(address) in slots)
            lost = {address for address in mine if not _fits(segment, address, stage.set[address], registry)}
            weights = {address for address in mine if _is_misfit_weight(address)}
            for address in mine:
                if address in lost:
                    said.append(f"{address} was set in a stage and is dropped: its part was replaced")
                elif address in weights and lost & weights:
                    lost.add(address)
                    said.append(f"{address} was set in a stage and is dropped: it complements what was replaced")
                else:
                    said.append(f"{address}, which stages set, holds for the new part as well")
            kept = {address: value for address, value in stage.set.items() if address not in lost}
            stages.append(dataclasses.replace(stage, set=kept))
        changed.append(segment.replace(stages=stages))
    said[:] = dict.fromkeys(said)
    return pipeline.with_segments(changed)


def _changed(pipeline: Pipeline, settings: Mapping[str, Any], said: list[str]) -> Pipeline:
    """With other parameters, in all stages; but for the grid, of which the first ones may have another on purpose."""
    for address, value in settings.items():
        if address.rpartition(".")[2] in _OF_GRID:
            pipeline = pipeline.set({address: value})
            continue
        before, pipeline = pipeline.set({address: value}), pipeline.set_throughout({address: value})
        if pipeline != before:
            said.append(f"{address} holds in all stages; some had a value of their own")
    return pipeline


def _without_coarsest(pipeline: Pipeline, sizes: Sequence[int], where: str, said: list[str]) -> Pipeline:
    """The pipeline without first stages at resolutions that leave next to nothing of what they look at.

    The last stage of each segment stays, whatever it leaves.
    """
    segments, gone = [], []
    for segment in pipeline.segments():
        first = next((at for at, stage in enumerate(segment.stages) if stage.fits(sizes)), len(segment.stages) - 1)
        gone += [f"{stage.scale:g}" for stage in segment.stages[:first]]
        begin = dataclasses.replace(segment.stages[first], support="keep") if first else segment.stages[first]
        segments.append(segment.replace(stages=[begin, *segment.stages[first + 1 :]]))
    if gone:
        said.append(
            f"stages at {', '.join(gone)} of the resolution are left out: {where} has fewer than {LEAST_SIDE} pixels "
            "along an axis there"
        )
    return pipeline.with_segments(segments)


def _slot(address: str) -> str:
    return address.partition(".")[0]


def _is_misfit_weight(address: str) -> bool:
    return _slot(address) == "forward_model" and address.endswith(".weight")


def _fits(segment: Pipeline, address: str, value: Any, registry: Registry) -> bool:
    """Whether a part that stands in a slot now, the base or the one that is named, takes what a stage sets."""
    slot = next(one for one in SLOTS if one == _slot(address))
    name, _, parameter = address.removeprefix(f"{slot}.").rpartition(".")
    part = next((one for one in segment.slots[slot] if name in ("", one.name)), None)
    if part is None:
        return False
    try:
        validate(registry.component(slot, part.name).component.params, {parameter: value})
    except ParameterError:
        return False
    return True


def _check_psf(name: str, preset: str, built: Pipeline, registry: Registry) -> None:
    """A method for a known PSF gets one, unless the settings put another kernel prior in."""
    method = registry.method(name)
    same = built.slots["kernel_prior"][0].name == method.pipeline(preset).slots["kernel_prior"][0].name
    if method.needs_psf and same:
        blind = ", ".join(other for other, record in registry.methods().items() if record.blind) or "none is registered"
        raise CompositionError(f"method {name!r} needs a PSF (--psf FILE); methods that estimate the kernel: {blind}")


def _refuse_second_psf(pipeline: Pipeline, registry: Registry) -> None:
    """Raise a CompositionError where the kernel prior makes a PSF of its own, so that a given one would be ignored."""
    prior = resolve(pipeline.in_stage(pipeline.stages[0]), registry).base("kernel_prior")
    traits = prior.registered.component.provides
    if "fixed" in traits and "takes-psf" not in traits:
        raise CompositionError(
            f"kernel_prior {prior.name!r} makes the PSF from numbers, and a PSF was given; leave one of them out "
            "(kernel_prior=known takes the PSF)"
        )


def _psf_assumed(pipeline: Pipeline, registry: Registry) -> list[str]:
    """What a PSF serves for where the kernel is estimated all the same."""
    prior = resolve(pipeline.in_stage(pipeline.stages[0]), registry).base("kernel_prior")
    traits = prior.registered.component.provides
    if "learns" not in traits:
        return []
    use = "begins with the PSF" if "begins-with-psf" in traits else "takes no more than its size from the PSF"
    return [f"the kernel is estimated by {prior.name}, which {use}; with kernel_prior=known it is the PSF"]


def _with_kernel_size(pipeline: Pipeline, size: KernelSize, dims: int, registry: Registry) -> Pipeline:
    """The first forward model's `kernel_size`; those in `then` take the kernel that they are handed."""
    numbers = whole_numbers(size)
    if not numbers or min(numbers) < 1:
        raise ParameterError(f"kernel size {size!r}: expected a whole number, one per spatial axis, or auto")
    wanted = numbers * dims if len(numbers) == 1 else numbers
    if len(wanted) != dims:
        raise ParameterError(f"kernel size {size!r}: {len(wanted)} numbers for {dims} spatial axes")
    base = pipeline.slots["forward_model"][0]
    if not has_field(registry.component("forward_model", base.name).component.params, "kernel_size"):
        raise ParameterError(f"forward model {base.name!r} takes no kernel size; leave --kernel-size out")
    return pipeline.set_throughout({"forward_model.kernel_size": wanted})


def with_psf_grid(pipeline: Pipeline, grid: Sequence[int], registry: Registry) -> Pipeline:
    """The pipeline for a PSF that is a grid of kernels: the forward models take its grid as it stands.

    Raises:
        ParameterError: a forward model takes no grid.
    """
    changed = []
    for segment in pipeline.segments():
        base = segment.slots["forward_model"][0]
        params = registry.component("forward_model", base.name).component.params
        if not has_field(params, "grid"):
            raise ParameterError(
                f"the PSF is a grid of {'x'.join(map(str, grid))} kernels, and forward model {base.name!r} takes one; "
                "choose one with a grid, such as --set forward_model=svola"
            )
        settings: dict[str, Any] = {"forward_model.grid": tuple(grid)}
        if has_field(params, "orientation"):
            settings["forward_model.orientation"] = "fixed"
        changed.append(segment.set_throughout(settings))
    return pipeline.with_segments(changed)


def for_kernels_of(kernel: Pipeline, after: Pipeline, registry: Registry) -> tuple[Pipeline, list[str]]:
    """What restores with kernels that another pipeline finds, and what is to be said of it.

    It has that pipeline's forward model where they are a grid of kernels, and those of its responses that it can have.
    """
    *_, last = kernel.segments()
    said = []
    for response in resolve(last, registry).having("forward_model", "response"):
        part = next(one for one in last.slots["forward_model"] if one.name == response.name)
        base, *modifiers = after.slots["forward_model"]
        wanted = after.replace(forward_model=[base, part, *modifiers])
        try:
            wanted.check(registry)
            after = wanted
        except CompositionError:
            maker = after.slots["estimator"][0].name
            said.append(f"the image is made by {maker}, which cannot have the response {response.name}: it is left out")
    return _on_their_grid(last, after, registry), said


def _on_their_grid(last: Pipeline, after: Pipeline, registry: Registry) -> Pipeline:
    if not wants_grid(last, registry) or wants_grid(after, registry):
        return after
    forward = [last.slots["forward_model"][0], *after.slots["forward_model"][1:]]
    handed = _with_grid_handed_on(last.replace(then=after.replace(forward_model=forward)), registry).then
    assert handed is not None
    return handed


def _with_grid_handed_on(pipeline: Pipeline, registry: Registry) -> Pipeline:
    """The pipeline whose segments in `then` have the grid of the kernels that they are handed."""
    params = resolve(pipeline.in_stage(pipeline.stages[-1]), registry).base("forward_model").params
    kept = {f"forward_model.{name}": getattr(params, name) for name in _OF_GRID if hasattr(params, name)}
    return pipeline.with_segments(
        segment.set(kept) if prefix.startswith("then.") else segment for prefix, segment in pipeline.addressed()
    )


def _camera_assumed(pipeline: Pipeline, registry: Registry) -> list[str]:
    """What is taken for the camera where an estimator models photons and the pipeline knows none."""
    for segment in pipeline.segments():
        estimator = registry.component("estimator", segment.slots["estimator"][0].name).component
        camera = any(part.name == CAMERA for part in segment.slots["forward_model"])
        if "counts-photons" in estimator.provides and not camera:
            return [
                f"{estimator.name} models photons, and no camera is known: offset 0 and gain 1 are taken; "
                "--offset and --gain say otherwise, auto estimates them from the image"
            ]
    return []


def _with_camera(pipeline: Pipeline, offset: CameraValue, gain: CameraValue) -> Pipeline:
    """The camera response in every segment, without what it is to estimate itself."""
    wishes = {name: value for name, value in (("offset", offset), ("gain", gain)) if value is not None}
    values = {name: value for name, value in wishes.items() if value != "auto"}

    def changed(parts: Sequence[Part]) -> list[Part]:
        earlier = next((part for part in parts if part.name == CAMERA), None)
        if earlier is None:
            return [parts[0], Part(CAMERA, values), *parts[1:]]
        kept = {name: value for name, value in earlier.params.items() if name not in wishes}
        return [Part(CAMERA, {**kept, **values}) if part is earlier else part for part in parts]

    return in_every_segment(pipeline, changed)


def in_every_segment(pipeline: Pipeline, changed: Callable[[Sequence[Part]], Sequence[Part]]) -> Pipeline:
    """The pipeline with other parts in the forward models of all its segments."""
    segments = [one.replace(forward_model=changed(one.slots["forward_model"])) for one in pipeline.segments()]
    return pipeline.with_segments(segments)


CAMERA = "camera"
"""The camera response with offset and gain."""


def _with_budget(pipeline: Pipeline, seconds: float) -> Pipeline:
    is_number = isinstance(seconds, int | float | np.number) and not isinstance(seconds, bool)
    if not (is_number and 0 < seconds < math.inf):
        raise ParameterError(f"max_seconds = {seconds!r}: expected a positive number of seconds")
    rule = Part(BUDGET_RULE, {"seconds": float(seconds)})
    changed = []
    for segment in pipeline.segments():
        others = [part for part in segment.slots["stopping"] if part.name != BUDGET_RULE]
        changed.append(segment.replace(stopping=[*others, rule]))
    return pipeline.with_segments(changed)


def budget_of(pipeline: Pipeline, registry: Registry) -> float | None:
    """The seconds that a pipeline's stopping rules allow, the least of all; None without such a rule."""
    parts = [part for segment in pipeline.segments() for part in resolve(segment, registry).having("stopping", "rule")]
    rules = [part.build() for part in parts]
    return min((rule.budget for rule in rules if rule.budget is not None), default=None)


def without_clock(pipeline: Pipeline, registry: Registry) -> Pipeline:
    """A pipeline without the rules that look at the clock: what repeats a plan must not depend on the time."""
    changed = []
    for segment in pipeline.segments():
        resolved = resolve(segment, registry)
        timed = {part.name for part in resolved.having("stopping", "rule") if part.build().budget is not None}
        changed.append(segment.replace(stopping=[p for p in segment.slots["stopping"] if p.name not in timed]))
    return pipeline.with_segments(changed)
