"""Large images in tiles: each is restored by itself with the kernel of the whole image, and they fade into each other.

So memory follows the tile and not the image. A blind method estimates the kernel once, in a window.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from unblur.composition import grid_models
from unblur.crop import bound_of
from unblur.errors import CompositionError, ParameterError
from unblur.pipeline import Pipeline
from unblur.planes import Task, Window
from unblur.registry import Registry
from unblur.report import learns_kernel

Tile = int | Literal["auto"]

SIDE = 1024
"""Pixels of a tile along Y and X, where its size is not given."""

OVERLAP = 32
"""Pixels that neighbours share at least: what a network or a penalty sees beyond the kernel."""

KERNELS = 2
"""Widths of the kernel that neighbours share: one beside each border of a tile, where what lies beyond is unknown."""


def refuse(tasks: Sequence[Task], pipeline: Pipeline, registry: Registry, known_kernel: bool) -> None:
    """What cannot be restored in tiles.

    Raises:
        CompositionError: a video, kernels that vary over the whole image, or a PSF that every tile would change.
    """
    if any(task.kept is not None for task in tasks):
        raise CompositionError("tiles: what moves in a video leaves its tile; give --region, or fewer --clip-frames")
    if models := grid_models(pipeline, registry):
        name = models[0]
        raise CompositionError(f"forward model {name!r} has kernels for the whole image, which tiles cannot share")
    if known_kernel and learns_kernel(pipeline, registry):
        raise CompositionError("tiles: this pipeline changes the PSF, in every tile in another way; choose another")


def needed(tile: Tile, shape: Mapping[str, int]) -> bool:
    """Whether a plane of a size by axis letter is larger than a tile.

    Raises:
        ParameterError: no size of a tile.
    """
    return max(shape["Y"], shape["X"]) > _side(tile)


def with_tiles(
    tasks: Sequence[Task],
    tile: Tile,
    shape: Mapping[str, int],
    pipeline: Pipeline,
    registry: Registry,
    psf_width: int | None,
) -> tuple[list[Task], list[str]]:
    """The tasks with every plane in tiles, and what was assumed; as they were where a plane is no larger than a tile.

    A plane whose kernel would be estimated from the plane itself gets a task that only estimates it, unless it has one.

    Args:
        shape: size of a plane or volume by axis letter; tiles have all of Z.
        psf_width: the larger size of a known PSF along Y and X; None without one.

    Raises:
        ParameterError: no size of a tile, or one that is too small for the kernel.
    """
    side = _side(tile)
    if not needed(tile, shape):
        return list(tasks), [f"no tiles: the image is no larger than one of {side} pixels"]
    width = bound_of(pipeline, registry) if psf_width is None else psf_width
    if width is None:
        raise ParameterError("tiles share pixels with their neighbours by the kernel's size: give --kernel-size")
    overlap = max(OVERLAP, KERNELS * width)
    if side < 2 * overlap:
        raise ParameterError(
            f"tiles of {side} pixels share {overlap} with each neighbour for a kernel of {width}; "
            f"give --tile {2 * overlap} or more"
        )
    size = shape["Y"], shape["X"]
    sides = min(side, size[0]), min(side, size[1])
    blind = psf_width is None and learns_kernel(pipeline, registry)
    spans = [_spans(size[axis], sides[axis], overlap) for axis in (0, 1)]
    depth = [(0, shape["Z"])] if "Z" in shape else []
    made: list[Task] = []
    moved: dict[int, int] = {}
    for number, task in enumerate(tasks):
        if task.kind == "kernel":
            moved[number] = len(made)
            made.append(task)
            continue
        source = None if task.kernel_from is None else moved[task.kernel_from]
        if blind and source is None:
            source = len(made)
            made.append(Task("kernel", task.index, task.frames))
        for place in itertools.product(*spans):
            made.append(replace(task, kernel_from=source, window=Window((*depth, *place), "a tile")))
    count = len(spans[0]) * len(spans[1])
    return made, [
        f"restored in {count} tiles of {sides[0]}x{sides[1]} pixels, of which neighbours share {overlap} or more"
    ]


def merged(
    parts: Iterable[tuple[Task, np.ndarray]], shape: Mapping[str, int]
) -> Iterator[tuple[Mapping[str, int], np.ndarray]]:
    """Planes (channels, *spatial) with their places, from the tasks in order and what each of them gave.

    Tiles of a plane are averaged with weights that fall to zero towards their borders; what no tile covers is NaN.

    Args:
        shape: size of the image by axis letter.
    """
    for _, group in itertools.groupby(parts, key=lambda part: sorted(part[0].index.items())):
        tiles = list(group)
        task, pixels = tiles[0]
        yield task.index, pixels if task.window is None else _blended(tiles, shape)


def _blended(tiles: Sequence[tuple[Task, np.ndarray]], shape: Mapping[str, int]) -> np.ndarray:
    size = shape["Y"], shape["X"]
    first = tiles[0][1]
    total = np.zeros((*first.shape[:-2], *size), np.float64)
    weights, once = np.zeros(size), np.full_like(total, np.nan)
    for task, pixels in tiles:
        assert task.window is not None
        spans = task.window.spans[-2:]
        others = [one.window.spans[-2:] for one, _ in tiles if one.window is not None]
        down, across = (_weight(spans[axis], {other[axis] for other in others}) for axis in (0, 1))
        weight = np.outer(down, across)
        rows, columns = slice(*spans[0]), slice(*spans[1])
        total[..., rows, columns] += weight * pixels
        weights[rows, columns] += weight
        once[..., rows, columns] = pixels
    with np.errstate(invalid="ignore"):  # beside a tile that failed, another one's rim is all that there is
        return np.where(weights > 0, total / weights, once).astype(np.float32)


def _weight(span: tuple[int, int], others: Iterable[tuple[int, int]]) -> np.ndarray:
    """Of a tile along an axis: zero in the outer quarter of what it shares with a neighbour, one beyond the third."""
    start, stop = span
    weight = np.ones(stop - start)
    for low, high in others:
        shared = min(stop, high) - max(start, low)
        if (low, high) == span or shared <= 0:
            continue
        ramp = np.clip((np.arange(shared) + 0.5 - shared / 4) / (shared / 2), 0, 1)
        if low < start:
            weight[:shared] = np.minimum(weight[:shared], ramp)
        else:
            weight[-shared:] = np.minimum(weight[-shared:], ramp[::-1])
    return weight


def _spans(size: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """As few parts of a length as cover an axis with that overlap, evenly spread."""
    count = 1 + math.ceil((size - side) / (side - overlap)) if size > side else 1
    starts = np.linspace(0, size - side, count).round().astype(int)
    return [(int(start), int(start) + side) for start in starts]


def _side(tile: Tile) -> int:
    if tile == "auto":
        return SIDE
    if not isinstance(tile, int) or isinstance(tile, bool) or tile < 1:
        raise ParameterError(f"tile = {tile!r}: expected auto, or the width of a tile in pixels")
    return tile
