"""From a result of unblur to napari layers that lie where the image lies, and the switch between before and after."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deblur.facts import KEY, REPEATED, SEVERAL, facts
from napari_deblur.layers import LayerSource, inner_transform, outer_transform
from unblur.io.casting import cast

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer
    from napari.layers import Layer

    from unblur.results import Result

LayerData = tuple[Any, dict[str, Any], str]
"""What napari calls a LayerDataTuple."""

GAP = 0.05
"""Between image and kernel, as a part of the image's width."""

DEPTHS = ("uint8", "uint16")
"""What napari shows colours in, if not from 0 to 1."""

SPREAD_COLORMAP = "magma"
SPREAD_PERCENTILE = 99.5
"""The brightest pixels of the uncertainty do not decide its contrast."""

SPREAD_PIXELS = 1_000_000
"""As many decide it; more would keep the window waiting."""

EXTREMES_PIXELS = 20_000_000
"""As many are looked at in about a tenth of a second."""

MIXED = ("additive", "minimum", "multiplicative")
"""Blendings in which a layer does not cover what lies below it."""

MOTION_COLOUR = "#ffb000"
ARROWS = 40
"""Along the longer side of a frame."""


def layers(result: Result, source: LayerSource, name: str | None = None) -> list[LayerData]:
    """The restored image, its uncertainty where the method gives one, and the kernels, in this order from the bottom.

    Of a video, whose blur follows from the motion, the motion stands in the place of the kernels, as arrows.

    Args:
        result: of a run on the image of `source`.
        source: what was restored: the layer, or a part of it.
        name: of the restored layer; from the source and the method if left out.

    The restored image and the uncertainty (hidden at first) lie on the image, in its units; the restored image has its
    colours and contrast limits. The kernels stand to the right of it, in pixels of the same size; several that belong
    to different regions of one image stand in a grid. Colours of 8 or 16 bits are rounded to these again, since napari
    shows colours in no other way; `result` and what is saved keep the floating point. The metadata hold the report.
    """
    name = name or f"{source.name} [{result.report.get('method') or 'own pipeline'}]"
    done = [_restored(result, source, name)]
    if result.uncertainty is not None:
        known = result.report["uncertainty"]["status"]
        done.append(_uncertainty(result.uncertainty, source, name, known))
    done.append(_motion(result, source, name) if is_video(result) else _kernel(result, source, name))
    return done


def is_video(result: Result) -> bool:
    """Whether the kernel is a flow between frames."""
    return bool(result.report.get("planes_mode") == "video")


def is_empty(result: Result) -> bool:
    """Whether a run was stopped before any plane was restored."""
    return all(row["status"] == "not run" for row in result.report["planes"] if row["kind"] == "plane")


def show(
    viewer: ViewerModel,
    result: Result,
    source: LayerSource,
    name: str | None = None,
    stand_in: ImageLayer | None = None,
) -> Generator[None, None, list[Layer]]:
    """Add the layers of a result to a viewer, the restored one selected and the layer it came from hidden.

    Yields between what takes napari a tenth of a second, so that the window may have a turn.

    Args:
        stand_in: a layer that showed the estimate, which becomes the restored one if it can.

    Returns:
        The layers, of which the user may have removed some meanwhile.
    """
    from napari.layers import Layer

    before = source.origin() if source.origin is not None else None
    restored, *others = layers(result, source, name)
    if stand_in is not None and _can_become(stand_in, restored):
        _become(stand_in, restored)
        added: list[Layer] = [stand_in]
    else:
        added = [Layer.create(*restored)]
        yield
        yield from add(viewer, added[0])
    if not added[0].rgb:
        yield from _widen(added[0], result.image)
    yield
    if before is not None and before in viewer.layers and not source.region:
        before.visible = False
    for data in others:
        added.append(Layer.create(*data))
        yield
        yield from add(viewer, added[-1])
    if added[0] in viewer.layers:
        viewer.layers.selection = {added[0]}
    return added


def add(viewer: ViewerModel, layer: Layer) -> Generator[None, None, None]:
    """Add a layer, and draw it one turn later."""
    visible, layer.visible = layer.visible, False
    viewer.add_layer(layer)
    yield
    layer.visible = visible
    yield


def _can_become(layer: ImageLayer, wanted: LayerData) -> bool:
    data, attributes, _ = wanted
    depth = data.shape[-1] if attributes["rgb"] else None
    return (
        bool(layer.rgb) == attributes["rgb"] and layer.data.ndim == data.ndim and depth in (None, layer.data.shape[-1])
    )


def _become(layer: ImageLayer, wanted: LayerData) -> None:
    """Give a layer the data and everything else of another; its name comes last, which is when it is noticed."""
    data, attributes, _ = wanted
    layer.data = data
    fixed = ("rgb", "multiscale", "name")
    for key in [*(key for key in attributes if key not in fixed), "name"]:
        setattr(layer, key, attributes[key])
    layer.visible = True


