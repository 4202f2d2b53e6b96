"""The worker: whatever the work does, its end is one of result, failure or dropped, and the thread ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from napari_deblur.worker import Dropped, Failure, Worker
from unblur.errors import ParameterError


def ended(work: Any) -> Worker:
    worker = Worker(work, "test").start()
    assert worker.join(30)
    return worker


def test_a_result() -> None:
    worker = ended(lambda worker: 3)
    assert (worker.result, worker.failure, worker.dropped) == (3, None, False)


@pytest.mark.parametrize("error", [RuntimeError("torch"), SystemExit(2), MemoryError(), StopIteration(), ValueError()])
def test_no_exception_leaves_the_thread(error: BaseException) -> None:
    def work(worker: Worker) -> None:
        raise error

    worker = ended(work)
    assert worker.result is None
    assert worker.failure is not None
    assert type(error).__name__ in worker.failure.details


def test_errors_for_users_keep_their_words() -> None:
    assert Failure.of(ParameterError("tv.weight = -1: expected a number")).words == "tv.weight = -1: expected a number"
    assert "memory" in Failure.of(MemoryError()).words


@pytest.mark.parametrize(
    ("said", "here"),
    [
        ("a PSF (--psf FILE); methods", "a PSF (Blur: known); methods"),
        ("give a smaller --kernel-size", "give a smaller Kernel"),
        ("ask for a mask (--nan mask)", "ask for a mask (NaN pixels: mask)"),
        ("such as --set forward_model=svola", "such as under Parts the blur model svola"),
        ("tv.weight = -1", "tv.weight = -1"),
    ],
)
def test_errors_name_what_the_dock_has_and_no_options_of_the_command_line(said: str, here: str) -> None:
    assert Failure.of(ParameterError(said)).words == here


def test_stop_and_cancel() -> None:
    seen = threading.Event()

    def work(worker: Worker) -> str:
        seen.set()
        while worker.wish is None:
            pass
        if worker.wish == "cancel":
            raise Dropped
        return "best so far"

    for wish, result, dropped in (("stop", "best so far", False), ("cancel", None, True)):
        seen.clear()
        worker = Worker(work, "test").start()
        assert seen.wait(30)
        getattr(worker, wish)()
        assert worker.join(30)
        assert (worker.result, worker.failure, worker.dropped) == (result, None, dropped)


def test_cancel_comes_before_stop() -> None:
    worker = Worker(lambda worker: None, "test")
    worker.stop()
    worker.cancel()
    worker.stop()
    assert worker.wish == "cancel"


def test_an_error_after_cancel_is_not_said() -> None:
    def work(worker: Worker) -> None:
        worker.cancel()
        raise RuntimeError("half torn down")

    assert ended(work).dropped


def test_progress_is_replaced_whole() -> None:
    def work(worker: Worker) -> None:
        worker.report(words="one", fraction=0.5)
        worker.report(remaining=3.0)

    progress = ended(work).progress
    assert (progress.words, progress.fraction, progress.remaining) == ("one", 0.5, 3.0)
