"""What would run, in words; or why it cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_deblur.layers import LayerSource
from napari_deblur.request import Request
from unblur.choice import Choice, compose
from unblur.cli.text import duration
from unblur.clips import is_video
from unblur.composition import resolve
from unblur.errors import ImageError
from unblur.image import Image
from unblur.pipeline import Pipeline
from unblur.psfs import psf_models
from unblur.registry import Registry

if TYPE_CHECKING:
    from unblur.forecast import Forecast


MOST_STAGES = 4
"""More than these are only counted."""


def chosen(request: Request, image: Image, registry: Registry) -> Choice:
    """The pipeline that a request makes, checked; without looking at a pixel.

    Raises:
        UnblurError: it cannot run.
    """
    return compose(
        image=image,
        white_level=image.white_level if request.white_level is None else request.white_level,
        volume=request.planes == "volume",
        window=request.crop if isinstance(request.crop, int) else None,
        psf=request.psf is not None,
        method=request.method,
        pipeline=request.pipeline,
        preset=request.preset,
        settings=request.settings,
        kernel_size=request.kernel_size,
        max_seconds=request.max_seconds,
        offset=request.offset,
        gain=request.gain,
        registry=registry,
    )


def words_of(request: Request, part: LayerSource, registry: Registry, reason: str = "") -> str:
    """Two or three sentences.

    Raises:
        UnblurError: it cannot run.
    """
    choice = chosen(request, part.image, registry)
    if is_video(choice.pipeline, registry) and "T" not in part.axes:
        raise ImageError(
            f"{choice.method or 'this pipeline'} explains frames by those before and after them: it needs a time "
            f"series, and {part.name} has the axes {part.axes}. Write T under Axes where time is"
        )
    name = choice.method or "own pipeline"
    model = registry.component("kernel_prior", choice.pipeline.slots["kernel_prior"][0].name).name in psf_models(
        registry
    )
    others = [address for address in request.settings if not (model and address.startswith("kernel_prior"))]
    changed = " (changed)" if others else ""
    sentences = [f"{name}{changed} on {_what(part, request)}."]
    if reason:
        sentences.append(f"Chosen because {reason}.")
    sentences.append(f"{_steps(choice.pipeline)}; {_kernel(request, choice.pipeline, part, registry)}.")
    if request.tile is not None:
        sentences.append(f"In tiles of {request.tile} pixels, with one kernel for all of them.")
    if request.max_seconds is not None:
        sentences.append(f"At most {duration(request.max_seconds)}: fewer steps where these take longer.")
    return " ".join(sentences)


def words_of_forecast(forecast: Forecast, planes: int, device: str) -> str:
    """``≈ 2 min 5 s for 3 planes on cpu, 1.1 GB of memory``."""
    from unblur.compute import human_bytes

    many = f" for {planes} planes" if planes > 1 else ""
    return f"≈ {duration(forecast.seconds)}{many} on {device}, {human_bytes(forecast.memory)} of memory"


def planes_of(request: Request, part: LayerSource) -> int:
    """How many planes or volumes a request restores."""
    outer = "TC" if request.planes == "volume" else "TCZ"
    return math.prod(size for axis, size in part.image.sizes.items() if axis in outer)


def _what(part: LayerSource, request: Request) -> str:
    sizes = part.image.sizes
    spatial = "ZYX" if request.planes == "volume" else "YX"
    shape = " × ".join(str(sizes[axis]) for axis in spatial if axis in sizes)
    count = planes_of(request, part)
    many = f"{count} {'volumes' if request.planes == 'volume' else 'planes'} of " if count > 1 else ""
    places = [
        f"{axis} {start}" if stop == start + 1 else f"{axis} {start}–{stop - 1}"
        for axis, (start, stop) in part.region.items()
    ]
    where = f" ({', '.join(places)})" if places else ""
    colour = ", in colour" if part.image.is_rgb else ""
    return f"{part.name}{where}: {many}{shape} pixels{colour}"


def words_of_batch(request: Request) -> str:
    """How every image of a batch is treated."""
    treated = {
        "shared-kernel": "the planes of an image share one kernel",
        "volume": "stacks are restored as volumes",
        "video": "series are restored as videos",
    }
    what = request.method or "The pipeline of the dock"
    effort = f", {request.preset}" if request.method else ""
    return f"{what}{effort}; {treated.get(request.planes, 'every plane is restored on its own')}."


def _steps(pipeline: Pipeline) -> str:
    steps = [stage.steps for segment in pipeline.segments() for stage in segment.stages]
    if len(steps) > MOST_STAGES:
        return f"{sum(steps)} steps in {len(steps)} stages"
    return f"{' + '.join(map(str, steps))} steps" if sum(steps) > 1 else "1 step"


def _kernel(request: Request, pipeline: Pipeline, part: LayerSource, registry: Registry) -> str:
    prior = resolve(pipeline, registry).base("kernel_prior")
    if is_video(pipeline, registry):
        return "every frame is explained by those before and after it"
    if request.psf is not None and "learns" not in prior.registered.component.provides:
        return f"with the PSF {request.psf_name}"
    if "fixed" in prior.registered.component.provides:
        return f"with the PSF model {prior.name}"
    shared = f", one for all of them, {_anchors(request, part)}" if request.planes == "shared-kernel" else ""
    size = _size(request.kernel_size, pipeline, part.image, registry)
    window = {None: "", "auto": " in the window with the most usable edges"}
    where = window.get(request.crop, f" in a window of {request.crop} pixels")
    return f"the kernel is estimated{where}{shared}, {size}"


def _anchors(request: Request, part: LayerSource) -> str:
    """Which planes a shared kernel comes from, as the sliders count them."""
    if request.anchors is None:
        return "from the middle plane"
    sizes = part.image.sizes
    depth = sizes.get("Z", 1)
    places = []
    for position in request.anchors:
        along = zip("TZ", divmod(position, depth), strict=True)
        places.append(
            " ".join(f"{axis} {part.region.get(axis, (0, 0))[0] + at}" for axis, at in along if axis in sizes)
        )
    return f"from {', '.join(places)}"


def _size(wanted: Any, pipeline: Pipeline, image: Image, registry: Registry) -> str:
    """The bound of the kernel's size, as far as it can be said without asking the blur model itself."""
    params = resolve(pipeline, registry).base("forward_model").params
    size: Sequence[int] | int | None = wanted or getattr(params, "kernel_size", None)
    if isinstance(size, Sequence):
        return f"at most {' × '.join(map(str, size))} pixels large"
    if size is not None:
        return f"at most {size} pixels large"
    if not hasattr(params, "most") or hasattr(params, "grid"):  # which allows for a window's width at the most
        return "as large as the blur model allows"
    share = getattr(params, "share", 0.5)
    sides = [min(math.ceil(share * image.sizes[axis]) | 1, params.most or image.sizes[axis]) for axis in "YX"]
    return f"at most {' × '.join(map(str, sides))} pixels large, since no size is given"
