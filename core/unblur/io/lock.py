"""One writer per output file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from unblur.errors import FileError
from unblur.io.atomic import check_writable


@contextlib.contextmanager
def output_lock(path: str | Path) -> Iterator[None]:
    """Hold the output ``path`` for this process; raises FileError at once if another one holds it.

    The lock is a file ``.NAME.lock`` in the same folder, so that it also holds between machines that share the folder.
    It ends with the process, however that ends.
    """
    check_writable(path)
    final = Path(os.path.realpath(path))
    beside = final.with_name(f".{final.name}.lock")
    lock = FileLock(beside, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FileError(path, "is being written by another process", "Wait for it or choose another output") from None
    except OSError as error:
        raise FileError(path, f"cannot be locked: {error.strerror or error}") from error
    try:
        yield
    finally:
        # Removed while still held: whoever opened the old file finds it unlinked after locking, and tries again.
        if os.name != "nt":
            beside.unlink(missing_ok=True)
        lock.release()
