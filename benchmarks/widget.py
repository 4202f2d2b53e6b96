"""How long napari waits for the dock: until it is open, and between two ticks of a timer while runs go on.

A timer ticks every 20 ms in the window's thread. A tick is late by what lies between it and the one before, less these
20 ms: a window that draws nothing and takes no click for so long. The first click comes some seconds after the image,
as a user's does: meanwhile the dock has loaded PyTorch, which keeps the window waiting; that is reported as well. As a
control, a layer is added while nothing runs: napari's own part, which grows with the number of layers. Real windows,
real runs; without a display: xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/widget.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

INTERVAL = 0.02
LATE = 0.2
FIRST_CLICK = 8.0
"""Seconds after the image was opened."""
SHOWN = "the result is shown"


class Ticks:
    """Counts how late ticks are while something goes on."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.late: list[float] = []
        self.where: list[str] = []
        self.what = lambda: ""
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(round(1000 * INTERVAL))
        self._timer.timeout.connect(self._tick)

    def start(self, what: Any) -> None:
        self.late, self.where, self.what = [], [], what
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> dict[str, Any]:
        """What was found during the run, and while its result was added to the viewer."""
        self._timer.stop()
        late = np.array(self.late)
        showing = np.array([where == SHOWN for where in self.where])
        latest = int(np.argmax(np.where(showing, 0, late)))
        return {
            "ticks": len(late),
            "latest ms": round(1000 * late[latest]),
            "latest during": self.where[latest],
            "99.9 % ms": round(1000 * float(np.quantile(late[~showing], 0.999))),
            f"later than {round(1000 * LATE)} ms": int((late[~showing] > LATE).sum()),
            "latest ms while the result is shown": round(1000 * float(late[showing].max(initial=0.0))),
        }

    def _tick(self) -> None:
        now = time.perf_counter()
        self.late.append(max(0.0, now - self._last - INTERVAL))
        self.where.append(self.what())
        self._last = now


def until(condition: Any) -> None:
    """Qt's own loop, as in napari, until a condition holds."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, look = QEventLoop(), QTimer()
    look.setInterval(50)
    look.timeout.connect(lambda: loop.quit() if condition() else None)
    look.start()
    loop.exec()
    look.stop()


def wait(seconds: float) -> None:
    """Let the window go on for some time."""
    end = time.perf_counter() + seconds
    until(lambda: time.perf_counter() > end)


def by_hand(viewer: Any, ticks: Ticks, pixels: np.ndarray) -> int:
    """The latest tick, in milliseconds, when a layer is added while nothing runs."""
    ticks.start(lambda: "")
    viewer.add_image(pixels, contrast_limits=(0, 1), units=("um", "um"), name="by hand")
    wait(1)
    return int(ticks.stop()["latest ms"])


def run(dock: Any, ticks: Ticks, method: str, limit: str) -> dict[str, Any]:
    """Ticks from the click to the result in the viewer."""
    dock.method_part.set_method(method)
    dock.method_part.limit.setText(limit)
    began = time.perf_counter()
    ticks.start(lambda: dock.worker.progress.words if dock.busy and dock.worker.running else SHOWN)
    dock.start_run()
    until(lambda: not dock.busy)
    wait(1)
    found = {"method": method, "seconds": round(time.perf_counter() - began), **ticks.stop()}
    return found | {"said": dock.message.text.text()} if dock.message.text.text() else found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import napari

    from unblur import samples

    viewer = napari.Viewer(show=True)
    wait(2)
    began, worked = time.perf_counter(), time.process_time()
    _, dock = viewer.window.add_plugin_dock_widget("napari-deblur", "Deblur")
    napari.qt.get_qapp().processEvents()
    opened, worked = time.perf_counter() - began, time.process_time() - worked
    image = samples.series(frames=3, side=options.side).image
    viewer.add_image(
        image.data, name="series", scale=(5, 0.1, 0.1), units=("s", "um", "um"), axis_labels=("t", "y", "x")
    )
    ticks = Ticks()
    ticks.start(lambda: "PyTorch is loaded")
    wait(FIRST_CLICK)
    loading = ticks.stop()
    control = by_hand(viewer, ticks, image.data[0])
    dock.run_part.set_target(options.target)
    dock.blur_part.size.setText("15")
    dock.blur_part.changed.emit()
    print(f"dock open after {opened:.3f} s, {worked:.3f} s of them at work", file=sys.stderr, flush=True)
    runs = []
    for method in filter(None, options.methods.split(",")):
        runs.append(run(dock, ticks, method, options.limit))
        print(json.dumps(runs[-1], ensure_ascii=False), file=sys.stderr, flush=True)
    viewer.close()
    return {
        "cores": os.cpu_count(),
        "torch threads": options.threads,
        "dock open seconds": round(opened, 3),
        "of them at work": round(worked, 3),
        "latest ms while PyTorch is loaded": loading["latest ms"],
        "latest ms, layer added by hand": control,
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="selfdeblur,mc-mapk,practical-bid,blind-richardson-lucy")
    parser.add_argument("--target", default="this plane", help="as the dock names it")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--limit", default="40 s", help="for each run")
    parser.add_argument("--threads", type=int, default=0, help="0 is all")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        print("no display: xvfb-run -a -s '-screen 0 1600x1200x24' python benchmarks/widget.py")
        return
    os.environ["NAPARI_CONFIG"] = ""  # the settings of whoever runs this are neither read nor written
    if options.threads:
        from napari.settings import get_plugin_settings

        get_plugin_settings("napari-deblur").compute.threads = options.threads
    result = measure(options)
    print(json.dumps(result, indent=2, ensure_ascii=False))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
