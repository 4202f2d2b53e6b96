"""One piece of work in a thread of its own. The window asks how far it is; the thread never touches the window.

No exception leaves the thread, and nothing is sent from it: what a closed window would have received is not read.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from napari_deblur.wording import in_the_dock
from unblur.errors import UnblurError

Wish = Literal["stop", "cancel"]
"""``stop`` keeps the best so far, ``cancel`` drops it."""


class Dropped(Exception):
    """Raised by work that was cancelled: there is no result."""


@dataclass(frozen=True)
class Preview:
    """A look at the current estimate: (channels, *spatial), in the input's units.

    `index` is its place along T, C, Z, in planes of what is run. `start` is the corner of the window that the image is
    of, in pixels along the spatial axes; nothing for all of it. `seen` is set when it has been shown.
    """

    image: np.ndarray
    index: Mapping[str, int]
    start: tuple[int, ...] = ()
    seen: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is.

    Attributes:
        words: what is being done.
        fraction: done of all, None where that is not known yet.
        remaining: seconds, None where that is not known yet.
        misfits: of all steps so far of the plane in work; grows in place.
        preview: the latest look.
        notes: sentences for the user, when it has ended.
    """

    words: str = "starting"
    fraction: float | None = None
    remaining: float | None = None
    misfits: list[float] = field(default_factory=list)
    preview: Preview | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """What went wrong, in words, and everything a developer would ask for."""

    words: str
    details: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        details = "".join(traceback.format_exception(error))
        if isinstance(error, UnblurError):
            return cls(in_the_dock(str(error)), details)
        if isinstance(error, MemoryError):
            return cls("The memory did not suffice. Try a region, fewer planes, or a width under tiles.", details)
        return cls(f"Something unexpected went wrong: {type(error).__name__}: {error}", details)


class Worker:
    """Does `work(worker)` in a thread. Afterwards exactly one of `result` and `failure` is set, or `dropped`.

    What is done before the end can be handed over in `pieces`, first in, first out, for the window to take.

    Args:
        work: is given this worker, reports through `report` and looks at `wish` often; a wish to cancel ends in
            `Dropped`.
        what: a name for people.
    """

    def __init__(self, work: Callable[[Worker], Any], what: str) -> None:
        self.what = what
        self.progress = Progress()
        self.pieces: deque[Any] = deque()
        self.wish: Wish | None = None
        self.result: Any = None
        self.failure: Failure | None = None
        self.dropped = False
        self.abandoned = False
        self._work = work
        self._thread = threading.Thread(target=self._run, name=f"napari-deblur: {what}")

    def start(self) -> Worker:
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask for the best so far; the step in progress is finished."""
        self.wish = self.wish or "stop"

    def abandon(self) -> None:
        """Stop, where nobody will take the result."""
        self.abandoned = True
        self.stop()

    def cancel(self) -> None:
        """Ask to end without a result; the step in progress is finished."""
        self.wish = "cancel"

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def report(self, **changes: Any) -> None:
        """New values of `progress`, for the work to call."""
        self.progress = replace(self.progress, **changes)

    def _run(self) -> None:
        try:
            self.result = self._work(self)
        except Dropped:
            self.dropped = True
        except BaseException as error:  # a plugin that raises SystemExit must not end the thread in silence
            if self.wish == "cancel":
                self.dropped = True
            else:
                self.failure = Failure.of(error)
