"""Windows where there is no display: Xvfb is started for the whole session. Settings and checkpoints stay apart."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():  # of napari's own code and of what it uses
    warnings.simplefilter("ignore")
    import napari
    import napari.layers
    import napari.qt
    import napari.viewer
    from npe2 import PluginManager, PluginManifest

os.environ["NAPARI_CONFIG"] = ""  # the settings of whoever runs this are neither read nor written

KNOWN = ("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::PendingDeprecationWarning")
"""Warnings that napari's own code raises later on."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for known in KNOWN:
                item.add_marker(pytest.mark.filterwarnings(known))


@pytest.fixture(scope="session", autouse=True)
def _display() -> Iterator[None]:
    """A display, before any window is made."""
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        yield
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("no display, and no Xvfb (Debian package xvfb) to stand in for one")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        os.environ["DISPLAY"] = ":" + pipe.readline().strip()
    yield
    server.terminate()
    server.wait(10)
    del os.environ["DISPLAY"]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints in a folder of their own."""
    from napari_deblur import checkpoints

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(checkpoints, "folder", lambda: folder)


@pytest.fixture
def viewer(_display: None) -> Iterator[Any]:
    """A viewer with a window of its own; at its end no thread of ours may be left."""
    made = napari.Viewer(show=True)
    yield made
    with contextlib.suppress(RuntimeError):  # closed by the test itself
        made.close()
    settle()
    assert threads() == []


@pytest.fixture(scope="session")
def _shared(_display: None) -> Iterator[Any]:
    made = napari.Viewer(show=True)
    yield made
    made.close()
    settle()


@pytest.fixture
def shared_viewer(_shared: Any) -> Iterator[Any]:
    """A viewer that tests share, without layers; at the end of each no thread of ours may be left."""
    yield _shared
    _shared.layers.clear()
    settle()
    assert threads() == []


@pytest.fixture
def dock(shared_viewer: Any) -> Iterator[Any]:
    """A dock beside an image, which knows the plugin that fails too."""
    from tests.napari.docking import docked

    made = docked(shared_viewer)
    yield made
    made.cancel()
    wait_for(lambda: not made.busy and not made.painter.busy)
    shared_viewer.window.remove_dock_widget(made)
    made.deleteLater()
    settle()


@pytest.fixture(scope="session")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution(distribution("napari-deblur").name)


@pytest.fixture
def plugin(manifest: PluginManifest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """napari knows this plugin and its own, and keeps settings nowhere."""
    import napari.settings

    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})
    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "_PluginManager__instance", manager)
    monkeypatch.setattr(manager, "discover", lambda *args, **kwargs: 0)
    manager.register(PluginManifest.from_distribution("napari"))
    manager.register(manifest)
    napari.settings.get_plugin_settings(path_dir=None)
    yield
    manager.unregister(manifest.name)


def threads() -> list[str]:
    """The names of our threads that go on."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("napari-deblur")]


def settle() -> None:
    """Let Qt do what is due."""
    from qtpy.QtCore import QCoreApplication, QEvent

    for _ in range(3):
        QCoreApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> None:
    """Let Qt work until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        settle()
        time.sleep(0.005)
