"""Make the pictures of docs/napari.md: real windows, real runs.

Needs a display; without one: xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.qt import get_qapp

from napari_deblur.widget import Deblur

SIZE = 1280, 800
PATIENCE = 1800
RUNNING = 0.6
"""Part of a run after which its picture is taken."""


def settle(seconds: float = 0.6) -> None:
    """Let Qt draw."""
    end = time.monotonic() + seconds
    for _ in range(20):
        get_qapp().processEvents()
    while time.monotonic() < end:
        get_qapp().processEvents()
        time.sleep(0.01)


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "not in time"
        get_qapp().processEvents()
        time.sleep(0.01)


class Studio:
    """A viewer with the dock, and a camera."""

    def __init__(self, folder: Path, theme: str) -> None:
        self.folder, self.theme = folder, theme
        self.viewer = napari.Viewer(show=True)
        self.viewer.theme = theme
        self.viewer.window._qt_window.resize(*SIZE)
        self.dock = Deblur(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Deblur")
        settle(1.5)

    def shoot(self, name: str, whole: bool = True) -> None:
        """A picture of the whole window, or of the dock."""
        settle()
        window = self.viewer.window._qt_window if whole else self.dock
        window.grab().save(str(self.folder / f"napari-{name}{self.suffix}.png"))

    @property
    def suffix(self) -> str:
        """Of the names of pictures in this theme."""
        return "" if self.theme == "dark" else f"-{self.theme}"

    def sample(self, key: str) -> None:
        self.viewer.layers.clear()
        self.viewer.open_sample("napari-deblur", key)
        settle()

    def ended(self) -> None:
        until(lambda: not self.dock.busy)


def first(studio: Studio) -> None:
    """First view, and every part of a method open."""
    dock = studio.dock
    studio.shoot("empty")
    studio.sample("camera")
    studio.shoot("first")
    dock.method_part.set_method("selfdeblur")
    dock.method_part.parts.open()
    for address in ("forward_model", "image_prior", "kernel_prior", "estimator", "stopping", "stages"):
        section = dock.method_part.form.sections[address]
        section.open()
        settle(0.2)
        dock.scroll.ensureWidgetVisible(section, 0, 0)
        dock.scroll.verticalScrollBar().setValue(section.mapTo(dock.scroll.widget(), section.rect().topLeft()).y())
        studio.shoot(f"part-{address.replace('_', '-')}", whole=False)
        section.open(False)
    dock.method_part.parts.open(False)
    values = dock.values_part.section
    values.open()
    settle(0.2)
    dock.scroll.ensureWidgetVisible(values, 0, 0)
    studio.shoot("values", whole=False)
    values.open(False)


def series(studio: Studio) -> None:
    """What is offered for a time series, and the page for a batch."""
    dock = studio.dock
    studio.sample("series")
    dock.run_part.set_target("every plane, one shared kernel")
    studio.shoot("series", whole=False)
    page = dock.several.ask_batch()
    page.add_files([Path("cells-1.ome.tif"), Path("cells-2.ome.tif")])
    page.folder.setText("restored")
    settle()
    page.grab().save(str(studio.folder / f"napari-batch{studio.suffix}.png"))
    page.close()


def network(studio: Studio) -> None:
    """A preview on a region with a network, while it runs."""
    dock = studio.dock
    studio.sample("camera")
    dock.blur_part.set_mode("unknown")
    dock.method_part.set_method("selfdeblur")
    dock.blur_part.size.setText("31")
    dock.blur_part.changed.emit()
    dock.method_part.preset_box.setCurrentText("Fast")
    dock.start_preview()
    dock.start_preview()
    until(lambda: not dock.busy or any("running" in layer.name for layer in studio.viewer.layers))
    until(lambda: not dock.busy or (dock.worker.progress.fraction or 0) > RUNNING)
    studio.shoot("running")
    dock.cancel()
    studio.ended()


def finished(studio: Studio) -> None:
    """A run that has ended: image, PSF and list of runs; its uncertainty; and the page with its report."""
    dock = studio.dock
    studio.sample("series")
    dock.blur_part.set_mode("model")
    dock.blur_part.model_box.setCurrentText("disc-psf")
    dock.blur_part.model["radius"].native.setText("3")
    dock.blur_part.size.setText("15")
    dock.method_part.set_method("unsupervised-wiener")
    until(lambda: not dock.painter.busy)
    dock.start_run()
    studio.ended()
    studio.viewer.reset_view()
    studio.shoot("finished")
    uncertainty = next(layer for layer in studio.viewer.layers if "uncertainty" in layer.name)
    uncertainty.visible = True
    studio.viewer.layers.selection = {uncertainty}
    studio.shoot("uncertainty")


def known(studio: Studio) -> None:
    """A PSF from a model, methods side by side, and an error."""
    dock = studio.dock
    studio.sample("series")
    dock.blur_part.set_mode("model")
    dock.blur_part.model_box.setCurrentText("gaussian-psf")
    until(lambda: not dock.painter.busy)
    studio.shoot("psf", whole=False)
    dock.blur_part.size.setText("")
    studio.dock.several.ask_compare()
    page = dock.several.ask_compare()
    page.chosen.emit(["richardson-lucy", "unsupervised-wiener", "wiener"])
    page.close()
    studio.ended()
    studio.viewer.layers.remove("region to preview")
    studio.shoot("compared")
    studio.sample("series")
    studio.viewer.layers[0].data = broken(studio.viewer.layers[0].data)
    dock.start_run()
    studio.ended()
    studio.shoot("error")


def broken(data: Any) -> Any:
    """The same in floating point, with a pixel in every plane that is no number."""
    data = data.astype("float32")
    data[..., 3, 4] = float("nan")
    return data


SCENES = {"first": first, "series": series, "known": known, "finished": finished, "network": network}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--themes", nargs="*", default=["dark", "light"])
    parser.add_argument("--scenes", nargs="*", default=list(SCENES), choices=list(SCENES))
    wishes = parser.parse_args()
    for theme in wishes.themes:
        studio = Studio(wishes.output, theme)
        for scene in wishes.scenes:
            if scene != "network" or theme == wishes.themes[0]:  # the others show that they can be read
                SCENES[scene](studio)
        studio.viewer.close()
        settle()


if __name__ == "__main__":
    main()
