"""One file after the other: read, estimate, run, write; finished ones are skipped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from unblur import io
from unblur.cli import BAD_INPUT, PLANES_FAILED, fail
from unblur.cli.places import Places, places, refuse_among
from unblur.cli.progress import bar
from unblur.cli.signals import Interrupt, interruptible
from unblur.cli.text import duration
from unblur.clips import is_video
from unblur.composition import gives_uncertainty
from unblur.errors import FileError, UnblurError, UnknownNameError
from unblur.forecast import all_steps
from unblur.image import Image
from unblur.io.casting import cast
from unblur.jobs import Job, JobEvent
from unblur.pipeline import Pipeline
from unblur.planes import words
from unblur.registry import default_registry
from unblur.report import same_run
from unblur.results import Result

PREVIEW_SECONDS = 20.0


@dataclass(frozen=True)
class Wishes:
    """The options of `unblur run`, for every file alike."""

    reading: Mapping[str, Any]
    job: Mapping[str, Any]
    plan: Path | None = None
    dtype: str | None = None
    resume: bool = False
    force: bool = False
    video: bool = False


def wants_video(method: str | None, pipeline: Path | None, preset: str) -> bool:
    """Whether what was asked for explains frames by their neighbours, so that a folder is one series."""
    registry = default_registry()
    if pipeline is not None:
        return is_video(Pipeline.from_toml(pipeline), registry)
    return method is not None and is_video(registry.method(method).pipeline(preset), registry)


def run_files(
    sources: Sequence[Path],
    output: Path,
    kernel: Path | None,
    uncertainty: Path | None,
    preview: Path | None,
    wishes: Wishes,
    folders: Sequence[Path] = (),
) -> int:
    """Restore every file; the exit code.

    Where there are several, one that cannot be used is reported and the others go on.

    Args:
        folders: that stood for their files.

    Raises:
        FileError: an output would lie in one of the folders, and be restored by the next run of the same.
    """
    if wishes.dtype is not None:
        cast(np.zeros(1, np.float32), wishes.dtype)  # refuses, before any work, what no file holds
    everything = places(sources, output, kernel, uncertainty, preview)
    refuse_among(everything, folders)
    if len(everything) > 1 and wishes.job.get("planes") == "shared-kernel" and not wishes.video:
        typer.echo("warning: planes of one file share a kernel; every file has a kernel of its own", err=True)
    worst = 0
    with interruptible() as interrupt:
        for number, files in enumerate(everything):
            if len(everything) > 1:
                typer.echo(f"[{number + 1}/{len(everything)}] {files.source}")
            try:
                code = _run_file(files, wishes, interrupt)
            except UnknownNameError:
                raise  # the same for every file
            except (UnblurError, OSError) as error:
                if len(everything) == 1:
                    raise
                said = getattr(error, "strerror", None) or str(error)
                code = fail(error if isinstance(error, FileError) else FileError(files.source, said))
            if interrupt.number is not None:
                return interrupt.exit_code
            worst = BAD_INPUT if BAD_INPUT in (code, worst) else max(code, worst)
    return worst


def _run_file(files: Places, wishes: Wishes, interrupt: Interrupt) -> int:
    given = (wishes.job.get("psf"), wishes.job.get("pipeline"), wishes.plan)
    files.check([Path(path) for path in given if path is not None])
    image = (io.read_series if wishes.video else io.read)(files.source, **wishes.reading)
    with io.output_lock(files.output):
        if files.checkpoint.exists():
            files.sweep()
        from unblur.driver import CancelToken

        token = CancelToken()
        interrupt.watch(token)
        plan = read_plan(wishes.plan) if wishes.plan else None
        job = Job(image, **wishes.job, plan=plan, cancel=token, checkpoint=files.checkpoint)
        if not wishes.force and same_run(files.report(), job.fingerprint) and files.as_asked(wishes.dtype):
            job.settle_checkpoint()
            typer.echo(f"{files.output}: done before with the same input and settings, skipped (--force does it again)")
            if files.preview is not None and not files.preview.exists():
                typer.echo(f"  warning: {files.preview} is not there: previews are made while a run goes on", err=True)
            return 0
        files.check_overwrite(wishes.force)
        files.check_formats(job.image, wishes.dtype, motion=job.mode == "video")
        try:
            if interrupt.number is None:
                _announce(job, files, wishes)
        except UnblurError:  # of an estimate that was interrupted: that is what the user is told
            if interrupt.number is None:
                raise
        if interrupt.number is not None:
            typer.echo(f"{files.source}: interrupted before anything was done; nothing is written")
            return interrupt.exit_code
        result = _follow(job, files, wishes, token)
        if result is None:
            return 0
        if result.report["status"] == "cancelled" and not wishes.force and files.report().get("status") == "done":
            typer.echo(f"{files.output}: holds the result of a run that was not interrupted, and stays as it is")
            typer.echo(
                "  the same command goes on with --resume; what an interrupted run gives replaces it with --force"
            )
            return interrupt.exit_code
        spread = _wanted(files, result)
        drawn = files.preview is not None and _drawn(files.preview, lambda path: _panel(path, job, result))
        written = (files.kernel, spread, files.preview if drawn else None)
        result.report["files"] = [files.as_reported(path) for path in written if path is not None]
        result.report["dtype"] = files.dtype(wishes.dtype)
        files.begin()
        try:
            notes = result.save(files.output, kernel=files.kernel, uncertainty=spread, dtype=wishes.dtype)
        except FileError:
            if job.resumable:
                kept = f"the result is kept in {files.checkpoint}: with --resume, the same command writes it"
                typer.echo(f"  warning: {kept}", err=True)
            raise
        _conclude(result, files, notes)
        if result.report["status"] != "cancelled":
            _forget(job)
    return 0 if result.complete or token.reason else PLANES_FAILED


def read_plan(path: Path) -> Any:
    """The plan of a report file.

    Raises:
        FileError: no report with a plan.
    """
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))["plan"]
        if plan is None:
            raise ValueError("no steps")
        return plan
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            path, f"is no report with a plan ({type(error).__name__})", "Give a file OUTPUT.json"
        ) from error


def _announce(job: Job, files: Places, wishes: Wishes) -> None:
    """What was assumed, and what it will cost."""
    from unblur.compute import human_bytes

    image = job.image
    sizes = " x ".join(f"{axis} {size}" for axis, size in image.sizes.items())
    typer.echo(f"{files.source}: {sizes}, {image.data.dtype.name}, {_scale(image)}")
    typer.echo(f"method: {job.method or 'a pipeline of your own'}; {_machine(job)}")
    for text in job.assumptions:
        typer.echo(f"  assumed: {text}")
    if files.uncertainty is not None and not gives_uncertainty(job.pipelines["plane"], job.registry):
        why = "this method gives no standard deviation; `unblur methods` says which do"
        if gives_uncertainty(job.pipeline, job.registry):
            maker = [part.name for segment in job.pipelines["plane"].segments() for part in segment.slots["estimator"]]
            why = f"the image is made by {', '.join(maker)}, which gives no standard deviation"
        typer.echo(f"  warning: {files.uncertainty} will not be written: {why}", err=True)
    if job.resumable:
        if wishes.resume:
            typer.echo(f"going on from {files.checkpoint}")
            return
        typer.echo(
            f"starting anew: the checkpoint {files.checkpoint} of an unfinished run is not used without --resume"
        )
    if wishes.plan is not None:
        typer.echo(f"repeating the steps of {wishes.plan}")
        return
    cost = job.estimate()
    steps = "; ".join(_steps(job, kind, sum(counts)) for kind, counts in cost.steps.items())
    if steps:
        typer.echo(f"estimate: {duration(cost.seconds)}, {human_bytes(cost.memory)} of memory, {steps}")


def _steps(job: Job, kind: str, planned: int) -> str:
    full = sum(all_steps(job.pipelines[kind]))
    return f"{planned} steps per {kind}" if planned == full else f"{planned} of {full} steps per {kind} in the budget"


def _scale(image: Image) -> str:
    if not image.pixel_size:
        return "pixel size not known"
    sizes = ", ".join(
        f"{axis} {size:g} {image.units.get(axis, '')} ({image.status[axis]})" for axis, size in image.pixel_size.items()
    )
    return f"pixel size {sizes}"


def _machine(job: Job) -> str:
    facts = job.compute.describe()
    return f"{facts['device']}, {facts['precision']}, {facts['threads']} threads, seed {job.seed}"


def _follow(job: Job, files: Places, wishes: Wishes, token: Any) -> Result | None:
    """Run to the end; None if it was stopped before any plane had a result."""
    show = _previewer(job, files) if files.preview else None
    with bar() as update:
        for number, event in enumerate(job.events(resume=wishes.resume)):
            if number == 0:
                files.begin()
            update(event)
            if show is not None:
                show(event)
    result = job.result
    if all(row["status"] == "not run" for row in result.report["planes"] if row["kind"] == "plane"):
        typer.echo(f"{files.source}: {token.reason} before there was a result; nothing is written")
        return None
    return result


def _previewer(job: Job, files: Places) -> Callable[[JobEvent], None]:
    """Writes the current plane as a panel now and then."""
    from unblur.cli.panels import flat, moved, triptych

    last = time.monotonic()

    def show(event: JobEvent) -> None:
        nonlocal last
        if time.monotonic() - last < PREVIEW_SECONDS or files.preview is None:
            return
        _drawn(files.preview, lambda path: draw(path, event))
        last = time.monotonic()

    def draw(path: Path, event: JobEvent) -> None:
        estimate = event.event.preview()
        observed = job.tasks[event.plane].look(job.image, job.spatial, slice(1))[0]
        axes = "S" + job.spatial
        pictures = [_picture(array, axes) for array in (observed, estimate.image[0].float().cpu().numpy())]
        kernels, grid = estimate.kernel.float().cpu().numpy(), estimate.grid
        motion = job.mode == "video"
        if motion:
            kernel = moved(kernels[0])
        else:
            kernel = flat(kernels[0], job.spatial) if grid is None else grid.mosaic(kernels)
        triptych(path, pictures[0], kernel, pictures[1], job.white_level, grid, motion)

    return show


def _drawn(path: Path, draw: Callable[[Path], None]) -> bool:
    """Make a picture; whether it is there. One that cannot be written is no reason to lose a result."""
    try:
        draw(path)
    except Exception as error:
        typer.echo(f"  warning: the preview {path} is not written: {error}", err=True)
        return False
    return True


def _forget(job: Job) -> None:
    """Remove the checkpoint; the result is there, whether that works or not."""
    try:
        job.forget_checkpoint()
    except (OSError, UnblurError) as error:
        typer.echo(f"  warning: {error}", err=True)


def _picture(array: Any, axes: str) -> Any:
    from unblur.cli.panels import flat

    return flat(array if array.shape[0] == 3 else array[0], axes if array.shape[0] == 3 else axes[1:])


def _panel(path: Path, job: Job, result: Result) -> None:
    from unblur.cli.panels import flat, moved, triptych

    axes, grid = job.image.axes, result.kernel_grid
    motion = job.mode == "video"
    if motion:
        kernel = moved(result.kernel)
    else:
        kernel = flat(result.kernel, result.kernel_axes) if grid is None else result.kernel_picture()
    triptych(path, flat(job.image.data, axes), kernel, flat(result.image, axes), job.white_level, grid, motion)


def _wanted(files: Places, result: Result) -> Path | None:
    """Where the uncertainty goes; said before anything is written if there is none."""
    if files.uncertainty is not None and result.uncertainty is None:
        typer.echo(f"  warning: the run gave no standard deviation; {files.uncertainty} is not written", err=True)
        return None
    return files.uncertainty


def _conclude(result: Result, files: Places, notes: Sequence[str]) -> None:
    report = result.report
    rows = report["planes"]
    for row in rows[:4]:
        where = f"{words(row['index'], row['kind'])}: " if len(rows) > 1 else ""
        if "stop_reason" in row:
            steps = f"{sum(row['executed'])} of {sum(row['plan'])} steps"
            typer.echo(f"{where}stopped: {row['stop_reason']} ({steps}, {duration(row['seconds'])})")
    if len(rows) > 4:
        typer.echo(f"… and {len(rows) - 4} more, all in the report")
    for text in (*report["warnings"], *notes):
        typer.echo(f"  warning: {f'{files.source}: ' if files.many else ''}{text}", err=True)
    if files.uncertainty is not None and report["uncertainty"]:
        known = report["uncertainty"]
        typer.echo(f"{files.uncertainty}: {known['status']}: {known['meaning']}")
    typer.echo(f"{files.output}: written{'' if report['status'] == 'done' else ' (' + report['status'] + ')'}")
