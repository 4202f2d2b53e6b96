"""Time series from files, with their frames on the disk: never all of them in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from unblur.errors import FileError, ImageError
from unblur.image import Image, PixelSize
from unblur.io import reading
from unblur.io.scratch import stacked
from unblur.io.tiff import read_tiff
from unblur.io.video import is_video_start, read_video


def read_series(
    path: str | Path,
    *,
    axes: str | None = None,
    pixel_size: PixelSize | None = None,
    series: int | None = None,
    region: Mapping[str, tuple[int, int]] | None = None,
) -> Image:
    """Read a time series: a TIFF with a T axis, a video file, or a folder of images, the frames in natural order.

    The frames are in a temporary file (in `TMPDIR`), one after the other, or stay in the file of an uncompressed TIFF,
    which nobody may change as long as the image is used. ``axes`` are those of the whole series, T included; for a
    folder T comes first. Facts of a folder are those of its first image. ``region`` gives start and
    stop along some of the axes, of which only that part is used.

    Raises FileError if a file cannot be read or the frames of a folder differ; ResourceError if the disk has no room.
    """
    path = Path(path)
    return reading.part_of(_whole(path, axes, pixel_size, series), region or {}, path)


def _whole(path: Path, axes: str | None, pixel_size: PixelSize | None, series: int | None) -> Image:
    if path.is_dir():
        return _folder(path, axes, pixel_size)
    start = reading.start_of(path)
    if is_video_start(start):
        return read_video(path, axes, pixel_size)
    if start.startswith(reading.TIFF_STARTS):
        return read_tiff(path, axes, pixel_size, series, False, on_disk=True)
    return reading.read(path, axes=axes, pixel_size=pixel_size, series=series)


def _folder(path: Path, axes: str | None, pixel_size: PixelSize | None) -> Image:
    files = reading.expand([path])
    named = None if axes is None else axes.upper()
    if named is not None and not named.startswith("T"):
        raise FileError(path, f"is a folder of frames, whose first axis is T, not {axes[0] if axes else ''}")
    each = None if named is None else named[1:]
    first = reading.read(files[0], axes=each)
    if "T" in first.axes:
        raise FileError(
            path, f"is a folder of series: {files[0].name} has a T axis itself", "Give the files one by one"
        )

    def frames() -> object:
        for file in files:
            image = reading.read(file, axes=each)
            if image.axes != first.axes:
                raise ImageError(f"{file}: has axes {image.axes}, the first frame {first.axes}")
            yield image.data

    try:
        data: np.ndarray = stacked(frames(), path)  # type: ignore[arg-type]
    except ImageError as error:
        raise FileError(path, str(error)) from None
    notes = [f"{len(files)} files are frames of one series, in the order {files[0].name} … {files[-1].name}"]
    if first.alpha is not None:
        notes.append("alpha is not carried over from the files of a series")
    whole = replace(
        first,
        data=data,
        axes="T" + first.axes,
        alpha=None,
        source=str(path),
        status={**first.status, "T": "missing"},
        notes=(*first.notes, *notes),
    )
    return whole.with_pixel_size(pixel_size)
