"""A dock beside an image in a real viewer, and runs from the click to the end."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit

from napari_deblur.widget import Deblur
from tests.napari import faults
from tests.napari.conftest import wait_for

registry = functools.cache(faults.registry)


def picture(*shape: int) -> np.ndarray:
    """Smooth blobs, so that a kernel can be found."""
    grid = np.indices(shape[-2:]).sum(0)
    plane = 0.5 + 0.4 * np.sin(grid / 3) * np.cos(np.arange(shape[-1]) / 4)
    noise = np.random.default_rng(0).normal(0, 0.01, shape)
    return (plane + noise).astype(np.float32)


def docked(viewer: Any) -> Deblur:
    """A dock beside an image."""
    viewer.add_image(picture(40, 44), name="cells", scale=(0.1, 0.1), units=("µm", "µm"))
    made = Deblur(viewer, registry=registry())
    viewer.window.add_dock_widget(made, name="Deblur")
    made.blur_part.size.setText("5")
    return made


def run(dock: Deblur, method: str = "blind-richardson-lucy") -> None:
    """From the click to the end."""
    dock.method_part.set_method(method)
    dock.start_run()
    wait_for(lambda: not dock.busy)


def preview(dock: Deblur) -> None:
    """On the rectangle that is offered, or on the one that is there."""
    if "region to preview" not in dock.viewer.layers:
        dock.start_preview()
    dock.start_preview()
    wait_for(lambda: not dock.busy)


def typed(edit: QLineEdit, text: str) -> None:
    """As with the keyboard: what stood there is replaced, and Enter pressed."""
    edit.selectAll()
    QTest.keyClicks(edit, text)
    QTest.keyClick(edit, Qt.Key.Key_Return)
