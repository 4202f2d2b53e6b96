"""`unblur new-plugin`: what it makes is loaded, has names of its own, and restores an image."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import unblur as api
from tests.cli.conftest import Unblur
from unblur.cli.new_plugin import COMPONENTS
from unblur.records import SLOTS, Provenance
from unblur.registry import Registry


@pytest.fixture
def made(unblur: Unblur, tmp_path: Path) -> Path:
    code, said, err = unblur("new-plugin", "soft-focus", tmp_path / "plugin")
    assert code == 0, err
    assert "pip install" in said
    return tmp_path / "plugin"


def test_the_new_plugin_is_found_and_runs(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    assert project["name"] == "unblur-soft-focus"
    assert project["entry-points"]["unblur.plugins"] == {"soft-focus": "unblur_soft_focus"}
    monkeypatch.syspath_prepend(made)
    registry = Registry().discover()
    before = {name for slot in SLOTS for name in registry.components(slot)} | set(registry.methods())
    registry.register(
        importlib.import_module("unblur_soft_focus"), Provenance("soft-focus", "unblur-soft-focus", "0.1")
    )
    try:
        assert registry.failures == []
        after = {name for slot in SLOTS for name in registry.components(slot)} | set(registry.methods())
        assert after - before == {f"soft-focus-{name}" for name in COMPONENTS}
        image = np.random.default_rng(0).random((24, 20), dtype=np.float32)
        wishes = {"method": "soft-focus-sign-blind", "kernel_size": 5, "settings": {"stages.0.steps": 3}}
        result = api.deblur(image, registry=registry, threads=1, **wishes)  # type: ignore[arg-type]
        assert result.kernel.shape == (5, 5)
    finally:
        for module in [name for name in sys.modules if name.startswith("unblur_soft_focus")]:
            del sys.modules[module]


def test_nothing_of_the_example_s_name_is_left(made: Path) -> None:
    for path in made.rglob("*"):
        assert "example" not in path.name
        if path.suffix in (".py", ".toml", ".md"):
            assert "unblur_example" not in path.read_text()
            assert "unblur-example" not in path.read_text()


def test_a_folder_with_something_in_it_and_a_name_that_is_none_are_refused(unblur: Unblur, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert unblur("new-plugin", "soft-focus", tmp_path)[0] == 2
    for name in ("Soft", "1st", "a_b", "../x", "classical"):
        assert unblur("new-plugin", name, tmp_path / "new")[0] == 2
        assert not (tmp_path / "new").exists()
