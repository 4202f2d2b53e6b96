"""Arrays of layers: cut without reading, and copied without holding a whole series in memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from unblur.errors import ResourceError
from unblur.io.limits import SHARE_OF_FREE_MEMORY
from unblur.io.scratch import on_disk, scratch

AT_ONCE = 8
"""Rows of chunks that are read side by side."""


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


def own(data: Any, name: str, look: Callable[[], None] = lambda: None) -> np.ndarray:
    """A copy: in memory of what is there, and in a temporary file (in `TMPDIR`) of what is lazy or in a file.

    Args:
        name: of the layer, for messages.
        look: is called now and then while something lazy is read, and may end that by raising.

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

        edges = np.cumsum((0, *data.chunks[0]))[::AT_ONCE]  # chunk by chunk, each of which is read once
        for start, stop in zip(edges, (*edges[1:], len(data)), strict=True):
            look()
            dask.array.store(data[start:stop], made[start:stop], lock=False)
    return made


def _check(data: Any, name: str, room: float, where: str) -> None:
    size = int(np.prod(data.shape, dtype=np.int64)) * data.dtype.itemsize
    if size > room:
        raise ResourceError(
            f"{name}: {size / 1e9:.3g} GB of pixels; at most {room / 1e9:.3g} GB {where}. "
            "Choose a region, or fewer planes"
        )
