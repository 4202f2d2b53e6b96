"""The wheel holds the packages, and every plugin in the tree is installed, found and checked like the others."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = {path.parent.name for path in ROOT.glob("plugins/*/__init__.py")}
PACKAGES = PLUGINS | {"napari_deblur", "unblur"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_installed_entry_points_are_those_declared(project: dict[str, Any]) -> None:
    installed = distribution("napari-deblur").entry_points.select(group="unblur.plugins")
    assert {entry.name: entry.value for entry in installed} == project["project"]["entry-points"]["unblur.plugins"]


def test_every_plugin_has_an_entry_point(project: dict[str, Any]) -> None:
    assert set(project["project"]["entry-points"]["unblur.plugins"].values()) == PLUGINS


def test_every_plugin_is_under_every_import_contract(project: dict[str, Any]) -> None:
    linter = project["tool"]["importlinter"]
    core, plugins, independence, widget = linter["contracts"]
    assert set(linter["root_packages"]) == PACKAGES
    assert set(core["forbidden_modules"]) >= PLUGINS
    assert set(plugins["source_modules"]) == set(independence["modules"]) == PLUGINS
    assert set(widget["forbidden_modules"]) >= PLUGINS


def test_wheel_holds_the_packages_and_nothing_else(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel if ".dist-info/" not in name}
    assert tops == PACKAGES


def test_wheel_holds_every_source_file(wheel: set[str]) -> None:
    sources = {
        path.relative_to(root).as_posix()
        for root in (ROOT / "core", ROOT / "napari_deblur", ROOT / "plugins")
        for path in root.rglob("*")
        if path.suffix == ".py" or path.name in ("napari.yaml", "py.typed")
    }
    assert {"unblur/py.typed", "napari_deblur/napari.yaml"} <= sources
    assert sources <= wheel


@pytest.mark.parametrize("name", ["core", "plugins"])
def test_source_roots_are_not_importable_themselves(name: str) -> None:
    """With the repository's root on the path, core.unblur would be a second copy of the package."""
    assert find_spec(name) is None