def _widen(layer: ImageLayer, image: np.ndarray) -> Generator[None, None, None]:
    """Let the slider of the contrast reach all values, which are looked at frame by frame."""
    low, high = yield from _extremes(image)
    limits = layer.contrast_limits
    layer.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))


def as_shown(pixels: np.ndarray, source: LayerSource) -> np.ndarray:
    """Restored pixels as napari can show them.

    Colours are rounded to the 8 or 16 bits that they came from: in floating point napari shows only those from 0 to 1.
    """
    dtype = source.image.data.dtype
    if not source.image.is_rgb or dtype.kind not in "iu":
        return pixels
    if dtype.name not in DEPTHS:
        dtype = np.dtype(DEPTHS[0] if float(np.nanmax(pixels, initial=0.0)) < 256 else DEPTHS[1])
    return cast(pixels, dtype)[0]


def switch(viewer: ViewerModel, before: Layer | None, after: Layer | None) -> str | None:
    """Show `before` instead of `after` or the other way round; says which is shown now: ``before`` or ``after``.

    None where one of the two is gone: the other is then shown.
    """
    there = [layer for layer in (before, after) if layer is not None and layer in viewer.layers]
    if before is None or after is None or len(there) < 2:
        for layer in there:
            layer.visible = True
        return None
    shown = not after.visible
    after.visible, before.visible = shown, not shown
    return "after" if shown else "before"


def _restored(result: Result, source: LayerSource, name: str) -> LayerData:
    data = as_shown(result.image, source)
    if source.image.is_rgb and result.source.alpha is not None:
        data = np.concatenate([data, result.source.alpha[..., np.newaxis].astype(data.dtype)], axis=-1)
    return (
        data,
        {
            **source.placement,
            **source.display,
            **_covering(source),
            "rgb": source.image.is_rgb,
            "multiscale": False,
            "name": name,
            "metadata": {
                **source.metadata,
                KEY: {
                    **facts(source.image),
                    "role": "restored",
                    "of": source.name,
                    "region": dict(source.region),
                    "report": result.report,
                },
            },
        },
        "image",
    )


def one_a_pixel(spread: np.ndarray) -> np.ndarray:
    """The standard deviation of colours as one value: the root of their mean variance."""
    found: np.ndarray = np.sqrt(np.mean(np.square(spread), axis=-1))
    return found


def _covering(source: LayerSource) -> dict[str, Any]:
    """What of the looks is another where the image stays visible below: together they would be no picture of either."""
    mixed = source.region and source.display["blending"] in MIXED
    return {"blending": "translucent_no_depth"} if mixed else {}


