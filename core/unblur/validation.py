"""What is wrong or remarkable in the pixels of an image, found before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unblur.errors import ImageError
from unblur.image import PLANE, Image, Index

SMALLEST = 8
SATURATION_WORTH_A_NOTE = 1e-4

_COARSE = 1e-3
"""Of the range of values: steps of float32 that are worth a note."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What :func:`check` found in an image that can be used.

    ``valid`` is a boolean array of the image's shape, False at NaN and Inf, or None if all pixels count. ``constant``
    lists the planes without any contrast, which a run must return unchanged. ``saturated`` is the fraction of saturated
    pixels, ``highest`` the largest value.
    """

    valid: np.ndarray | None
    constant: tuple[Mapping[str, int], ...]
    saturated: float
    highest: float
    notes: tuple[str, ...]


def check(
    image: Image,
    *,
    nan: Literal["refuse", "mask"] = "refuse",
    smallest: int | Sequence[int] = SMALLEST,
    spatial: str = PLANE,
) -> Findings:
    """Refuse pixels that no method can use, and report those that need care.

    ``smallest`` is the least size along Y and X, or one per axis of ``spatial``, such as the shape of the kernel.

    Raises ImageError for complex, boolean and other dtypes that are not real numbers, for an image without pixels or
    smaller than ``smallest``, for values beyond float32, and for NaN or Inf unless ``nan="mask"``.
    """
    _check_dtype(image.data.dtype)
    _check_size(image, smallest, spatial)
    notes: list[str] = []
    valid = _valid(image, nan)
    if valid is not None:
        notes.append(f"{np.count_nonzero(~valid)} pixels are NaN or Inf and take no part")
    values = image.data if valid is None else image.data[valid]
    low, high = values.min(), values.max()
    if max(-float(low), float(high)) > float(np.finfo(np.float32).max):
        raise ImageError(f"values reach {max(-float(low), float(high)):.3g}, beyond float32; scale the image down")
    if image.data.dtype.kind in "iu" and max(-int(low), int(high)) > 2**24:
        notes.append("integers above 16777216 are rounded: the computation is in float32")
    step = float(np.spacing(np.float32(max(-float(low), float(high)))))
    if image.data.dtype == np.float64 and high > low and step > _COARSE * (float(high) - float(low)):
        notes.append(
            f"values from {low:.10g} to {high:.10g} are rounded to steps of {step:g}: the computation is in float32; "
            "subtract what all have in common first"
        )
    if low < 0:
        notes.append(f"values go down to {low:g}; the offset is kept")
    constant = _constant_planes(image, valid, spatial)
    saturated = _saturated(values, image.white_level) if high > low else 0.0
    if saturated >= SATURATION_WORTH_A_NOTE:
        notes.append(f"{saturated:.2%} of the pixels are saturated at {high:g}; a camera response may help")
    return Findings(valid, tuple(constant), saturated, float(high), tuple(notes))


def _check_dtype(dtype: np.dtype) -> None:
    reasons = {
        "c": "complex numbers; take the magnitude or the real part first",
        "b": "a mask (bool), not an image; convert it to uint8 if it is meant as one",
    }
    if dtype.kind == "f" and dtype.itemsize > 8:
        raise ImageError(f"the image holds {dtype}, more than double precision; convert it to float64 or float32")
    if dtype.kind not in "iuf":
        raise ImageError(f"the image holds {reasons.get(dtype.kind, f'{dtype}; integers or floats are expected')}")


def _check_size(image: Image, smallest: int | Sequence[int], spatial: str) -> None:
    if image.data.size == 0:
        raise ImageError(f"the image has no pixels: shape {image.shape}")
    least = [smallest if axis in PLANE else 3 for axis in spatial] if isinstance(smallest, int) else list(smallest)
    if len(least) != len(spatial) or not set(spatial) <= set(image.axes):
        raise ImageError(f"axes {image.axes!r} and {len(least)} smallest sizes do not fit the spatial axes {spatial!r}")
    found = [image.sizes[axis] for axis in spatial]
    if any(size < need for size, need in zip(found, least, strict=True)):
        raise ImageError(
            f"the image is {' x '.join(map(str, found))} pixels ({', '.join(spatial)}); "
            f"the smallest that works here is {' x '.join(map(str, least))}"
        )


def _valid(image: Image, nan: str) -> np.ndarray | None:
    if image.data.dtype.kind != "f":
        return None
    bad = image.data.size - _count(image.data, np.isfinite)
    if bad == 0:
        return None
    finite: np.ndarray = np.isfinite(image.data)
    if bad == image.data.size:
        raise ImageError("every pixel is NaN or Inf")
    if nan == "mask":
        return finite
    first = np.unravel_index(int(np.argmin(finite)), image.shape)
    begins = {axis: start for axis, (start, _) in image.cut_from.items()}
    where = ", ".join(f"{axis}={place + begins.get(axis, 0)}" for axis, place in zip(image.axes, first, strict=True))
    raise ImageError(f"{bad} pixels are NaN or Inf, the first at {where}; fill them, or ask for a mask (--nan mask)")


def _constant_planes(image: Image, valid: np.ndarray | None, spatial: str) -> list[Index]:
    constant = []
    for index in image.indices(spatial):
        window = tuple(index.get(axis, slice(None)) for axis in image.axes)
        samples = image.data[window] if valid is None else image.data[window][valid[window]]
        if image.is_rgb and valid is None:
            left = [axis for axis in image.axes if axis not in index]
            samples = np.moveaxis(samples, left.index("S"), 0).reshape(3, -1)
            flat = bool((samples == samples[:, :1]).all())
        else:
            flat = samples.size == 0 or bool(samples.min() == samples.max())
        if flat:
            constant.append(index)
    return constant


def _saturated(values: np.ndarray, white_level: float | None) -> float:
    """The fraction at the white level or, where that is unknown, on a plateau at the maximum.

    A plateau is a maximum shared by more pixels than the next lower value by a factor of four, which noise does not do.
    """
    if white_level is not None:
        return _count(values, lambda part: part >= white_level) / values.size
    high = values.max()
    at_maximum = _count(values, lambda part: part == high)
    below = max(part[part < high].max(initial=values.min()) for part in _parts(values))
    is_plateau = at_maximum > 4 * _count(values, lambda part: part == below)
    return at_maximum / values.size if is_plateau and at_maximum > 4 else 0.0


def _count(values: np.ndarray, condition: Callable[[np.ndarray], np.ndarray]) -> int:
    """How many values fulfil a condition, part by part, so that no mask of a whole series is made."""
    return sum(int(np.count_nonzero(condition(part))) for part in _parts(values))


def _parts(values: np.ndarray) -> Iterable[np.ndarray]:
    return values if values.ndim > 2 else [values]
