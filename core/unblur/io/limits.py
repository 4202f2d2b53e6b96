"""What a header may claim before anything is read."""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import Literal

import psutil

from unblur.errors import FileError, ResourceError

# Restoring needs several float32 copies anyway; an image that takes more than this share of the free memory cannot run.
SHARE_OF_FREE_MEMORY = 0.5

Room = Literal["memory", "disk", "nothing"]
"""What the pixels of a file take when it is read: nothing where they are used as they lie on the disk."""


def check_claim(
    path: Path, shape: tuple[int, ...], itemsize: int, stored: int, most_compressed: float, room: Room = "memory"
) -> None:
    """Refuse a header whose pixels cannot be in the file, or do not fit in memory or in a temporary file.

    ``stored`` is the number of bytes that hold the pixels, ``most_compressed`` the best ratio the compression can reach
    (1 for none, infinity if unknown). Raises FileError for a claim that cannot be true, ResourceError for a true one
    that is too large.
    """
    claimed = math.prod(shape) * itemsize
    text = f"an image of {' x '.join(map(str, shape))} ({claimed / 1e9:.3g} GB)"
    if claimed > stored * most_compressed:
        raise FileError(path, f"claims {text}, but holds only {stored} bytes of pixels", "The file is cut or damaged")
    if room == "nothing":
        return
    if room == "disk":
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if claimed > free:
            raise ResourceError(f"{path}: holds {text}; {tempfile.gettempdir()} has room for {free / 1e9:.3g} GB")
        return
    limit = psutil.virtual_memory().available * SHARE_OF_FREE_MEMORY
    if claimed > limit:
        raise ResourceError(
            f"{path}: holds {text}; at most {limit / 1e9:.3g} GB can be read with the memory that is free. "
            "Give a region of it, or downsample it first"
        )
