"""Plain text for the terminal: tables that wrap, times and sizes in words."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], indent: int = 0) -> str:
    """Columns as wide as their longest cell; the last one is wrapped to the terminal."""
    if not rows:
        return ""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]) - 1)]
    start = indent + sum(widths) + 2 * len(widths)
    room = max(30, shutil.get_terminal_size((110, 24)).columns - start)
    lines = []
    for row in rows:
        head = " " * indent + "".join(cell.ljust(width + 2) for cell, width in zip(row[:-1], widths, strict=True))
        wrapped = textwrap.wrap(row[-1], room) or [""]
        lines.append((head + wrapped[0]).rstrip())
        lines.extend(" " * start + line for line in wrapped[1:])
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Such as ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 1:
        return "less than a second"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
