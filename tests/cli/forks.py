"""The command line in forked children, so that torch is imported once for many runs; a program of its own.

Reads a request per line, `{"arguments": [...], "events": path, "every": 3, "step": [0, 7], "change": null}`, runs
`unblur` with the arguments in a child, and answers `{"code": ..., "said": ...}`. In the child

- a checkpoint is written after every third step, and every event is a line of `events`: plane, stage, step, misfit;
- SIGKILL comes from within: in the event of step 7 of plane 0, before its checkpoint; or before the change with a
  number, from 1, that it makes to the file system: a file is renamed or removed, a folder is made or removed.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unblur.cli import files, main

CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_before_change(number: int) -> None:
    """Nothing that Python does to the file system passes by its audit events."""
    changes = itertools.count(1)

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        nothing = name == "os.remove" and not os.path.lexists(arguments[0]) and arguments[1] == -1
        if name in CHANGES and not nothing and next(changes) == number:
            killed()

    sys.addaudithook(hook)


def watching(path: str, every: int, step: list[int] | None) -> Callable[[], Any]:
    """What stands in for the progress bar: it is called with every event, before the checkpoint of its step."""

    @contextlib.contextmanager
    def bar() -> Iterator[Callable[[Any], None]]:
        with open(path, "w") as file:

            def update(job_event: Any) -> None:
                event = job_event.event
                print(job_event.plane, event.stage, event.step, event.misfit.hex(), file=file, flush=True)
                event._run._interval = 0.0 if event.step % every == 0 else math.inf
                if [job_event.plane, event.step] == step:
                    killed()

            yield update

    return bar


def run(request: dict[str, Any], said: int) -> int:
    """The child, which does not measure its pace: what it runs is shorter."""
    os.dup2(said, 1)
    os.dup2(said, 2)
    importlib.import_module("unblur.planning")._TIMED_STEPS = (1, 1)
    if request.get("events"):
        files.bar = watching(request["events"], request["every"], request.get("step"))
    if request.get("change"):
        kill_before_change(request["change"])
    try:
        main(request["arguments"])
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    return 70


def forked(request: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as said, tempfile.NamedTemporaryFile() as imported:
        child = os.fork()
        if child == 0:
            code = run(request, said.fileno())
            sys.stdout.flush()
            sys.stderr.flush()
            Path(imported.name).write_text("\n".join(sys.modules))
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        learn(imported.read().decode().split())
        said.seek(0)
        return {"code": code, "said": said.read().decode(errors="replace")}


def learn(modules: list[str]) -> None:
    """Import what a child had to import, for those that come after it. Nothing more is done here: a fork takes no
    threads along, so none may have been started."""
    for name in modules:
        if name not in sys.modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    for line in sys.stdin:
        sys.stdout.write(json.dumps(forked(json.loads(line))) + "\n")
        sys.stdout.flush()
