"""The pieces of work that the window starts: estimate, restore, compare, batch, show a PSF. Run in a `Worker`.

PyTorch is imported here and nowhere else in the widget, when the first piece of work begins.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deblur import saving
from napari_deblur.request import Request
from napari_deblur.results import is_empty
from napari_deblur.warming import import_all
from napari_deblur.worker import Dropped, Failure, Preview, Worker
from unblur.errors import CheckpointError, FileError
from unblur.io import output_lock
from unblur.pipeline import Part

if TYPE_CHECKING:
    from unblur.driver import CancelToken
    from unblur.forecast import Forecast
    from unblur.image import Image
    from unblur.jobs import Job, JobEvent
    from unblur.planes import Task
    from unblur.registry import Registry
    from unblur.results import Result

Load = Callable[[Callable[[], None]], "Image"]
"""Gives what is to be done with pixels of its own, and no more than those; called in the worker's thread.

Calls what it is given now and then while it reads, which may end that.
"""

STOPPED = "stopped by the user"

DAMAGED = "what an earlier run had found was damaged on the disk: this one began anew"

LOOK_SECONDS = 0.5
"""At least this long between two looks at the estimate."""

LOOK_SHARE = 0.1
"""At most this part of the time goes into looks."""

SEEN_SECONDS = 1.0
"""The first look waits for the window at most so long, so that its layer is not made beside busy threads."""


def estimate(load: Load, request: Request, registry: Registry) -> Callable[[Worker], tuple[Forecast, str]]:
    """Work that measures time and memory; it gives the name of the device too."""

    def work(worker: Worker) -> tuple[Forecast, str]:
        job = _job(worker, load, request, registry)
        worker.report(words="measuring time and memory")
        forecast = job.estimate()
        _drop_if_asked(worker)
        return forecast, str(job.compute.device)

    return work


def restore(
    load: Load, request: Request, registry: Registry, checkpoints: Path | None = None
) -> Callable[[Worker], Result]:
    """Work that restores an image. What an earlier run of the same left in the folder `checkpoints` is gone on with.

    Where that is damaged, it is removed, the run begins anew, and its report says so.
    """

    def work(worker: Worker) -> Result:
        job = _made(worker, load, request, registry)
        if checkpoints is None:
            _drop_if_asked(worker)
            return _anew(worker, job)
        # Named by what the result follows from, so that none is taken for another's.
        image, path = job.image, checkpoints / job.fingerprint[:32]
        with _claimed(path) as mine:
            if not mine:
                _drop_if_asked(worker)
                return _anew(worker, job)
            job = _made(worker, lambda _: image, request, registry, path)
            if worker.wish == "cancel":
                job.forget_checkpoint()
                raise Dropped
            if not job.resumable:
                return _anew(worker, job)
            try:
                return _run(worker, job, resume=True)
            except CheckpointError:
                job.forget_checkpoint()
            result = _anew(worker, _job(worker, lambda _: image, request, registry, path))
        return replace(result, report={**result.report, "warnings": [*result.report["warnings"], DAMAGED]})

    return work


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Whether a checkpoint may be kept there: another window may be at the same, or the disk full."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(output_lock(path.with_name(f"{path.name}.run")))
        except (FileError, OSError):
            yield False
        else:
            yield True


def _anew(worker: Worker, job: Job) -> Result:
    _measure(worker, job)
    return _run(worker, job, resume=False)


def compare(
    load: Load, requests: Sequence[tuple[str, Request]], registry: Registry
) -> Callable[[Worker], list[tuple[str, Result]]]:
    """Work that restores the same image in several ways; those that fail are left out, unless all do."""

    def work(worker: Worker) -> list[tuple[str, Result]]:
        image = _loaded(worker, load)
        done: list[tuple[str, Result]] = []
        failed: list[tuple[str, Exception]] = []
        for number, (name, request) in enumerate(requests):
            prefix = f"{name} ({number + 1} of {len(requests)})"
            try:
                job = _job(worker, lambda _: image, request, registry)
                _measure(worker, job, prefix)
                done.append((name, _run(worker, job, False, prefix)))
            except Dropped:
                raise
            except Exception as error:
                failed.append((name, error))
            if worker.wish == "stop":
                break
        if failed and not done:
            raise failed[0][1]
        worker.report(notes=tuple(f"{name}: {Failure.of(error).words}" for name, error in failed))
        return done

    return work


@dataclass(frozen=True)
class Item:
    """One piece of a batch: its name, its pixels, and the file that the restored image goes into, if any.

    `shown`: the result is wanted in the window; others are not kept in memory.
    """

    name: str
    load: Load
    path: Path | None = None
    shown: bool = True


@dataclass(frozen=True)
class Restored:
    """An item of a batch with the result that is to be shown."""

    item: Item
    result: Result


@dataclass(frozen=True)
class Done:
    """What is to be said of an item at the end of a batch, and whether all of it was restored."""

    item: Item
    said: str
    complete: bool = False


def batch(items: Sequence[Item], request: Request, registry: Registry) -> Callable[[Worker], list[Done]]:
    """Work that restores one item after the other; one that fails, or whose file is there already, is passed over.

    The results that are to be shown are handed over as soon as they are there.
    """

    def work(worker: Worker) -> list[Done]:
        done: list[Done] = []
        for number, item in enumerate(items):
            if worker.wish == "stop":
                done.append(Done(item, "not run"))
                continue
            prefix = f"{item.name} ({number + 1} of {len(items)})"
            try:
                done.append(_batch_item(worker, item, request, registry, prefix))
            except Dropped:
                raise
            except Exception as error:
                done.append(Done(item, Failure.of(error).words))
        return done

    return work


def _batch_item(worker: Worker, item: Item, request: Request, registry: Registry, prefix: str) -> Done:
    if item.path is not None and item.path.exists():
        return Done(item, f"{item.path.name} is there already: left alone")
    job = _job(worker, item.load, request, registry)
    _measure(worker, job, prefix)
    result = _run(worker, job, False, prefix)
    if is_empty(result):
        return Done(item, "stopped before there was an image")
    said = [] if result.complete else ["not every plane was restored"]
    if item.path is None:
        worker.pieces.append(Restored(item, result))
        return Done(item, ", ".join([*said, "restored"]), result.complete)
    # Under another name, so that the same batch restores it when it is run again.
    path = item.path if result.report["status"] != "cancelled" else _stopped(item.path)
    written, notes = saving.save(result, path)
    words = ", ".join([*said, f"saved as {written[0].name}", *notes])
    if item.shown:
        worker.pieces.append(Restored(item, result))
    return Done(item, words, result.complete)


def _stopped(path: Path) -> Path:
    return path.with_name(f"{saving.stem_of(path.name)}-stopped{saving.SUFFIX}")


def _measure(worker: Worker, job: Job, prefix: str = "") -> None:
    """Say how long it will take; what would not fit into memory is refused here."""
    worker.report(words=" · ".join(filter(None, [prefix, "measuring time and memory"])))
    forecast = job.estimate()
    _drop_if_asked(worker)
    worker.report(words=" · ".join(filter(None, [prefix, "starting"])), remaining=forecast.seconds)


def _loaded(worker: Worker, load: Load) -> Image:
    image = _read(worker, load)
    _drop_if_asked(worker)
    return image


def _read(worker: Worker, load: Load) -> Image:
    def look() -> None:
        if worker.wish == "cancel" or worker.abandoned:
            raise Dropped

    worker.report(words="reading the image")
    return load(look)


def _job(worker: Worker, load: Load, request: Request, registry: Registry, checkpoint: Path | None = None) -> Job:
    job = _made(worker, load, request, registry, checkpoint)
    _drop_if_asked(worker)
    return job


def _made(worker: Worker, load: Load, request: Request, registry: Registry, checkpoint: Path | None = None) -> Job:
    """The job, also where it is to be dropped: only it knows which checkpoint goes with it."""
    import_all()
    from unblur.driver import CancelToken
    from unblur.jobs import Job

    arguments = request.job_arguments()
    return Job(_read(worker, load), cancel=CancelToken(), checkpoint=checkpoint, registry=registry, **arguments)


def _drop_if_asked(worker: Worker) -> None:
    if worker.wish == "cancel":
        raise Dropped


def _run(worker: Worker, job: Job, resume: bool, prefix: str = "") -> Result:
    """Exhaust a job's events, with looks at its estimate in between."""
    token: CancelToken = job.cancel  # type: ignore[assignment]
    events = job.events(resume=resume)
    looker = _Looker()
    misfits: list[float] = []
    plane, looked = -1, False
    try:
        for event in events:
            if event.plane != plane:
                plane, misfits = event.plane, []
            misfits.append(event.event.misfit)
            news: dict[str, Any] = {
                "words": " · ".join(filter(None, [prefix, words_of(event)])),
                "fraction": (event.plane + event.event.step / event.event.planned) / event.planes,
                "remaining": event.remaining,
                "misfits": misfits,
            }
            preview = looker.look(event, job.tasks[event.plane])
            if preview is not None:
                news["preview"] = preview
            worker.report(**news)
            if preview is not None and not looked:
                looked = True
                preview.seen.wait(SEEN_SECONDS)
            if worker.wish == "cancel":
                raise Dropped
            if worker.wish == "stop":
                token.cancel(STOPPED)
        _drop_if_asked(worker)
    except Dropped:
        events.close()
        job.forget_checkpoint()
        raise
    if job.result.complete and not worker.abandoned:
        job.forget_checkpoint()
    return job.result


