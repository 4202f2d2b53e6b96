"""The commands of `unblur` with their options, from what the option parser knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from unblur.cli.app import app


def commands() -> str:
    """A section for each command."""
    return "\n".join(_section(typer.main.get_command(app), "unblur"))


def _section(command: Any, name: str) -> Iterator[str]:
    if inner := getattr(command, "commands", {}):
        for word, one in inner.items():
            yield from _section(one, f"{name} {word}")
        return
    context = command.make_context(name, [], resilient_parsing=True)
    yield from (f"## {name}", "", command.help or "", "")
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"| `{_cell(words)}` | {_cell(text)} |" for words, text in filter(None, records) if words != "--help"]
    if rows:
        yield from ("| argument, option | what it is |", "|---|---|", *rows, "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
