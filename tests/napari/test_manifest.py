"""The manifest: valid, found, in the menu, and cheap to discover and open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NAME = "napari-deblur"


def test_validates_with_its_imports() -> None:
    command = [str(Path(sys.executable).with_name("npe2")), "validate", "--imports", NAME]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout


def heavy_after(code: str) -> list[str]:
    """Which heavy modules are there after some code, in a process of its own."""
    report = "import sys; print('heavy:', *sorted({'torch', 'napari_deblur.widget', 'skimage'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\n{report}"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_discovery_imports_nothing() -> None:
    code = f"from npe2 import PluginManager; m = PluginManager(); m.discover(); m.get_manifest({NAME!r})"
    assert heavy_after(code) == []


def test_opening_the_dock_and_choosing_imports_no_torch() -> None:
    code = """
import napari, numpy as np
viewer = napari.Viewer(show=False)
viewer.add_image(np.ones((32, 32), np.float32))
_, dock = viewer.window.add_plugin_dock_widget("napari-deblur", "Deblur")
dock.method_part.set_method("selfdeblur")
dock.method_part.parts.open()
assert "selfdeblur on" in dock.run_part.summary.text(), dock.run_part.summary.text()
viewer.close()
"""
    assert "torch" not in heavy_after(code)


def test_menu_entry_and_dock(viewer: Any) -> None:
    from napari._app_model import get_app_model

    from napari_deblur.widget import Deblur

    commands = [getattr(item, "command", None) for item in get_app_model().menus.get_menu("napari/layers/filter")]
    assert "napari-deblur.deblur" in [command.id.partition(":")[0] for command in commands if command is not None]
    _, dock = viewer.window.add_plugin_dock_widget(NAME, "Deblur")
    assert isinstance(dock, Deblur)
    assert "Open an image" in dock.run_part.summary.text()
    assert not dock.run_part._run.isEnabled()


@pytest.mark.parametrize("binding", ["PyQt", "PySide"])
def test_no_qt_binding_is_named(binding: str) -> None:
    """Through qtpy, the widget works with each of them."""
    import napari_deblur

    for path in Path(napari_deblur.__file__).parent.rglob("*.py"):
        assert binding not in path.read_text(encoding="utf-8"), path
