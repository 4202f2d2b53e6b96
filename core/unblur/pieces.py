"""What one task of a job gave, as arrays and a row of the report, and the result that all of them make."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unblur import report as reports
from unblur.calibration import calibration_of, uncertainty_facts
from unblur.components import Component
from unblur.errors import DivergedError, PluginError, ResourceError, UnblurError, described
from unblur.image import PLANE
from unblur.kernel_grid import KernelGrid
from unblur.operators.missing import filled
from unblur.operators.noise import noise_std, tells_noise
from unblur.planes import Task, psf_axes, psf_for
from unblur.records import SLOTS
from unblur.registry import Registry
from unblur.results import Result, stack_kernels
from unblur.tiles import merged

if TYPE_CHECKING:
    from unblur.clips import Series
    from unblur.driver import Outcome
    from unblur.jobs import Job


@dataclass
class Piece:
    """Image and spread (channels, *spatial), kernel (count, *spatial), and the row of the report."""

    record: dict[str, Any]
    image: np.ndarray | None = None
    kernel: np.ndarray | None = None
    spread: np.ndarray | None = None

    def belongs_to(self, task: Task) -> bool:
        """Whether it is what that task gave, as far as its place says so."""
        wanted = _record(task, "")
        places = [{**row, "window": {**row.get("window", {}), "reason": ""}} for row in (self.record, wanted)]
        return all(places[0].get(key) == places[1][key] for key in ("kind", "index", "window"))

    def into(self, series: Series, task: Task) -> Piece:
        """Of a clip: its frames put where they belong, and the row that is left."""
        if self.image is not None:
            series.take(task, self.image, self.kernel, self.spread)
        return Piece(self.record)


def not_run(task: Task) -> Piece:
    """Of a task that was not begun."""
    return Piece(_record(task, "not run"))


def unknown(task: Task) -> Piece:
    """Of a plane, or a tile, none of whose pixels counts."""
    record = _record(task, "unknown")
    record["warnings"].append("no pixel counts here: nothing is restored")
    return Piece(record)


def failed(task: Task, error: str) -> Piece:
    """Of a task that ended with an error."""
    return Piece(_record(task, "failed") | {"error": error})


def unchanged(job: Job, task: Task) -> Piece:
    """Of a constant plane, which is returned as it is."""
    record = _record(task, "constant")
    record["warnings"].append("the plane is constant: returned unchanged")
    kernel = psf_for(job.psf, task, job.image) if job.psf else np.ones((1, *(1 for _ in job.spatial)), np.float32)
    if task.kept is not None:
        planes = [job.image.plane(frame, job.spatial) for frame in task.frames[slice(*task.kept)]]
        return Piece(record, np.stack(planes))
    return Piece(record, task.look(job.image, job.spatial)[0], kernel)


def finished(job: Job, task: Task, outcome: Outcome) -> Piece:
    """Of a task that ran to its end, or until the job was cancelled."""
    kernel = outcome.estimate.kernel.detach().float().cpu().numpy()
    image = outcome.estimate.image.detach().float().cpu().numpy()
    spread = outcome.estimate.spread
    cancelled = job.cancel is not None and outcome.reason == job.cancel.reason
    estimated = reports.learns_kernel(job.pipelines[task.kind], job.registry)
    kept = slice(*(task.kept or (0, 1)))
    observed = task.look(job.image, job.spatial, kept)
    kernel_warnings: list[str] = []
    if task.kept is not None:
        kernel_row = reports.flow_facts(kernel, estimated)
    else:
        kernel_row, kernel_warnings = reports.kernel_facts(kernel, estimated)
    if outcome.estimate.grid is not None:
        kernel_row |= reports.grid_facts(outcome.estimate.grid, observed.shape[2:])
    values, warnings = reports.image_facts(observed, image[kept], job.white_level)
    record = _record(task, "cancelled" if cancelled else "done") | {
        "seed": job.seed_of(task),
        "plan": list(outcome.plan),
        "executed": list(outcome.executed),
        "selected_step": outcome.selected_step,
        "stop_reason": outcome.reason,
        "seconds": round(outcome.seconds, 3),
        "misfit": outcome.misfit,
        "residual": outcome.residual * outcome.unit,
        "rewinds": outcome.rewinds,
        "late": outcome.late,
        "kernel": kernel_row,
        "values": values,
        "warnings": [*kernel_warnings, *warnings, *outcome.warnings],
        "notes": list(outcome.notes),
    }
    if task.kind == "kernel":
        return Piece(record, kernel=kernel)
    deviation = None if spread is None else spread.detach().float().cpu().numpy()
    if task.kept is not None:
        return Piece(record, image[kept], kernel, None if deviation is None else deviation[kept])
    return Piece(record, image[0], kernel, None if deviation is None else deviation[0])


def _noise_levels(job: Job, pieces: Sequence[Piece]) -> Iterator[float]:
    """Of every plane or tile that has a map, as a part of the white level; NaN where this cannot be told."""
    from unblur.observing import observation_of

    for task, piece in zip(job.tasks, pieces, strict=True):
        if piece.spread is None:
            continue
        seen = observation_of(job, task, None)
        if job.white_level is None or not tells_noise(seen.pixels.shape[2:]):
            yield math.nan
        else:
            found = noise_std(filled(seen.pixels, seen.valid), valid=seen.valid)
            yield float(found.square().mean().sqrt()) / job.white_level


def assemble(job: Job, plans: Sequence[Mapping[str, Any]], pieces: Sequence[Piece], seconds: float) -> Result:
    """The result of a job from the pieces of its tasks."""
    found = job.series
    mapped = [piece.record for piece in pieces if piece.spread is not None]
    measured = calibration_of(
        job.pipelines["plane"],
        mapped,
        job.registry,
        dims=len(job.spatial),
        colour=job.image.is_rgb,
        white_level=job.white_level,
        noise=lambda: _noise_levels(job, pieces),
    )
    uncertain = mapped or (found is not None and found.spread is not None)
    records = [piece.record for piece in pieces]
    report = reports.job_report(job, plans, records, seconds, uncertainty_facts(measured) if uncertain else None)
    if found is not None:
        return Result(found.image, found.flow, found.spread, report, job.image, found.flow_axes)
    pairs = list(zip(job.tasks, pieces, strict=True))
    done = [(task, piece) for task, piece in pairs if task.kind == "plane"]
    images = [(task, piece.image) for task, piece in done if piece.image is not None]
    image = job.image.assemble(merged(images, job.image.sizes), job.spatial)
    spreads = [(task, piece.spread) for task, piece in done if piece.spread is not None]
    uncertainty = job.image.assemble(merged(spreads, job.image.sizes), job.spatial) if spreads else None
    if uncertainty is not None and measured is not None:
        uncertainty = uncertainty * np.float32(measured[1])
    outer = _kernel_axes(job)
    sizes = [job.image.sizes[axis] for axis in outer]
    # Where planes share a kernel, the constant ones, which have none, come first and are replaced.
    kernels = [
        (tuple(task.index[axis] for axis in outer), piece.kernel)
        for task, piece in sorted(done, key=lambda one: one[1].record["status"] != "constant")
        if piece.kernel is not None
    ]
    if not kernels:  # a run that ended before any plane keeps the kernel that planes would have shared
        shared = [(task, piece.kernel) for task, piece in pairs if task.kind == "kernel" and piece.kernel is not None]
        kernels = [(tuple(task.index.get(axis, 0) for axis in outer), kernel) for task, kernel in shared]
    kernel, axes = (
        stack_kernels(kernels, sizes, outer, job.spatial) if kernels else (np.zeros((1, 1), np.float32), PLANE)
    )
    grids = {tuple(piece.record["kernel"]["grid"]) for _, piece in done if "grid" in piece.record.get("kernel", {})}
    grid = KernelGrid(grids.pop()) if len(grids) == 1 else None
    return Result(image, kernel, uncertainty, report, job.image, axes, grid)


def typed(error: BaseException, registry: Registry) -> UnblurError:
    """An error of a component or of torch as one that a user can act on.

    Args:
        registry: tells whose component it came from.
    """
    whole = described(error).splitlines()[0]
    text = whole.partition(": ")[2]
    if isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text:
        known: UnblurError = ResourceError(
            f"the memory did not suffice ({text[:160]}); try a region, or tiles (--tile auto)"
        )
    elif isinstance(error, FloatingPointError | OverflowError):
        known = DivergedError(whole)
    else:
        where = _raised_in(error, registry) or "a component"
        known = PluginError(f"{where} failed while running: {whole}")
    known.__cause__ = error
    return known


def _raised_in(error: BaseException, registry: Registry) -> str | None:
    """The registered component in whose code an error was raised, or that called what raised it; None for none."""
    targets = {one.component.target: one for slot in SLOTS for one in registry.components(slot).values()}
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        part = frame.f_locals.get("self")
        known = [targets.get(f"{kind.__module__}:{kind.__qualname__}") for kind in type(part).__mro__]
        one = (part.registered if isinstance(part, Component) else None) or next(filter(None, known), None)
        found = found if one is None else one.named
    return found


def forget_frames(error: BaseException | None) -> None:
    """Let go of what the frames of an error and its causes hold: a whole run, for as long as the error is kept."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            frame.f_locals  # noqa: B018  before Python 3.13, a copy that was asked for once is only now brought up to date
        error = error.__cause__ or error.__context__


def _record(task: Task, status: str) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": task.kind, "index": dict(task.index), "status": status, "warnings": []}
    if task.window is not None:
        spans = {axis: list(span) for axis, span in task.window.named.items()}
        record["window"] = {**spans, "reason": task.window.reason}
    return record


def _kernel_axes(job: Job) -> str:
    """The axes along which planes have kernels of their own."""
    outer = "".join(axis for axis in job.image.axes if axis not in job.spatial + "S")
    if job.mode == "shared-kernel" and any(task.kernel_from is not None for task in job.tasks):
        return "C" if "C" in outer else ""
    if any(reports.learns_kernel(pipeline, job.registry) for pipeline in job.pipelines.values()):
        return outer
    if job.psf is None or job.psf.grid is not None or len(job.psf.kernel) == 1:
        return ""
    several = psf_axes(job.psf, job.image)
    return "".join(axis for axis in outer if axis in several)
