"""Video files in and out, through PyAV, which the extra `video` installs."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from unblur.errors import FileError, ImageError
from unblur.image import SECONDS, Image, PixelSize, check_axes
from unblur.io.casting import cast, dtype_of, white_scale
from unblur.io.scratch import stacked

VIDEO = (".mkv", ".mp4", ".mov", ".avi")
"""What can be written: FFV1 without loss in the first and the last, H.264 in the others."""

LOSSLESS = (".mkv", ".avi")

QUALITY = "12"
"""Constant rate factor of H.264: hardly any loss that can be seen."""

BT709, LIMITED = 1, 1
"""FFmpeg's numbers for the colours of high definition, and for levels from 16 to 235: what players expect."""

USUAL_RATE = Fraction(25)
"""Frames per second, where the series does not say."""


STILLS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
"""Brands of photographs in the container of MP4."""


def is_video_start(start: bytes) -> bool:
    """Whether a file that begins so is a video: MP4, QuickTime, Matroska, WebM, AVI or MPEG."""
    if start[4:8] == b"ftyp" and start[8:12] in STILLS:
        return False
    return (
        start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
        or start.startswith((b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"))
        or (start.startswith(b"RIFF") and start[8:12] == b"AVI ")
    )


def library(path: str | Path) -> Any:
    """PyAV.

    Raises:
        FileError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise FileError(path, "is a video, for which PyAV is needed", 'pip install "napari-deblur[video]"') from error
    return av


def read_video(path: Path, axes: str | None = None, pixel_size: PixelSize | None = None) -> Image:
    """Read a video file, frame by frame, into an array on the disk with axes TYX (grey) or TYXS.

    More than eight bits become sixteen. The interval between frames is the pixel size along T.

    Raises:
        FileError: no video that can be decoded, or PyAV is not installed.
    """
    av = library(path)
    notes = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FileError(path, "holds no video")
            stream = container.streams.video[0]
            if len(container.streams.video) > 1:
                notes.append(f"holds {len(container.streams.video)} videos: the first one is read")
            if container.streams.audio:
                notes.append("the sound is not carried over")
            if any(component.is_alpha for component in stream.codec_context.format.components):
                notes.append("the opacity is not carried over")
            if (aspect := stream.sample_aspect_ratio) not in (None, 0, 1):
                notes.append(f"its pixels are {float(aspect):.4g} times as wide as high, which is not carried over")
            grey, deep = _kind(stream)
            form = ("gray16le" if deep else "gray") if grey else ("rgb48le" if deep else "rgb24")
            turns: set[int] = set()
            data = stacked(_upright(container.decode(stream), form, turns), path)
            if turns - {0}:
                notes.append("turned upright as its rotation asks")
            rate, codec = stream.average_rate, stream.codec_context.name
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, FileError | ImageError):
            raise
        reason = str(error)[:120]
        raise FileError(
            path, f"cannot be decoded ({reason})", "The file is cut, damaged or of an unknown kind"
        ) from error
    named = "TYX" if grey else "TYXS"
    if axes is not None and axes.upper() != named:
        raise FileError(path, f"is a video with axes {named}, not {axes}", "Leave axes out")
    check_axes(named, data.shape)
    image = Image(
        data,
        named,
        pixel_size={"T": float(1 / rate)} if rate else {},
        units={"T": "s"} if rate else {},
        status={"axes": "read", **({"T": "read"} if rate else {})},
        source=str(path),
        bit_depth=16 if deep else 8,
        notes=tuple(notes),
        metadata={"codec": codec, **({"frame_rate": str(rate)} if rate else {})},
    )
    return image.with_pixel_size(pixel_size)


def _upright(frames: Iterable[Any], form: str, turns: set[int]) -> Iterator[np.ndarray]:
    """Frames as they are meant to be seen; `turns` gets the quarter turns to the left that they needed."""
    for frame in frames:
        turn = round(getattr(frame, "rotation", 0) / 90) % 4
        turns.add(turn)
        yield np.rot90(frame.to_ndarray(format=form), turn)


def _kind(stream: Any) -> tuple[bool, bool]:
    """Whether a stream is grey, and whether it has more than eight bits."""
    form = stream.codec_context.format
    return len(form.components) == 1 and not form.has_palette, max(component.bits for component in form.components) > 8


def write_video(path: Path, image: Image, dtype: DTypeLike | None = None) -> tuple[str, ...]:
    """Write a series as a video; the codec follows from the name (see `VIDEO`).

    Grey and RGB, in the bits of the original: eight, or in a file without loss up to sixteen. Intensities are rounded
    and clipped, and notes count how many. In another depth, or where the user said what is white, they are scaled so
    that white stays white.

    Raises:
        ImageError: no series of planes, or nothing says what value is white.
        FileError: PyAV is not installed or has no such codec.
    """
    av = library(path)
    wanted = _depth(path, image, dtype)
    lossless = path.suffix.lower() in LOSSLESS
    height, width = image.sizes["Y"], image.sizes["X"]
    notes = []
    clipped = missing = 0
    scale = white_scale(image, wanted)
    if scale != 1:
        notes.append(f"scaled by {scale:.6g}, so that white stays white in {wanted.name}")
    rate = frame_rate(image)
    if rate is None:
        rate = USUAL_RATE
        notes.append(f"the interval between frames is not known: {float(rate):g} frames per second are written")
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1" if lossless else "libx264", rate=rate)
            stream.width, stream.height = width, height
            stream.pix_fmt = _pixel_format(image, wanted, lossless, height, width)
            if not lossless:
                stream.options = {"crf": QUALITY}
                context = stream.codec_context
                context.colorspace = context.color_primaries = context.color_trc = BT709
                context.color_range = LIMITED
            for plain in _frames(image):
                frame = plain if scale == 1 else plain.astype(np.float64) * scale
                missing += int(np.count_nonzero(np.isnan(frame)))
                limits = np.iinfo(wanted)
                rounded = np.rint(np.nan_to_num(frame.astype(np.float64)))
                clipped += int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
                pixels, _ = cast(np.nan_to_num(frame), wanted)
                form = {(False, 1): "gray", (False, 2): "gray16le", (True, 1): "rgb24", (True, 2): "rgb48le"}
                kind = form[image.is_rgb, wanted.itemsize]
                made = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
                if not lossless and image.is_rgb:
                    made = made.reformat(format=stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
                container.mux(stream.encode(made))
            container.mux(stream.encode())
    except (av.error.FFmpegError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise FileError(
                path, "cannot be written: no space left on the device", "The output is unchanged"
            ) from error
        raise FileError(path, f"cannot be encoded ({str(error)[:120]})", "Choose .mkv or .tif") from error
    if missing:
        notes.append(f"{missing} pixels without a result (NaN) are written as 0")
    if clipped:
        notes.append(f"{clipped} values were clipped to the range of {wanted.name}")
    if not lossless:
        notes.append("H.264 loses a little; .mkv (FFV1) and .tif do not")
    if set(image.pixel_size) - {"T"}:
        notes.append("a video does not keep the pixel size")
    return tuple(notes)


def check_video(path: Path, image: Image, dtype: DTypeLike | None) -> None:
    """Raise ImageError if a video of this name cannot hold the image."""
    _depth(path, image, dtype)


def frame_rate(image: Image) -> Fraction | None:
    """Frames per second: from the interval along T, if the user gave it, else from the file or that interval."""
    if image.metadata.get("frame_rate") and image.status.get("T") != "given":
        return Fraction(str(image.metadata["frame_rate"]))
    seconds = SECONDS.get(image.units.get("T", "s"))
    if "T" not in image.pixel_size or seconds is None:
        return None
    return Fraction(1 / (image.pixel_size["T"] * seconds)).limit_denominator(1_000_000)


def _frames(image: Image) -> Iterator[np.ndarray]:
    """One frame after the other, (Y, X) or (Y, X, 3)."""
    order = "TYXS" if image.is_rgb else "TYX"
    yield from image.data.transpose([image.axes.index(axis) for axis in order])


def _depth(path: Path, image: Image, dtype: DTypeLike | None) -> np.dtype:
    if set(image.axes) - set("TYXS") or "T" not in image.axes:
        raise ImageError(f"a video holds a series of grey or RGB planes, the image has axes {image.axes}; write .tif")
    lossless = path.suffix.lower() in LOSSLESS
    if dtype is not None:
        wanted = dtype_of(dtype)
    elif image.white_level is not None:
        wanted = np.dtype(np.uint8 if image.white_level <= 255 else np.uint16)
    else:
        raise ImageError("nothing says what value is white in these frames; ask for a dtype (--dtype), or write .tif")
    if wanted not in (np.uint8, np.uint16) or (wanted == np.uint16 and not lossless):
        held = "uint8 or uint16" if lossless else "uint8"
        raise ImageError(f"{path.suffix} holds {held}, not {wanted}; choose one, or .mkv or .tif")
    return wanted


def _pixel_format(image: Image, wanted: np.dtype, lossless: bool, height: int, width: int) -> str:
    if lossless:
        deep = wanted == np.uint16
        return ("gbrp16le" if deep else "bgr0") if image.is_rgb else ("gray16le" if deep else "gray")
    return "yuv420p" if height % 2 == width % 2 == 0 else "yuv444p"
