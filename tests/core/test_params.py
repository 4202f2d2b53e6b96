"""Parameters: strict types, bounds, schedules, and plain values there and back."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tomli_w
from annotated_types import Ge, Gt, Interval, Le, Lt, MultipleOf
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Doc

from unblur.errors import ParameterError
from unblur.params import NoParams, Schedule, Unit, fields_of, plain, validate, value_at


@dataclass(frozen=True)
class Sample:
    rate: Annotated[Schedule, Gt(0), Le(1), Doc("Rate."), Unit("per step")] = 0.1
    count: Annotated[int, Ge(1), Lt(100), Doc("Count.")] = 5
    delta: Annotated[float, Interval(ge=0.0, lt=2.0), Doc("Delta.")] = 0.5
    flag: Annotated[bool, Doc("Flag.")] = True
    kind: Annotated[Literal["a", "b"], Doc("Kind.")] = "a"
    level: Annotated[Literal[1, 2], Doc("Level.")] = 1
    sizes: Annotated[tuple[int, ...] | None, Ge(1), Doc("Sizes.")] = None
    later: Annotated[Schedule | None, Doc("Rate later on.")] = None
    text: Annotated[str, Doc("Text.")] = ""


NUMBERS = st.floats(0.001, 1.0)
SCHEDULES = st.lists(st.tuples(st.floats(0.001, 1.0), NUMBERS), max_size=4, unique_by=lambda pair: pair[0]).flatmap(
    lambda pairs: st.builds(lambda first: ((0.0, first), *sorted(pairs)), NUMBERS)
)
SAMPLES = st.builds(
    Sample,
    rate=NUMBERS | SCHEDULES,
    count=st.integers(1, 99),
    delta=st.floats(0, 2, exclude_max=True),
    flag=st.booleans(),
    kind=st.sampled_from("ab"),
    level=st.sampled_from([1, 2]),
    sizes=st.none() | st.lists(st.integers(1, 2**40), max_size=4).map(tuple),
    later=st.none() | NUMBERS | SCHEDULES,
    text=st.text(),
)


@given(SAMPLES)
def test_values_go_through_toml_and_back(sample: Sample) -> None:
    text = tomli_w.dumps(plain(sample))
    assert validate(Sample, tomllib.loads(text)) == sample


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("count", value) for value in (True, 1.0, "1", 0, 100, -1, math.nan, [1], None, 10**400, 10**5000)],
        *[("delta", value) for value in (math.nan, math.inf, -math.inf, -0.1, 2.0, "0.5", True, 10**400, {}, None)],
        *[("flag", value) for value in (0, 1, "true", None)],
        *[("kind", value) for value in ("c", "A", 1, ["a"], {}, None)],
        *[("level", value) for value in (True, 1.0, 3, "1")],
        *[("sizes", value) for value in (3, [0], [1, -1], [1.0], [True], [[1]], "12")],
        *[("text", value) for value in (1, b"x", ["a"])],
        *[
            ("rate", value)
            for value in (
                math.nan,
                0,
                1.5,
                True,
                [],
                [0.1, 0.2],
                [[0, 0.1], [0.5, math.nan]],
                [[0, 0.1], [math.nan, 0.2]],
                [[0.1, 0.1]],
                [[0, 0.1], [0.6, 0.2], [0.5, 0.3]],
                [[0, 0.1], [0, 0.2]],
                [[0, 0.1], [1.5, 0.2]],
                [[0, 0.1, 0.2]],
                [[0, 0.1], [0.5, 5.0]],
                "0.1",
            )
        ],
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, int) and abs(value) > 10**9 else None,
)
def test_wrong_values_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"^slot.part.{name} = ") as caught:
        validate(Sample, {name: value}, "slot.part")
    message = str(caught.value)
    assert "expected" in message
    assert len(message) < 300


def test_nesting_without_end_is_refused() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ParameterError, match="sizes"):
        validate(Sample, {"sizes": value})


def test_whole_numbers_serve_as_numbers_and_lists_as_tuples() -> None:
    sample = validate(Sample, {"delta": 1, "sizes": [3, 4], "rate": [[0, 1], [0.5, 0.5]]})
    assert (sample.delta, type(sample.delta)) == (1.0, float)
    assert sample.sizes == (3, 4)
    assert sample.rate == ((0.0, 1.0), (0.5, 0.5))
    assert plain(sample)["rate"] == [[0.0, 1.0], [0.5, 0.5]]
    assert validate(Sample, {"sizes": None}) == Sample()


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(ParameterError, match=r"estimator\.rat: no such parameter.*rate, count"):
        validate(Sample, {"rat": 1}, "estimator")
    with pytest.raises(ParameterError, match="it has none"):
        validate(NoParams, {"x": 1})


def test_parameters_that_exclude_each_other() -> None:
    @dataclass(frozen=True)
    class Pair:
        low: Annotated[float, Doc("Low.")] = 0.0
        high: Annotated[float, Doc("High.")] = 1.0

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError(f"low = {self.low} lies above high = {self.high}")

    fields_of.cache_clear()
    Pair.__annotations__ = {"low": Annotated[float, Doc("Low.")], "high": Annotated[float, Doc("High.")]}
    with pytest.raises(ParameterError, match=r"where: low = 2\.0 lies above"):
        validate(Pair, {"low": 2.0}, "where")


def test_fields_carry_what_forms_need() -> None:
    known = {found.name: found for found in fields_of(Sample)}
    assert known["rate"].bounds == "(0, 1]"
    assert known["count"].bounds == "[1, 100)"
    assert known["delta"].bounds == "[0, 2)"
    assert known["rate"].unit == "per step"
    assert known["kind"].choices == ("a", "b")
    assert known["sizes"].optional
    assert known["later"].optional
    assert "schedule" in known["later"].type_name
    assert known["sizes"].type_name == "list of whole number"


def _declared(hint: Any, default: Any = 1) -> type:
    def __init__(self: Any) -> None: ...

    body = {"__annotations__": {"x": hint}, "x": default}
    return dataclass(frozen=True)(type("Declared", (), body))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (_declared(int), "Doc"),
        (_declared(Annotated[int, Doc("x"), MultipleOf(2)]), "MultipleOf.*no effect"),
        (_declared(Annotated[int | None, Doc("x")]), "None must be its default"),
        (_declared(Annotated[list, Doc("x")], field(default_factory=list)), "default"),
        (_declared(Annotated[int | str, Doc("x")]), "is no type that text, files and forms set"),
        (_declared(Annotated[Path, Doc("x")], Path("a")), "is no type that text, files and forms set"),
        (_declared(Annotated[tuple[tuple[int, ...], ...], Doc("x")], ()), "is no type that text, files and forms set"),
        (_declared(Annotated[float, Doc("x")], math.inf), "finite where it is a number"),
        (_declared(Annotated[Schedule, Doc("x")], (0.5, 1.0)), "= .0.5, 1.0. by default; expected"),
        (_declared(Annotated[tuple[Path, ...], Doc("x")], ()), "is no type that text, files and forms set"),
        (
            _declared(Annotated[float, Le(1), Doc("x")], 2.0),
            r"x = 2.0 by default; expected number in .*1\]",
        ),
        (_declared(Annotated[tuple[int, ...], Ge(1), Doc("x")], (3, 0)), "list of whole number"),
        (_declared(Annotated[Literal["a", "b"], Doc("x")], "c"), "one of a, b"),
        (_declared(Annotated[Schedule, Doc("x")], ((0.5, 1.0),)), "by default; expected number or schedule"),
        (dataclass(type("Loose", (), {"__annotations__": {}})), "frozen"),
        (Sample(), "frozen dataclass"),
        (int, "frozen dataclass"),
    ],
)
def test_wrong_declarations_are_told_apart(params: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        fields_of(params)


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (Annotated[Annotated[float, Ge(0)] | None, Doc("x")], None),
        (Annotated[tuple[Annotated[int, Ge(1)], ...], Doc("x")], (1, 2)),
        (Annotated[tuple[int, int], Doc("x")], (1, 2)),
    ],
)
def test_bounds_may_stand_within_a_type(hint: Any, default: Any) -> None:
    assert fields_of(_declared(hint, default))[0].default == default


@given(SCHEDULES, st.floats(0, 1))
def test_a_schedule_has_the_last_value_that_has_begun(schedule: Any, fraction: float) -> None:
    begun = [value for start, value in schedule if start <= fraction]
    assert value_at(schedule, fraction) == begun[-1]
    assert value_at(0.3, fraction) == 0.3


def test_a_fault_of_a_plugins_parameters_is_said_with_their_place() -> None:
    @dataclass(frozen=True)
    class Ratio:
        below: Annotated[float, Doc("What is divided by.")] = 1.0

        def __post_init__(self) -> None:
            1 / self.below

    with pytest.raises(ParameterError, match=r"image_prior: ZeroDivisionError: float division by zero"):
        validate(Ratio, {"below": 0.0}, "image_prior")
