"""A camera's gain and offset, told from the image where the user does not know them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unblur.choice import CAMERA, in_every_segment
from unblur.errors import ImageError
from unblur.image import Image
from unblur.pipeline import Part, Pipeline

if TYPE_CHECKING:
    from torch import Tensor

    from unblur.planes import Task


def gain_and_offset(
    observed: Tensor, gain: float | None, offset: float | None, valid: Tensor | None = None
) -> tuple[float, float, str]:
    """Gain and offset, those that are given as they are, and a sentence for the report.

    Args:
        observed: (frames, channels, *spatial), in the camera's counts.
        gain: counts per photo-electron; estimated if None.
        offset: counts in darkness; estimated if None.
        valid: of its shape, above 0 where a pixel counts; all do if None.

    Raises:
        ImageError: the image does not tell.
    """
    from unblur.operators.noise import camera_estimate

    estimate = camera_estimate(observed, valid=valid)
    if gain is None:
        gain = estimate.gain if offset is None else estimate.gain_for(offset)
    mean = float(observed.mean() if valid is None else observed[valid.expand_as(observed) > 0].mean())
    if offset is not None and offset >= mean:
        raise ImageError(
            f"response 'camera': offset {offset:g}, what is read in darkness, is not below the image's mean, {mean:.4g}"
        )
    if math.isnan(gain) or math.isnan(estimate.gain):
        raise ImageError(
            "response 'camera': gain and offset cannot be told from this image, whose noise does not grow with its "
            "brightness; set forward_model.camera.gain and forward_model.camera.offset"
        )
    offset = estimate.offset_for(gain) if offset is None else offset
    said = f"gain {gain:.4g} per photon, offset {offset:.4g}, estimated from the image where not given"
    return gain, offset, f"camera: {said} (confidence {estimate.confidence:.2f})"


def with_cameras(
    pipeline: Pipeline,
    image: Image,
    tasks: Sequence[Task],
    spatial: str,
    valid: np.ndarray | None,
    constant: Sequence[Mapping[str, int]] = (),
    level: float | None = None,
) -> tuple[Pipeline, dict[int, tuple[float, float]], list[str]]:
    """The pipeline with the camera's numbers, or those of each of several channels, and what is to be said of them.

    They are told from the middle plane of each channel, so that all of its planes and tiles have the same. Planes that
    are `constant` tell nothing, and do not count. Of several channels one that does not tell is left out: where its
    planes do not either, they fail alone.

    Args:
        level: at which pixels are saturated, whose noise is cut off: they tell nothing.

    Raises:
        ImageError: the plane of a single channel does not tell.
    """
    unknown = _unknown(pipeline)
    several = image.sizes.get("C", 1) > 1
    channels: dict[int, list[Mapping[str, int]]] = {}
    for task in tasks if unknown else ():
        if task.kind == "plane" and task.frames[0] not in constant:
            channels.setdefault(task.frames[0].get("C", 0), []).append(task.frames[0])
    found: dict[int, tuple[float, float]] = {}
    said: list[str] = []
    for channel, frames in channels.items():
        try:
            gain, offset, words = _told(unknown[0].params, image, frames[len(frames) // 2], spatial, valid, level)
        except ImageError:
            if not several:
                raise
            continue
        found[channel] = gain, offset
        said.append(f"C={channel}: {words}" if several else words)
    if several or not found:
        return pipeline, found, said
    [(gain, offset)] = found.values()
    camera = Part(CAMERA, {**unknown[0].params, "gain": gain, "offset": offset})

    def changed(parts: Sequence[Part]) -> list[Part]:
        return [camera if part in unknown else part for part in parts]

    return in_every_segment(pipeline, changed), {}, said


def _unknown(pipeline: Pipeline) -> list[Part]:
    """The cameras of a pipeline with numbers to be told."""
    cameras = [part for one in pipeline.segments() for part in one.slots["forward_model"] if part.name == CAMERA]
    return [part for part in cameras if None in (part.params.get("gain"), part.params.get("offset"))]


def _told(
    given: Mapping[str, Any],
    image: Image,
    frame: Mapping[str, int],
    spatial: str,
    valid: np.ndarray | None,
    level: float | None,
) -> tuple[float, float, str]:
    """By a plane."""
    import torch

    observed = torch.from_numpy(np.nan_to_num(image.plane(frame, spatial), posinf=0, neginf=0))[None]
    known = None if valid is None else torch.from_numpy(image.with_data(valid).plane(frame, spatial))[None]
    if level is not None and bool((observed >= level).any()):
        below = observed < level
        known = below.to(observed.dtype) if known is None else known * below
    return gain_and_offset(observed, given.get("gain"), given.get("offset"), known)
