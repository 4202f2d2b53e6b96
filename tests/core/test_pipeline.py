"""Pipelines: TOML there and back, addresses, stages, and which parts fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trials.plugin import METHODS, NONBLIND, registry
from unblur import Part, Pipeline, Stage
from unblur.composition import resolve
from unblur.errors import CompositionError, FileError, ParameterError, UnknownNameError

REGISTRY = registry()
BLIND = METHODS["two-stage"]

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
PARTS = st.builds(Part, NAMES, st.dictionaries(NAMES, VALUES, max_size=3))
SLOT = st.lists(PARTS, min_size=1, max_size=3)
STAGES = st.builds(
    Stage,
    steps=st.integers(1, 10**6),
    scale=st.floats(0, 1, exclude_min=True),
    support=st.sampled_from(["keep", "shrink"]),
    frames=st.none() | st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True).map(tuple),
    crop=st.none() | st.lists(st.tuples(st.integers(0, 9), st.integers(10, 99)), min_size=2, max_size=3).map(tuple),
    set=st.dictionaries(st.just("estimator.rate") | st.just("image_prior.tv.weight"), VALUES, max_size=2),
)


def ending_in(then: st.SearchStrategy[Pipeline | None]) -> st.SearchStrategy[Pipeline]:
    return st.builds(
        Pipeline,
        *[SLOT] * 4,
        stopping=st.lists(PARTS, max_size=2),
        stages=st.lists(STAGES, min_size=1, max_size=3),
        then=then,
    )


PIPELINES = ending_in(st.none() | ending_in(st.none() | ending_in(st.none())))


@settings(max_examples=40)
@given(PIPELINES)
def test_toml_there_and_back(pipeline: Pipeline) -> None:
    import tomllib

    again = Pipeline.from_dict(tomllib.loads(pipeline.to_toml()))
    assert again == pipeline
    assert again.to_toml() == pipeline.to_toml()


@pytest.mark.parametrize("name", METHODS)
def test_the_trial_methods_survive_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(METHODS[name].to_toml())
    again = Pipeline.from_toml(path)
    assert again == METHODS[name]
    again.check(REGISTRY)


GOOD = NONBLIND.to_dict()
WRONG: list[tuple[Any, str]] = [
    (GOOD | {"stopping": {"name": "last"}}, "list of tables"),
    (GOOD | {"stages": []}, "at least one stage"),
    (GOOD | {"stages": [{"scale": 1.0}]}, "'steps' is missing"),
    (GOOD | {"stages": [{"steps": 1, "scales": 1}]}, "stages.scales: no such key"),
    (GOOD | {"stages": [{"steps": True}]}, "stage.steps"),
    (GOOD | {"stages": [{"steps": 1, "frames": []}]}, "stage.frames"),
    (GOOD | {"stages": [{"steps": 1, "set": 3}]}, "stage.set"),
    (GOOD | {"estimtor": {"name": "rl"}}, "no such key; choose one of"),
    (GOOD | {"estimator": "rl"}, "expected a table"),
    (GOOD | {"estimator": {"name": 3}}, "estimator.name = 3"),
    (GOOD | {"estimator": {"name": "rl", "params": [1]}}, "params"),
    (GOOD | {"estimator": {"params": {}}}, "'name' is missing"),
    ({key: value for key, value in GOOD.items() if key != "estimator"}, "'estimator' is missing"),
    ([], "expected a table"),
]


@pytest.mark.parametrize(("content", "words"), WRONG)
def test_wrong_content_is_refused_by_key(content: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        Pipeline.from_dict(content)


def test_wrong_files_are_refused_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    deep = "x = " + "[" * 5000 + "]" * 5000
    nested = tomli_w.dumps(GOOD).replace('"rl"', '"rl"\n[estimator.params]\nx = ' + "[" * 40 + "]" * 40)
    then = tomli_w.dumps(_chain(20))
    texts = ["x = ", deep, nested, then, "x = 1", "x = " + "9" * 5000, "# " + "x" * 1_100_000]
    for text in texts:
        path.write_text(text)
        with pytest.raises(FileError, match=str(path)) as caught:
            Pipeline.from_toml(path)
        assert len(str(caught.value)) < 500
    path.write_bytes(b"\xff\xfe")
    for unreadable in (path, tmp_path, tmp_path / "nothing.toml"):
        with pytest.raises(FileError, match=str(unreadable)):
            Pipeline.from_toml(unreadable)


def _chain(depth: int) -> dict[str, Any]:
    content = dict(GOOD)
    for _ in range(depth):
        content = GOOD | {"then": content}
    return content


def test_lists_within_lists_without_end_are_refused() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ParameterError, match="nested that deep"):
        Pipeline.from_dict(GOOD | {"estimator": {"name": "rl", "params": {"x": value}}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": 1.0},
        {"scale": 0},
        {"scale": 1.01},
        {"scale": math.nan},
        {"scale": True},
        {"support": "grow"},
        {"frames": ()},
        {"frames": (1, 1)},
        {"frames": (-1,)},
        {"frames": 3},
        {"crop": ((3, 3), (0, 4))},
        {"crop": (3, 4)},
        {"crop": ((-1, 4),)},
        {"set": []},
        {"set": {"estimator": "rl"}},
        {"set": {"stages.0.steps": 3}},
        {"set": {"then.estimator.rate": 3}},
        {"set": {"estimator.rate": None}},
    ],
)
def test_wrong_stages_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=f"stage.{next(iter(wrong))}"):
        Stage(**{"steps": 1} | wrong)


@pytest.mark.parametrize("wrong", [None, 3, [3], ("a", 3, {}), {"a": 1}])
def test_what_is_no_part_is_refused(wrong: Any) -> None:
    with pytest.raises(ParameterError):
        Pipeline(wrong, "pixels", "known", "rl")


def test_stages_keep_their_own_value_unless_it_is_set_throughout() -> None:
    own = {"estimator.image_rate": 0.1, "image_prior.network.noise": 0.3, "estimator.kernel_rate": 0.2}
    staged = BLIND.replace(stages=[Stage(steps=2, set=own), Stage(steps=3)])
    staged = staged.replace(image_prior="network", then=staged.replace(then=None))
    settings = {"estimator.image_rate": 0.5, "image_prior.noise": 0.6, "then.estimator.kernel_rate": 0.7}
    kept, changed = staged.set(settings), staged.set_throughout(settings)
    assert kept.stages == staged.stages
    assert changed.stages == (Stage(steps=2, set={"estimator.kernel_rate": 0.2}), Stage(steps=3))
    assert changed.then is not None
    assert changed.then.stages[0].set == {key: own[key] for key in list(own)[:2]}
    assert changed.slots == kept.slots


def test_addresses_reach_everything() -> None:
    changed = BLIND.set(
        {
            "forward_model.kernel_size": 7,
            "image_prior": ["network", "tv"],
            "image_prior.tv.weight": 0.25,
            "stages.0.steps": 4,
            "then.stages.0.steps": 3,
            "then.stopping": ["best-misfit"],
        }
    )
    assert changed.slots["forward_model"][0].params == {"kernel_size": 7}
    assert changed.slots["image_prior"][1] == Part("tv", {"weight": 0.25})
    assert changed.stages[0].steps == 4
    assert changed.then is not None
    assert changed.then.stages[0].steps == 3
    assert BLIND.slots["forward_model"][0].params == {}
    changed.check(REGISTRY)
    assert changed.with_steps([1, 2]).then.stages[0].steps == 2  # type: ignore[union-attr]
    assert changed.set({"then": "none"}) == changed.replace(then=None)


def test_what_runs_first_stands_before_the_rest_and_keeps_its_own_addresses() -> None:
    found = BLIND.replace(then=None)
    after = BLIND.then
    assert after is not None
    whole = BLIND.replace(first=found)
    assert [prefix for prefix, _ in whole.addressed()] == ["first.", "", "then."]
    assert whole.chained() == found.replace(then=BLIND)
    assert Pipeline.from_dict(whole.to_dict()) == whole
    assert whole.with_segments(whole.segments()) == whole
    changed = whole.set({"first.stages.0.steps": 3, "estimator.image_rate": 0.5})
    assert changed.first is not None
    assert changed.first.stages[0].steps == 3
    assert changed.first.slots["estimator"] == found.slots["estimator"]
    assert changed.slots["estimator"][0].params["image_rate"] == 0.5
    assert changed.set({"first": "none", "estimator.image_rate": 0.5}).first is None
    assert [one.stages[0].steps for one in whole.with_steps([5, 6, 7]).segments()] == [5, 6, 7]
    with pytest.raises(ParameterError, match="no `first`"):
        BLIND.set({"first.stages.0.steps": 3})
    with pytest.raises(ParameterError, match="only the pipeline itself"):
        BLIND.replace(first=whole)
    with pytest.raises(ParameterError, match="only the pipeline itself"):
        BLIND.replace(then=after.replace(first=found))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("estimatr.rate", "no such slot; choose one of: forward_model"),
        ("image_prior.tv.weight", "no part 'tv'; the slot holds network"),
        ("stopping.seconds", r"stopping.PART.parameter|slot is empty"),
        ("stages.9.steps", "N below 1"),
        ("stages.-1.steps", "N below 1"),
        ("stages.².steps", "N below 1"),
        ("stages.0.step", "expected stages.N"),
        ("estimator.", "estimator"),
        ("then.then.stages.0.steps", "no `then`"),
        ("then", "none leaves it out"),
        ("", "no such slot"),
    ],
)
def test_addresses_that_name_nothing(address: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        BLIND.set({address: 1})


def test_parameters_are_checked_where_they_are_used() -> None:
    for changes, words in (
        ({"estimator.rate": 1}, r"estimator\.rate: no such parameter"),
        ({"forward_model.squares.weight": -1}, r"forward_model\.squares\.weight = -1"),
        ({"stages.0.set": {"estimator.image_rate": math.nan}}, r"estimator\.image_rate = nan"),
        ({"then.forward_model.kernel_size": "big"}, r"forward_model\.kernel_size = 'big'"),
    ):
        with pytest.raises(ParameterError, match=words):
            BLIND.set(changes).check(REGISTRY)
    with pytest.raises(ParameterError, match="cannot stand"):
        BLIND.set({"estimator.image_rate": math.inf}).to_toml()


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"forward_model": "valid", "estimator": "rl", "image_prior": "pixels"},
        ["'rl'", "kernel_prior", "'logits'", "'fixed'", "fit: known"],
    ),
    (
        {"forward_model": "valid", "estimator": "blind-rl", "kernel_prior": "free-kernel"},
        ["'blind-rl'", "'network'", "'pixels'"],
    ),
    ({"forward_model": "valid"}, ["'joint'", "'valid'", "'misfit'", "huber, squares, ssim"]),
    ({"forward_model": ["flow", "squares"]}, ["'flow'", "'logits'", "flow-network"]),
    ({"image_prior": "deblurrer"}, ["'deblurrer'", "'valid + squares'", "'video'", "flow"]),
    ({"estimator": "fine-tune", "image_prior": ["network", "tv"]}, ["'tv'", "'fine-tune'", "uses-image-penalty"]),
    ({"forward_model": ["squares", "valid"]}, ["forward_model", "one base first", "squares"]),
    ({"forward_model": ["valid", "svola"]}, ["one base first", "svola (base)"]),
    ({"forward_model": ["valid", "squares", "squares"]}, ["the same part twice"]),
    ({"image_prior": []}, ["image_prior is empty"]),
    ({"stopping": ["last", "best-misfit"]}, ["exactly one selector", "last and best-misfit"]),
    ({"stages": [Stage(1, support="shrink")]}, ["first stage"]),
    ({"then": BLIND.replace(then=None)}, ["handed over", "'logits'", "known"]),
    ({"then": None, "stages": [Stage(1, frames=(0,))]}, ["the last stage looks at a part"]),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_parts_that_do_not_fit(changes: dict[str, Any], words: list[str]) -> None:
    BLIND.check(REGISTRY)
    with pytest.raises(CompositionError) as caught:
        BLIND.replace(**changes).check(REGISTRY)
    for word in words:
        assert word in str(caught.value)


def test_what_a_stage_changes_is_checked_too() -> None:
    wrong = BLIND.replace(stages=[Stage(1), Stage(1, set={"forward_model.kernel_size": -1})])
    with pytest.raises(ParameterError, match="kernel_size"):
        wrong.check(REGISTRY)


def test_unknown_parts_list_the_choices() -> None:
    with pytest.raises(UnknownNameError, match=r"no estimator named 'jont'; choose one of: .*joint"):
        BLIND.replace(estimator="jont").check(REGISTRY)


def test_last_selects_where_nothing_else_does() -> None:
    assert [part.name for part in resolve(NONBLIND, REGISTRY).having("stopping", "selector")] == ["last"]
    chosen = resolve(NONBLIND.replace(stopping=["ends-run", "best-misfit"]), REGISTRY)
    assert [part.name for part in chosen.having("stopping", "selector")] == ["best-misfit"]


def test_full_lists_every_parameter() -> None:
    full = resolve(BLIND, REGISTRY).full()
    assert full["forward_model"] == {"valid": {"kernel_size": 5}, "squares": {"weight": 1.0}}
