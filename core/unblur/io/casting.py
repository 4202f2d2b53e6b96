"""From float32 results to the numbers of a file, counting what does not fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from unblur.errors import ImageError

DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64")


def cast(data: np.ndarray, dtype: DTypeLike) -> tuple[np.ndarray, tuple[str, ...]]:
    """``data`` as ``dtype``, and notes that count what was clipped or had no value.

    Integers are rounded to the nearest even; values beyond the range of ``dtype`` are clipped; NaN becomes 0 in
    integers and stays NaN in floats. Values are not rescaled.

    Raises ImageError for a dtype that image files do not hold.
    """
    wanted = _dtype(dtype)
    if wanted == data.dtype:
        return data, ()
    notes: list[str] = []
    low, high = _range(wanted)
    missing = np.isnan(data) if data.dtype.kind == "f" else None
    if wanted.kind in "iu" and missing is not None:
        data = np.where(missing, 0, np.rint(data))
        if missing.any():
            notes.append(f"{np.count_nonzero(missing)} pixels without a result (NaN) are written as 0")
    outside = (data < low) | (data > high)
    clipped = int(np.count_nonzero(outside))
    if clipped:
        share = clipped / data.size
        notes.append(f"{clipped} values ({share:.2%}) were clipped to {low:g}…{high:g} by the cast to {wanted.name}")
        # Chosen and not clipped: float32 cannot hold the largest uint32, and would overflow.
        inside = np.where(outside, 0, data).astype(wanted)
        return np.where(outside, np.where(data > high, wanted.type(high), wanted.type(low)), inside), tuple(notes)
    return data.astype(wanted), tuple(notes)


def _dtype(dtype: DTypeLike) -> np.dtype:
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = np.dtype(object)
    if wanted.name not in DTYPES:
        raise ImageError(f"cannot write {dtype!s}; choose one of {', '.join(DTYPES)}")
    return wanted


def _range(dtype: np.dtype) -> tuple[np.float64, np.float64]:
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    # As float64 and not as Python floats, which a float32 array would round to its own precision.
    return np.float64(limits.min), np.float64(limits.max)
