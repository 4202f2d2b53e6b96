"""Images from files, by what the files hold and not by how they are called."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from unblur.errors import FileError, ImageError, ResourceError
from unblur.image import Image, PixelSize
from unblur.io.header import Header
from unblur.io.photo import photo_header, read_photo
from unblur.io.tiff import read_tiff, tiff_header
from unblur.io.video import is_video_start, read_video

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PHOTO_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def read(
    path: str | Path,
    *,
    axes: str | None = None,
    pixel_size: PixelSize | None = None,
    series: int | None = None,
    multi_file: bool = False,
    region: Mapping[str, tuple[int, int]] | None = None,
) -> Image:
    """Read a TIFF (plain, BigTIFF, ImageJ, OME), PNG, JPEG or video file.

    ``axes`` overrides what the file says, one letter of TCZYXS per dimension; it is needed where the file does not say
    what its dimensions are. ``pixel_size`` is one number for Y and X, one per spatial axis, or a mapping by axis
    letter. ``series`` chooses among images that differ; ``multi_file`` follows an OME-TIFF to the other files of its
    set, in the same folder. ``region`` gives start and stop along some of the axes, of which only that part is kept: a
    TIFF that does not fit in memory is then read by way of the disk.
    Dimensions of size one that the file adds are left out.

    Raises FileError if the file cannot be read, is cut, or claims what it does not hold, and where a choice is missing;
    ResourceError if the image would not fit in memory. Both are raised before pixels are read where the header tells.
    """
    path = Path(path)
    if is_video_start(start_of(path)):
        _refuse_series(path, series)
        image = read_video(path, axes, pixel_size)
    elif _is_photo(path):
        _refuse_series(path, series)
        image = read_photo(path, axes, pixel_size)
    else:
        try:
            image = read_tiff(path, axes, pixel_size, series, multi_file)
        except ResourceError:
            if not region:
                raise
            image = read_tiff(path, axes, pixel_size, series, multi_file, on_disk=True)
    if not region:
        return image
    part = part_of(image, region, path)
    # Copied, so that the rest is kept neither in memory nor on the disk.
    return replace(part, data=np.array(part.data), alpha=None if part.alpha is None else np.array(part.alpha))


def part_of(image: Image, region: Mapping[str, tuple[int, int]], path: Path) -> Image:
    """The region of an image that was read from ``path``, sharing its pixels; raises FileError if it is not within."""
    try:
        return image.cut(region)
    except ImageError as error:
        raise FileError(path, str(error)) from None


def read_header(path: str | Path, *, axes: str | None = None, series: int | None = None) -> Header:
    """What a TIFF, PNG or JPEG file says about its image, without reading pixels; arguments and errors are `read`'s.

    The axes are None where the file does not say what its dimensions are.
    """
    path = Path(path)
    if is_video_start(start_of(path)):
        raise FileError(path, "is a video, whose frames have to be read to know how many there are")
    if _is_photo(path):
        _refuse_series(path, series)
        return photo_header(path)
    return tiff_header(path, axes, series)


def expand(patterns: Iterable[str | Path], folders: bool = False) -> list[Path]:
    """The files that names, folders and patterns such as ``plate/*.tif`` stand for, each once.

    The patterns keep their order; within one, files are in natural order (t2 before t10). A folder stands for the
    images in it, not in its subfolders; with ``folders`` for itself. Raises FileError for a pattern that stands for
    nothing.
    """
    found: dict[Path, None] = {}
    for pattern in map(str, patterns):
        path = Path(pattern)
        if path.is_dir() and folders:
            files = [path]
        elif path.is_dir():
            images = (one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and one.is_file())
            files = [one for one in images if not one.name.startswith(".")]
        elif path.exists() or not glob.has_magic(pattern):
            files = [path]
        else:
            files = [Path(one) for one in glob.glob(pattern, recursive=True) if Path(one).is_file()]
        if not files or not files[0].exists():
            raise FileError(
                pattern, "matches no image" if glob.has_magic(pattern) or path.is_dir() else "does not exist"
            )
        found.update(dict.fromkeys(sorted(files, key=_natural)))
    return list(found)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]


def _is_photo(path: Path) -> bool:
    """A PNG or JPEG file, otherwise a TIFF; raises FileError for everything else."""
    start = start_of(path)
    if start.startswith((*TIFF_STARTS, *PHOTO_STARTS)):
        return start.startswith(PHOTO_STARTS)
    problem = "is empty" if not start else "is not a TIFF, PNG, JPEG or video file"
    raise FileError(path, problem, "Convert other formats to OME-TIFF")


def _refuse_series(path: Path, series: int | None) -> None:
    if series not in (None, 0):
        raise FileError(path, f"has no series {series}", "A photograph or a video holds one image")


def start_of(path: Path) -> bytes:
    """The first bytes of a file; raises FileError if there is none that can be read."""
    try:
        if path.is_dir():
            raise FileError(path, "is a folder, not an image file")
        with path.open("rb") as file:
            return file.read(16)
    except FileNotFoundError:
        raise FileError(path, "does not exist") from None
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(path, f"cannot be opened: {error.strerror or error}") from error
