"""Images from files, by what the files hold and not by how they are called."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from unblur.errors import FileError
from unblur.image import Image, PixelSize
from unblur.io.photo import read_photo
from unblur.io.tiff import read_tiff

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
) -> Image:
    """Read a TIFF (plain, BigTIFF, ImageJ, OME), PNG or JPEG file.

    ``axes`` overrides what the file says, one letter of TCZYXS per dimension; it is needed where the file does not say
    what its dimensions are. ``pixel_size`` is one number for Y and X, one per spatial axis, or a mapping by axis
    letter. ``series`` chooses among images that differ; ``multi_file`` follows an OME-TIFF to the other files of its
    set, in the same folder. Dimensions of size one that the file adds are left out.

    Raises FileError if the file cannot be read, is cut, or claims what it does not hold, and where a choice is missing;
    ResourceError if the image would not fit in memory. Both are raised before pixels are read where the header tells.
    """
    path = Path(path)
    start = _start(path)
    if start.startswith(TIFF_STARTS):
        return read_tiff(path, axes, pixel_size, series, multi_file)
    if start.startswith(PHOTO_STARTS):
        if series not in (None, 0):
            raise FileError(path, f"has no series {series}", "A photograph holds one image")
        return read_photo(path, axes, pixel_size)
    problem = "is empty" if not start else "is not a TIFF, PNG or JPEG file"
    raise FileError(path, problem, "Convert other formats to OME-TIFF")


def expand(patterns: Iterable[str | Path]) -> list[Path]:
    """The files that names, folders and patterns such as ``plate/*.tif`` stand for, each once.

    The patterns keep their order; within one, files are in natural order (t2 before t10). A folder stands for the
    images in it, not in its subfolders. Raises FileError for a pattern that stands for nothing.
    """
    found: dict[Path, None] = {}
    for pattern in map(str, patterns):
        path = Path(pattern)
        if path.is_dir():
            files = [one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and not one.name.startswith(".")]
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


def _start(path: Path) -> bytes:
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
