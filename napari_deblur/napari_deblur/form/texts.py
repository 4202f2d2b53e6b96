"""Parameter values as people write them, and back without loss: numbers, lists, schedules, texts."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from typing import Any

from unblur.params import Field, Schedule

AUTO = "auto"
"""What an optional value is called where there is none."""


def text_of(field: Field, value: Any) -> str:
    """A value of a field as text; nothing for None."""
    return plain_text(value, field.hint == Schedule)


def plain_text(value: Any, schedule: bool = False) -> str:
    """A value as text; nothing for None. Pairs of numbers are a schedule where that is asked for."""
    if value is None:
        return ""
    if schedule and isinstance(value, tuple):
        first, *rest = value
        begin = number(first[1]) if rest else f"from 0: {number(first[1])}"
        return ", ".join([begin, *(f"from {number(start)}: {number(later)}" for start, later in rest)])
    if isinstance(value, tuple):
        return ", ".join(number(item) if isinstance(item, int | float) else str(item) for item in value)
    return number(value) if isinstance(value, int | float) else str(value)


def value_of(field: Field, text: str) -> Any:
    """The value that a text means.

    Raises:
        ParameterError: it means none, or one that the field does not allow.
    """
    text = text.strip()
    if field.optional and text.lower() in ("", AUTO, "none"):
        return None
    if field.hint == Schedule:
        return field.parse(_schedule(text))
    if typing.get_origin(field.hint) is tuple:
        inner = typing.get_args(field.hint)[0]
        items = [item.strip() for item in text.strip("()[]").split(",") if item.strip()]
        return field.parse(tuple(_scalar(inner, item) for item in items))
    return field.parse(_scalar(field.hint, text))


def number(value: float) -> str:
    """The shortest text that gives back the same number: ``20000``, ``1e-06``."""
    text = repr(value)
    return text.removesuffix(".0")


def _scalar(hint: Any, text: str) -> Any:
    """A number where the text is one, and else the text, which `Field.parse` then refuses in words."""
    kinds: dict[Any, Callable[[str], Any]] = {int: int, float: float}
    if hint in kinds:
        try:
            return kinds[hint](text)
        except ValueError:
            return text
    return text


def _schedule(text: str) -> Any:
    """``0.05`` or ``0.05, from 0.35: 0.001``."""
    if "from" not in text:
        return _scalar(float, text)
    steps: list[tuple[Any, Any]] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*from\s+([^:]+):(.*)", part)
        start, value = (match[1], match[2]) if match else ("0", part)
        steps.append((_scalar(float, start.strip()), _scalar(float, value.strip())))
    return tuple(steps)
