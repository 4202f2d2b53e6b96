"""An image with what its numbers mean: axes, pixel size, units, and how each of these facts is known."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Literal

import numpy as np

from unblur.errors import ImageError, described
from unblur.params import whole_numbers

Status = Literal["read", "given", "assumed", "missing"]
PixelSize = float | Sequence[float] | Mapping[str, float]
Index = dict[str, int]

AXES = "TCZYXS"
MEASURED = "TZYX"  # the axes that have a pixel size, or for T an interval
VOLUME, PLANE = "ZYX", "YX"
SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds in the units that an interval along T may have."""


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels in their original dtype, with the facts that must survive a run.

    ``data`` has one dimension per letter of ``axes``: T time, C channel, Z depth, Y, X, and S for the three samples of
    RGB. ``pixel_size`` and ``units`` are given per axis (T, Z, Y, X), the units s and µm if left out; ``status`` says
    for ``"axes"`` and for each of those axes whether the fact was read, given, assumed, or is missing. ``alpha`` has
    the shape of ``data`` without S and takes no part in a restoration. ``bit_depth`` is the number of bits the camera
    or the format used, if known; ``given_white`` the value that is white, where the user said so
    (:meth:`with_white_level`). ``cut_from`` says of axes that were cut (:meth:`cut`) where in the whole the
    part begins, and the size of the whole. ``notes`` are sentences for the report: what was assumed, changed or lost.

    Raises ImageError if axes and data do not fit each other.
    """

    data: np.ndarray
    axes: str
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, Status] = field(default_factory=dict)
    source: str | None = None
    alpha: np.ndarray | None = None
    bit_depth: int | None = None
    given_white: float | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cut_from: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_axes(self.axes, self.data.shape)
        if "S" in self.axes and self.data.shape[self.axes.index("S")] != 3:
            raise ImageError(
                f"axis S holds the 3 samples of RGB, but has {self.data.shape[self.axes.index('S')]} in shape "
                f"{self.data.shape}; use C for other channels"
            )
        if self.alpha is not None and self.alpha.shape != self._shape_without_samples():
            raise ImageError(f"alpha has shape {self.alpha.shape}, expected {self._shape_without_samples()}")
        units = {axis: "s" if axis == "T" else "µm" for axis in self.pixel_size}
        object.__setattr__(self, "units", {**units, **self.units})
        present = [axis for axis in MEASURED if axis in self.axes]
        defaults: dict[str, Status] = {axis: "given" if axis in self.pixel_size else "missing" for axis in present}
        object.__setattr__(self, "status", {"axes": "given", **defaults, **self.status})

    @classmethod
    def from_array(
        cls,
        array: np.ndarray,
        axes: str | None = None,
        pixel_size: PixelSize | None = None,
        unit: str | None = None,
    ) -> Image:
        """An image from a bare array.

        A 2-D array is taken for YX. Others need ``axes``, because (13, 512, 512) may be time, depth or channels.
        ``pixel_size`` is one number for Y and X, one per spatial axis in their order, or a mapping by axis letter;
        ``unit`` holds for the spatial axes and is taken as µm if left out; T is in seconds. With four samples (axes
        ending in S) the fourth becomes alpha.

        Raises ImageError for missing or wrong axes, masked arrays, and sizes that are not positive.
        """
        if isinstance(array, np.ma.MaskedArray):
            raise ImageError("a masked array would lose its mask; pass array.filled(numpy.nan) and ask for a mask")
        array = as_array(array, "an image")
        if axes is None and array.ndim != 2:
            raise ImageError(
                f"an array of shape {array.shape} needs axes, one letter of {AXES} per dimension, "
                "such as axes='ZYX', 'TYX' or 'YXS'"
            )
        named = PLANE if axes is None else axes.upper()
        check_axes(named, array.shape)
        array, named, alpha = split_alpha(array, named)
        status: dict[str, Status] = {"axes": "assumed" if axes is None else "given"}
        return cls(array, named, alpha=alpha, status=status).with_pixel_size(pixel_size, unit)

    def with_pixel_size(self, pixel_size: PixelSize | None, unit: str | None = None) -> Image:
        """The same image with sizes that the user gave, as described for :meth:`from_array`."""
        if pixel_size is None:
            return self
        sizes = sizes_by_axis(pixel_size, self.axes)
        units = {axis: "s" if axis == "T" else unit or "µm" for axis in sizes}
        assumed = unit is None and any(axis in VOLUME and self.units.get(axis) != "µm" for axis in sizes)
        return replace(
            self,
            pixel_size={**self.pixel_size, **sizes},
            units={**self.units, **units},
            status={**self.status, **dict.fromkeys(sizes, "given")},
            notes=(*self.notes, "the pixel size was given without a unit: µm is assumed") if assumed else self.notes,
        )

    def with_axes(self, axes: str) -> Image:
        """The same pixels with other axes, which the user gave; sizes along axes that are gone go as well.

        Raises ImageError for axes that do not fit.
        """
        named = axes.upper()
        facts = _along(self, named)
        return replace(self, axes=named, **{**facts, "status": {**facts["status"], "axes": "given"}})

    def with_white_level(self, level: float) -> Image:
        """The same image where the user says which value is white.

        Raises ImageError unless it is a finite number above zero.
        """
        try:
            white = float(level)
        except (TypeError, ValueError):
            white = math.nan
        if not (math.isfinite(white) and white > 0):
            raise ImageError(f"white_level = {level!r}: expected the value that is white, a finite number above 0")
        return replace(self, given_white=white)

    def with_data(self, data: np.ndarray, notes: Iterable[str] = ()) -> Image:
        """The same image with other pixels of the same shape and scale, such as the restored ones."""
        if data.shape != self.data.shape:
            raise ImageError(f"the new pixels have shape {data.shape}, the image has {self.data.shape}")
        white = self.white_level
        depth = self.bit_depth if white is None else bits_of(white)
        return replace(self, data=data, bit_depth=depth, notes=(*self.notes, *notes))

    def cut(self, region: Mapping[str, tuple[int, int]]) -> Image:
        """The part from start to stop (excluded) along the axes in ``region``; all axes stay, pixels are shared.

        Raises ImageError for an axis that the image lacks, and for a part that does not lie within it.
        """
        if not region:
            return self
        for axis, span in region.items():
            if axis not in self.axes or axis == "S":
                raise ImageError(f"a region along {axis!r}, but the image has axes {self.axes!r}")
            places = () if isinstance(span, Mapping | Set) else whole_numbers(span)
            if len(places) != 2:
                raise ImageError(f"the region {axis}={span!r}: expected start and stop, such as (100, 228)")
            start, stop = places
            if not 0 <= start < stop <= self.sizes[axis]:
                raise ImageError(f"the region {axis}={start}:{stop} is not within 0:{self.sizes[axis]}")
        place = tuple(slice(*region[axis]) if axis in region else slice(None) for axis in self.axes)
        flat = tuple(part for axis, part in zip(self.axes, place, strict=True) if axis != "S")
        metadata = dict(self.metadata)
        for key in ("channels", "channel_facts") if "C" in region else ():
            of_each = tuple(metadata.pop(key, ()))
            if of_each and len(of_each) == self.sizes["C"]:
                metadata[key] = of_each[slice(*region["C"])]
        named = ", ".join(f"{axis}={start}:{stop}" for axis, (start, stop) in region.items())
        before = {axis: self.cut_from.get(axis, (0, self.sizes[axis])) for axis in region}
        cut_from = {axis: (before[axis][0] + region[axis][0], before[axis][1]) for axis in region}
        return replace(
            self,
            data=self.data[place],
            alpha=None if self.alpha is None else self.alpha[flat],
            metadata=metadata,
            cut_from={**self.cut_from, **cut_from},
            notes=(*self.notes, f"only a region is used: {named}"),
        )

    def taken(self, axis: str, place: int) -> Image:
        """What lies at a place along an axis, which is gone then; raises ImageError where Y or X would be."""
        named = self.axes.replace(axis, "")
        flat = self.axes.replace("S", "")
        return replace(
            self,
            data=np.take(self.data, place, axis=self.axes.index(axis)),
            alpha=None if self.alpha is None else np.take(self.alpha, place, axis=flat.index(axis)),
            axes=named,
            **_along(self, named),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def sizes(self) -> dict[str, int]:
        """The number of elements along each axis."""
        return dict(zip(self.axes, self.data.shape, strict=True))

    @property
    def is_rgb(self) -> bool:
        return "S" in self.axes

    @property
    def white_level(self) -> float | None:
        """The value at which the sensor or the format saturates; None if unknown (float, or a uint16 micrograph)."""
        if self.given_white is not None:
            return self.given_white
        if self.bit_depth is not None:
            return float(2**self.bit_depth - 1)
        if self.data.dtype == np.uint8 or (self.data.dtype == np.uint16 and self.is_rgb):
            return float(np.iinfo(self.data.dtype).max)
        return None

    def indices(self, spatial: str = PLANE) -> Iterator[Index]:
        """Where the independent planes are: every combination of T, C and (for spatial "YX") Z, in axis order."""
        outer = self._outer(spatial)
        for position in itertools.product(*(range(self.sizes[axis]) for axis in outer)):
            yield dict(zip(outer, position, strict=True))

    def plane(self, index: Mapping[str, int], spatial: str = PLANE) -> np.ndarray:
        """One plane or volume as a float32 copy (channels, *spatial); channels is 3 for RGB, else 1."""
        self._outer(spatial)
        view = self.data[tuple(index.get(axis, slice(None)) for axis in self.axes)]
        left = [axis for axis in self.axes if axis not in index]
        if "S" not in left:
            view, left = view[np.newaxis], ["S", *left]
        ordered = view.transpose([left.index(axis) for axis in "S" + spatial])
        with np.errstate(over="ignore"):
            return np.array(ordered, dtype=np.float32, order="C")

    def planes(self, spatial: str = PLANE) -> Iterator[tuple[Index, np.ndarray]]:
        """Independent planes ("YX") or volumes ("ZYX") over T, C and Z, with the samples of RGB kept together.

        Yields the index by axis letter, such as ``{"T": 0, "C": 1}``, and a float32 array (channels, *spatial).
        """
        for index in self.indices(spatial):
            yield index, self.plane(index, spatial)

    def assemble(self, planes: Iterable[tuple[Mapping[str, int], np.ndarray]], spatial: str = PLANE) -> np.ndarray:
        """The inverse of :meth:`planes`: float32 of this image's shape; planes that are left out are NaN.

        Raises ImageError if a plane does not have the shape that :meth:`planes` gave.
        """
        outer = self._outer(spatial)
        result = np.full(self.data.shape, np.nan, dtype=np.float32)
        expected = (3 if self.is_rgb else 1, *(self.sizes[axis] for axis in spatial))
        for index, plane in planes:
            if plane.shape != expected:
                raise ImageError(f"the plane at {dict(index)} has shape {plane.shape}, expected {expected}")
            if sorted(index) != sorted(outer):
                raise ImageError(f"the plane at {dict(index)} should name its place along {', '.join(outer) or 'none'}")
            named = "S" + spatial if self.is_rgb else spatial
            values = plane if self.is_rgb else plane[0]
            order = [named.index(axis) for axis in self.axes if axis in named]
            result[tuple(index.get(axis, slice(None)) for axis in self.axes)] = values.transpose(order)
        return result

    def _outer(self, spatial: str) -> str:
        if spatial not in (PLANE, VOLUME) or not set(spatial) <= set(self.axes):
            raise ImageError(f"planes of axes {spatial!r} cannot be taken from an image with axes {self.axes!r}")
        return "".join(axis for axis in self.axes if axis not in spatial + "S")

    def _shape_without_samples(self) -> tuple[int, ...]:
        return tuple(size for axis, size in self.sizes.items() if axis != "S")


def as_array(values: Any, what: str) -> np.ndarray:
    """What a caller hands over as an array of NumPy: another library's, nested lists, a tensor wherever it lies.

    Raises:
        ImageError: it is none, such as the path of a file, or lists of unequal lengths; the message begins with `what`.
    """
    if isinstance(values, str | PurePath):
        raise ImageError(f"{what} is {str(values)!r}: expected its pixels; `unblur.io.read` reads a file")
    try:
        if hasattr(values, "detach"):  # a tensor of PyTorch, with its graph, or on a GPU
            values = values.detach().cpu()
            values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        array = np.asarray(values)
    except Exception as error:
        raise ImageError(
            f"{what} of type {type(values).__name__} is no array of numbers: {described(error)}"
        ) from error
    if array.dtype.kind == "O":
        raise ImageError(f"{what} of type {type(values).__name__} holds Python objects; expected an array of numbers")
    return array


def check_axes(axes: str, shape: tuple[int, ...]) -> None:
    """Raises ImageError unless ``axes`` names every dimension once, with letters of TCZYXS, Y and X among them."""
    wrong = sorted(set(axes) - set(AXES))
    if wrong or len(set(axes)) != len(axes) or not set(PLANE) <= set(axes):
        raise ImageError(f"axes {axes!r}: use each letter of {AXES} at most once, Y and X always")
    if len(axes) != len(shape):
        raise ImageError(f"axes {axes!r} name {len(axes)} dimensions, but the array has shape {shape}")


def split_alpha(array: np.ndarray, axes: str) -> tuple[np.ndarray, str, np.ndarray | None]:
    """Colour and alpha apart: RGBA becomes RGB, grey with alpha becomes grey without S."""
    if "S" not in axes or (count := array.shape[axes.index("S")]) not in (1, 2, 4):
        return array, axes, None
    last = np.moveaxis(array, axes.index("S"), -1)
    if count == 4:
        colour = np.moveaxis(last[..., :3], -1, axes.index("S"))
        return np.ascontiguousarray(colour), axes, last[..., 3].copy()
    alpha = last[..., 1].copy() if count == 2 else None
    return np.ascontiguousarray(last[..., 0]), axes.replace("S", ""), alpha


def sizes_by_axis(pixel_size: PixelSize, axes: str) -> dict[str, float]:
    """Pixel sizes by axis letter; raises ImageError for axes the image lacks and for sizes that are not positive."""
    spatial = [axis for axis in axes if axis in VOLUME]
    try:
        sizes = _by_axis(pixel_size, spatial)
    except ImageError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise ImageError(
            f"pixel_size = {pixel_size!r}: expected numbers, one for Y and X or one for each axis"
        ) from error
    for axis, size in sizes.items():
        if axis not in axes or axis not in MEASURED:
            raise ImageError(f"a pixel size for axis {axis!r}, but the image has axes {axes!r}")
        if not (math.isfinite(size) and size > 0):
            raise ImageError(f"the pixel size along {axis} is {size}; it must be a positive number")
    return sizes


def _along(image: Image, axes: str) -> dict[str, Any]:
    """What an image says of these axes."""
    return {
        "pixel_size": {axis: size for axis, size in image.pixel_size.items() if axis in axes},
        "units": {axis: unit for axis, unit in image.units.items() if axis in axes},
        "status": {axis: known for axis, known in image.status.items() if axis in axes or axis == "axes"},
        "cut_from": {axis: part for axis, part in image.cut_from.items() if axis in axes},
    }


def bits_of(white: float) -> int | None:
    """How many bits have this white as their largest value; None where none have."""
    bits = int(white + 1).bit_length() - 1
    return bits if white == 2**bits - 1 else None


def _by_axis(pixel_size: PixelSize, spatial: Sequence[str]) -> dict[str, float]:
    if isinstance(pixel_size, Mapping):
        return {axis.upper(): float(size) for axis, size in pixel_size.items()}
    if not isinstance(pixel_size, Sequence | np.ndarray) or np.ndim(pixel_size) == 0:
        return dict.fromkeys(PLANE, float(pixel_size))  # type: ignore[arg-type]
    if len(pixel_size) != len(spatial):
        raise ImageError(f"{len(pixel_size)} pixel sizes for the spatial axes {', '.join(spatial)}; give one each")
    return {axis: float(size) for axis, size in zip(spatial, pixel_size, strict=True)}


def fingerprint(image: Image) -> str:
    """SHA-256, in hexadecimal, of shape, dtype and pixels (little-endian, C order): the same image, the same text."""
    data = image.data
    digest = hashlib.sha256(f"{data.shape} {data.dtype.name} ".encode())
    for part in data if data.ndim > 2 and data.size else [data]:  # a part at a time: a series may lie on the disk
        plain = np.ascontiguousarray(part, part.dtype.newbyteorder("<"))
        digest.update(plain.data.cast("B") if plain.size else b"")
    return digest.hexdigest()
