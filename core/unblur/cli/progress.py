"""A progress bar on the terminal with misfit, step and time left; silent where stderr is no terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from unblur.cli.text import duration
from unblur.planes import words

if TYPE_CHECKING:
    from unblur.jobs import JobEvent

REFRESH = 5


@contextlib.contextmanager
def bar() -> Iterator[Callable[[JobEvent], None]]:
    """What to call with every event."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda event: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("step {task.completed:.0f}/{task.total:.0f}  misfit {task.fields[misfit]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]} left"),
    )
    with Progress(*columns, console=console, refresh_per_second=REFRESH, transient=True) as progress:
        task = progress.add_task("measuring", total=1, misfit="", left="?")

        def update(event: JobEvent) -> None:
            where = "" if event.planes == 1 else f"{event.plane + 1}/{event.planes} {words(event.index, event.kind)} "
            progress.update(
                task,
                description=f"{where}stage {event.event.stage + 1}/{event.event.stages}",
                completed=event.event.step,
                total=event.event.planned,
                misfit=f"{event.event.misfit:.4g}",
                left=duration(event.remaining),
            )

        yield update
