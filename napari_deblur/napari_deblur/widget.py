"""The dock: puts its pieces together, starts work, and brings what comes of it into the viewer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_deblur import checkpoints, layers, regions, results, work
from napari_deblur.live import Live
from napari_deblur.panel.blur_part import BlurPart
from napari_deblur.panel.image_part import ImagePart
from napari_deblur.panel.message import Message
from napari_deblur.panel.method_part import MethodPart
from napari_deblur.panel.run_part import RunPart, Target, targets
from napari_deblur.request import Request
from napari_deblur.worker import Failure, Worker
from unblur.choice import is_photograph
from unblur.errors import ParameterError, UnblurError
from unblur.registry import Registry, default_registry

if TYPE_CHECKING:
    import napari.viewer

LOOK_EVERY = 100
"""Milliseconds between two looks at a worker."""


class Deblur(QWidget):
    """The dock widget."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, registry: Registry | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.registry = registry or default_registry()
        self.worker: Worker | None = None
        self._then: Callable[[Any], None] = lambda result: None
        self._live: Live | None = None
        self._stopped: tuple[Request, layers.LayerSource] | None = None

        self.image_part = ImagePart(napari_viewer)
        self.blur_part = BlurPart(napari_viewer, self.registry)
        self.method_part = MethodPart(self.registry)
        self.run_part = RunPart()
        self.message = Message()
        settings = QWidget()
        inner = QVBoxLayout(settings)
        inner.setContentsMargins(0, 0, 6, 0)
        inner.setSpacing(8)
        for part in (self.image_part, self.blur_part, self.method_part):
            inner.addWidget(part)
        inner.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(self._scroll.horizontalScrollBarPolicy().ScrollBarAlwaysOff)
        self._scroll.setWidget(settings)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self._scroll, 1)
        layout.addWidget(self.message)
        layout.addWidget(self.run_part)
        self.setMinimumWidth(320)

        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_EVERY)
        self._timer.timeout.connect(self._look)
        self.image_part.changed.connect(self._on_change)
        self.blur_part.changed.connect(self._on_change)
        self.method_part.changed.connect(self._on_change)
        self.run_part.changed.connect(self._on_change)
        self.run_part.estimate.connect(self.start_estimate)
        self.run_part.preview.connect(self.start_preview)
        self.run_part.run.connect(self.start_run)
        self.run_part.stop.connect(self._on_stop)
        self.run_part.cancel.connect(self._on_cancel)
        self.destroyed.connect(partial(_abandon, self.__dict__))
        self._on_change()

    @property
    def busy(self) -> bool:
        return self.worker is not None

    def request(self) -> Request:
        """What the form asks for.

        Raises:
            UnblurError: something in it cannot be used.
        """
        blur, method = self.blur_part.arguments(), self.method_part.arguments()
        settings = {**method.pop("settings"), **blur.pop("settings", {})}
        target = self.run_part.target
        return Request(settings=settings, planes=target.planes if target else "auto", **method, **blur)

    def part(self) -> layers.LayerSource:
        """The part of the layer that Run would run.

        Raises:
            ParameterError: the planes that were asked for are not there.
        """
        source, target = self.image_part.source, self.run_part.target
        if source is None or target is None:
            raise ParameterError(self.image_part.problem or "choose an image")
        place = layers.current_region(source, self.viewer.dims.point)
        region = {axis: place[axis] for axis in target.fixed}
        along = _along(source.axes, target)
        if along and (span := regions.range_of(self.run_part.range.text(), source.image.sizes[along])):
            region[along] = span
        return source.cut(region)

    def start_estimate(self) -> None:
        """Measure time and memory for what Run would run."""
        self._try(self._estimate)

    def start_preview(self) -> None:
        """Run on the rectangle, in the plane that is shown; without a rectangle, offer one."""
        self._try(self._preview)

    def start_run(self) -> None:
        """Run what is chosen."""
        self._try(self._run)

    def _estimate(self) -> None:
        self._begin(work.estimate(self.part().load, self.request()), "estimate", self._show_estimate, stoppable=False)

    def _preview(self) -> None:
        source, layer = self.image_part.source, self.image_part.layer
        if source is None or layer is None:
            raise ParameterError(self.image_part.problem)
        shapes = regions.region_layer(self.viewer)
        if shapes is None:
            regions.offer_region(self.viewer, layer, source.image.sizes)
            self.run_part.summary.setText("Move the rectangle to where it matters, then press Preview region again.")
            return
        plane = layers.current_region(source, self.viewer.dims.point)
        part = source.cut({**plane, **regions.region_of(shapes, source)})
        request = dataclasses.replace(self.request(), planes="independent" if plane else "auto")
        self._restore(request, part, "preview", None)

    def _run(self) -> None:
        request, part = self.request(), self.part()
        root = checkpoints.folder()
        checkpoints.tidy(root)
        self._restore(request, part, "run", root)

    def _restore(self, request: Request, part: layers.LayerSource, what: str, root: Path | None) -> None:
        self._live = Live(self.viewer, part)
        then = partial(self._show_result, request, part)
        self._begin(work.restore(part.load, request, root), what, then)

    def _try(self, start: Callable[[], None]) -> None:
        if self.busy:
            return
        self.message.clear()
        try:
            start()
        except UnblurError as error:
            self.message.show_failure(Failure.of(error))

    def _begin(
        self, job: Callable[[Worker], Any], what: str, then: Callable[[Any], None], stoppable: bool = True
    ) -> None:
        self._then = then
        self.run_part.set_busy(True, stoppable)
        self.worker = Worker(job, what).start()
        self._timer.start()

    def _look(self) -> None:
        """What the worker has to say, and what it has left behind when it has ended."""
        worker = self.worker
        if worker is None:
            self._timer.stop()
            return
        running = worker.running
        self.run_part.show_progress(worker.progress)
        if self._live is not None and worker.progress.preview is not None and worker.wish != "cancel":
            self._live.show(worker.progress.preview)
        if running:
            return
        self._timer.stop()
        self.worker = None
        if self._live is not None:
            self._live.remove()
            self._live = None
        self.run_part.set_busy(False)
        if worker.failure is not None:
            self.message.show_failure(worker.failure)
        elif not worker.dropped:
            self._then(worker.result)
        self._on_change()

    def _show_estimate(self, forecast: Any) -> None:
        self.run_part.estimated.setText(f"{forecast.seconds:.0f} s")

    def _show_result(self, request: Request, part: layers.LayerSource, result: Any) -> None:
        results.show(self.viewer, result, part)
        self._stopped = None if result.complete else (request, part)

    def _on_stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()
            self.run_part.set_ending("stopping after this step …")

    def _on_cancel(self) -> None:
        if self.worker is not None:
            self.worker.cancel()
            self.run_part.set_ending("ending after this step …")

    def _on_change(self, *_: Any) -> None:
        source = self.image_part.source
        image = source.image if source is not None else None
        known = self.blur_part.known
        self.run_part.set_targets(targets(image, known), "")
        if image is not None:
            self.method_part.set_context(is_photograph(image, image.white_level), False, known, None)
        self.run_part.set_ready(image is not None)


def _along(axes: str, target: Target) -> str:
    """The axis of a series that a range of planes is chosen from: T, else Z."""
    free = [axis for axis in "TZ" if axis in axes and axis not in target.fixed]
    if target.planes == "volume":
        free = [axis for axis in free if axis != "Z"]
    return free[0] if free and target.planes != "auto" else ""


def _abandon(state: dict[str, Any], *_: Any) -> None:
    """The window is gone: nobody waits for the result."""
    if (worker := state.get("worker")) is not None:
        worker.cancel()
