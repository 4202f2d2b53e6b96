"""Images to files: OME-TIFF, TIFF and PNG, each complete with its report or not there at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import DTypeLike

from unblur.errors import FileError, ImageError
from unblur.image import Image
from unblur.io.atomic import atomic_path, to_json, write_json
from unblur.io.atomic import check_writable as check_place
from unblur.io.png_out import write_png
from unblur.io.tiff_out import write_ome, write_tiff

WRITABLE = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".png")


def check_writable(path: str | Path) -> None:
    """Raise FileError, before any work, if an image cannot be written as ``path``: format, folder or permission."""
    if not str(path).lower().endswith(WRITABLE):
        raise FileError(path, "is no format that can be written", f"Choose one of {', '.join(WRITABLE)}")
    check_place(path)


def report_path(path: str | Path) -> Path:
    """Where the report of an image file lies: beside it, with ``.json`` added to the name."""
    return Path(f"{path}.json")


def write(
    path: str | Path, image: Image, *, dtype: DTypeLike | None = None, report: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Write an image, and its report as JSON beside it; the format follows from the name.

    OME-TIFF and TIFF keep shape, axes, pixel size, units and, unless ``dtype`` asks for a cast, the numbers. A TIFF is
    readable by ImageJ where ImageJ can hold the image, and a BigTIFF above 4 GB. PNG holds one grey or RGB plane of 8
    or 16 bits: floats are rounded and clipped to the bit depth of the original.

    Returns notes for the user: what was clipped, changed or could not be kept. Raises FileError if the file cannot be
    written or the format cannot hold the image; nothing is then left under ``path``.
    """
    check_writable(path)
    name = str(path).lower()
    text = to_json(report) if report is not None else ""
    try:
        with atomic_path(path) as temporary:
            if name.endswith(".png"):
                notes = write_png(temporary, image, dtype)
            elif name.endswith((".ome.tif", ".ome.tiff")):
                notes = write_ome(temporary, image, dtype, text)
            else:
                notes = write_tiff(temporary, image, dtype, text)
            if report is not None:
                # First the report: where the image exists, everything that belongs to it does.
                write_json(report_path(path), report)
    except ImageError as error:
        raise FileError(path, str(error)) from None
    return notes
