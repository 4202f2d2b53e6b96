"""Video: a series cut into clips of consecutive frames, each a run of its own, and the series that they make again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from unblur.composition import resolve
from unblur.errors import CompositionError, ImageError, ParameterError
from unblur.image import PLANE, Image, Index
from unblur.io.scratch import on_disk, scratch
from unblur.pipeline import Pipeline
from unblur.planes import Task
from unblur.registry import Registry

FRAMES = 12
"""Frames that are restored together, where nothing else is asked for."""

LEAST = 3
"""Frames that a clip looks at, where the series has them: one with both neighbours."""


def is_video(pipeline: Pipeline, registry: Registry) -> bool:
    """Whether a pipeline explains frames by those before and after them."""
    model = resolve(pipeline.in_stage(pipeline.stages[0]), registry).base("forward_model")
    return "video" in model.registered.component.provides


def video_mode(planes: str, image: Image, pipeline: Pipeline, psf: bool, registry: Registry) -> tuple[str, list[str]]:
    """The mode ``video``, and what was assumed.

    Raises:
        CompositionError: the pipeline explains no video.
        ParameterError: other planes were asked for, or a PSF was given.
    """
    model = pipeline.slots["forward_model"][0].name
    if not is_video(pipeline, registry):
        able = [name for name, one in registry.components("forward_model").items() if "video" in one.component.provides]
        raise CompositionError(
            f"planes are video, but forward model {model!r} explains every frame by itself; "
            f"what would fit: {', '.join(able) or 'nothing that is registered'}"
        )
    if planes not in ("auto", "video"):
        raise ParameterError(f"planes = {planes!r}: forward model {model!r} needs consecutive frames; leave planes out")
    if psf:
        raise ParameterError(f"a PSF was given, but forward model {model!r} blurs along the motion between the frames")
    said = ["the frames along T follow each other at equal intervals"]
    if "C" in image.axes:
        said.append("every channel is restored on its own")
    return "video", said


def clips(image: Image, length: int | None) -> list[Task]:
    """The tasks of a series: clips of at most `length` frames of each channel and plane.

    A clip also looks at the frames beside it, so that each of its own has neighbours. The clips of a series are of
    nearly the same length, and none has fewer than three frames to look at unless the series does.

    Raises:
        ImageError: the image has no T axis.
        ParameterError: a length below one.
    """
    if "T" not in image.axes:
        raise ImageError(
            f"frames are explained by those before and after them, but the image has axes {image.axes}; give a series "
            "with a T axis (--axes TYX), a folder of frames or a video"
        )
    length = FRAMES if length is None else length
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ParameterError(f"clip_frames = {length!r}: expected a whole number, at least 1")
    total = image.sizes["T"]
    count = math.ceil(total / length)
    bounds = [round(total * number / count) for number in range(count + 1)]
    tasks = []
    for place in _places(image):
        for start, stop in itertools.pairwise(bounds):
            first, last = max(0, start - 1), min(total, stop + 1)
            first = max(0, min(first, last - LEAST))
            last = min(total, max(last, first + LEAST))
            frames = tuple(_ordered(image, place | {"T": frame}) for frame in range(first, last))
            index = _ordered(image, place | {"T": start})
            tasks.append(Task("plane", index, frames, kept=(start - first, stop - first)))
    return tasks


def _places(image: Image) -> list[Index]:
    found = {tuple((axis, at) for axis, at in index.items() if axis != "T"): None for index in image.indices(PLANE)}
    return [dict(place) for place in found]


def _ordered(image: Image, index: Index) -> Index:
    return {axis: index[axis] for axis in image.axes if axis in index}


class Series:
    """The restored frames, their flow and their uncertainty, as they come; on the disk where the input is.

    The flow has the shape (…, T, 4, Y, X): for each frame with two neighbours u and v in pixels from the one before,
    then from the one after; NaN elsewhere.
    """

    def __init__(self, image: Image) -> None:
        self.source = image
        self.image = self._empty(image.shape)
        self.spread: np.ndarray | None = None
        outer = [image.sizes[axis] for axis in self._outer]
        self.flow = self._empty((*outer, 4, image.sizes["Y"], image.sizes["X"]))

    @property
    def _outer(self) -> str:
        """The axes of the flow's places. A letter must be left for its components: of three, one of size 1 goes."""
        outer = [axis for axis in self.source.axes if axis not in PLANE + "S"]
        if len(outer) == len("TCZ"):
            outer.remove(next(axis for axis in outer if self.source.sizes[axis] == 1))
        return "".join(outer)

    @property
    def flow_axes(self) -> str:
        """A letter for each dimension of the flow."""
        free = next(letter for letter in "CZT" if letter not in self._outer)
        return self._outer + free + PLANE

    def _empty(self, shape: tuple[int, ...]) -> np.ndarray:
        if not on_disk(self.source.data):
            return np.full(shape, np.nan, np.float32)
        made = scratch(shape, np.float32)
        for part in made:
            part[...] = np.nan
        return made

    def take(self, task: Task, image: np.ndarray, flow: np.ndarray | None, spread: np.ndarray | None) -> None:
        """What a task gave for the frames that it keeps: (kept, channels, *spatial); the flow is that of its clip."""
        assert task.kept is not None
        if spread is not None and self.spread is None:
            self.spread = self._empty(self.source.shape)
        start, stop = task.kept
        for number, position in enumerate(range(start, stop)):
            index = task.frames[position]
            self._place(self.image, index, image[number])
            if spread is not None and self.spread is not None:
                self._place(self.spread, index, spread[number])
            if flow is not None and (part := flow[4 * (position - 1) : 4 * position] if position else flow[:0]).size:
                self.flow[tuple(index[axis] for axis in self._outer)][: len(part)] = part

    def _place(self, whole: np.ndarray, index: Mapping[str, Any], plane: np.ndarray) -> None:
        image = self.source
        named = "S" + PLANE if image.is_rgb else PLANE
        values = plane if image.is_rgb else plane[0]
        order = [named.index(axis) for axis in image.axes if axis in named]
        whole[tuple(index.get(axis, slice(None)) for axis in image.axes)] = values.transpose(order)
