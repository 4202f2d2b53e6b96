"""Which part of an image is meant: a range of a series, or a rectangle that is drawn on it."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deblur.layers import LayerSource, inner_transform, region_around
from unblur.errors import ImageError, ParameterError

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer
    from napari.layers import Shapes

NAME = "region to preview"
COLOUR = "#ffb000"
SMALLEST_SIDE = 16
USUAL_SIDE = 160
"""Side of the rectangle that is offered first, in pixels."""

SECONDS = 20.0
"""Budget of a run on a region, where the user sets no limit."""

GAP = 0.05
"""Between images of a region side by side, as a part of its width."""

Span = tuple[int, int]


def range_of(text: str, size: int) -> Span | None:
    """``3-7`` are the planes 3 to 7 as napari's sliders count them, ``3`` is one, nothing or ``all`` are all.

    Raises:
        ParameterError: something else, or planes that are not there.
    """
    text = text.strip().lower()
    if text in ("", "all"):
        return None
    match = re.fullmatch(r"(\d+)(?:\s*[-–]\s*(\d+))?", text)
    if not match:
        raise ParameterError(f"planes {text}: expected all, one number, or first-last such as 0-2")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if not first <= last < size:
        raise ParameterError(f"planes {text}: the series has the planes 0 to {size - 1}")
    return first, last + 1


def anchors_of(text: str, span: Span, depth: int = 1) -> tuple[int, ...] | None:
    """``3`` or ``0, 3``, as napari's sliders count, as positions in the series; nothing or ``middle`` is None.

    Args:
        span: the planes of the series that are run.
        depth: planes at each of them, of which the middle one is taken.

    Raises:
        ParameterError: something else, or planes that are not run.
    """
    text = text.strip().lower()
    if text in ("", "middle"):
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ParameterError(f"kernel from {text}: expected middle, or numbers of planes such as 0, 3")
    numbers = [int(part) for part in parts]
    if not all(span[0] <= number < span[1] for number in numbers):
        raise ParameterError(f"kernel from {text}: the planes that are run are {span[0]} to {span[1] - 1}")
    return tuple((number - span[0]) * depth + depth // 2 for number in numbers)


def frames_around(place: int, size: int, count: int = 3) -> Span:
    """So many consecutive frames of a series, the given one in their middle where that is possible."""
    start = max(0, min(place - count // 2, size - count))
    return start, min(size, start + count)


def region_layer(viewer: ViewerModel) -> Shapes | None:
    """The layer with the rectangle, if there is one."""
    from napari.layers import Shapes

    found = [layer for layer in viewer.layers if isinstance(layer, Shapes) and layer.name.startswith(NAME)]
    return found[-1] if found else None


def offer_region(viewer: ViewerModel, layer: ImageLayer, source: LayerSource) -> Shapes:
    """A rectangle in the middle of a layer's plane, ready to be moved; at every place along the other axes."""
    sizes, axes = source.image.sizes, source.placed_axes
    shape = sizes["Y"], sizes["X"]
    sides = [min(size, max(SMALLEST_SIDE, min(USUAL_SIDE, size // 2))) for size in shape]
    (top, left) = ((size - side) // 2 - 0.5 for size, side in zip(shape, sides, strict=True))
    bottom, right = top + sides[0], left + sides[1]
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    points = [[{"Y": y, "X": x}.get(axis, 0.0) for axis in axes] for y, x in corners]
    count = 2 if axes.endswith("YX") else len(axes)
    world = np.array([layer.data_to_world(point)[-count:] for point in points])
    shapes = viewer.add_shapes(
        [world],
        shape_type="rectangle",
        name=NAME,
        units=layer.units[-count:],
        face_color="transparent",
        edge_color=COLOUR,
        edge_width=max(shape) / 200 * float(abs(layer.scale[axes.index("X")])),
    )
    shapes.mode = "select"
    shapes.selected_data = {0}
    return shapes


def is_outside(shapes: Shapes, source: LayerSource) -> bool:
    """Whether the rectangle lies beside the image, as after its pixel size was set or another was chosen."""
    try:
        with contextlib.suppress(ParameterError):  # there is none, or it is too small, which is for the user to mend
            region_of(shapes, source)
    except ImageError:
        return True
    return False


def region_of(shapes: Shapes, source: LayerSource) -> dict[str, Span]:
    """The rows and columns of an image that lie in the rectangle: the one that is selected, or the last.

    Raises:
        ParameterError: there is none, or it is too small.
        ImageError: it lies outside.
    """
    if not len(shapes.data):
        raise ParameterError("draw a rectangle on the image first")
    chosen = max(shapes.selected_data) if shapes.selected_data else len(shapes.data) - 1
    corners = np.array([shapes.data_to_world(corner) for corner in shapes.data[chosen]])
    region = region_around(source, corners, shapes.units)
    for axis, (start, stop) in region.items():
        least = min(SMALLEST_SIDE, source.image.sizes[axis])
        if stop - start < least:
            raise ParameterError(f"the region has {stop - start} pixels along {axis}; at least {least} are needed")
    return region


def beside(source: LayerSource, part: LayerSource, place: int) -> Any:
    """The translate of what was made of a part, so many places to the right of the whole image: nothing lies on it."""
    width = part.image.sizes["X"]
    left = source.image.sizes["X"] - part.region["X"][0] + GAP * source.image.sizes["X"]
    start = [0.0] * len(part.placed_axes)
    start[part.placed_axes.index("X")] = left + place * width * (1 + GAP)
    return inner_transform(part.geometry)(start)