def words_of(event: JobEvent) -> str:
    """Where a run is, such as ``plane 2 of 5, stage 1 of 3, step 40 of 1300``."""
    parts = []
    if event.planes > 1:
        parts.append(f"{'shared kernel' if event.kind == 'kernel' else 'plane'} {event.plane + 1} of {event.planes}")
    if event.event.stages > 1:
        parts.append(f"stage {event.event.stage + 1} of {event.event.stages}")
    parts.append(f"step {event.event.step} of {event.event.planned}")
    return ", ".join(parts)


class _Looker:
    """Takes a look at the estimate now and then: never more often than it pays."""

    def __init__(self) -> None:
        self._next = time.perf_counter() + LOOK_SECONDS

    def look(self, event: JobEvent, task: Task) -> Preview | None:
        began = time.perf_counter()
        if began < self._next:
            return None
        try:
            estimate = event.event.preview()
        except Exception:  # a look that fails ends no run; if the result cannot be drawn either, the job says so
            self._next = math.inf
            return None
        shown = _middle(task)
        image = estimate.image[shown].detach().float().cpu().numpy()
        now = time.perf_counter()
        self._next = now + max(LOOK_SECONDS, (now - began) / LOOK_SHARE)
        return Preview(image, task.frames[shown], tuple(start for start, _ in task.spans))


