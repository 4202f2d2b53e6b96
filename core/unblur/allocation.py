"""How the C library hands out memory during a run.

Every step allocates and frees the same tens or hundreds of megabytes. By default glibc gives large blocks back to the
system at once, so that the next step has to fetch every page anew, tens of thousands of times. A run keeps them.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import threading
from collections.abc import Iterator
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 2**31 - 1
_MMAP, _TRIM = 32 << 20, 64 << 20
"""What glibc's own rule ends at, in 64-bit processes that have freed large blocks."""

_lock = threading.Lock()
_running = 0


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Freed memory stays with the process until the last of the runs in it has ended, where the C library is glibc."""
    global _running
    library = _glibc()
    if library is None:
        yield
        return
    with _lock:
        _running += 1
        library.mallopt(_M_MMAP_THRESHOLD, _KEEP)
        library.mallopt(_M_TRIM_THRESHOLD, _KEEP)
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                library.mallopt(_M_MMAP_THRESHOLD, _MMAP)
                library.mallopt(_M_TRIM_THRESHOLD, _TRIM)
                library.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    """The C library of this process if it is glibc, else None."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None
    except OSError:
        return None
