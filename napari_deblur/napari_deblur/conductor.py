"""One piece of work at a time: started in a thread, looked at from the window's thread, ended by stop or cancel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QObject, QTimer

from napari_deblur.live import Live
from napari_deblur.worker import Failure, Progress, Worker

LOOK_EVERY = 100
"""Milliseconds between two looks at a worker."""

Work = Callable[[Worker], Any]


class Conductor(QObject):
    """Looks at a worker until it ends, and then hands its result to whoever asked for it.

    Nothing is sent from the worker's thread. When the window is gone, so is this, and nobody looks any more; the worker
    is asked to stop, and what it found is in the checkpoint.
    """

    progressed = Signal(Progress)
    failed = Signal(Failure)
    ended = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.worker: Worker | None = None
        self._all: list[Worker] = []
        self._then: Callable[[Any], None] = lambda result: None
        self._live: Live | None = None
        self._notes: tuple[str, ...] = ()
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_EVERY)
        self._timer.timeout.connect(self._look)
        let_go = partial(_let_go, self._all)
        self.destroyed.connect(let_go)
        QCoreApplication.instance().aboutToQuit.connect(let_go)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the last piece of work that ended has to say."""
        return self._notes

    @property
    def busy(self) -> bool:
        """Whether a piece of work is being done."""
        return self.worker is not None

    def begin(self, work: Work, what: str, then: Callable[[Any], None], live: Live | None = None) -> None:
        """Start a piece of work; `then` is called with its result, and its previews are shown by `live`."""
        assert self.worker is None, "one piece of work at a time"
        self._then, self._live = then, live
        self.worker = Worker(work, what).start()
        self._all[:] = [self.worker]
        self._timer.start()

    def stop(self) -> None:
        """End after the step in progress and keep the best so far."""
        if self.worker is not None:
            self.worker.stop()

    def cancel(self) -> None:
        """End after the step in progress and drop what was found."""
        if self.worker is not None:
            self.worker.cancel()

    def _look(self) -> None:
        worker = self.worker
        if worker is None:
            return
        running = worker.running  # before anything is read: what is read later is then complete
        self.progressed.emit(worker.progress)
        if self._live is not None and worker.progress.preview is not None and worker.wish != "cancel":
            self._live.show(worker.progress.preview)
        if not running:
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        self._timer.stop()
        self.worker, self._notes = None, worker.progress.notes
        if self._live is not None:
            self._live.remove()
            self._live = None
        if worker.failure is not None:
            self.failed.emit(worker.failure)
        elif not worker.dropped:
            try:
                self._then(worker.result)
            except Exception as error:  # said in the dock, and not raised into Qt's loop
                self.failed.emit(Failure.of(error))
        self.ended.emit()


def _let_go(workers: list[Worker], *_: Any) -> None:
    for worker in workers:
        worker.stop()
