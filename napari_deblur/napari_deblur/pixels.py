"""Arrays of layers: cut without reading, and copied without holding a whole series in memory."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

import numpy as np
import psutil

from unblur.errors import ResourceError
from unblur.io.limits import SHARE_OF_FREE_MEMORY
from unblur.io.scratch import on_disk, scratch


def lazy(data: Any) -> Any:
    """Arrays of numpy and dask as they are; all others (zarr, xarray, …) as dask, so that cutting reads nothing."""
    if isinstance(data, np.ndarray) or hasattr(data, "dask"):
        return data
    import dask.array

    return dask.array.from_array(data)


def refuse_too_large(data: Any, name: str) -> None:
    """For what has to be in memory as a whole, which nothing has read yet.

    Raises:
        ResourceError: there is no room for it.
    """
    free = psutil.virtual_memory().available * SHARE_OF_FREE_MEMORY
    _check(data, name, free, "can be read with the memory that is free")


def own(data: Any, name: str) -> np.ndarray:
    """A copy: in memory of what is there, and in a temporary file (in `TMPDIR`) of what is lazy or in a file.

    Args:
        name: of the layer, for messages.

    Raises:
        ResourceError: there is no room for it.
    """
    if isinstance(data, np.ndarray) and not on_disk(data):
        refuse_too_large(data, name)
        return np.array(data)
    folder = tempfile.gettempdir()
    _check(data, name, shutil.disk_usage(folder).free, f"fit into {folder}")
    made = scratch(data.shape, data.dtype)
    if isinstance(data, np.ndarray):
        made[...] = data
    else:
        import dask.array

        dask.array.store(data, made, lock=False)  # chunk by chunk, each of which is read once
    return made


def _check(data: Any, name: str, room: float, where: str) -> None:
    size = int(np.prod(data.shape, dtype=np.int64)) * data.dtype.itemsize
    if size > room:
        raise ResourceError(
            f"{name}: {size / 1e9:.3g} GB of pixels; at most {room / 1e9:.3g} GB {where}. "
            "Choose a region, or fewer planes"
        )
