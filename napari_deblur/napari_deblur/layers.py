"""From a napari layer to an image of unblur, without reading more pixels than a run needs."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine, CompositeAffine

from napari_deblur import pixels
from napari_deblur.facts import KEY, Evidence, axes_of, fitting_labels, from_file, sizes_of
from napari_deblur.worker import Dropped
from unblur.errors import ImageError, UnblurError
from unblur.image import Image, PixelSize, Status, sizes_by_axis
from unblur.io import Header, read_header

if TYPE_CHECKING:
    import pint
    from napari.layers import Image as ImageLayer

Region = Mapping[str, tuple[int, int]]
"""Start and stop (excluded) along some of the axes."""

Units = Sequence["pint.Unit"]

GEOMETRY = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
DISPLAY = (
    "colormap",
    "contrast_limits",
    "gamma",
    "blending",
    "interpolation2d",
    "interpolation3d",
    "rendering",
    "attenuation",
    "depiction",
)


@dataclass(frozen=True, eq=False)
class LayerSource:
    """What is known about a layer; it does not change when the layer does.

    Attributes:
        name: of the layer.
        image: its pixels and facts. The pixels are those of the layer, at full resolution, and lazy (dask) where the
            layer's are: `load` reads them.
        geometry: where the pixels lie in the world: scale, translate, rotate, shear, affine, units, axis_labels.
        display: colormap, contrast limits and the like.
        region: which part of the layer this is, whose sizes are `whole` (the image's own where that is empty).
        metadata: of the layer.
        from_file: what of the image's facts the layer's file says, and not the layer: ``axes``, or letters of axes.
        origin: gives the layer, or None once it is gone.
    """

    name: str
    image: Image
    geometry: Mapping[str, Any]
    display: Mapping[str, Any]
    region: Region = field(default_factory=dict)
    whole: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    from_file: frozenset[str] = frozenset()
    origin: weakref.ref[ImageLayer] | None = None

    @property
    def axes(self) -> str:
        return self.image.axes

    @property
    def placed_axes(self) -> str:
        """The axes that have a place in the viewer: all but the colours."""
        return self.axes.replace("S", "")

    @property
    def placement(self) -> dict[str, Any]:
        """The geometry for layers that are made of the image, with labels that do not contradict its axes."""
        return {**self.geometry, "axis_labels": fitting_labels(self.geometry["axis_labels"], self.axes)}

    def cut(self, region: Region) -> LayerSource:
        """The part from start to stop along some axes; it lies in the viewer where it lies in the layer.

        Raises:
            ImageError: it is not within the image.
        """
        if not region:
            return self
        image = self.image.cut(region)
        start = [region.get(axis, (0, 0))[0] for axis in self.placed_axes]
        before = {axis: self.region.get(axis, (0, 0))[0] for axis in region}
        inside = {axis: (low + before[axis], high + before[axis]) for axis, (low, high) in region.items()}
        geometry = {**self.geometry, "translate": inner_transform(self.geometry)(start)}
        whole = self.whole or self.image.sizes
        return replace(self, image=image, geometry=geometry, region={**self.region, **inside}, whole=whole)

    def load(self, look: Callable[[], None] = lambda: None) -> Image:
        """The image with pixels of its own, whatever becomes of the layer: in memory, or on the disk where it is lazy.

        Args:
            look: is called now and then while a lazy one is read; `Dropped` that it raises ends the reading.

        Raises:
            ResourceError: they would not fit.
            ImageError: they cannot be read.
        """
        try:
            data = pixels.own(self.image.data, self.name, look)
            alpha = None if self.image.alpha is None else pixels.own(self.image.alpha, self.name, look)
        except (UnblurError, Dropped):
            raise
        except Exception as error:  # a lazy array may do anything
            raise ImageError(f"{self.name}: its pixels cannot be read ({type(error).__name__}: {error})") from error
        return replace(self.image, data=data, alpha=alpha)


def read(layer: ImageLayer, axes: str | None = None) -> LayerSource:
    """What is known about an image layer. Pixels are not looked at.

    Args:
        layer: of a multiscale layer, the finest level is taken.
        axes: a letter of TCZYX for each dimension, and S at the end for colours; guessed where it is left out.

    Raises:
        ImageError: the axes do not fit the layer.
    """
    data = pixels.lazy(layer.data[0] if layer.multiscale else layer.data)
    shape = tuple(map(int, data.shape))
    header = _header(layer, shape)
    kept = layer.metadata.get(KEY, {})
    evidence = Evidence(
        shape=shape,
        rgb=bool(layer.rgb),
        labels=layer.axis_labels,
        units=layer.units,
        scale=[float(size) for size in layer.scale],
        header=header,
        kept=kept if isinstance(kept, Mapping) else {},
    )
    named, status = axes_of(evidence) if axes is None else (_given(axes, evidence), "given")
    sizes = sizes_of(evidence, named)
    exact = header if header is not None and header.dtype == data.dtype else None
    data, alpha = _without_alpha(data) if layer.rgb else (data, None)
    statuses: dict[str, Status] = {**sizes.status, "axes": status}
    image = Image(
        data,
        named,
        pixel_size=sizes.pixel_size,
        units=sizes.units,
        status=statuses,
        source=layer.source.path if header is not None else f"napari layer {layer.name!r}",
        alpha=alpha,
        bit_depth=exact.bit_depth if exact else _kept_depth(evidence.kept),
        notes=(*(header.notes if header else ()), *sizes.notes),
        metadata=dict(header.metadata) if header else {},
    )
    return LayerSource(
        name=layer.name,
        image=image,
        geometry=_values(layer, GEOMETRY),
        display=_values(layer, DISPLAY),
        metadata=dict(layer.metadata),
        from_file=from_file(evidence, named),
        origin=weakref.ref(layer),
    )


def as_now(source: LayerSource, layer: ImageLayer) -> LayerSource:
    """The same where its layer lies now, and as that looks now."""
    return replace(source, geometry=_values(layer, GEOMETRY), display=_values(layer, DISPLAY))


def with_pixel_size(source: LayerSource, pixel_size: PixelSize) -> LayerSource:
    """The same with pixel sizes that the user gave, in the units that `source` shows; µm where it shows none.

    Args:
        pixel_size: one number for Y and X, one for each spatial axis, or a mapping by axis letter.

    Raises:
        ImageError: a size is not positive, or for an axis that the image lacks.
    """
    image = source.image
    shown = [image.units[axis] for axis in "XYZ" if axis in image.units]
    for axis, size in sizes_by_axis(pixel_size, image.axes).items():
        unit = image.units.get(axis, "s" if axis == "T" else next(iter(shown), "µm"))
        image = image.with_pixel_size({axis: size}, unit)
        image = replace(image, units={**image.units, axis: unit})
    return replace(source, image=image)


def current_region(
    source: LayerSource, point: Sequence[float], units: Units | None = None
) -> dict[str, tuple[int, int]]:
    """The plane along T, C and Z that a viewer shows, whose `dims.point` and `dims.units` these are."""
    places = _to_data(source, np.asarray([point], dtype=float), units)[0]
    sizes = source.image.sizes
    return {
        axis: (index, index + 1)
        for axis, place in zip(source.placed_axes, places, strict=True)
        if axis in "TCZ"
        for index in [int(np.clip(np.rint(place), 0, sizes[axis] - 1))]
    }


def region_around(source: LayerSource, corners: np.ndarray, units: Units | None = None) -> dict[str, tuple[int, int]]:
    """The part along Y and X that holds these points of the world (count, dimensions), in these units.

    Raises:
        ImageError: they lie outside the image.
    """
    places = _to_data(source, np.asarray(corners, dtype=float), units)
    region = {}
    for number, axis in enumerate(source.placed_axes):
        if axis not in "YX":
            continue
        size = source.image.sizes[axis]
        # Pixel n reaches from n - 1/2 to n + 1/2.
        start, stop = (int(np.rint(edge(places[:, number]) + 0.5)) for edge in (np.min, np.max))
        region[axis] = (max(0, start), min(size, stop))
        if region[axis][0] >= region[axis][1]:
            raise ImageError(f"the region lies outside of {source.name} along {axis}")
    return region


def inner_transform(geometry: Mapping[str, Any]) -> CompositeAffine:
    """From pixels to the world, before the layer's `affine`."""
    return CompositeAffine(**{key: geometry[key] for key in ("scale", "translate", "rotate", "shear")})


def outer_transform(geometry: Mapping[str, Any]) -> Affine:
    """The layer's `affine`."""
    return Affine(affine_matrix=np.asarray(geometry["affine"]))


def _to_data(source: LayerSource, points: np.ndarray, units: Units | None) -> np.ndarray:
    """Points of the world (count, dimensions of the viewer) in pixels of the image.

    Args:
        units: of the points; those of the layer where they are not known, or are no lengths where those are.
    """
    count, points = len(source.placed_axes), points.copy()
    if units is not None and len(units) == points.shape[1]:
        own = source.geometry["units"][-len(units) :]
        points[:, points.shape[1] - len(own) :] *= list(map(_in_units, units[-len(own) :], own))
    points = points[:, -count:]
    missing = count - points.shape[1]
    points = np.pad(points, [(0, 0), (missing, 0)])
    inner, outer = inner_transform(source.geometry), outer_transform(source.geometry)
    return np.array([inner.inverse(outer.inverse(point)) for point in points])


def _in_units(one: pint.Unit, other: pint.Unit) -> float:
    """How many of another unit one is; 1 where they do not compare."""
    if one.dimensionality != other.dimensionality:
        return 1.0
    return float((1 * one).to(other).magnitude)


def _given(axes: str, evidence: Evidence) -> str:
    """The axes that the user wrote; the colours are added."""
    named = axes.strip().upper()
    if evidence.rgb and not named.endswith("S"):
        named += "S"
    if "S" in named and not evidence.rgb:
        raise ImageError(f"axes {named}: S is for the colours of an RGB layer; use C for channels")
    if len(named) != len(evidence.shape):
        raise ImageError(f"axes {named}: {len(evidence.shape)} dimensions of sizes {evidence.shape} need a letter each")
    return named


def _header(layer: ImageLayer, shape: tuple[int, ...]) -> Header | None:
    """What the layer's file says, if it is a file that unblur reads and holds one image of this shape."""
    path = layer.source.path
    try:
        state = Path(path).stat() if path else None
    except (OSError, ValueError):  # an address on the web, or gone
        return None
    header = _header_of(str(path), state.st_mtime_ns, state.st_size) if state else None
    return header if header is not None and header.shape == shape else None


@functools.lru_cache(maxsize=64)
def _header_of(path: str, changed: int, size: int) -> Header | None:
    """Read once for each state of the file, since the panel asks often."""
    try:
        return read_header(path)
    except UnblurError:
        return None


def _without_alpha(data: Any) -> tuple[Any, Any]:
    return (data[..., :3], data[..., 3]) if data.shape[-1] == 4 else (data, None)


def _kept_depth(kept: Mapping[str, Any]) -> int | None:
    depth = kept.get("bit_depth")
    return depth if isinstance(depth, int) else None


def _values(layer: ImageLayer, keys: Sequence[str]) -> dict[str, Any]:
    return {key: _copied(getattr(layer, key)) for key in keys}


def _copied(value: Any) -> Any:
    """Independent of the layer."""
    if hasattr(value, "affine_matrix"):
        return np.array(value.affine_matrix)
    return value.copy() if isinstance(value, np.ndarray | list) else value
