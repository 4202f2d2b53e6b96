"""The window that a kernel is estimated in: where the image has the most edges of all directions to tell it from.

The kernel found there restores the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy import ndimage

from unblur.composition import grid_models, resolve
from unblur.errors import CompositionError, ParameterError
from unblur.image import Image
from unblur.pipeline import Pipeline
from unblur.planes import Task, Window
from unblur.registry import Registry
from unblur.report import learns_kernel

Crop = int | Literal["auto"]

WIDTHS = 4
"""Widths of the kernel's bound that a window should have: what lies beyond its borders is unknown."""

SIDE = 256
"""Pixels that a window has at least along Y and X, where its size is not given."""

SPARING = 0.75
"""A window with more than this part of the image's pixels is not worth the loss of the others."""

UNUSABLE = 0.01
"""The part of saturated or unknown pixels that halves what a window's edges count; twice as much takes two thirds."""

_WHITE = 0.99
"""Part of the white level from which on a pixel counts as saturated, since compression moves it."""

_SIGMA = 1.5
"""Standard deviation in pixels of the Gaussian whose derivatives tell edges from noise."""

_ABOVE_NOISE = 3.0
"""Standard deviations of the noise in a gradient from which on it counts as an edge."""

_STRONGEST = 0.99
"""Quantile of the edges' strengths beyond which they count no more, so that a single lamp does not decide."""

_PLACES = 8
"""Places of a window along an axis within its own width."""


def with_windows(
    tasks: Sequence[Task],
    crop: Crop,
    image: Image,
    spatial: str,
    pipeline: Pipeline,
    registry: Registry,
    *,
    known_kernel: bool,
    level: float | None,
    valid: np.ndarray | None,
) -> tuple[list[Task], list[str]]:
    """The tasks with a window for every kernel that is estimated, each in a task of its own, and what was assumed.

    Where no window is worth it or none has edges enough, the tasks are as they were.

    Args:
        level: intensity at which pixels are saturated, if there is one.
        valid: of the image's shape, False where a pixel is not known; all are if None.

    Raises:
        ParameterError: no size of a window, one that the kernel does not fit into, or a PSF is known.
        CompositionError: the pipeline estimates no kernel that would hold for the whole image.
    """
    _refuse(tasks, crop, pipeline, registry, known_kernel)
    bound = bound_of(pipeline, registry)
    if crop == "auto" and bound is None:
        return list(tasks), ["no crop: nothing bounds the kernel's size, give --kernel-size"]
    said = []
    if crop != "auto" and bound is not None and crop < WIDTHS * bound:
        said.append(f"the window of {crop} pixels is less than {WIDTHS} times as wide as the kernel may be ({bound})")
    wanted = max(SIDE, WIDTHS * (bound or 0)) if crop == "auto" else crop
    size = image.sizes["Y"], image.sizes["X"]
    sides = min(wanted, size[0]), min(wanted, size[1])
    if math.prod(sides) > SPARING * math.prod(size):
        return list(tasks), ["no crop: a window of {}x{} pixels would be most of the image".format(*sides)]
    mask = None if valid is None else image.with_data(valid)
    made: list[Task] = []
    for task in tasks:
        if task.kernel_from is not None:
            made.append(task)
            continue
        planes = [image.plane(frame, spatial) for frame in task.frames]
        known = None if mask is None else [mask.plane(frame, spatial) > 0 for frame in task.frames]
        window = best_window(planes, sides, level, known)
        if task.kind == "kernel":
            made.append(replace(task, window=window))
        else:
            made += [Task("kernel", task.index, task.frames, window=window), replace(task, kernel_from=len(made))]
    windows = [task.window for task in made if task.window is not None]
    if not windows:
        return list(tasks), ["no crop: no window has edges in more than one direction"]
    if len(windows) == 1:
        spans = ", ".join(f"{axis}={start}:{stop}" for axis, (start, stop) in windows[0].named.items())
        said.append(f"the kernel is estimated in {spans}: {windows[0].reason}")
    else:
        said.append("every kernel is estimated in a window of {}x{} pixels, which the report names".format(*sides))
    return made, said


def parted(pipeline: Pipeline, registry: Registry) -> tuple[Pipeline, Pipeline | None]:
    """What estimates the kernel, up to the last segment that does, and what restores with it, if anything.

    The first segment gives the kernel where none estimates it.
    """
    segments = list(pipeline.segments())
    learning = [n for n, one in enumerate(segments) if learns_kernel(one.replace(then=None), registry)]
    last = max(learning, default=0)
    first: Pipeline | None = None
    for segment in reversed(segments[: last + 1]):
        first = segment.replace(then=first)
    assert first is not None
    return first, segments[last].then


def bound_of(pipeline: Pipeline, registry: Registry) -> int | None:
    """The largest size along Y and X that a forward model allows the kernel, where it does not follow the image's.

    What has no size of its own takes the kernel of the segment before.
    """
    models = [resolve(segment, registry).base("forward_model").params for segment in pipeline.segments()]
    sizes = [max(size[-2:]) for model in models if (size := getattr(model, "kernel_size", None)) is not None]
    first: int | None = getattr(models[0], "most", None)
    return max(sizes, default=first)


