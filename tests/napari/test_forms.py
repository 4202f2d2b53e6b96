"""Values survive the way from the form to a pipeline, its TOML, and back, for every registered component."""

from __future__ import annotations

import tomllib
import typing
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from napari_deblur.form.edits import edit_for
from napari_deblur.form.parameters import ParameterForm
from napari_deblur.form.pipelines import PipelineForm, changes
from napari_deblur.form.slots import SlotForm
from napari_deblur.form.texts import text_of, value_of
from unblur import Part, Pipeline, default_registry
from unblur.errors import ParameterError
from unblur.params import Field, Schedule, fields_of
from unblur.records import SLOTS, Registered

COMPONENTS = {
    f"{slot}/{name}": registered
    for slot in SLOTS
    for name, registered in default_registry().components(slot).items()
    if fields_of(registered.component.params)
}


@pytest.fixture(scope="module", autouse=True)
def _application(_display: None) -> Any:
    from napari.qt import get_qapp

    return get_qapp()


SOME = settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking would build hundreds of windows
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def numbers(field: Field, whole: bool) -> st.SearchStrategy[Any]:
    """Numbers within the bounds of a field, small and large ones among them."""
    low = -1e6 if field.lower is None else field.lower
    high = 1e6 if field.upper is None else field.upper
    if whole:
        return st.integers(int(low) + field.lower_open, int(high) - field.upper_open)
    inside = st.floats(low, high, exclude_min=field.lower_open, exclude_max=field.upper_open)
    usual = [value for value in (1e-6, 2e-4, 0.1, 1 / 3, 20000.0) if low < value < high]
    return inside | st.sampled_from(usual) if usual else inside


TEXTS = st.from_regex(r"[a-z][a-z0-9 .-]{0,10}[a-z]", fullmatch=True)


def values(field: Field) -> st.SearchStrategy[Any]:
    """Whatever a field allows."""
    if field.choices:
        found = st.sampled_from(field.choices)
    elif field.hint is bool:
        found = st.booleans()
    elif field.hint == Schedule:
        number = numbers(field, whole=False)
        later = st.lists(st.tuples(st.floats(0.01, 1), number), max_size=3, unique_by=lambda step: step[0])
        steps = st.tuples(number, later).map(lambda pair: ((0.0, pair[0]), *sorted(pair[1])))
        found = number | steps
    elif typing.get_origin(field.hint) is tuple:
        inner = typing.get_args(field.hint)[0]
        items = TEXTS if inner is str else numbers(field, whole=inner is int)
        found = st.lists(items, min_size=1, max_size=4).map(tuple)
    elif field.hint in (int, float):
        found = numbers(field, whole=field.hint is int)
    elif field.hint is str:
        found = TEXTS
    else:
        raise AssertionError(f"{field.name}: a strategy for {field.hint} is missing")
    return st.none() | found if field.optional else found


@pytest.mark.parametrize("name", COMPONENTS)
@SOME
@given(data=st.data())
def test_form_pipeline_toml_form(name: str, data: st.DataObject) -> None:
    registered = COMPONENTS[name]
    wanted = {field.name: data.draw(values(field), field.name) for field in fields_of(registered.component.params)}
    form = ParameterForm(registered, {})
    for field_name, value in wanted.items():
        form[field_name].value = value
    assert form.problems() == []
    part = _through_toml(registered, form.part())
    again = ParameterForm(registered, part.params)
    assert again.values() == form.values() == wanted
    assert [type(value) for value in again.values().values()] == [type(value) for value in wanted.values()]


def _through_toml(registered: Registered, part: Part) -> Part:
    base = Pipeline("convolution", "pixels", "free", "joint-adam")
    pipeline = base.replace(**{registered.slot: [part]})
    read = Pipeline.from_dict(tomllib.loads(pipeline.to_toml()))
    return read.slots[registered.slot][0]


@pytest.mark.parametrize("name", COMPONENTS)
@SOME
@given(data=st.data())
def test_what_is_written_is_what_is_meant(name: str, data: st.DataObject) -> None:
    for field in fields_of(COMPONENTS[name].component.params):
        if field.hint is bool or field.choices:
            continue
        value = data.draw(values(field), field.name)
        assert value_of(field, text_of(field, value)) == value


def test_every_preset_comes_back_unchanged() -> None:
    form = PipelineForm(default_registry())
    for method in default_registry().methods().values():
        for pipeline in method.presets.values():
            form.load(pipeline)
            assert form.pipeline() == pipeline
            assert form.settings() == {}
            assert form.problems() == []


