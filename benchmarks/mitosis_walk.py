"""A whole piece of work in napari on a real series: open it, look at a region, run three frames, save, reopen.

What a new user does with the mitosis series (7 frames, 8 bits, a TIFF that does not say its axes): axes and pixel size
are written into the dock, a preview is made on a rectangle, three frames are restored with one shared kernel, saved and
opened again. Facts are printed as JSON, with everything that should hold and whether it does; the exit code is 1 where
something does not. Real windows, real runs; without a display:
xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/mitosis_walk.py --data mitosis-ch0.tif
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FRAMES = 3
PATIENCE = 3600


class Walk:
    """A viewer with the dock; counts seconds, and keeps what was found and what holds."""

    def __init__(self, data: Path) -> None:
        import napari

        self.viewer = napari.Viewer(show=True)
        [self.image] = self.viewer.open(data)
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-deblur", "Deblur")
        self.facts: dict[str, Any] = {}
        self.holds: dict[str, bool] = {}

    def ended(self, what: str, click: Callable[[], None]) -> None:
        """Click, and wait for the end of what that began; nothing may go wrong."""
        from napari.qt import get_qapp

        began = time.perf_counter()
        click()
        while self.dock.busy or self.dock.filing.busy:
            assert time.perf_counter() - began < PATIENCE, f"{what}: not in time"
            get_qapp().processEvents()
            time.sleep(0.005)
        self.facts[f"{what}, seconds"] = round(time.perf_counter() - began, 1)

    def say(self, axes: str, size: str, kernel: str, method: str, preset: str) -> None:
        """What only the user knows, written as with the keyboard."""
        image, dock = self.dock.image_part, self.dock
        self.facts["axes as guessed"] = f"{image.source.axes}: {image._axes_said.text()}"
        typed(image._axes, axes)
        typed(image._size, size)
        image.keep()
        typed(dock.blur_part.size, kernel)
        dock.method_part.set_method(method)
        box = dock.method_part.preset_box
        box.setCurrentIndex(box.findData(preset))

    def preview(self) -> None:
        self.viewer.dims.set_current_step(0, 1)
        self.dock.start_preview()  # offers a rectangle
        self.ended("preview", self.dock.start_preview)
        self.holds["nothing went wrong in the preview"] = not self.dock.message.text.text()
        run = self.dock.runs_part.runs[0]
        self.facts["preview"] = run.title
        self.facts["preview, region"] = {axis: list(span) for axis, span in run.part.region.items()}
        self.viewer.layers.remove("region to preview")

    def run(self) -> None:
        """The first frames, with one kernel."""
        part = self.dock.run_part
        part.set_target("every plane, one shared kernel")
        typed(part.planes.range, f"0-{FRAMES - 1}")
        self.facts["run"] = part.summary.text()
        self.ended("run", self.dock.start_run)
        run = self.dock.runs_part.runs[0]
        restored, kernel = run.layers
        observed = self.image.data[:FRAMES].astype(float)
        self.facts["warnings"] = list(run.result.report["warnings"])
        self.facts["mean, restored over observed"] = round(float(restored.data.mean() / observed.mean()), 4)
        self.facts["slopes, restored over observed"] = round(slopes(restored.data) / slopes(observed), 2)
        self.holds |= {
            "nothing went wrong in the run": not self.dock.message.text.text(),
            "the run is complete": run.result.complete,
            "three frames are finite": restored.data.shape == observed.shape and bool(np.isfinite(restored.data).all()),
            "there is one kernel": kernel.data.ndim == 2,
            "its sum is one": bool(np.isclose(kernel.data.sum(), 1, atol=1e-3)),
            "the image lies where it lay": same(restored, self.image),
            "the kernel has its pixel size": bool(np.allclose(kernel.scale, self.image.scale[1:])),
        }

    def save_and_reopen(self, folder: Path) -> None:
        run = self.dock.runs_part.runs[0]
        path = folder / "mitosis.ome.tif"
        self.ended("saving", lambda: self.dock.filing.save_run(run, path))
        self.facts["saved"] = self.dock.message.text.text()
        self.viewer.layers.clear()
        for before, name in zip(run.layers, ("mitosis", "mitosis.kernel"), strict=True):
            [again] = self.viewer.open(folder / f"{name}.ome.tif", plugin="napari-deblur")
            self.holds |= {
                f"{name}: reopened with its values": bool(np.array_equal(again.data, before.data)),
                f"{name}: reopened where it lay": same(again, before),
                f"{name}: reopened as it looked": list(again.contrast_limits) == list(before.contrast_limits),
            }
        self.holds["the report came back"] = bool(self.viewer.layers[0].metadata["unblur"].get("report"))


def typed(edit: Any, text: str) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    edit.selectAll()
    QTest.keyClicks(edit, text)
    QTest.keyClick(edit, Qt.Key.Key_Return)


def same(one: Any, other: Any) -> bool:
    """Whether two layers lie in the same place, with the same units."""
    pairs = ((one.scale, other.scale), (one.translate, other.translate))
    return all(np.allclose(a, b) for a, b in pairs) and list(one.units) == list(other.units)


def slopes(frames: Any) -> float:
    """The mean difference of neighbours."""
    return float(np.mean([np.abs(np.diff(frames, axis=axis)).mean() for axis in (-2, -1)]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the series, a TIFF of at least three frames")
    parser.add_argument("--axes", default="TYX")
    parser.add_argument("--pixel-size", default="0.1", help="in µm; the file says 1")
    parser.add_argument("--kernel-size", default="15")
    parser.add_argument("--method", default="blind-richardson-lucy", help="one for photon noise; automatic: selfdeblur")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--threads", type=int, default=0, help="0 is all")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        print("no display: xvfb-run -a -s '-screen 0 1600x1200x24' python benchmarks/mitosis_walk.py …")
        return 2
    os.environ["NAPARI_CONFIG"] = ""  # the settings of whoever runs this are neither read nor written
    if options.threads:
        from napari.settings import get_plugin_settings

        get_plugin_settings("napari-deblur").compute.threads = options.threads
    walk = Walk(options.data)
    walk.say(options.axes, options.pixel_size, options.kernel_size, options.method, options.preset)
    walk.preview()
    walk.run()
    with tempfile.TemporaryDirectory() as folder:
        walk.save_and_reopen(Path(folder))
    walk.viewer.close()
    found = json.dumps({**walk.facts, "holds": walk.holds}, indent=2, ensure_ascii=False)
    print(found)
    if options.json:
        options.json.write_text(found, encoding="utf-8")
    return 0 if all(walk.holds.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
