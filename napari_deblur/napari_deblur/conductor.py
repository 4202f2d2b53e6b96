"""One piece of work at a time: started in a thread, looked at from the window's thread, ended by stop or cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QObject, QTimer

from napari_deblur.live import Live
from napari_deblur.worker import Failure, Preview, Progress, Worker

LOOK_EVERY = 100
"""Milliseconds between two looks at a worker."""

TURN_AFTER = 30
"""Milliseconds between two turns of bringing a result into the window, which draws and takes clicks in between."""

Work = Callable[[Worker], Any]

Then = Callable[[Any], Iterable[None] | None]
"""Does something with a result; it may yield where the window may have a turn."""


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
        self._then: Then = _nothing
        self._each: Then = _nothing
        self._turns: Iterator[None] | None = None
        self._over = False
        self._live: Live | None = None
        self._notes: tuple[str, ...] = ()
        self._timer = QTimer(self)
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
        """Whether a piece of work is being done, or its result brought into the window."""
        return self.worker is not None

    def begin(self, work: Work, what: str, then: Then, live: Live | None = None, each: Then | None = None) -> None:
        """Start a piece of work; `then` is called with its result, and its previews are shown by `live`.

        `each` is called with every piece that the work hands over before its end, also where it is cancelled.
        """
        assert self.worker is None, "one piece of work at a time"
        self._then, self._each, self._live = then, each or _nothing, live
        self._over = False
        self.worker = Worker(work, what).start()
        self._all[:] = [self.worker]
        self._timer.start(LOOK_EVERY)

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
        if self._turns is not None:
            self._turn(self._turns)
            return
        running = worker.running  # before anything is read: what is read later is then complete
        self.progressed.emit(worker.progress)
        preview = worker.progress.preview
        if preview is not None and (self._live is None or worker.wish == "cancel" or self._shown(preview)):
            preview.seen.set()
        if worker.pieces:
            self._take_turns(self._piece(worker.pieces.popleft()))
        elif not running:
            self._take_turns(self._ending(worker))

    def _shown(self, preview: Preview) -> bool:
        """Show a preview, as `Live.show` says. One that cannot be shown ends the looking, and no run."""
        try:
            return self._live is None or self._live.show(preview)
        except Exception as error:
            self.failed.emit(Failure.of(error))
            self._let_go_of_live()
            return True

    def _take_turns(self, turns: Iterator[None]) -> None:
        self._turns = turns
        self._timer.start(TURN_AFTER)

    def _turn(self, turns: Iterator[None]) -> None:
        try:
            next(turns)
            self._timer.start()  # from now, and not from when this turn began
            return
        except StopIteration:
            pass
        except Exception as error:  # said in the dock, and not raised into Qt's loop
            self.failed.emit(Failure.of(error))
        self._turns = None
        if not self._over:
            self._timer.start(LOOK_EVERY)
            return
        self._timer.stop()
        self._let_go_of_live()
        self.worker = None
        self._all.clear()  # and with it the result, and all that the work was given
        self._then = self._each = _nothing
        self.ended.emit()

    def abandon(self) -> None:
        """Nobody looks any more: the work ends, and what it would have shown goes."""
        if self.worker is not None:
            self.worker.abandon()
        self._timer.stop()
        self._let_go_of_live()

    def _let_go_of_live(self) -> None:
        if self._live is not None:
            self._live.remove()
            self._live = None

    def _piece(self, piece: Any) -> Iterator[None]:
        """What is done with a piece that was handed over."""
        yield from self._each(piece) or ()

    def _ending(self, worker: Worker) -> Iterator[None]:
        """What is done when a worker has ended, one turn after the other."""
        self._over = True
        self._notes = worker.progress.notes
        if worker.failure is not None:
            self.failed.emit(worker.failure)
        elif not worker.dropped:
            yield from self._then(worker.result) or ()


def _nothing(_: Any) -> None:
    """Is done with what nobody asked for."""


def _let_go(workers: list[Worker], *_: Any) -> None:
    for worker in workers:
        worker.abandon()
