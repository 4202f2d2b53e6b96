"""Ctrl-C and SIGTERM: the first one ends the run after its step and keeps the result, a second one ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Interrupt:
    """What arrived, and the token of the run that is to stop for it."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._token: Any = None

    def watch(self, token: Any) -> None:
        """Cancel this token on a signal; at once, if one has arrived already."""
        self._token = token
        if self.number is not None:
            token.cancel(self._reason())

    def arrived(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        # The system's own handling from here on, which does not wait for Python.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        if self._token is not None:
            self._token.cancel(self._reason())
        with contextlib.suppress(OSError):  # whoever reads it may have been stopped as well
            os.write(2, b"\nstopping; what a run has found so far is kept; once more to stop at once\n")

    @property
    def exit_code(self) -> int:
        """130 or 143, as shells count; 0 where nothing arrived."""
        return 0 if self.number is None else 128 + self.number

    def _reason(self) -> str:
        return f"interrupted ({signal.Signals(self.number or 0).name})"


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Catch both signals while the block runs; what handled them before comes back."""
    interrupt = Interrupt()
    before = {number: signal.signal(number, interrupt.arrived) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
