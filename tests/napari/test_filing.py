"""Results that leave the dock: written and read in a thread, while the window answers and runs go on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QMessageBox

from napari_deblur import copying, layers, saving
from napari_deblur.panel.runs_part import Run
from napari_deblur.request import Request
from napari_deblur.widget import Deblur
from tests.napari.conftest import wait_for
from tests.napari.docking import picture
from tests.napari.restoring import restored


@pytest.fixture
def ended() -> Run:
    """A run on a layer that is in no file."""
    source = layers.read(Image(picture(20, 24), name="cells"))
    return Run("cells", Request(method="richardson-lucy"), source, restored(source))


class Gate:
    """Stands in for a function that takes long: waits until it may go on."""

    def __init__(self, function: Any) -> None:
        self.function, self.go, self.thread = function, threading.Event(), ""

    def __call__(self, *positional: Any, **named: Any) -> Any:
        self.thread = threading.current_thread().name
        assert self.go.wait(60)
        return self.function(*positional, **named)


def test_saving_goes_on_in_a_thread_and_says_what_it_wrote(
    dock: Deblur, ended: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(saving.save)
    monkeypatch.setattr(saving, "save", gate)
    dock.filing.save_run(ended, tmp_path / "out.ome.tif")
    wait_for(lambda: gate.thread)
    assert gate.thread == "napari-deblur: saving"
    assert not dock.busy, "another run may begin"
    dock.filing.copy_python(ended)
    assert "still being saved" in dock.message.text.text()
    gate.go.set()
    wait_for(lambda: not dock.filing.busy)
    assert dock.message.text.text() == "Saved out.ome.tif, out.kernel.ome.tif."
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.ome.tif"), ended.result.image)


def test_what_cannot_be_written_or_copied_is_said(dock: Deblur, ended: Run, tmp_path: Path) -> None:
    dock.filing.save_run(ended, tmp_path / "missing" / "out.ome.tif")
    wait_for(lambda: not dock.filing.busy)
    assert "missing" in dock.message.text.text()
    dock.filing.copy_command(ended)
    wait_for(lambda: not dock.filing.busy)
    assert "is not in a file" in dock.message.text.text()


def test_a_copied_run_is_on_the_clipboard(dock: Deblur, ended: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "python", lambda *run: f"{run[1].method} in {threading.current_thread().name}")
    dock.filing.copy_python(ended)
    wait_for(lambda: not dock.filing.busy)
    assert QGuiApplication.clipboard().text() == "richardson-lucy in napari-deblur: copying"
    assert "script" in dock.message.text.text()


def test_what_the_dialog_did_not_ask_about_is_asked_about(
    dock: Deblur, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ending that a name gets, and the files beside it."""
    asked: list[str] = []

    def question(_: object, __: str, words: str) -> Any:
        asked.append(words)
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    name = str(tmp_path / "cells2")
    for there in ("cells2.ome.tif", "cells2.kernel.ome.tif"):
        (tmp_path / there).write_bytes(b"mine")
    files = [tmp_path / "cells2.ome.tif", tmp_path / "cells2.kernel.ome.tif", None]
    assert not dock.filing._may_replace(name, files)
    assert "cells2.ome.tif\ncells2.kernel.ome.tif" in asked[0]
    assert dock.filing._may_replace(str(tmp_path / "new"), [tmp_path / "new.ome.tif"])
    assert dock.filing._may_replace(str(tmp_path / "cells2.ome.tif"), [tmp_path / "cells2.ome.tif"])
    assert len(asked) == 1
