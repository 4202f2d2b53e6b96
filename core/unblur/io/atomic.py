"""Files that are either complete or not there: a temporary file in the same folder, flushed, synced and renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unblur.errors import FileError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to, which takes its place when the block ends without an exception.

    A link is followed, so that its target is replaced. Raises FileError if the file cannot be written; whatever stood
    under ``path`` before is then still there.
    """
    final = Path(os.path.realpath(path))
    check_writable(path)
    temporary = final.with_name(f"{_start(final)}{secrets.token_hex(8)}.part{final.suffix}")
    try:
        temporary.open("xb").close()
        yield temporary
        flush(temporary)
        os.replace(temporary, final)
        with contextlib.suppress(OSError):  # a file system that cannot: the file is there all the same
            flush(final.parent)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(path, f"cannot be written: {error.strerror or error}", "The output is unchanged") from error
    finally:
        temporary.unlink(missing_ok=True)


def sweep(path: str | Path) -> None:
    """Remove what processes that were killed while they wrote ``path`` have left; nobody else may be writing it."""
    final = Path(os.path.realpath(path))
    for torn in final.parent.glob(f"{_start(final)}*.part*"):
        with contextlib.suppress(OSError):
            torn.unlink()


class MakingWay:
    """Takes what stands under ``path`` away, where it may not stand beside what is about to be written.

    When the block ends without an exception it is gone. Otherwise it is back, in place of what has come since.
    """

    def __init__(self, path: str | Path) -> None:
        self._path, self._final = path, Path(os.path.realpath(path))
        self._aside = self._final.with_name(f"{_start(self._final)}{secrets.token_hex(8)}.part{self._final.suffix}")
        self._gone = False

    def __enter__(self) -> MakingWay:
        return self

    def go(self) -> None:
        """Take it away.

        Raises:
            FileError: it cannot be moved.
        """
        try:
            if self._final.exists():
                os.replace(self._final, self._aside)
        except OSError as error:
            raise FileError(
                self._path, f"cannot be replaced: {error.strerror or error}", "The output is unchanged"
            ) from error
        self._gone = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._gone:
            self._final.unlink(missing_ok=True)
            if self._aside.exists():
                os.replace(self._aside, self._final)
        self._aside.unlink(missing_ok=True)


def _start(final: Path) -> str:
    """How the names of temporary files for ``final`` begin; short, however long its name is."""
    return f".unblur-{hashlib.sha256(os.fsencode(final.name)).hexdigest()[:16]}-"


def check_writable(path: str | Path) -> None:
    """Raise FileError, before any work, if ``path`` is no place for a file: no folder, no permission, not a file."""
    final = Path(os.path.realpath(path))
    if final.exists() and not final.is_file():
        raise FileError(path, "is not a regular file", "Choose another output")
    if not final.parent.is_dir():
        raise FileError(path, f"its folder {final.parent} does not exist", "Create the folder first")
    if not os.access(final.parent, os.W_OK | os.X_OK):
        raise FileError(path, f"its folder {final.parent} is not writable", "Choose another output")
    if final.exists() and not os.access(final, os.W_OK):
        raise FileError(path, "is write-protected", "Choose another output")


def refuse_input(path: str | Path, given: str | Path) -> None:
    """Raise a FileError where a file that is to be written is one that the run reads, under whatever name."""
    if os.path.exists(path) and os.path.exists(given) and os.path.samefile(path, given):
        raise FileError(path, "is an input of this run", "Choose another output")


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a report as JSON, atomically; NaN and infinities become the texts "NaN", "Infinity" and "-Infinity"."""
    text = to_json(content)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def to_json(content: Mapping[str, Any]) -> str:
    """Strict JSON of a report, as in :func:`write_json`; what UTF-8 cannot say of a file's name is escaped."""
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def flush(path: Path) -> None:
    """Flush a file or, where the system allows opening one, a folder to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
