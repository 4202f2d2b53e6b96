"""Images to files: OME-TIFF, TIFF and PNG, each complete with its report or not there at all."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from unblur.errors import FileError, ImageError
from unblur.image import Image
from unblur.io.atomic import MakingWay, atomic_path, flush, to_json
from unblur.io.atomic import check_writable as check_place
from unblur.io.kernels import ARRAYS, write_arrays
from unblur.io.png_out import check_png, write_png
from unblur.io.tiff_out import write_ome, write_tiff
from unblur.io.video import VIDEO, check_video, library, write_video

WRITABLE = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".png", *VIDEO)
Arrays = Mapping[str, np.ndarray]


def check_writable(path: str | Path, arrays: bool = False) -> None:
    """Raise FileError, before any work, if an image cannot be written as ``path``: format, folder or permission.

    With ``arrays``, NumPy's ``.npz`` is a format as well.
    """
    formats = (*WRITABLE, ARRAYS) if arrays else WRITABLE
    if not str(path).lower().endswith(formats):
        raise FileError(path, "is no format that can be written", f"Choose one of {', '.join(formats)}")
    if str(path).lower().endswith(VIDEO):
        library(path)
    check_place(path)


def check_holds(path: str | Path, image: Image, dtype: DTypeLike | None = None) -> None:
    """Raise FileError, before any work, if the format of ``path`` cannot hold an image like this one."""
    name = str(path).lower()
    try:
        if name.endswith(".png"):
            check_png(image, dtype)
        elif name.endswith(VIDEO):
            check_video(Path(path), image, dtype)
    except ImageError as error:
        raise FileError(path, str(error)) from None


def report_path(path: str | Path) -> Path:
    """Where the report of an image file lies: beside it, with ``.json`` added to the name."""
    return Path(f"{path}.json")


def write(
    path: str | Path,
    image: Image,
    *,
    dtype: DTypeLike | None = None,
    report: Mapping[str, Any] | None = None,
    others: Sequence[tuple[str | Path, Image | Arrays]] = (),
) -> tuple[str, ...]:
    """Write an image, its report as JSON beside it, and what belongs to it, such as its kernel: images or named arrays.

    OME-TIFF and TIFF keep shape, axes, pixel size, units and, unless ``dtype`` asks for a cast, the numbers. A TIFF is
    readable by ImageJ where ImageJ can hold the image, and a BigTIFF above 4 GB. PNG holds one grey or RGB plane of 8
    or 16 bits: floats are rounded and clipped to the bit depth of the original. A video (`unblur.io.video`) holds a
    series of such planes. The format follows from the name. Frames on the disk are written one after the other.

    Returns notes for the user, which the report has as ``output``: what was clipped, changed or could not be kept.
    Raises FileError if a file cannot be written or its format cannot hold the image; then every file is as before.

    Where the image is, all that belongs to it is, however the process ends: an image that stood under ``path`` goes
    first, and the new one comes last.
    """
    check_writable(path)
    for place, other in others:
        check_writable(place, arrays=not isinstance(other, Image))
    if len({Path(place).resolve() for place in (path, *(place for place, _ in others))}) <= len(others):
        raise FileError(path, "is named for two outputs", "Give each a name of its own")
    text = to_json(report) if report is not None else ""
    places = [path, *([report_path(path)] if report is not None else []), *(place for place, _ in others)]
    with contextlib.ExitStack() as files:  # closed in reverse order
        earlier = [files.enter_context(MakingWay(place)) for place in places]
        temporary = files.enter_context(atomic_path(path))
        written = [temporary]
        notes = _encode(path, temporary, image, dtype, text)
        for place, other in others:
            written.append(files.enter_context(atomic_path(place)))
            if isinstance(other, Image):
                more = _encode(place, written[-1], other, None, "")
                notes += tuple(f"{Path(place).name}: {note}" for note in more)
            else:
                write_arrays(written[-1], other)
        if report is not None:
            content = to_json({**report, "output": notes} if notes else report)
            written.append(files.enter_context(atomic_path(report_path(path))))
            written[-1].write_text(content + "\n", encoding="utf-8")
        if report is not None or others:
            _flush_all(path, written)
            for one in earlier:
                one.go()
    return notes


def _flush_all(path: str | Path, written: Sequence[Path]) -> None:
    """So that a full disk is found out while the earlier files still stand."""
    try:
        for one in written:
            flush(one)
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror or error}", "The output is unchanged") from error


def _encode(path: str | Path, temporary: Path, image: Image, dtype: DTypeLike | None, report: str) -> tuple[str, ...]:
    name = str(path).lower()
    try:
        if name.endswith(".png"):
            return write_png(temporary, image, dtype)
        if name.endswith(VIDEO):
            return write_video(temporary, image, dtype)
        if name.endswith((".ome.tif", ".ome.tiff")):
            return write_ome(temporary, image, dtype, report)
        return write_tiff(temporary, image, dtype, report)
    except ImageError as error:
        raise FileError(path, str(error)) from None
    except FileError as error:
        raise FileError(path, error.problem, error.fix) from error
