"""Discovery: a broken plugin is named and harms nobody else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import unblur
from tests.trials.plugin import NONBLIND, registry
from unblur import Calibration, Component, Method, hookimpl
from unblur.errors import PluginError, UnknownNameError
from unblur.records import Provenance
from unblur.registry import Registry

HEAD = "import unblur\n@unblur.hookimpl\n"
GOOD = HEAD + (
    "def unblur_kernel_priors():\n"
    "    yield unblur.Component(name='{name}', target='{module}:Prior', summary='A prior.')\n"
    "class Prior: ...\n"
)

Install = Callable[..., str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution with one plugin on the path; gives the plugin's name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def put(plugin: str, code: str = GOOD, metadata: str | None = None, points: str | None = None) -> str:
        module = f"strange_{plugin.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(code.replace("{name}", plugin).replace("{module}", module))
        info = tmp_path / f"{module}-1.5.dist-info"
        info.mkdir()
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: strange-{plugin}\nVersion: 1.5\n"
        if metadata:
            (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(points or f"[unblur.plugins]\n{plugin} = {module}\n")
        return plugin

    yield put  # type: ignore[misc]
    for name in set(sys.modules) - before:
        if name.startswith("strange_"):
            del sys.modules[name]


def causes(found: Registry) -> dict[str, str]:
    return {failure.provenance.plugin: failure.cause for failure in found.failures}


def test_a_strangers_plugin_is_found(install: Install) -> None:
    found = Registry(block=[install("other"), install("psf")]).discover()
    assert [known.plugin for known in found.blocked] == ["other", "psf"]
    found = Registry().discover()
    assert not found.failures
    prior = found.component("kernel_prior", "psf")
    assert prior.provenance == Provenance("psf", "strange-psf", "1.5")
    assert prior.load().__name__ == "Prior"
    assert {"classical", "psf"} <= {known.plugin for known in found.plugins}


def test_what_a_plugin_prints_is_no_output(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("loud", "print('welcome')\n" + GOOD)
    assert Registry().discover().component("kernel_prior", "loud")
    assert capsys.readouterr() == ("", "welcome\n")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_module", "import failed: ModuleNotFoundError.*no_such_module"),
        ("raise SystemExit(3)", "import failed: SystemExit: 3"),
        ("def broken(:", "import failed: SyntaxError"),
        (HEAD + "def unblur_kernel_prior():\n    yield 1", "unblur_kernel_prior.*choose one of.*unblur_kernel_priors"),
        ("def unblur_kernel_priorz():\n    yield 1", "no hook is named 'unblur_kernel_priorz'"),
        ("def unblur_methods():\n    return []", "unblur_methods is not marked with @unblur.hookimpl"),
        (HEAD + "def unblur_methods(extra):\n    return []", "wrong hook: .*extra"),
        (HEAD + "def unblur_methods():\n    return None", "unblur_methods gave None"),
        (HEAD + "def unblur_methods():\n    yield 'x'", "unblur_methods gave 'x'; expected unblur.Method"),
        (HEAD + "def unblur_estimators():\n    yield {'name': 'x'}", "unblur_estimators gave .*unblur.Component"),
        (HEAD + "def unblur_estimators():\n    raise SystemExit(1)", "SystemExit"),
        (HEAD + "def unblur_estimators():\n    1 / 0\n    yield", "ZeroDivisionError"),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_work(install: Install, code: str, words: str) -> None:
    install("aaa", code)
    install("zzz")
    found = Registry().discover()
    assert list(causes(found)) == ["aaa"]
    assert re.search(words, causes(found)["aaa"]), causes(found)["aaa"]
    assert found.component("kernel_prior", "zzz")
    with pytest.raises(UnknownNameError, match=r"choose one of: .*zzz.*These plugins failed to load: aaa"):
        found.component("kernel_prior", "aab")


@pytest.mark.parametrize(
    ("metadata", "points"),
    [("", None), ("Version: 1\n", None), (None, "[unblur.plugins\nx"), (None, "[unblur.plugins]\nno equals sign\n")],
)
def test_damaged_metadata_harm_nobody_else(install: Install, metadata: str | None, points: str | None) -> None:
    install("damaged", metadata=metadata, points=points)
    install("fine")
    found = Registry().discover()
    assert found.component("kernel_prior", "fine")
    assert all("damaged" in (failure.provenance.distribution + failure.provenance.plugin) for failure in found.failures)


def test_our_plugins_are_not_displaced(install: Install) -> None:
    """A stranger's plugin of the same name, or with a component of ours, loses, whatever the order on the path."""
    install("classical", GOOD.replace("'{name}'", "'stolen'"))
    found = Registry().discover()
    ours = next(known for known in found.plugins if known.plugin == "classical")
    assert ours.distribution == "napari-deblur"
    (failure,) = found.failures
    assert failure.provenance.distribution == "strange-classical"
    assert "already loaded" in failure.cause