def field_of(slot: Any, component: str, name: str) -> Field:
    params = default_registry().component(slot, component).component.params
    return next(field for field in fields_of(params) if field.name == name)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-6", 1e-6), ("20000", 20000.0), (" 0.5 ", 0.5), ("0.1, from 0.35: 1e-3", ((0.0, 0.1), (0.35, 0.001)))],
)
def test_texts(text: str, value: Any) -> None:
    assert value_of(field_of("image_prior", "tv", "weight"), text) == value


@pytest.mark.parametrize("text", ["", "-1", "nan", "0.1, from 0.5", "0.1, from 1.5: 2", "fast", "1,5"])
def test_texts_that_mean_nothing_are_refused_in_words(text: str) -> None:
    with pytest.raises(ParameterError, match="weight"):
        value_of(field_of("image_prior", "tv", "weight"), text)


def test_a_wrong_text_is_marked_and_the_value_stays() -> None:
    edit = edit_for(field_of("image_prior", "tv", "epsilon"), 0.002)
    edit.native.setText("-3")
    assert edit.value == 0.002
    assert "epsilon = -3" in edit.problem
    assert "epsilon = -3" in edit.native.toolTip()
    edit.native.setText("1e-6")
    assert edit.value == 1e-6
    assert edit.problem == ""
    assert "epsilon" not in edit.native.toolTip()


def test_a_value_that_is_too_long_for_its_line_is_in_the_tooltip() -> None:
    edit = edit_for(field_of("image_prior", "tv", "weight"), ((0.0, 0.01), (0.4, 0.005), (0.6, 0.001)))
    assert edit.native.toolTip().startswith("0.01, from 0.4: 0.005, from 0.6: 0.001\n")
    edit.native.setText("0.01")
    assert "from" not in edit.native.toolTip()


def test_optional_values_are_called_auto() -> None:
    edit = edit_for(field_of("kernel_prior", "disc", "radius"), 3.5)
    edit.native.setText("")
    assert edit.value is None
    assert edit.native.placeholderText() == "auto"
    edit.native.setText("auto")
    assert edit.value is None


def test_tooltips_say_meaning_bounds_and_default() -> None:
    edit = edit_for(field_of("forward_model", "gamma", "gamma"), 2.2)
    assert "(0, 10]" in edit.native.toolTip()
    assert "Default: 2.2" in edit.native.toolTip()


def test_slot_form_replaces_adds_and_removes_parts() -> None:
    form = SlotForm("image_prior", default_registry(), [Part("encoder-decoder", {"levels": 3}), Part("tv")])
    changes: list[int] = []
    form.changed.connect(lambda: changes.append(1))
    form._append("l2-gradient")
    form._remove("tv")
    assert [part.name for part in form.parts()] == ["encoder-decoder", "l2-gradient"]
    assert form.parts()[0].params == {"levels": 3}
    form._replace(default_registry().component("image_prior", "encoder-decoder"), "pixels")
    assert [part.name for part in form.parts()] == ["pixels", "l2-gradient"]
    assert len(changes) == 3


def test_changes_in_the_form_are_settings_that_the_command_line_takes() -> None:
    registry = default_registry()
    base = registry.method("mc-mapk-two-stage").pipeline()
    form = PipelineForm(registry)
    form.load(base)
    slots, stages = form._segments[""]
    slots["image_prior"]._forms[0]["levels"].value = 3
    slots["forward_model"]._remove("ssim")
    stages._edits[0][0].value = 20
    form._segments["then.then."][0]["estimator"]._forms[0]["alpha"].value = 0.5
    assert form.settings() == {
        "image_prior.levels": 3,
        "forward_model": ["convolution", "squared"],
        "forward_model.squared.weight": base.slots["forward_model"][1].params["weight"],
        "stages.0.steps": 20,
        "then.then.estimator.alpha": 0.5,
    }


def test_a_part_that_is_taken_out_and_put_in_again_is_what_runs() -> None:
    registry = default_registry()
    base = registry.method("bp-dip").pipeline("fast")
    form = PipelineForm(registry)
    form.load(base)
    slot = form._segments[""][0]["image_prior"]
    slot._replace(registry.component("image_prior", "encoder-decoder"), "random-unet")
    assert form.settings()["image_prior"][0] == "random-unet"
    slot._replace(registry.component("image_prior", "random-unet"), "encoder-decoder")
    assert form.pipeline() == base
    assert form.settings() == {}


def test_a_value_that_is_the_default_again_is_a_change_of_a_preset_with_another() -> None:
    registry = default_registry()
    old = registry.method("bp-dip").pipeline("fast")
    new = old.replace(image_prior=[Part("encoder-decoder")])
    settings = changes(old, new, registry)
    assert settings["image_prior.channels"] != old.slots["image_prior"][0].params["channels"]
    slots = old.set(settings).slots["image_prior"]
    assert registry.component("image_prior", "encoder-decoder").component.params(**slots[0].params) == (
        registry.component("image_prior", "encoder-decoder").component.params()
    )
