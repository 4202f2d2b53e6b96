"""Kernels as arrays in NumPy's ``.npz``: the only form that says where the kernels of a grid hold.

``kernels`` is (..., *grid, *spatial), or (..., *spatial) for one kernel, each of sum one with its origin at
floor(n / 2); ``centres`` (*grid, dims), in pixels of the image from the centre of its first, is there for a grid.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unblur.errors import FileError
from unblur.io.limits import check_claim
from unblur.kernel_grid import KernelGrid

ARRAYS = ".npz"


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays, whatever the name of the file."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_kernels(path: str | Path) -> tuple[np.ndarray, KernelGrid | None]:
    """Kernels (count, *spatial) of one image, and their grid; None for a single one.

    Raises:
        FileError: no readable file of kernels, or one of several images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        check_claim(Path(path), (unpacked,), 1, unpacked, math.inf)
        with np.load(path, allow_pickle=False) as content:
            kernels = np.asarray(content["kernels"])
            centres = np.asarray(content["centres"]) if "centres" in content else None
    except FileError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(path, f"holds no readable kernels ({type(error).__name__}: {error})") from error
    if kernels.dtype.kind not in "iuf":
        raise FileError(path, f"holds kernels of {kernels.dtype}; numbers are expected")
    if centres is None:
        if kernels.ndim not in (2, 3):
            raise FileError(path, f"kernels of shape {kernels.shape} without centres; expected (Y, X) or (Z, Y, X)")
        return kernels[np.newaxis], None
    grid = centres.shape[:-1]
    dims = len(grid)
    if dims not in (2, 3) or kernels.ndim != 2 * dims or kernels.shape[:dims] != grid:
        raise FileError(
            path, f"kernels of shape {kernels.shape} with centres of shape {centres.shape}; expected (*grid, *spatial)"
        )
    return kernels.reshape(-1, *kernels.shape[dims:]), KernelGrid(grid)
