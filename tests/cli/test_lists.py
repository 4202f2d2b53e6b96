"""What the command line tells without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Unblur
from unblur import Pipeline
from unblur.cli import options
from unblur.errors import ParameterError
from unblur.records import SLOTS, Provenance
from unblur.registry import default_registry


def test_methods_lists_each_with_what_it_is_for(unblur: Unblur) -> None:
    code, said, _ = unblur("methods")
    assert code == 0
    for name in default_registry().methods():
        assert f"\n{name} " in said


@pytest.mark.parametrize("kind", SLOTS)
def test_components_of_one_kind(unblur: Unblur, kind: str) -> None:
    code, said, _ = unblur("components", kind.replace("_", "-"))
    assert code == 0
    assert said.startswith(kind)
    for name in default_registry().components(kind):  # type: ignore[arg-type]
        assert f"  {name} " in said


def test_an_unknown_kind_or_name_is_an_error_with_the_choices(unblur: Unblur) -> None:
    code, _, err = unblur("components", "lenses")
    assert code == 2
    assert "forward_model" in err
    code, _, err = unblur("describe", "magic")
    assert code == 2
    assert "richardson-lucy" in err


def test_every_name_can_be_described(unblur: Unblur) -> None:
    registry = default_registry()
    names = {*registry.methods(), *(name for slot in SLOTS for name in registry.components(slot))}
    for name in sorted(names):
        code, said, _ = unblur("describe", name)
        assert code == 0
        assert "plugin" in said


def test_describe_shows_parameters_with_type_bounds_unit_default_and_doc(unblur: Unblur) -> None:
    said = " ".join(unblur("describe", "huber")[1].split())
    for words in ("delta", "number", "(0, inf)", "0.05", "misfit"):
        assert words in said


@pytest.mark.parametrize("name", ["richardson-lucy", "mcem"])
def test_a_preset_is_shown_as_toml_that_is_a_pipeline(unblur: Unblur, name: str, tmp_path: Path) -> None:
    """Also where a component has the method's name."""
    _, said, _ = unblur("describe", name, "--preset", "fast")
    (tmp_path / "mine.toml").write_text(said)
    assert Pipeline.from_toml(tmp_path / "mine.toml") == default_registry().method(name).pipeline("fast")
    assert unblur("describe", name, "--preset", "best")[0] == 2


def test_a_component_has_no_preset(unblur: Unblur) -> None:
    code, _, error = unblur("describe", "huber", "--preset", "fast")
    assert code == 2
    assert "no method named 'huber'" in error


def test_plugins_and_doctor_show_a_plugin_that_failed(unblur: Unblur) -> None:
    class Broken:
        def unblur_methods(self) -> list[str]:
            return ["not a method"]

    registry = default_registry()
    registry.register(Broken(), Provenance("broken", "stranger", "0.1"))
    try:
        code, said, _ = unblur("plugins")
        assert code == 0
        assert "broken" in said
        assert "not marked with @unblur.hookimpl" in " ".join(said.split())
        code, said, _ = unblur("doctor")
        assert code == 1
        assert "plugin broken" in said
        assert "FAILED" in said
        assert unblur("methods")[0] == 0
    finally:
        registry.failures.clear()


def test_doctor_is_content_with_a_sound_installation(unblur: Unblur) -> None:
    code, said, _ = unblur("doctor")
    assert code == 0
    for words in ("torch", "bfloat16", "Qt", "plugin classical", "memory"):
        assert words in said


def test_version(unblur: Unblur) -> None:
    code, said, _ = unblur("--version")
    assert code == 0
    assert said.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("estimator.rate=5e-3", 5e-3),
        ("estimator.samples=2", 2),
        ("estimator.fast=true", True),
        ("kernel_prior=siren", "siren"),
        ("forward_model=convolution,huber", ["convolution", "huber"]),
        ("a.schedule=[[0, 1.0], [0.5, 0.1]]", [[0, 1.0], [0.5, 0.1]]),
        ('a.text="1"', "1"),
        ("a.text=x=y", "x=y"),
    ],
)
def test_values_of_set_are_toml_or_words(text: str, value: object) -> None:
    assert options.settings([text]) == {text.partition("=")[0]: value}


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (options.kernel_size, "0"),
        (options.kernel_size, "3x"),
        (options.pixel_size, "Z=a"),
        (options.crop, "1:2"),
        (options.crop, "5:2,1:3"),
        (lambda text: options.positions(text, "--anchors"), "1,b"),
        (lambda text: options.names(text, "--methods"), " , "),
        (lambda text: options.camera(text, "--gain"), "much"),
        (lambda text: options.settings([text]), "=3"),
    ],
)
def test_options_in_another_form_are_refused(parse: object, text: str) -> None:
    with pytest.raises(ParameterError):
        parse(text)  # type: ignore[operator]


def test_options_are_read_as_documented() -> None:
    assert [options.camera(text, "--offset") for text in (None, "-2.5", "auto")] == [None, -2.5, "auto"]
    assert options.kernel_size("31") == 31
    assert options.kernel_size("9x31x31") == (9, 31, 31)
    assert options.kernel_size("auto") is None
    assert options.pixel_size("0.1") == 0.1
    assert options.pixel_size("0.3,0.1,0.1") == (0.3, 0.1, 0.1)
    assert options.pixel_size("z=0.3, x=0.1") == {"Z": 0.3, "X": 0.1}
    assert options.crop("100:228,40:168") == (slice(100, 228), slice(40, 168))
