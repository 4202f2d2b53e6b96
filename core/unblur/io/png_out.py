"""PNG out: one grey or RGB plane of 8 or 16 bits, with alpha, colour profile and print resolution."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import DTypeLike

from unblur.errors import ImageError
from unblur.image import Image
from unblur.io.casting import cast, dtype_of, opacities, white_scale
from unblur.io.profiles import profile_of

HEADER = 33  # signature and IHDR; the chunks that follow must come before the pixels
METRES_PER_INCH = 0.0254
_COARSE = 16
"""Grey levels, in floating point before, of which fewer are hardly a picture."""


def check_png(image: Image, dtype: DTypeLike | None) -> None:
    """Raise ImageError if a PNG cannot hold the image."""
    _plane(image)
    _depth(image, dtype)


def write_png(path: Path, image: Image, dtype: DTypeLike | None) -> tuple[str, ...]:
    """Write a plane as PNG.

    Without ``dtype`` the depth is the original's: 8 bits up to a bit depth of 8, else 16, and 16 where the user said
    what is white. With the other depth, or another white, values are scaled so that white stays white, and a note says
    so. Raises ImageError if the image is no single plane, or if nothing says what value is white.
    """
    data, axes, alpha = _plane(image)
    white = image.white_level
    wanted = _depth(image, dtype)
    notes: list[str] = []
    scale = white_scale(image, wanted)
    if scale != 1:
        data = data.astype(np.float64) * scale
        notes.append(f"scaled by {scale:.6g}, so that white stays white in {wanted.name}")
    pixels, clipped = cast(data, wanted)
    notes.extend(clipped)
    levels = int(pixels.max()) - int(pixels.min())
    if data.dtype.kind == "f" and 0 < levels < _COARSE:
        notes.append(f"all values lie within {levels} grey levels; a TIFF keeps what is between them")
    if image.pixel_size:
        notes.append("PNG does not keep the pixel size")
    if alpha is not None:
        opacity = opacities(alpha, wanted, white or 1.0)
        pixels = np.concatenate(
            [pixels if axes == "YXS" else pixels[..., np.newaxis], opacity[..., np.newaxis]], axis=-1
        )
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels))
    path.write_bytes(encoded[:HEADER] + _chunks(image) + encoded[HEADER:])
    return tuple(notes)


def _plane(image: Image) -> tuple[np.ndarray, str, np.ndarray | None]:
    outer = [size for axis, size in image.sizes.items() if axis not in "YXS"]
    if any(size != 1 for size in outer) or image.data.size == 0:
        raise ImageError(
            f"PNG holds one plane, the image has shape {image.shape} ({image.axes}); write .ome.tif or .tif"
        )
    axes = "YXS" if image.is_rgb else "YX"
    left = "".join(axis for axis in image.axes if axis in axes)
    data = image.data.reshape([image.sizes[axis] for axis in left]).transpose([left.index(axis) for axis in axes])
    if image.alpha is None:
        return data, axes, None
    flat = left.replace("S", "")
    alpha = image.alpha.reshape([image.sizes[axis] for axis in flat])
    return data, axes, alpha.transpose([flat.index(axis) for axis in "YX"])


def _depth(image: Image, dtype: DTypeLike | None) -> np.dtype:
    if dtype is not None:
        wanted = dtype_of(dtype)
        if wanted not in (np.uint8, np.uint16):
            raise ImageError(f"PNG holds uint8 or uint16, not {wanted}; choose one, or write .ome.tif or .tif")
    elif image.given_white is not None:
        wanted = np.dtype(np.uint8 if image.given_white == 255 else np.uint16)
    elif image.bit_depth is not None:
        wanted = np.dtype(np.uint8 if image.bit_depth <= 8 else np.uint16)
    elif image.data.dtype in (np.uint8, np.uint16):
        wanted = image.data.dtype
    else:
        raise ImageError(
            f"PNG holds uint8 or uint16, the image is {image.data.dtype} and nothing says what is white; "
            "give a dtype (--dtype) or the white level (--white-level), or write .tif"
        )
    if image.data.dtype.kind == "f" and image.white_level is None and np.nanmax(image.data) <= 1:
        raise ImageError(f"values up to 1 would be black in {wanted}; multiply them first, or write .ome.tif or .tif")
    return wanted


def _chunks(image: Image) -> bytes:
    chunks = b""
    profile = profile_of(image)
    if profile is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    dpi = image.metadata.get("dpi")
    if dpi:
        per_metre = [round(float(value) / METRES_PER_INCH) for value in dpi]
        chunks += _chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    return chunks


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
