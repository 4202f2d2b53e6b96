"""What several commands read from their options."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any, Literal

from unblur.errors import ParameterError


def settings(assignments: Sequence[str]) -> dict[str, Any]:
    """``slot.part.parameter=value`` with values as in TOML; bare words are texts, and words with commas a list.

    Raises:
        ParameterError: no address or no value.
    """
    parsed: dict[str, Any] = {}
    for assignment in assignments:
        address, equals, text = assignment.partition("=")
        if not (address.strip() and equals and text.strip()):
            raise ParameterError(f"--set {assignment}: expected slot.part.parameter=value, such as estimator.samples=2")
        parsed[address.strip()] = value(text.strip())
    return parsed


def value(text: str) -> Any:
    """One value as TOML has it, else a text, or a list of texts where there are commas."""
    if "\n" not in text:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            pass
    names = [name.strip() for name in text.split(",")]
    return names if len(names) > 1 else text


def kernel_size(text: str | None) -> int | tuple[int, ...] | None:
    """``31``, ``31x21``, ``9x31x31`` or ``auto``.

    Raises:
        ParameterError: neither.
    """
    if text is None or text == "auto":
        return None
    parts = text.lower().replace(",", "x").split("x")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ParameterError(f"--kernel-size {text}: expected a number, one per axis such as 31x21, or auto")
    numbers = tuple(map(int, parts))
    return numbers[0] if len(numbers) == 1 else numbers


def pixel_size(text: str | None) -> float | tuple[float, ...] | dict[str, float] | None:
    """``0.1`` for Y and X, ``0.3,0.1,0.1`` for every spatial axis, or ``Z=0.3,Y=0.1,X=0.1``.

    Raises:
        ParameterError: neither.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    try:
        if all("=" in part for part in parts):
            return {name.strip().upper(): float(size) for name, _, size in (part.partition("=") for part in parts)}
        numbers = tuple(float(part) for part in parts)
    except ValueError as error:
        raise ParameterError(f"--pixel-size {text}: expected numbers, such as 0.1 or Z=0.3,Y=0.1,X=0.1") from error
    return numbers[0] if len(numbers) == 1 else numbers


def region(text: str | None) -> dict[str, tuple[int, int]] | None:
    """``T=0:3,Y=100:228,X=40:168``: start and stop along some axes.

    Raises:
        ParameterError: something else.
    """
    if text is None:
        return None
    parts: dict[str, tuple[int, int]] = {}
    for part in text.split(","):
        axis, equals, span = part.partition("=")
        start, colon, stop = span.partition(":")
        if not (equals and colon and start.strip().isdecimal() and stop.strip().isdecimal()):
            raise ParameterError(f"--region {text}: expected start:stop along axes, such as T=0:3,Y=100:228,X=40:168")
        parts[axis.strip().upper()] = (int(start), int(stop))
    return parts


def positions(text: str | None, option: str) -> list[int] | None:
    """Whole numbers separated by commas.

    Raises:
        ParameterError: something else.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ParameterError(f"{option} {text}: expected whole numbers separated by commas")
    return [int(part) for part in parts]


def width(text: str | None, option: str) -> int | Literal["auto"] | None:
    """The width of a window or a tile in pixels: ``256`` or ``auto``.

    Raises:
        ParameterError: neither.
    """
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not (text.strip().isdecimal() and int(text) > 0):
        raise ParameterError(f"{option} {text}: expected a number of pixels, or auto")
    return int(text)


def camera(text: str | None, option: str) -> float | Literal["auto"] | None:
    """A number, or ``auto``.

    Raises:
        ParameterError: neither.
    """
    if text is None:
        return None
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"{option} {text}: expected a number, or auto") from None


def nan(text: str) -> Literal["refuse", "mask"]:
    """What is done with pixels that are NaN.

    Raises:
        ParameterError: neither of the two.
    """
    if text == "mask":
        return "mask"
    if text != "refuse":
        raise ParameterError(f"--nan {text}: choose refuse or mask")
    return "refuse"


def crop(text: str | None) -> tuple[slice, slice] | None:
    """``100:228,40:168``: rows, then columns.

    Raises:
        ParameterError: something else, or nothing inside.
    """
    if text is None:
        return None
    spans = []
    for part in text.split(","):
        start, colon, stop = part.partition(":")
        if not (colon and start.strip().isdecimal() and stop.strip().isdecimal() and int(start) < int(stop)):
            raise ParameterError(f"--crop {text}: expected rows and columns as start:stop,start:stop")
        spans.append(slice(int(start), int(stop)))
    if len(spans) != 2:
        raise ParameterError(f"--crop {text}: expected rows and columns as start:stop,start:stop")
    return spans[0], spans[1]


def names(text: str, option: str) -> list[str]:
    """Names separated by commas.

    Raises:
        ParameterError: none.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise ParameterError(f"{option}: expected names separated by commas")
    return found