def best_window(
    frames: Sequence[np.ndarray],
    sides: tuple[int, int],
    level: float | None = None,
    known: Sequence[np.ndarray] | None = None,
) -> Window | None:
    """The window of `sides` pixels along Y and X with the most edges in the direction in which it has least.

    Edges are measured by the structure tensor J, the sum of g gᵀ over the gradients g in a window; its smaller
    eigenvalue is the energy in the weakest direction (Shi & Tomasi, CVPR 1994). Gradients are of the smoothed image;
    those within the noise, and those that saturated or unknown pixels touch, do not count, and the strongest count no
    more than others that are strong.

    What a window's edges count falls with its part of saturated or unknown pixels, by 1 + part / `UNUSABLE`.

    Args:
        frames: (channels, *spatial) each; a window is the same in all of them, and along Z.
        known: of the same shapes, False where a pixel is not.

    Returns:
        None where no window has edges in two directions.
    """
    shape = frames[0].shape[-2:]
    tensor, unusable, count = np.zeros((3, *shape)), np.zeros(shape), 0
    for plane, bad in _planes(frames, level, known):
        tensor += _structure(plane, bad)
        unusable += bad
        count += 1
    starts = [_starts(size, side) for size, side in zip(shape, sides, strict=True)]
    down, across, mixed = (_sums(part, starts, sides) for part in tensor)
    weakest = (down + across) / 2 - np.hypot((down - across) / 2, mixed)
    share = _sums(unusable, starts, sides) / (count * math.prod(sides))
    score = weakest / (1 + share / UNUSABLE)
    best = np.unravel_index(int(score.argmax()), score.shape)
    if not score[best] > 1e-9 * (down + across).max():
        return None
    first = [int(places[at]) for places, at in zip(starts, best, strict=True)]
    spans = tuple((start, start + side) for start, side in zip(first, sides, strict=True))
    depth = tuple((0, size) for size in frames[0].shape[1:-2])
    times = weakest[best] / max(weakest.mean(), 1e-30)
    reason = (
        f"in the direction in which they are weakest, its edges are {times:.1f} times "
        f"those of the mean window; {share[best]:.1%} of its pixels are saturated or unknown"
    )
    return Window((*depth, *spans), reason)


def _refuse(tasks: Sequence[Task], crop: Crop, pipeline: Pipeline, registry: Registry, known_kernel: bool) -> None:
    number = isinstance(crop, int) and not isinstance(crop, bool)
    if not (crop == "auto" or (number and crop > 0)):
        raise ParameterError(f"crop = {crop!r}: expected auto, or the width of the window in pixels")
    if known_kernel:
        raise ParameterError("a crop for the estimation of the kernel and a PSF were given; give one of the two")
    if any(task.kept is not None for task in tasks):
        raise CompositionError("a crop for the estimation of one kernel: a video is blurred by its motion, not by one")
    if not learns_kernel(pipeline, registry):
        raise CompositionError("a crop for the estimation of the kernel, but this pipeline estimates none")
    if models := grid_models(pipeline, registry):
        name = models[0]
        raise CompositionError(f"forward model {name!r} has kernels for the whole image, not one that a crop can give")
    bound = bound_of(pipeline, registry)
    if isinstance(crop, int) and bound is not None and crop <= bound:
        raise ParameterError(
            f"a crop of {crop} pixels is no wider than the kernel may be ({bound}); give {WIDTHS * bound} or more"
        )


def _planes(
    frames: Sequence[np.ndarray], level: float | None, known: Sequence[np.ndarray] | None
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Every (Y, X) plane, the mean over channels, and where a channel of it is saturated or unknown.

    As parts of the largest value of all: squares of fluxes leave the range of float32.
    """
    largest = max(float(np.abs(frame).max(where=np.isfinite(frame), initial=0.0)) for frame in frames) or 1.0
    for number, frame in enumerate(frames):
        bad = np.zeros(frame.shape, bool) if known is None else ~known[number]
        if level is not None:
            bad = bad | (frame >= _WHITE * level)
        filled = np.where(np.isfinite(frame), frame, 0.0).astype(np.float64) / largest
        yield from zip(
            filled.mean(axis=0).reshape(-1, *frame.shape[-2:]),
            bad.any(axis=0).reshape(-1, *frame.shape[-2:]),
            strict=True,
        )


def _structure(plane: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """The products of the gradient's parts at every pixel, (3, Y, X): along Y, along X, and mixed."""
    if bad.all():
        return np.zeros((3, *plane.shape))
    if bad.any():
        plane = np.where(bad, np.median(plane[~bad]), plane)
    down, across = np.gradient(ndimage.gaussian_filter(plane, _SIGMA, mode="nearest"))
    length = np.hypot(down, across)
    length[ndimage.binary_dilation(bad, iterations=math.ceil(4 * _SIGMA) + 1) if bad.any() else bad] = 0
    edges = length > _ABOVE_NOISE * _noise(plane) / (math.sqrt(8 * math.pi) * _SIGMA**2)
    if not edges.any():
        return np.zeros((3, *plane.shape))
    weight = np.where(edges, np.minimum(1, np.quantile(length[edges], _STRONGEST) / np.maximum(length, 1e-30)), 0) ** 2
    return np.stack([weight * down * down, weight * across * across, weight * down * across])


def _noise(plane: np.ndarray) -> float:
    """Standard deviation of the noise, from the median response to a difference of Laplacians (Immerkær 1996)."""
    response = ndimage.convolve(plane, np.outer([1, -2, 1], [1, -2, 1]).astype(plane.dtype), mode="nearest")
    return float(np.median(np.abs(response))) / 0.6745 / 6


def _starts(size: int, side: int) -> np.ndarray:
    """Where windows begin along an axis, from one end to the other."""
    return np.unique(np.round(np.linspace(0, size - side, 1 + math.ceil((size - side) * _PLACES / side)))).astype(int)


def _sums(values: np.ndarray, starts: Sequence[np.ndarray], sides: tuple[int, int]) -> np.ndarray:
    """Sums over the windows that begin at `starts` along Y and X."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    rows, columns = (np.stack([begin, begin + side]) for begin, side in zip(starts, sides, strict=True))
    band = total[rows[1]] - total[rows[0]]
    return np.asarray(band[:, columns[1]] - band[:, columns[0]])
