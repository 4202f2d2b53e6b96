"""`unblur.deblur`: an image in, the restored image, its kernel and a report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unblur.choice import KernelSize
from unblur.crop import Crop
from unblur.image import Image, PixelSize
from unblur.jobs import Job, JobEvent
from unblur.pipeline import Pipeline
from unblur.planes import Planes
from unblur.registry import Registry
from unblur.results import Result

if TYPE_CHECKING:
    from unblur.compute import Precision
    from unblur.driver import CancelToken

__all__ = ["Job", "JobEvent", "Result", "deblur"]


def deblur(
    image: np.ndarray | Image,
    *,
    method: str | None = None,
    pipeline: Pipeline | str | Path | None = None,
    preset: str = "balanced",
    settings: Mapping[str, Any] | None = None,
    psf: Any = None,
    kernel_size: KernelSize = None,
    axes: str | None = None,
    pixel_size: PixelSize | None = None,
    planes: Planes = "auto",
    crop: Crop | None = None,
    max_seconds: float | None = None,
    plan: Any = None,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Callable[[JobEvent], None] | None = None,
    cancel: CancelToken | None = None,
    registry: Registry | None = None,
    **more: Any,
) -> Result:
    """Deblur an image.

    Args:
        image: (Y, X), or more dimensions with `axes` (letters of TCZYXS); any real dtype.
        method: a name of `unblur methods`; without it and without `pipeline`, `unblur.choice.choose_method` decides.
        pipeline: a composition of your own, or the path of a TOML file.
        settings: ``{"slot.part.parameter": value}``, as `Pipeline.set` takes them.
        psf: known kernel, origin at floor(n / 2): an array, an `Image`, a `Psf` of `unblur.io.prepare_psf`, or a path.
        kernel_size: upper bound of the kernel's size in pixels, one number or one per spatial axis.
        pixel_size: of Y and X, or one per spatial axis, in micrometres.
        planes: ``auto``, ``independent``, ``shared-kernel``, ``volume`` or ``video``.
        crop: estimate the kernel in a window of so many pixels, or ``auto``, and restore the whole image with it.
        max_seconds: budget for the whole image; it is turned into a plan of steps once, from the measured pace.
        plan: of a former report (``report["plan"]``), or steps per stage: repeats that run whatever the time it takes.
        checkpoint: folder for checkpoints; `resume` goes on from there, `force` even if it belongs to other settings.
        progress: called with every event.
        more: further arguments of `Job`.

    Returns:
        `Result` with `.image` and `.uncertainty` in the shape and units of the input, `.kernel` and `.report`.

    Raises:
        UnblurError: whatever a user can act on (see `unblur.errors`); a plane of a stack that fails is NaN instead.
    """
    job = Job(
        image,
        method=method,
        pipeline=pipeline,
        preset=preset,
        settings=settings,
        psf=psf,
        kernel_size=kernel_size,
        axes=axes,
        pixel_size=pixel_size,
        planes=planes,
        crop=crop,
        max_seconds=max_seconds,
        plan=plan,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
        checkpoint=checkpoint,
        force=force,
        cancel=cancel,
        registry=registry,
        **more,
    )
    for event in job.events(resume=resume):
        if progress is not None:
            progress(event)
    return job.result
