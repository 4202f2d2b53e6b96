"""What a task of a job looks at, as the driver takes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from unblur.planes import Task, micrometres, psf_for
from unblur.problem import Observation

if TYPE_CHECKING:
    from unblur.jobs import Job


def observation_of(job: Job, task: Task, kernel: np.ndarray | None) -> Observation:
    """The pixels of a task with their facts, and the kernel (1, *spatial) that it is handed, or the job's PSF."""
    planes = task.look(job.image, job.spatial)
    valid = _valid(job, task)
    if valid is not None:
        known = planes[valid > 0] if (valid > 0).any() else _known(job, task)  # of a tile without any: those around it
        planes = np.where(valid > 0, planes, known.mean(dtype=np.float64)).astype(np.float32)
    if job.psf is not None:
        kernel = psf_for(job.psf, task, job.image)
    return Observation(
        pixels=torch.from_numpy(planes),
        valid=None if valid is None else torch.from_numpy(valid),
        psf=None if kernel is None else torch.from_numpy(np.ascontiguousarray(kernel)),
        white_level=job.bound,
        levels=_levels(job, task),
        pixel_size=micrometres(job.image, job.spatial),
        camera=job.cameras.get(task.frames[0].get("C", 0)),
    )


def flat_kernel(spatial: str) -> np.ndarray:
    """Stands for a kernel that is yet to be found."""
    shape = (1, *(5 for _ in spatial))
    return np.full(shape, 1 / np.prod(shape), np.float32)


def _valid(job: Job, task: Task) -> np.ndarray | None:
    if job.findings.valid is None:
        return None
    return task.look(job.image.with_data(job.findings.valid), job.spatial)


def _levels(job: Job, task: Task) -> tuple[float, float] | None:
    """Those of the whole plane, or series, so that all of its tiles, or clips, have one intensity map."""
    if task.kept is not None and job.bound is None:
        place = {axis: at for axis, at in task.frames[0].items() if axis != "T"}
        key = tuple(sorted(place.items()))
        if key not in job.series_levels:
            job.series_levels[key] = _series_levels(job, place)
        return job.series_levels[key]
    if task.kind == "kernel" or task.window is None:
        return None
    known = _known(job, task)
    return float(known.min()), float(known.max())


def _series_levels(job: Job, place: Mapping[str, int]) -> tuple[float, float] | None:
    """The smallest and the largest value of a series that are known, frame by frame: it may lie on the disk."""
    low, high = np.inf, -np.inf
    valid = None if job.findings.valid is None else job.image.with_data(job.findings.valid)
    for time in range(job.image.sizes["T"]):
        frame = {**place, "T": time}
        pixels = job.image.plane(frame, job.spatial)
        known = pixels if valid is None else pixels[valid.plane(frame, job.spatial) > 0]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    return (low, high) if low <= high else None


def _known(job: Job, tile: Task) -> np.ndarray:
    """The pixels of a tile's whole plane that are known."""
    whole = dataclasses.replace(tile, window=None)
    pixels, valid = whole.look(job.image, job.spatial), _valid(job, whole)
    return pixels if valid is None else pixels[valid > 0]
