"""What is to be done with an image: a method or pipeline with its settings, as `unblur.Job` takes them. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unblur.pipeline import Pipeline


@dataclass(frozen=True)
class Request:
    """The arguments of a job, without the image.

    Attributes:
        method, pipeline: exactly one of them.
        settings: ``{"slot.part.parameter": value}``.
        psf: path of a file, or an `unblur.Image` made from a layer; None where the kernel is estimated or modelled.
        psf_name: what people call the PSF; requests are compared by it. `centre_psf` moves its centroid to its origin.
        kernel_size: upper bound in pixels, one number or one per spatial axis; None leaves it to the pipeline.
        planes: ``auto``, ``independent``, ``shared-kernel`` or ``volume``.
        anchors: positions of the planes that a shared kernel is estimated from; the middle one if None.
        max_seconds: budget for the whole job.
    """

    method: str | None = None
    pipeline: Pipeline | None = None
    preset: str = "balanced"
    settings: Mapping[str, Any] = field(default_factory=dict)
    psf: Any = field(default=None, compare=False)
    psf_name: str = ""
    centre_psf: bool = False
    kernel_size: int | tuple[int, ...] | None = None
    planes: str = "auto"
    anchors: tuple[int, ...] | None = None
    max_seconds: float | None = None
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
            "centre_psf": self.centre_psf,
            "kernel_size": self.kernel_size,
            "planes": self.planes,
            "anchors": self.anchors,
            "max_seconds": self.max_seconds,
            "seed": self.seed,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
        }
