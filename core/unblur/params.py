"""Parameters: one frozen dataclass per component, resolved once into fields for validation, help, docs and forms.

A component declares its parameters so::

    @dataclass(frozen=True)
    class HuberParams:
        delta: Annotated[float, Gt(0), Doc("Where squares turn to absolute values."), Unit("intensity")] = 0.05

Everything else (`--set`, TOML, `unblur describe`, the reference in the docs, the napari form) is made from `fields_of`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import annotated_types as at
from typing_extensions import Doc

from unblur.errors import ParameterError, described

__all__ = ["Field", "NoParams", "Schedule", "Unit", "fields_of", "has_field", "plain", "validate", "value_at"]

Schedule = float | tuple[tuple[float, float], ...]
"""A number, or steps of it: ((0.0, 0.05), (0.35, 0.001)) is 0.05 at first, 0.001 from 35 % of the planned steps on."""


@dataclass(frozen=True)
class NoParams:
    """For components without parameters."""


@dataclass(frozen=True)
class Unit:
    """Annotation: the unit of a parameter, in words."""

    name: str


@dataclass(frozen=True)
class Field:
    """One parameter as help, forms and docs need it."""

    name: str
    hint: Any
    default: Any
    doc: str
    unit: str
    optional: bool
    choices: tuple[Any, ...]
    lower: float | None
    upper: float | None
    lower_open: bool
    upper_open: bool

    @property
    def bounds(self) -> str:
        """The interval in words, such as ``(0, 1]``; empty without bounds."""
        if self.lower is None and self.upper is None:
            return ""
        low = f"{'(' if self.lower_open else '['}{self.lower:g}" if self.lower is not None else "(-inf"
        high = f"{self.upper:g}{')' if self.upper_open else ']'}" if self.upper is not None else "inf)"
        return f"{low}, {high}"

    @property
    def type_name(self) -> str:
        """The type in words a user knows."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        if self.hint == Schedule:
            return "number or schedule [[fraction, value], …]"
        origin = typing.get_origin(self.hint)
        if origin is tuple:
            inner = typing.get_args(self.hint)[0]
            return f"list of {_WORDS.get(inner, getattr(inner, '__name__', str(inner)))}"
        return _WORDS.get(self.hint, getattr(self.hint, "__name__", str(self.hint)))

    def parse(self, value: Any) -> Any:
        """`value` as the declared type, or `ParameterError` saying what was expected."""
        if value is None:
            if self.optional:
                return None
            raise ParameterError(f"{self.name} = None: expected {self._expected()}")
        try:
            value = _tuples(value)
            if self.choices:
                return next(choice for choice in self.choices if type(choice) is type(value) and choice == value)
            value = _adapter(self.hint).validate_python(value, strict=True)
            numbers = _numbers(value, schedule=self.hint == Schedule)
        except (ValueError, OverflowError, RecursionError, StopIteration) as error:
            why = f" ({error})" if isinstance(error, ParameterError) else ""
            raise ParameterError(f"{self.name} = {_short(value)}: expected {self._expected()}{why}") from error
        if not all(map(self._inside, numbers)):
            raise ParameterError(f"{self.name} = {_short(value)}: expected {self._expected()}")
        return value

    def allows(self, value: Any) -> bool:
        """Whether a value of the declared type is a choice and within the bounds."""
        if value is None:
            return self.optional
        try:
            numbers = _numbers(value, schedule=self.hint == Schedule)
        except (TypeError, ValueError):  # a schedule that is none
            return False
        return (not self.choices or value in self.choices) and all(map(self._inside, numbers))

    def _expected(self) -> str:
        words = self.type_name + (f" in {self.bounds}" if self.bounds else "")
        return words + (" or nothing" if self.optional else "")

    def _inside(self, number: float) -> bool:
        if not math.isfinite(number):
            return False
        above = self.lower is None or (number > self.lower if self.lower_open else number >= self.lower)
        below = self.upper is None or (number < self.upper if self.upper_open else number <= self.upper)
        return above and below


_WORDS = {float: "number", int: "whole number", bool: "true or false", str: "text"}


