"""What is to be done with an image: a method or pipeline with its settings, as `unblur.Job` takes them. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unblur.choice import CameraValue
from unblur.pipeline import Pipeline


@dataclass(frozen=True)
class Request:
    """The arguments of a job, without the image.

    Attributes:
        method, pipeline: exactly one of them.
        settings: ``{"slot.part.parameter": value}``.
        psf: path of a file, or an `unblur.Image` made from a layer; None where the kernel is estimated or modelled.
        psf_name: what people call the PSF; requests are compared by it.
        psf_axes: of the PSF's file, where that does not say them. `centre_psf` moves its centroid to its origin.
        kernel_size: upper bound in pixels, one number or one per spatial axis; None leaves it to the pipeline.
        planes: ``auto``, ``independent``, ``shared-kernel``, ``volume`` or ``video``.
        anchors: positions of the planes that a shared kernel is estimated from; the middle one if None.
        crop: width in pixels of the window that a kernel is estimated in, or ``auto``; None for the whole image.
        clip_frames: frames of a video that are restored together.
        max_seconds: budget for the whole job.
        offset, gain: of the camera, in the image's units, and in these per photon; ``auto`` estimates them.
        white_level: the value that is white; None leaves it to the image.
        tile: width in pixels of the tiles that the image is restored in; None for the whole at once.
        nan: ``refuse`` or ``mask`` pixels that are NaN or infinite.
    """

    method: str | None = None
    pipeline: Pipeline | None = None
    preset: str = "balanced"
    settings: Mapping[str, Any] = field(default_factory=dict)
    psf: Any = field(default=None, compare=False)
    psf_name: str = ""
    psf_axes: str | None = None
    centre_psf: bool = False
    kernel_size: int | tuple[int, ...] | None = None
    planes: str = "auto"
    anchors: tuple[int, ...] | None = None
    crop: int | str | None = None
    clip_frames: int | None = None
    max_seconds: float | None = None
    offset: CameraValue = None
    gain: CameraValue = None
    white_level: float | None = None
    tile: int | None = None
    nan: str = "refuse"
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    def job_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `unblur.Job`."""
        return {
            "method": self.method,
            "pipeline": self.pipeline,
            "preset": self.preset,
            "settings": dict(self.settings),
            "psf": self.psf,
            "psf_axes": self.psf_axes,
            "centre_psf": self.centre_psf,
            "kernel_size": self.kernel_size,
            "planes": self.planes,
            "anchors": self.anchors,
            "crop": self.crop,
            "clip_frames": self.clip_frames,
            "max_seconds": self.max_seconds,
            "offset": self.offset,
            "gain": self.gain,
            "white_level": self.white_level,
            "tile": self.tile,
            "nan": self.nan,
            "seed": self.seed,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
        }
