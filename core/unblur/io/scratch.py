"""Arrays on the disk: series of frames that need not fit in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from unblur.errors import FileError, ImageError


def scratch(shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap:
    """An array of zeros in a temporary file (in `TMPDIR`), which goes away with the array.

    Raises:
        FileError: there is no place for it.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    try:
        with tempfile.TemporaryFile(prefix="unblur-") as file:
            if size and hasattr(
                os, "posix_fallocate"
            ):  # a hole is no room: the first write into it would kill the process
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except (OSError, ValueError) as error:
        folder = tempfile.gettempdir()
        raise FileError(
            folder, f"has no room for {size / 1e9:.3g} GB of frames ({error})", "Set TMPDIR to a folder that has"
        ) from error


def stacked(frames: Iterable[np.ndarray], source: str | Path) -> np.ndarray:
    """Frames one after the other along a new first axis, on the disk; only one is in memory at a time.

    Raises:
        ImageError: there are none, or they differ in shape or dtype.
        FileError: there is no place for them.
    """
    shape: tuple[int, ...] = ()
    dtype = np.dtype(np.uint8)
    count = 0
    try:
        with tempfile.TemporaryFile(prefix="unblur-") as file:
            for frame in frames:
                if count == 0:
                    shape, dtype = frame.shape, frame.dtype
                elif (frame.shape, frame.dtype) != (shape, dtype):
                    raise ImageError(
                        f"{source}: frame {count} is {frame.dtype} of shape {frame.shape}, the first {dtype} of "
                        f"{shape}; the frames of a series are alike"
                    )
                file.write(np.ascontiguousarray(frame).data.cast("B"))
                count += 1
            if count == 0:
                raise ImageError(f"{source}: holds no frames")
            file.flush()
            return np.memmap(file, dtype=dtype, mode="r+", shape=(count, *shape))
    except OSError as error:
        if isinstance(error, FileError):
            raise
        folder = tempfile.gettempdir()
        raise FileError(folder, f"has no room for the frames ({error})", "Set TMPDIR to a folder that has") from error


def on_disk(data: np.ndarray) -> bool:
    """Whether an array, or what it is a view of, is one of these."""
    base: object = data
    while base is not None:
        if isinstance(base, np.memmap):
            return True
        base = getattr(base, "base", None)
    return False
