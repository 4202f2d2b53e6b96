"""The command line. Commands load what they need when they are called: lists and help start without torch."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from unblur.errors import FileError, UnblurError

BAD_INPUT = 2
"""Exit code for whatever a user can act on."""

PLANES_FAILED = 3
"""Exit code where some planes, or some of the methods compared, failed, and the others were written."""


class ForgivingStream:
    """A text stream whose reader may leave: what is written after that is lost, and the work goes on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._without_reader():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._without_reader():
            self._stream.flush()

    @contextlib.contextmanager
    def _without_reader(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of ``unblur``; exits with 0, 2 (error), 3 (planes failed), 130 or 143 (signals)."""
    from unblur.cli.app import app

    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold what its encoding does not
        sys.stdout.reconfigure(errors="backslashreplace")
    before, sys.stdout = sys.stdout, ForgivingStream(sys.stdout)
    try:
        code = app(list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
    except UnblurError as error:
        code = fail(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        code = 130
    except OSError as error:
        code = fail(FileError(error.filename or "a file", error.strerror or str(error)))
    except Exception as error:
        code = usage_error(error)
    finally:
        sys.stdout = before
    sys.exit(code if isinstance(code, int) else 0)


def fail(error: UnblurError) -> int:
    """One or two lines on stderr, and the exit code."""
    text = "\n".join(str(error).splitlines()[:2])
    print(f"error: {text}", file=sys.stderr)  # noqa: T201
    return BAD_INPUT


def usage_error(error: Exception) -> int:
    """An error of the option parser in one line; everything else is a bug and is raised."""
    message, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
    if message is None or code is None:
        raise error
    words = message()
    if words.startswith("Usage:"):  # no command at all
        print(words, file=sys.stderr)  # noqa: T201
    elif words:
        print(f"error: {words} See `unblur COMMAND --help`", file=sys.stderr)  # noqa: T201
    return int(code)