def _middle(task: Task) -> int:
    """The middle one of the frames that a task keeps, or looks at."""
    start, stop = task.kept or (0, len(task.frames))
    return (start + stop - 1) // 2


def picture(
    given: dict[str, Any], image: Image, spatial: str, registry: Registry
) -> Callable[[Worker], tuple[np.ndarray, str]]:
    """Work that makes a PSF ready, for a look at it: the kernel (*spatial), and what is remarkable about it.

    `given` is what the blur's part of the dock gives; of `image`, only the facts are looked at.
    """

    def work(worker: Worker) -> tuple[np.ndarray, str]:
        import_all()
        from unblur.planes import micrometres
        from unblur.psfs import model_psf, take_psf

        if given.get("psf") is not None:
            psf = take_psf(given["psf"], image, given.get("psf_axes"), bool(given.get("centre_psf")))
            kernel, notes = psf.kernel[0], psf.notes
        else:
            settings = given["settings"]
            values = {key.partition(".")[2]: value for key, value in settings.items() if "." in key}
            part = Part(settings["kernel_prior"][0], values)
            size = given["kernel_size"]
            shape = size if isinstance(size, tuple) else (size,) * len(spatial)
            kernel, notes = model_psf(part, shape, micrometres(image, spatial), registry), ()
        return kernel, "\n".join([" × ".join(map(str, kernel.shape)) + " pixels", *notes])

    return work