def test_blocking_third_parties(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("other", "raise RuntimeError('must not be imported')")
    found = Registry(block=["third-party"]).discover()
    assert [known.plugin for known in found.blocked] == ["other"]
    assert not found.failures
    assert "classical" in {known.plugin for known in found.plugins}
    from unblur.registry import BLOCK_VARIABLE, default_registry

    monkeypatch.setenv(BLOCK_VARIABLE, " other, classical ,")
    default_registry.cache_clear()
    try:
        assert {known.plugin for known in unblur.default_registry().blocked} == {"other", "classical"}
    finally:
        default_registry.cache_clear()


def component(**changes: Any) -> Component:
    values: dict[str, Any] = {"name": "x", "target": "json:loads", "summary": "An x."}
    return Component(**(values | changes))


def of(*records: Any, methods: tuple[Any, ...] = ()) -> object:
    class Plugin:
        @hookimpl
        def unblur_kernel_priors(self) -> Any:
            return records

        @hookimpl
        def unblur_methods(self) -> Any:
            return methods

    return Plugin()


class Unfrozen:
    pass


def measured(calibration: Any) -> Method:
    return Method("m", "", "", {"balanced": NONBLIND}, calibrations={"balanced": calibration})


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([component(), component()], "kernel_prior 'x' is already registered by this plugin itself"),
        ([component(name="Big Name")], "lower-case"),
        ([component(name="a.b")], "lower-case"),
        ([component(name=3)], "lower-case"),
        ([component(role="misfit")], "role 'misfit'; kernel_prior has base, penalty"),
        ([component(target="json")], "package.module:Class"),
        ([component(summary=None)], "summary = None; expected a text"),
        ([component(requires=frozenset({"kernel:learns"}))], "slot:trait"),
        ([component(requires=frozenset({"estimator:"}))], "slot:trait"),
        ([component(requires="estimator:x")], "expected a frozenset"),
        ([component(provides="learns")], "expected a frozenset"),
        ([component(dims=2)], "expected a frozenset"),
        ([component(params=Unfrozen)], "frozen dataclass"),
        ([component(params=3)], "frozen dataclass"),
        ([Method("m", "", "", {"balanced": NONBLIND})], "expected unblur.Component"),
    ],
)
def test_wrong_records_leave_the_plugin_out(records: list[Any], words: str) -> None:
    made = Registry()
    made.register(of(component(name="fine"), *records), Provenance("p", "d", "1"))
    assert words in causes(made)["p"]
    assert not made.components("kernel_prior")
    assert not made.plugins


def test_names_are_unique_across_plugins() -> None:
    made = Registry()
    made.register(of(component(), methods=(Method("m", "", "", {"balanced": NONBLIND}),)), Provenance("one", "d", "1"))
    made.register(of(component()), Provenance("two", "e", "1"))
    made.register(of(methods=(Method("m", "", "", {"balanced": NONBLIND}),)), Provenance("three", "f", "1"))
    made.register(of(), Provenance("one", "g", "1"))
    cause = [failure.cause for failure in made.failures]
    assert "kernel_prior 'x' is already registered by d (plugin 'one')" in cause[0]
    assert "method 'm' is already registered by d" in cause[1]
    assert "'one' is already loaded" in cause[2]
    assert made.method_provenance("m").distribution == "d"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Method("m", "", "", {"fast": NONBLIND}), "no preset 'balanced'"),
        (Method("m", "", "", {"balanced": "rl"}), "is no unblur.Pipeline"),  # type: ignore[dict-item]
        (Method("m", "", "", {"balanced": NONBLIND, "turbo": NONBLIND}), "'turbo'; there are fast, balanced, paper"),
        (Method("m", "", "", {"balanced": NONBLIND}, trainer_params=dict), "trainer_params: dict must be a frozen"),
        (measured(3), "3 is no Calibration"),
        (measured(Calibration(0.0, (0.7, 0.9), 0.4, (1, 2), "x")), "factor = 0.0; expected a number above 0"),
        (measured(Calibration(((0.03, 2.0), (0.01, 5.0)), (0.7, 0.9), 0.4, (1, 2), "x")), "the noise rising"),
        (measured(Calibration((0.01, 5.0), (0.7, 0.9), 0.4, (1, 2), "x")), "pairs of noise and factor"),  # type: ignore[arg-type]
        (Method("M", "", "", {"balanced": NONBLIND}), "lower-case"),
        (Method("m", None, "", {"balanced": NONBLIND}), "summary = None"),  # type: ignore[arg-type]
        (Method("m", "", "", {"balanced": NONBLIND, 2: NONBLIND}), "names of presets"),  # type: ignore[dict-item]
        (Method("m", "", "", {"balanced": NONBLIND}, calibrations=["balanced"]), "names of presets"),  # type: ignore[arg-type]
    ],
)
def test_wrong_methods(method: Method, words: str) -> None:
    made = Registry()
    made.register(of(methods=(method,)), Provenance("p", "d", "1"))
    assert words in causes(made)["p"]


def test_presets() -> None:
    method = Method("m", "", "", {"balanced": NONBLIND, "fast": NONBLIND.with_steps([1])})
    assert method.pipeline() is NONBLIND
    assert method.pipeline("paper") is NONBLIND
    assert method.pipeline("fast").stages[0].steps == 1


@pytest.mark.parametrize("target", ["no_such_module:X", "json:Nothing", "strange_exit:X"])
def test_a_target_that_cannot_be_imported_names_plugin_and_cause(target: str, install: Install) -> None:
    install("exit", "raise SystemExit(2)", points="[other]\nx = y\n")
    made = Registry()
    made.register(of(component(target=target)), Provenance("p", "d", "1"))
    with pytest.raises(PluginError, match=rf"'x' of plugin 'p' \(d\): cannot import {target}"):
        made.component("kernel_prior", "x").load()


def test_a_class_that_cannot_be_built_names_the_plugin() -> None:
    from unblur.composition import ResolvedPart
    from unblur.params import NoParams

    made = Registry()
    made.register(of(component(target="unblur.components:KernelPrior")), Provenance("p", "d", "1"))
    with pytest.raises(PluginError, match="'x' of plugin 'p' cannot be built: TypeError"):
        ResolvedPart(made.component("kernel_prior", "x"), NoParams()).build()


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="no method named 'x'; choose one of: none is registered"):
        registry().method("x")
