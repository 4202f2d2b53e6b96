"""The user's own pairs of blurred and sharp frames, from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from unblur.components import Batch
from unblur.errors import FileError, ImageError
from unblur.image import Image
from unblur.io import expand, read_series
from unblur.problem import Problem
from unblur_reblur.pairs import Pairs

BLURRED, SHARP = "blurred", "sharp"
SMALLEST = 16
"""Side of a pair at least, in pixels."""


class OwnPairs(Pairs):
    """Pairs of a folder that holds `blurred` and `sharp`: sub-folders of images, or a TIFF or video file of each name.

    The frames lie on the disk, and each is brought into the problem's units when it is asked for: that of a photograph
    by its own white level, others as the frames that are restored. Colours are averaged for grey frames, and grey is
    shown as grey colours.

    Args:
        folder: with both series, which have the same shape, and as folders the same names.
        problem: whose channels and intensities the pairs get.

    Raises:
        FileError: no such folder, none of that name in it, or a file that cannot be read.
        ImageError: series that do not belong together, are too small or not 2-D, or have values that do not fit.
    """

    def __init__(self, folder: Path, problem: Problem) -> None:
        self._problem = problem
        paths = [_part(folder, name) for name in (BLURRED, SHARP)]
        self._blurred, self._sharp = (_read(path) for path in paths)
        _check_alike(paths, (self._blurred, self._sharp))
        self._frames = list(self._blurred.indices())
        for path, image in zip(paths, (self._blurred, self._sharp), strict=True):
            self._check_values(path, image)

    def __len__(self) -> int:
        return len(self._frames)

    def pair(self, number: int) -> Batch:
        return Batch(self._frame(self._blurred, number), truth=self._frame(self._sharp, number))

    def _frame(self, image: Image, number: int) -> Tensor:
        """(1, channels, height, width) in the problem's units."""
        context, channels = self._problem.context, self._problem.batch.observed.shape[1]
        found = self._scaled(image, context.compute.tensor(image.plane(self._frames[number]))[None])
        if found.shape[1] == channels:
            return found
        return found.mean(1, keepdim=True).expand(-1, channels, -1, -1)

    def _scaled(self, image: Image, frame: Tensor) -> Tensor:
        context, intensity = self._problem.context, self._problem.intensity
        white = image.white_level if context.bounded else None
        levels = frame.new_tensor([0.0, 0.0 if white is None else white])
        for response in intensity.responses:
            frame, levels = response.calibrate(frame, context), response.calibrate(levels, context)
        return (frame - intensity.offset) / (intensity.peak if white is None else levels[1])

    def _check_values(self, path: Path, image: Image) -> None:
        for number, frame in enumerate(self._frames):
            if not np.isfinite(image.plane(frame)).all():
                raise ImageError(f"{path}: frame {number} has values that are not finite")
            if self._problem.context.bounded and (top := float(self._frame(image, number).max())) > 1.01:
                raise ImageError(
                    f"{path}: frame {number} is {top:.3g} times as bright as white; pairs without a white level of "
                    "their own need the units of the frames that are restored"
                )


def _part(folder: Path, name: str) -> Path:
    """The sub-folder or file of this name."""
    if not folder.is_dir():
        raise FileError(folder, "is no folder of pairs", f"It has to hold {BLURRED}/ and {SHARP}/")
    found = sorted(one for one in folder.iterdir() if one.name.split(".")[0] == name)
    if len(found) != 1:
        names = f": {', '.join(one.name for one in found)}" if found else ""
        raise FileError(
            folder,
            f"holds {len(found) or 'nothing'} of the name {name!r}{names}",
            f"Pairs are a folder with {BLURRED} and {SHARP}, each a folder of images, a TIFF or a video",
        )
    return found[0]


def _read(path: Path) -> Image:
    image = read_series(path)
    if not set(image.axes) <= set("TYXS"):
        raise ImageError(f"{path}: has axes {image.axes}; pairs are frames, grey or RGB, with axes T, Y, X and S")
    return image


def _check_alike(paths: Sequence[Path], images: Sequence[Image]) -> None:
    (first, second), (blurred, sharp) = paths, images
    if blurred.sizes != sharp.sizes:
        raise ImageError(f"{first} has {_words(blurred)}, and {second} {_words(sharp)}; each frame needs its pair")
    if min(blurred.sizes["Y"], blurred.sizes["X"]) < SMALLEST:
        raise ImageError(f"{first}: has {_words(blurred)}; pairs are at least {SMALLEST} pixels wide and high")
    if first.is_dir() and second.is_dir():
        for one, other in zip(expand([first]), expand([second]), strict=True):
            if one.stem != other.stem:
                raise ImageError(f"{one} has no pair: {second} has {other.name} in its place; pairs have the same name")


def _words(image: Image) -> str:
    return ", ".join(f"{axis} {size}" for axis, size in image.sizes.items())
