"""From float32 results to the numbers of a file, counting what does not fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from unblur.errors import ImageError
from unblur.image import Image
from unblur.io.scratch import on_disk, scratch

DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64")


def white_scale(image: Image, wanted: DTypeLike) -> float:
    """The factor with which white stays white in 8 or 16 bits; 1 where the numbers may stay as they are.

    They may where nothing says what white is, and in the depth of the original unless the user said it.
    """
    white, dtype = image.white_level, np.dtype(wanted)
    fits = white is not None and white <= np.iinfo(dtype).max and (white > 255) == (dtype == np.uint16)
    if white is None or (image.given_white is None and fits):
        return 1.0
    return float(np.iinfo(dtype).max) / white


def opacities(alpha: np.ndarray, wanted: DTypeLike, opaque: float = 1.0) -> np.ndarray:
    """Alpha in another dtype of integers, opaque where it was: at their largest value, or at `opaque` of floats."""
    dtype = np.dtype(wanted)
    before = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "iu" else opaque
    return alpha if dtype == alpha.dtype else cast(alpha.astype(np.float64) * (np.iinfo(dtype).max / before), dtype)[0]


def cast(data: np.ndarray, dtype: DTypeLike) -> tuple[np.ndarray, tuple[str, ...]]:
    """``data`` as ``dtype``, and notes that count what was clipped or had no value.

    Integers are rounded to the nearest even; values beyond the range of ``dtype`` are clipped; NaN becomes 0 in
    integers and stays NaN in floats. Values are not rescaled.

    Raises ImageError for a dtype that image files do not hold.
    """
    wanted = dtype_of(dtype)
    if wanted == data.dtype:
        return data, ()
    if on_disk(data):
        found: np.ndarray = scratch(data.shape, wanted)
        missing = clipped = 0
        for number, part in enumerate(data):
            found[number], empty, outside = _cast(part, wanted)
            missing, clipped = missing + empty, clipped + outside
    else:
        found, missing, clipped = _cast(data, wanted)
    notes = []
    if missing:
        notes.append(f"{missing} pixels without a result (NaN) are written as 0")
    if clipped:
        low, high = _range(wanted)
        share = clipped / data.size
        notes.append(f"{clipped} values ({share:.2%}) were clipped to {low:g}…{high:g} by the cast to {wanted.name}")
    return found, tuple(notes)


def _cast(data: np.ndarray, wanted: np.dtype) -> tuple[np.ndarray, int, int]:
    """``data`` as ``wanted``, how many values were NaN that an integer cannot be, and how many were clipped."""
    low, high = _range(wanted)
    empty = 0
    if wanted.kind in "iu" and data.dtype.kind == "f":
        missing = np.isnan(data)
        empty = int(np.count_nonzero(missing))
        data = np.where(missing, 0, np.rint(data))
    outside = (data < low) | (data > high)
    clipped = int(np.count_nonzero(outside))
    if not clipped:
        return data.astype(wanted), empty, 0
    # Chosen and not clipped: float32 cannot hold the largest uint32, and would overflow.
    inside = np.where(outside, 0, data).astype(wanted)
    return np.where(outside, np.where(data > high, wanted.type(high), wanted.type(low)), inside), empty, clipped


def dtype_of(dtype: DTypeLike) -> np.dtype:
    """A dtype that image files hold. Raises ImageError for all others."""
    try:
        wanted = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):
        wanted = np.dtype(object)
    if wanted.name not in DTYPES:
        raise ImageError(f"cannot write {dtype!s}; choose one of {', '.join(DTYPES)}")
    return wanted


def _range(dtype: np.dtype) -> tuple[np.float64, np.float64]:
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    # As float64 and not as Python floats, which a float32 array would round to its own precision.
    return np.float64(limits.min), np.float64(limits.max)
