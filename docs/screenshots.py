"""Make the pictures of docs/napari.md: real windows, real runs.

Those are made that the page shows, and no others. Needs a display; without one:
xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots.py
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.qt import get_qapp
from qtpy.QtWidgets import QWidget

from napari_deblur.widget import Deblur

HERE = Path(__file__).parent
SIZE = 1280, 800
PATIENCE = 1800
RUNNING = 0.6
"""Part of a run after which its picture is taken."""

SLOTS = ("forward_model", "image_prior", "kernel_prior", "estimator", "stopping", "stages")
THEMES = ("dark", "light")


def shown() -> set[str]:
    """The pictures on the page, such as ``first-light``."""
    return set(re.findall(r"images/napari-([\w-]+)\.png", (HERE / "napari.md").read_text(encoding="utf-8")))


def in_theme(name: str, theme: str) -> str:
    """What a picture is called in a theme."""
    return name if theme == THEMES[0] else f"{name}-{theme}"


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

    def shoot(self, name: str, of: QWidget | None = None) -> None:
        """A picture of the whole window, or of a part of it, where the page shows it."""
        named = in_theme(name, self.theme)
        if named in shown():
            settle()
            (of or self.viewer.window._qt_window).grab().save(str(self.folder / f"napari-{named}.png"))

    def sample(self, key: str) -> None:
        self.viewer.layers.clear()
        self.viewer.open_sample("napari-deblur", key)
        settle()
        self.viewer.reset_view()  # the sliders of a series take some of the canvas

    def ended(self) -> None:
        until(lambda: not self.dock.busy)


def first(studio: Studio) -> None:
    """First view, and every part of a method open."""
    dock = studio.dock
    studio.sample("camera")
    studio.shoot("first")
    dock.method_part.set_method("selfdeblur")
    dock.method_part.parts.open()
    for address in SLOTS:
        section = dock.method_part.form.sections[address]
        section.open()
        settle(0.2)
        dock.scroll.ensureWidgetVisible(section, 0, 0)
        dock.scroll.verticalScrollBar().setValue(section.mapTo(dock.scroll.widget(), section.rect().topLeft()).y())
        studio.shoot(part(address), dock)
        section.open(False)
    dock.method_part.parts.open(False)
    values = dock.values_part.section
    values.open()
    settle(0.2)
    dock.scroll.ensureWidgetVisible(values, 0, 0)
    studio.shoot("values", dock)
    values.open(False)


def part(slot: str) -> str:
    return f"part-{slot.replace('_', '-')}"


def series(studio: Studio) -> None:
    """What is offered for a time series, and the page for a batch."""
    dock = studio.dock
    studio.sample("series")
    dock.blur_part.set_mode("unknown")
    dock.run_part.set_target("every plane, one shared kernel")
    studio.shoot("series", dock)
    page = dock.several.ask_batch()
    page.add_files([Path("cells-1.ome.tif"), Path("cells-2.ome.tif")])
    page.folder.setText("restored")
    studio.shoot("batch", page)
    page.close()


def gaussian(studio: Studio) -> None:
    """The series, with a PSF from a model."""
    studio.sample("series")
    blur = studio.dock.blur_part
    blur.set_mode("model")
    blur.model_box.setCurrentText("gaussian-psf")
    blur.size.setText("")
    until(lambda: not studio.dock.painter.busy)


def psf(studio: Studio) -> None:
    """A PSF from a model."""
    gaussian(studio)
    studio.shoot("psf", studio.dock)


def compared(studio: Studio) -> None:
    """Methods side by side."""
    gaussian(studio)
    studio.dock.several.ask_compare()
    page = studio.dock.several.ask_compare()
    page.chosen.emit(["richardson-lucy", "unsupervised-wiener", "wiener"])
    page.close()
    studio.ended()
    studio.viewer.layers.remove("region to preview")
    studio.shoot("compared")


def error(studio: Studio) -> None:
    """What is said of a pixel that is no number."""
    gaussian(studio)
    studio.viewer.layers[0].data = broken(studio.viewer.layers[0].data)
    studio.dock.start_run()
    studio.ended()
    studio.shoot("error")


def broken(data: Any) -> Any:
    """The same in floating point, with a pixel in every plane that is no number."""
    data = data.astype("float32")
    data[..., 3, 4] = float("nan")
    return data


def finished(studio: Studio) -> None:
    """A run that has ended: image, PSF and list of runs; and its uncertainty."""
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


def running(studio: Studio) -> None:
    """A preview on a region with a network, while it runs."""
    dock = studio.dock
    studio.sample("camera")
    dock.blur_part.set_mode("unknown")
    dock.method_part.set_method("selfdeblur")
    dock.blur_part.size.setText("31")
    dock.blur_part.changed.emit()
    dock.method_part.preset_box.setCurrentText("Fast")
    dock.method_part.limit.setText("2 min")  # a slow machine would not get far in the seconds that a preview has
    dock.start_preview()
    dock.start_preview()
    until(lambda: not dock.busy or any("running" in layer.name for layer in studio.viewer.layers))
    until(lambda: not dock.busy or (dock.worker.progress.fraction or 0) > RUNNING)
    assert dock.busy, "the run ended before its picture was taken"
    studio.shoot("running")
    dock.cancel()
    studio.ended()
    dock.method_part.limit.setText("")


SCENES: dict[Callable[[Studio], None], tuple[str, ...]] = {
    first: ("first", *map(part, SLOTS), "values"),
    series: ("series", "batch"),
    psf: ("psf",),
    compared: ("compared",),
    error: ("error",),
    finished: ("finished", "uncertainty"),
    running: ("running",),
}
"""In this order, and the pictures that each takes."""


def main() -> None:
    names = [scene.__name__ for scene in SCENES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=HERE / "images")
    parser.add_argument("--themes", nargs="*", default=THEMES, choices=THEMES)
    parser.add_argument("--scenes", nargs="*", default=names, choices=names)
    wishes = parser.parse_args()
    taken = {in_theme(name, theme) for pictures in SCENES.values() for name in pictures for theme in THEMES}
    assert shown() <= taken, f"no scene takes {shown() - taken}"
    for theme in wishes.themes:
        studio = Studio(wishes.output, theme)
        for scene, pictures in SCENES.items():
            if scene.__name__ in wishes.scenes and shown() & {in_theme(name, theme) for name in pictures}:
                scene(studio)
        studio.viewer.close()
        settle()


if __name__ == "__main__":
    main()