@functools.cache
def fields_of(params: type) -> tuple[Field, ...]:
    """The fields of a parameter dataclass, in order of declaration.

    Raises:
        TypeError: the class is not a frozen dataclass, or a field has no default or no `Doc`, may be None but is not by
            default (TOML has no None), has a constraint other than Ge, Gt, Le, Lt and Interval, is of a type that
            users cannot write, or has a default out of its bounds.
    """
    if not (isinstance(params, type) and dataclasses.is_dataclass(params) and params.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise TypeError(f"{getattr(params, '__qualname__', params)} must be a frozen dataclass")
    hints = typing.get_type_hints(params, include_extras=True)
    return tuple(_field(params, field, hints[field.name]) for field in dataclasses.fields(params))


def has_field(params: type, name: str) -> bool:
    """Whether a class of parameters has one of this name."""
    return any(field.name == name for field in fields_of(params))


def _field(owner: type, field: dataclasses.Field[Any], hint: Any) -> Field:
    extras: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, *rest = typing.get_args(hint)
        extras = tuple(part for extra in rest for part in (extra if isinstance(extra, at.Interval) else (extra,)))
    optional, hint = _optional(hint)
    if field.default is dataclasses.MISSING:
        raise TypeError(f"{owner.__qualname__}.{field.name} needs a default that is a plain value")
    doc = next((extra.documentation for extra in extras if isinstance(extra, Doc)), "")
    if not doc:
        raise TypeError(f"{owner.__qualname__}.{field.name} needs Doc('…')")
    if optional and field.default is not None:
        raise TypeError(f"{owner.__qualname__}.{field.name} may be None, so that None must be its default")
    lower: float | None = None
    upper: float | None = None
    lower_open = upper_open = False
    for extra in extras:
        if isinstance(extra, at.Ge):
            lower = typing.cast(float, extra.ge)
        elif isinstance(extra, at.Gt):
            lower, lower_open = typing.cast(float, extra.gt), True
        elif isinstance(extra, at.Le):
            upper = typing.cast(float, extra.le)
        elif isinstance(extra, at.Lt):
            upper, upper_open = typing.cast(float, extra.lt), True
        elif isinstance(extra, at.BaseMetadata | at.GroupedMetadata):
            raise TypeError(f"{owner.__qualname__}.{field.name}: {extra} has no effect; use Ge, Gt, Le, Lt or Interval")
    if not (hint == Schedule or _settable(hint)):
        raise TypeError(
            f"{owner.__qualname__}.{field.name}: {hint} is no type that text, files and forms set; use bool, int, "
            "float, str, a Literal of texts or whole numbers, tuple[…, ...] of these, or Schedule"
        )
    found = Field(
        name=field.name,
        hint=hint,
        default=field.default,
        doc=doc,
        unit=next((extra.name for extra in extras if isinstance(extra, Unit)), ""),
        optional=optional,
        choices=typing.get_args(hint) if typing.get_origin(hint) is Literal else (),
        lower=lower,
        upper=upper,
        lower_open=lower_open,
        upper_open=upper_open,
    )
    if not found.allows(field.default):
        bounds = f" in {found.bounds}" if found.bounds else ""
        wanted = f"{found.type_name}{bounds}, finite where it is a number"
        raise TypeError(f"{owner.__qualname__}.{field.name} = {_short(field.default)} by default; expected {wanted}")
    return found


def _settable(hint: Any) -> bool:
    """Whether a type is one that users can write."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _settable(inner[0])
    if origin is Literal:
        return all(type(choice) in (str, int) for choice in inner)
    if origin is tuple:
        return all(one is ... or (typing.get_origin(one) is not tuple and _settable(one)) for one in inner)
    return hint in (bool, int, float, str)


def _optional(hint: Any) -> tuple[bool, Any]:
    if hint == Schedule or typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return False, hint
    inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if len(inner) == len(typing.get_args(hint)):
        return False, hint
    return True, typing.Union[tuple(inner)]  # noqa: UP007  (built from a list at run time)


@functools.cache
def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter  # imported on first use: it costs a third of the start-up time

    return TypeAdapter(hint)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits, or lists within lists
        return f"a very large {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _numbers(value: Any, schedule: bool) -> list[float]:
    if schedule and isinstance(value, tuple):
        fractions = [fraction for fraction, _ in value]
        rising = all(earlier < later for earlier, later in itertools.pairwise(fractions))
        if not (fractions and fractions[0] == 0 and rising and fractions[-1] <= 1):
            raise ParameterError("fractions must rise from 0 and end by 1")
        return [number for _, number in value]
    if isinstance(value, tuple):
        return [number for item in value for number in _numbers(item, schedule=False)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def validate(params: type, values: Mapping[str, Any], where: str = "") -> Any:
    """An instance of `params` from plain values, each checked against its declaration.

    Raises:
        ParameterError: a name is unknown, a value has the wrong type or lies out of bounds.
    """
    known = {field.name: field for field in fields_of(params)}
    prefix = f"{where}." if where else ""
    parsed = {}
    for name, value in values.items():
        if name not in known:
            choices = ", ".join(known) or "it has none"
            raise ParameterError(f"{prefix}{name}: no such parameter; choose one of: {choices}")
        try:
            parsed[name] = known[name].parse(value)
        except ParameterError as error:
            raise ParameterError(f"{prefix}{error}") from None
    try:
        return params(**parsed)
    except Exception as error:  # parameters that exclude each other, or a fault of a plugin
        said = str(error) if isinstance(error, ValueError) else described(error)
        raise ParameterError(f"{where or params.__qualname__}: {said}") from error


def plain(params: Any) -> dict[str, Any]:
    """The values of a parameter instance as TOML can hold them: tuples as lists, nothing left out but None."""
    values = {field.name: getattr(params, field.name) for field in fields_of(params.__class__)}
    return {name: _lists(value) for name, value in values.items() if value is not None}


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def whole_numbers(given: Any) -> tuple[int, ...]:
    """One whole number or several, of Python or NumPy, as a tuple; an empty one for anything else."""
    found = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not all(isinstance(number, Integral) and not isinstance(number, bool) for number in found):
        return ()
    return tuple(map(int, found))


def value_at(schedule: Schedule, fraction: float) -> float:
    """The value of a schedule at a fraction (0 to 1) of the planned steps."""
    if not isinstance(schedule, tuple):
        return schedule
    current = schedule[0][1]
    for start, value in schedule:
        if fraction >= start:
            current = value
    return current
