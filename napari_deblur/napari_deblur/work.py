"""The pieces of work that the window starts: estimate, restore, compare, batch, show a PSF. Run in a `Worker`.

PyTorch is imported here and nowhere else in the widget, when the first piece of work begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deblur.request import Request
from napari_deblur.worker import Dropped, Preview, Worker

if TYPE_CHECKING:
    from unblur.driver import CancelToken
    from unblur.forecast import Forecast
    from unblur.image import Image
    from unblur.jobs import Job, JobEvent
    from unblur.results import Result

Load = Callable[[], "Image"]
"""Gives what is to be done with pixels of its own, and no more than those; called in the worker's thread."""

STOPPED = "stopped by the user"

LOOK_SECONDS = 0.5
"""At least this long between two looks at the estimate."""

LOOK_SHARE = 0.1
"""At most this part of the time goes into looks."""


def estimate(load: Load, request: Request) -> Callable[[Worker], Forecast]:
    """Work that measures time and memory."""

    def work(worker: Worker) -> Forecast:
        worker.report(words="measuring time and memory")
        job = _job(worker, load, request)
        forecast = job.estimate()
        _drop_if_asked(worker)
        return forecast

    return work


def restore(load: Load, request: Request, checkpoints: Path | None = None) -> Callable[[Worker], Result]:
    """Work that restores an image. What an earlier run of the same left in the folder `checkpoints` is gone on with."""

    def work(worker: Worker) -> Result:
        job = _job(worker, load, request)
        resume = False
        if checkpoints is not None:  # named by what the result follows from, so that none is taken for another's
            image, path = job.image, checkpoints / job.fingerprint[:32]
            resume = (path / "job.json").exists()
            job = _job(worker, lambda: image, request, path)
        if not resume:
            worker.report(words="measuring time and memory")
            forecast = job.estimate()  # refuses beforehand what would not fit into memory
            worker.report(words="starting", remaining=forecast.seconds)
        return _run(worker, job, resume)

    return work


def compare(load: Load, requests: Sequence[tuple[str, Request]]) -> Callable[[Worker], list[tuple[str, Result]]]:
    """Work that restores the same image in several ways; those that fail are left out, unless all do."""

    def work(worker: Worker) -> list[tuple[str, Result]]:
        image = _loaded(worker, load)
        done: list[tuple[str, Result]] = []
        failed: list[Exception] = []
        for number, (name, request) in enumerate(requests):
            prefix = f"{name} ({number + 1} of {len(requests)})"
            try:
                done.append((name, _run(worker, _job(worker, lambda: image, request), False, prefix)))
            except Dropped:
                raise
            except Exception as error:
                failed.append(error)
            if worker.wish == "stop":
                break
        if failed and not done:
            raise failed[0]
        worker.report(notes=tuple(str(error) for error in failed))
        return done

    return work


def _loaded(worker: Worker, load: Load) -> Image:
    worker.report(words="reading the image")
    image = load()
    _drop_if_asked(worker)
    return image


def _job(worker: Worker, load: Load, request: Request, checkpoint: Path | None = None) -> Job:
    from unblur.driver import CancelToken
    from unblur.jobs import Job

    image = _loaded(worker, load)
    job = Job(image, cancel=CancelToken(), checkpoint=checkpoint, **request.job_arguments())
    _drop_if_asked(worker)
    return job


def _drop_if_asked(worker: Worker) -> None:
    if worker.wish == "cancel":
        raise Dropped


def _run(worker: Worker, job: Job, resume: bool, prefix: str = "") -> Result:
    """Exhaust a job's events, with looks at its estimate in between."""
    token: CancelToken = job.cancel  # type: ignore[assignment]
    events = job.events(resume=resume)
    looker = _Looker()
    misfits: list[float] = []
    plane = -1
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
            preview = looker.look(event)
            if preview is not None:
                news["preview"] = preview
            worker.report(**news)
            if worker.wish == "cancel":
                raise Dropped
            if worker.wish == "stop":
                token.cancel(STOPPED)
    except Dropped:
        events.close()
        job.forget_checkpoint()
        raise
    if job.result.complete:
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

    def look(self, event: JobEvent) -> Preview | None:
        began = time.perf_counter()
        if began < self._next:
            return None
        estimate = event.event.preview()
        image = estimate.image[0].detach().float().cpu().numpy()
        kernel = estimate.kernel.detach().float().cpu().numpy()
        now = time.perf_counter()
        self._next = now + max(LOOK_SECONDS, (now - began) / LOOK_SHARE)
        return Preview(image, kernel, dict(event.index))
