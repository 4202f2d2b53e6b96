"""PNG and JPEG in: Pillow reads the header, imagecodecs decodes PNG, because Pillow reduces 16-bit RGB to 8 bits."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image

from unblur.errors import FileError, ImageError, ResourceError, UnblurError
from unblur.image import Image, PixelSize
from unblur.io.header import Header
from unblur.io.limits import check_claim
from unblur.io.orientation import EXCHANGED, TURNED, upright

ORIENTATION = 0x0112
DEPTH_BYTE = 24  # bits per sample in the header of a PNG
MODES = {"L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I"}
MOST_COMPRESSED = {"PNG": 1040.0, "JPEG": float("inf"), "MPO": float("inf")}
REFUSED = {
    "P": "holds palette indices, not intensities",
    "PA": "holds palette indices, not intensities",
    "1": "holds black and white only (1 bit), a mask",
    "CMYK": "holds ink values (CMYK)",
}


def read_photo(path: Path, axes: str | None, pixel_size: PixelSize | None) -> Image:
    """Read a PNG or JPEG file; see :func:`unblur.io.read`."""
    with _opened(path) as opened:
        return _read(path, opened, axes, pixel_size)


def photo_header(path: Path) -> Header:
    """The facts of a PNG or JPEG file; see :func:`unblur.io.read_header`."""
    with _opened(path) as opened:
        samples = len(opened.getbands())
        deep = opened.format == "PNG" and path.read_bytes()[DEPTH_BYTE] == 16
        dtype = np.dtype(np.uint16 if deep else np.uint8)
        shape = (opened.height, opened.width, *((samples,) if samples > 1 else ()))
        return Header(shape, dtype, "YXS" if samples > 1 else "YX", bit_depth=8 * dtype.itemsize)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PIL.Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(path, formats=["PNG", "JPEG", "MPO"]) as opened:
                yield opened
    except UnblurError:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise FileError(path, "claims more pixels than a photograph has", "Save it as TIFF if that is right") from error
    except MemoryError as error:
        raise ResourceError(f"{path}: not enough memory to read it. Crop or downsample it first") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:120]}"
        raise FileError(path, f"cannot be decoded ({reason})", "The file is cut or damaged") from error


def _read(path: Path, opened: PIL.Image.Image, axes: str | None, pixel_size: PixelSize | None) -> Image:
    kind, notes = str(opened.format), []
    if opened.mode not in MODES:
        raise FileError(path, REFUSED.get(opened.mode, f"holds {opened.mode} pixels"), "Convert it to grey or RGB")
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and kind != "MPO":
        raise FileError(
            path, f"is an animation of {frames} frames", "Save the frames as one TIFF with axes TYX or TYXS"
        )
    if frames > 1:
        notes.append(f"holds {frames} pictures: the first one is read")
    shape = (opened.height, opened.width, len(opened.getbands()))
    sample_bytes = 2 if opened.mode.startswith("I") else 1
    check_claim(path, shape, sample_bytes, path.stat().st_size, MOST_COMPRESSED[kind])
    exif = opened.getexif()
    orientation = int(exif.get(ORIENTATION, 1))
    if set(exif) - {ORIENTATION}:
        notes.append("EXIF data other than the orientation is not carried over")
    data = imagecodecs.png_decode(path.read_bytes()) if kind == "PNG" else np.asarray(opened)
    if data.ndim == 3 and data.shape[-1] == 1:
        data = data[..., 0]
    named = "YX" if data.ndim == 2 else "YXS"
    if orientation in TURNED:
        data = upright(data, named, orientation)
        notes.append(f"turned upright as its EXIF orientation ({orientation}) asks")
    if axes is not None and axes.upper() != named:
        raise FileError(path, f"is a photograph with axes {named}, not {axes}", "Leave axes out")
    metadata: dict[str, Any] = {key: opened.info[key] for key in ("dpi", "icc_profile") if opened.info.get(key)}
    if "dpi" in metadata and orientation in EXCHANGED:
        metadata["dpi"] = tuple(reversed(metadata["dpi"]))
    try:
        image = Image.from_array(data, named, pixel_size)
    except ImageError as error:
        raise FileError(path, str(error)) from None
    return replace(
        image,
        source=str(path),
        bit_depth=8 * data.dtype.itemsize,
        status={**image.status, "axes": "read"},
        notes=(*notes, *image.notes),
        metadata=metadata,
    )
