"""Kernels as arrays in NumPy's ``.npz``: the only form that says where the kernels of a grid hold.

``kernels`` is (..., *grid, *spatial), or (..., *spatial) for one kernel, each of sum one with its origin at
floor(n / 2); ``centres`` (*grid, dims), in pixels of the image from the centre of its first, is there for a grid.
``axes`` names the dimensions beside those of the grid; without it they are spatial.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unblur.errors import FileError
from unblur.io.limits import check_claim

ARRAYS = ".npz"


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays, whatever the name of the file."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


class Kernels(NamedTuple):
    """Kernels as they are in a file.

    Attributes:
        kernels: (*spatial), (several, *spatial), or (count, *spatial) of a grid.
        axes: of those that are not of a grid: ``YX`` or ``ZYX``, with C or T before them for several.
        centres: (*grid, dims), in pixels; None without a grid.
    """

    kernels: np.ndarray
    axes: str
    centres: np.ndarray | None


def read_kernels(path: str | Path) -> Kernels:
    """The kernels of a file.

    Raises:
        FileError: no readable file of kernels, or one of a grid for each of several images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        check_claim(Path(path), (unpacked,), 1, unpacked, math.inf)
        with np.load(path, allow_pickle=False) as content:
            kernels = np.asarray(content["kernels"])
            centres = np.asarray(content["centres"]) if "centres" in content else None
            axes = str(content["axes"]) if "axes" in content else {2: "YX", 3: "ZYX"}.get(kernels.ndim, "")
    except FileError:
        raise
    except Exception as error:  # a damaged archive makes zipfile, zlib and NumPy raise whatever they like
        raise FileError(path, f"holds no readable kernels ({type(error).__name__}: {error})") from error
    if kernels.dtype.kind not in "iuf":
        raise FileError(path, f"holds kernels of {kernels.dtype}; numbers are expected")
    if centres is None:
        if len(axes) != kernels.ndim:
            raise FileError(path, f"kernels of shape {kernels.shape} without centres; expected (Y, X) or (Z, Y, X)")
        return Kernels(kernels, axes, None)
    grid = centres.shape[:-1]
    dims = len(grid)
    fits = dims in (2, 3) and kernels.ndim == 2 * dims and kernels.shape[:dims] == grid and centres.shape[-1] == dims
    if not fits:
        raise FileError(
            path, f"kernels of shape {kernels.shape} with centres of shape {centres.shape}; expected (*grid, *spatial)"
        )
    return Kernels(kernels.reshape(-1, *kernels.shape[dims:]), "ZYX"[-dims:], centres)