def _uncertainty(spread: np.ndarray, source: LayerSource, name: str, status: str) -> LayerData:
    data = one_a_pixel(spread) if source.image.is_rgb else spread
    some = data.ravel()[:: max(1, data.size // SPREAD_PIXELS)]
    finite = some[np.isfinite(some)]
    high = float(np.percentile(finite, SPREAD_PERCENTILE)) if finite.size else 0.0
    known = facts(source.image)
    known["axes"] = known["axes"].replace("S", "")
    return (
        data,
        {
            **source.placement,
            "colormap": SPREAD_COLORMAP,
            "contrast_limits": (0.0, high if high > 0 else 1.0),
            "visible": False,
            "rgb": False,
            "multiscale": False,
            "name": f"{name} uncertainty, {status}",
            "metadata": {KEY: {**known, "bit_depth": None, "role": "uncertainty", "of": name}},
        },
        "image",
    )


def _kernel(result: Result, source: LayerSource, name: str) -> LayerData:
    kernel, axes, grid = _gathered(result, source)
    data, kept = _aligned(kernel, axes, source)
    peak = float(np.nanmax(kernel, initial=0.0))
    known = facts(source.image)
    spatial = [axis for axis in kept if axis in known["pixel_size"]]
    repeated = "".join(axis for axis in kept if axis not in axes)
    several = "Z" in axes and result.report["planes_mode"] != "volume"
    return (
        data,
        {
            **_beside(source, kept),
            "colormap": "gray",
            "contrast_limits": (0.0, peak if peak > 0 else 1.0),
            "rgb": False,
            "multiscale": False,
            "name": f"{name} {'kernel' if grid is None else 'kernels'}",
            "metadata": {
                KEY: {
                    "axes": kept,
                    "pixel_size": {axis: known["pixel_size"][axis] for axis in spatial},
                    "units": {axis: known["units"][axis] for axis in spatial},
                    "status": {axis: known["status"][axis] for axis in spatial},
                    "role": "kernel",
                    "of": name,
                    **({} if grid is None else {"grid": grid}),
                    **({REPEATED: repeated} if repeated else {}),
                    **({SEVERAL: True} if grid is not None or several else {}),
                }
            },
        },
        "image",
    )


def _motion(result: Result, source: LayerSource, name: str) -> LayerData:
    """Arrows from where a pixel was in the frame before to where it is, in the frame that they belong to."""
    flow = np.moveaxis(result.kernel, result.kernel.ndim - 3, 0)
    letters = result.kernel_axes[:-3] + result.kernel_axes[-2:]
    step = max(2, max(flow.shape[-2:]) // ARROWS)
    right, down = (np.asarray(part[..., step // 2 :: step, step // 2 :: step]) for part in flow[:2])
    there = np.isfinite(right) & np.isfinite(down)
    where = dict(zip(letters, np.nonzero(there), strict=True))
    axes = source.placed_axes
    ends = np.zeros((2, len(axes), int(there.sum())), np.float32)
    for number, axis in enumerate(axes):
        if axis in where:  # a flow has no axes of size one
            ends[0, number] = step * where[axis] + step // 2 if axis in "YX" else where[axis]
    for axis, moved in (("Y", down[there]), ("X", right[there])):
        ends[0, axes.index(axis)] -= moved
        ends[1, axes.index(axis)] = moved
    return (
        np.moveaxis(ends, -1, 0),
        {
            **source.placement,
            "name": f"{name} motion",
            "edge_width": 1,
            "edge_color": MOTION_COLOUR,
            "vector_style": "arrow",
            "visible": False,
            "metadata": {KEY: {"role": "motion", "of": name}},
        },
        "vectors",
    )


def _gathered(result: Result, source: LayerSource) -> tuple[np.ndarray, str, tuple[int, ...] | None]:
    """Kernels of different regions of one image side by side, as the regions are, with a line between them."""
    kernel, axes, grid = result.kernel, result.kernel_axes, result.kernel_grid
    if grid is not None:
        shape = grid.shape
    elif extra := [place for place, axis in enumerate(axes) if axis not in source.axes]:
        columns = math.ceil(math.sqrt(kernel.shape[extra[0]]))
        rows = math.ceil(kernel.shape[extra[0]] / columns)
        shape = (*(1 for _ in axes[extra[0] + 1 : -2]), rows, columns)
    else:
        return kernel, axes, None
    dims = len(shape)
    place = kernel.ndim - dims - 1
    sizes = kernel.shape[-dims:]
    whole = [count * (size + 1) - 1 for count, size in zip(shape, sizes, strict=True)]
    lines = np.nanmax(kernel, initial=0.0) / 4
    gathered = np.full((*kernel.shape[:place], *whole), lines, dtype=kernel.dtype)
    for number, cell in zip(range(kernel.shape[place]), np.ndindex(*shape), strict=False):
        window = tuple(slice(at * (size + 1), at * (size + 1) + size) for at, size in zip(cell, sizes, strict=True))
        gathered[(..., *window)] = np.take(kernel, number, axis=place)
    return gathered, axes[:place] + axes[-dims:], shape


def _aligned(kernel: np.ndarray, axes: str, source: LayerSource) -> tuple[np.ndarray, str]:
    """The kernel with the image's order of axes, from the first that it has; napari counts dimensions from the last.

    Axes in between that the kernel lacks are repeated, which takes no memory.
    """
    kept = source.placed_axes
    while kept[0] not in axes:
        kept = kept[1:]
    ordered = kernel.transpose([axes.index(axis) for axis in kept if axis in axes])
    places = tuple(slice(None) if axis in axes else np.newaxis for axis in kept)
    expanded = ordered[places]
    shape = [
        size if axis in axes else source.image.sizes[axis] for axis, size in zip(kept, expanded.shape, strict=True)
    ]
    return np.broadcast_to(expanded, shape), kept


def _beside(source: LayerSource, kept: str) -> dict[str, Any]:
    """The geometry of something with the axes `kept` to the right of the whole image, as high as the part's top."""
    width, axes = (source.whole or source.image.sizes)["X"], source.placed_axes
    right = width - source.region.get("X", (0, width))[0] + max(1, round(GAP * width))
    start = [right if axis == "X" else 0 for axis in axes]
    geometry = {**source.placement, "translate": inner_transform(source.geometry)(start)}
    places = list(range(len(axes) - len(kept), len(axes)))
    inner = inner_transform(geometry).set_slice(places)
    outer = outer_transform(geometry).set_slice(places)
    return {
        "scale": inner.scale,
        "translate": inner.translate,
        "rotate": inner.rotate,
        "shear": inner.shear,
        "affine": outer.affine_matrix,
        "units": _last(source.geometry["units"], len(kept)),
        "axis_labels": _last(source.placement["axis_labels"], len(kept)),
    }


def _last(values: Sequence[Any], count: int) -> tuple[Any, ...]:
    return tuple(values)[-count:]


def _extremes(image: np.ndarray) -> Generator[None, None, tuple[float, float]]:
    """The smallest and the largest finite value; yields where a tenth of a second may have gone."""
    low, high, seen = np.inf, -np.inf, 0
    for frame in image if image.ndim > 2 else image[np.newaxis]:
        seen += frame.size
        if seen > EXTREMES_PIXELS:
            seen = 0
            yield
        finite = np.isfinite(frame)
        low = min(low, float(frame.min(where=finite, initial=np.inf)))
        high = max(high, float(frame.max(where=finite, initial=-np.inf)))
    return (low, high) if low <= high else (0.0, 1.0)
