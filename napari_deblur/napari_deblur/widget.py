"""The dock: puts its pieces together, follows what is chosen, and runs it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_deblur import checkpoints, layers, regions, results, summary, work
from napari_deblur.conductor import Conductor, Then, Work
from napari_deblur.filing import Filing
from napari_deblur.form.sections import Section
from napari_deblur.live import Live
from napari_deblur.pages.plugins_page import PluginsPage
from napari_deblur.painter import Painter
from napari_deblur.panel.blur_part import BlurPart, kernel_size
from napari_deblur.panel.image_part import ImagePart
from napari_deblur.panel.message import Message
from napari_deblur.panel.method_part import MethodPart
from napari_deblur.panel.run_part import RunPart
from napari_deblur.panel.runs_part import Run, RunsPart
from napari_deblur.panel.targets import targets
from napari_deblur.panel.values_part import ValuesPart
from napari_deblur.preferences import preferences
from napari_deblur.request import Request
from napari_deblur.several import Several
from napari_deblur.warming import WARM_AFTER, warm_up
from napari_deblur.wording import in_the_dock
from napari_deblur.worker import Failure
from unblur.choice import is_photograph
from unblur.cli.text import duration
from unblur.clips import is_video
from unblur.errors import ParameterError, UnblurError
from unblur.image import Image
from unblur.registry import Registry, default_registry

if TYPE_CHECKING:
    import napari.viewer

WIDTH = 350
"""Pixels that the dock needs at least."""

RUN, PREVIEW = "run", "preview"


@dataclass(frozen=True)
class _Begun:
    """A run or a preview that goes on: of what, and whether a checkpoint is kept."""

    request: Request
    part: layers.LayerSource
    what: str
    live: Live
    key: Any
    kept: bool
    since: float = field(default_factory=time.monotonic)


class Deblur(QWidget):
    """The dock widget."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, registry: Registry | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.registry = registry or default_registry()
        self._stopped: Any = None
        self._running: Any = None
        self._docked = False
        self._following = True
        self._warm = False
        self._conductor = Conductor(self)
        self._warming = QTimer(self)
        self._warming.setSingleShot(True)
        self._warming.timeout.connect(warm_up)
        self.filing, self.several = Filing(self), Several(self)

        self.image_part = ImagePart(napari_viewer)
        self.blur_part = BlurPart(napari_viewer, self.registry)
        self.method_part = MethodPart(self.registry)
        self.values_part = ValuesPart()
        self.run_part = RunPart()
        self.message = Message()
        self.runs_part = RunsPart(
            self._switch,
            {
                "Save as OME-TIFF …": self.filing.ask_save_run,
                "Save its pipeline …": self.filing.ask_save_run_pipeline,
                "Copy as command line": self.filing.copy_command,
                "Copy as Python": self.filing.copy_python,
                "Show its report": self.filing.show_report,
            },
        )
        self.runs = Section("Runs", self.runs_part, opened=True)
        self.runs.setVisible(False)
        self.painter = Painter(self.blur_part, self.registry, self._situation, self)
        self.run_part.set_menu(
            {
                "Compare methods on the region …": self.several.ask_compare,
                "Batch …": self.several.ask_batch,
                "-1": None,
                "Load pipeline …": self.filing.ask_load_pipeline,
                "Save pipeline …": self.filing.ask_save_pipeline,
                "-2": None,
                "Plugins …": self.open_plugins,
            }
        )
        self._arrange()
        self._connect()
        self._following = False
        self.follow()

    def _arrange(self) -> None:
        settings = QWidget()
        inner = QVBoxLayout(settings)
        inner.setContentsMargins(0, 0, 6, 0)
        inner.setSpacing(8)
        for part in (self.image_part, self.blur_part, self.method_part, self.values_part, self.runs):
            inner.addWidget(part)
        inner.addStretch(1)
        self.scroll = scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(scroll.horizontalScrollBarPolicy().ScrollBarAlwaysOff)
        scroll.setWidget(settings)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.message)
        layout.addWidget(self.run_part)
        self.setMinimumWidth(WIDTH)

    def _connect(self) -> None:
        for part in (self.image_part, self.blur_part, self.method_part, self.values_part, self.run_part):
            part.changed.connect(self.follow)
        self.viewer.dims.events.current_step.connect(self.follow)
        self.run_part.estimate.connect(self.start_estimate)
        self.run_part.preview.connect(self.start_preview)
        self.run_part.run.connect(self.start_run)
        self.run_part.stop.connect(self.stop)
        self.run_part.cancel.connect(self.cancel)
        self._conductor.progressed.connect(self.run_part.show_progress)
        self._conductor.failed.connect(self.message.show_failure)
        self._conductor.ended.connect(self._on_end)

    @property
    def busy(self) -> bool:
        """Whether a piece of work is being done."""
        return self._conductor.busy

    @property
    def notes(self) -> tuple[str, ...]:
        """What the last piece of work has to say besides its result."""
        return self._conductor.notes

    @property
    def worker(self) -> Any:
        """The work that is being done, if any."""
        return self._conductor.worker

    def request(self, whole: bool = False) -> Request:
        """What the form asks for; `whole` is for images that are run as a whole, whatever range of planes is set.

        Raises:
            UnblurError: something in it cannot be used.
        """
        blur, method = self.blur_part.arguments(), self.method_part.arguments()
        settings, model = method.pop("settings"), blur.pop("settings", {})
        if model:  # which stands in the slot of the kernel prior
            settings = {name: value for name, value in settings.items() if name.partition(".")[0] != "kernel_prior"}
        settings |= model
        planes, values = self.run_part.planes.arguments(whole), self.values_part.arguments()
        return Request(settings=settings, **planes, **method, **blur, **values, **dataclasses.asdict(preferences()))

    def part(self) -> layers.LayerSource:
        """The part of the layer that Run would run.

        Raises:
            ParameterError: there is no layer, or the planes that were asked for are not there.
        """
        source, target = self.image_part.now(), self.run_part.target
        if source is None or target is None:
            raise ParameterError(self.image_part.problem or "choose an image")
        place = layers.current_region(source, self.viewer.dims.point, self.viewer.dims.units)
        region = {axis: place[axis] for axis in target.fixed}
        return source.cut(region | self.run_part.planes.region())

    def region_request(self) -> tuple[Request, layers.LayerSource]:
        """The request for the rectangle in the plane that is shown, and that part of the layer.

        A volume is taken in its whole depth; where frames are explained by their neighbours, these come along. Where
        the user sets no limit, it ends after `regions.SECONDS`.

        Raises:
            UnblurError: there is no rectangle that could be run, or something in the form cannot be used.
        """
        source, shapes = self.image_part.now(), regions.region_layer(self.viewer)
        if source is None or shapes is None:
            raise ParameterError("draw a rectangle on the image first")
        plane = layers.current_region(source, self.viewer.dims.point, self.viewer.dims.units)
        rectangle = regions.region_of(shapes, source)
        request = self.request()
        request = dataclasses.replace(request, max_seconds=request.max_seconds or regions.SECONDS)
        if self._is_video() and "T" in plane:
            around = regions.frames_around(plane["T"][0], source.image.sizes["T"])
            return request, source.cut({**plane, **rectangle, "T": around})
        planes = "independent" if plane else "auto"
        if self._is_volume():
            planes = "volume"
            plane.pop("Z", None)
        request = dataclasses.replace(request, planes=planes, anchors=None, crop=None, tile=None)
        return request, source.cut({**plane, **rectangle})

    def offered_region(self) -> bool:
        """Draw a rectangle where there is none on the image; whether that was so.

        Raises:
            ParameterError: there is no image.
        """
        source, layer = self.image_part.source, self.image_part.layer
        if source is None or layer is None:
            raise ParameterError(self.image_part.problem)
        shapes = regions.region_layer(self.viewer)
        if shapes is not None:
            if not regions.is_outside(shapes, source):
                return False
            self.viewer.layers.remove(shapes)
        regions.offer_region(self.viewer, layer, source)
        self.run_part.hint("Move the rectangle to where it matters, and press the button again.")
        return True

    def start_estimate(self) -> None:
        """Measure time and memory for what Run would run."""
        self.attempt(self._estimate, alone=True)

    def start_preview(self) -> None:
        """Run on the rectangle, in the plane that is shown; without a rectangle, offer one."""
        self.attempt(self._preview, alone=True)

    def start_run(self) -> None:
        """Run what is chosen, or go on with it where it was stopped."""
        self.attempt(self._run, alone=True)

    def stop(self) -> None:
        """End after the step in progress and keep the best so far."""
        self._conductor.stop()
        self.run_part.set_ending("stopping after this step …")

    def cancel(self) -> None:
        """End after the step in progress and drop what was found, by an earlier part of the same run as well."""
        if self.busy and self.worker.what == RUN and self._stopped == self._running:
            self._stopped = None
        self._conductor.cancel()
        self.run_part.set_ending("ending after this step …")

    def attempt(self, action: Callable[[], Any], alone: bool = False) -> None:
        """Do what was asked for; what goes wrong is said in the dock. `alone`: not while something runs."""
        if alone and self.busy:
            self.message.show_note("Something is running: wait for its end, or stop it.")
            return
        self.message.clear()
        try:
            self.image_part.commit()
            action()
        except UnblurError as error:
            self.message.show_failure(Failure.of(error))

    def begin(self, job: Work, what: str, then: Then, **more: Any) -> None:
        """Start a piece of work, as `Conductor.begin` says, and show how far it is."""
        self.run_part.set_busy(True, stoppable=what != "estimate")
        self._conductor.begin(job, what, then, **more)

    def keep(self, run: Run, stand_in: Any = None) -> Iterator[None]:
        """List a run that has ended, and then show what it found: a result that cannot be shown can still be saved."""
        self.runs_part.add(run)
        self.runs.setVisible(True)
        run.layers.extend((yield from results.show(self.viewer, run.result, run.part, stand_in=stand_in)))

    def open_plugins(self) -> PluginsPage:
        """What is installed, and what failed and why."""
        page = PluginsPage(self.registry, self)
        page.show()
        return page

    def _estimate(self) -> None:
        request, part = self.request(), self.part()
        then = partial(self._show_estimate, summary.planes_of(request, part))
        self.begin(work.estimate(part.load, request, self.registry), "estimate", then)

    def _preview(self) -> None:
        if not self.offered_region():
            self._restore(*self.region_request(), PREVIEW, None)

    def _run(self) -> None:
        request, part = self.request(), self.part()
        root = None
        try:
            root = checkpoints.folder()
            checkpoints.tidy(root)
        except OSError as error:
            self.message.show_note(f"No checkpoint is kept, so that this run cannot be gone on from: {error}")
        self._restore(request, part, RUN, root)

    def _restore(self, request: Request, part: layers.LayerSource, what: str, root: Any) -> None:
        said = summary.words_of(request, part, self.registry)
        live = Live(self.viewer, part)
        begun = _Begun(request, part, what, live, self._key(request, part), kept=root is not None)
        self._running = begun.key
        then = partial(self._show_result, begun)
        self.begin(work.restore(part.load, request, self.registry, root), what, then, live=live)
        self.run_part.hint(said)

    def _show_estimate(self, planes: int, found: tuple[Any, str]) -> None:
        self.run_part.tell_estimate(summary.words_of_forecast(found[0], planes, found[1]))

    def _show_result(self, begun: _Begun, result: Any) -> Iterator[None]:
        if begun.what == RUN:
            self._stopped = None if result.complete else begun.key
        if results.is_empty(result):
            after = " Continue goes on from there." if begun.kept else ""
            self.message.show_note(f"Stopped before there was an image.{after}")
            return
        name = result.report.get("method") or "own pipeline"
        title = f"{name}, {begun.what}, {duration(time.monotonic() - begun.since)}"
        yield from self.keep(Run(title, begun.request, begun.part, result), begun.live.layer)

    def _switch(self, run: Run) -> None:
        """Before or after; what was made of a rectangle lies on the image, which then stays."""
        if not run.layers:  # which could not be shown
            return
        restored = run.layers[0]
        if {"Y", "X"} & set(run.part.region):
            restored.visible = not restored.visible
        else:
            before = run.part.origin() if run.part.origin is not None else None
            results.switch(self.viewer, before, restored)

    def _on_end(self) -> None:
        self.run_part.set_busy(False)
        self.follow()

    def _situation(self) -> tuple[layers.LayerSource | None, str]:
        return self.image_part.source, "ZYX" if self._is_volume() else "YX"

    def follow(self, *_: Any) -> None:
        """Everything that follows from the choices: what is offered, and the words that say what would run."""
        if not isalive(self) or self._following or self.busy:  # the viewer, whose sliders call this, outlives the dock
            return
        self._following = True
        try:
            self._follow()
        finally:
            self._following = False

    def _follow(self) -> None:
        source = self.image_part.source
        if source is None:
            self.run_part.set_targets([], None)
            self.run_part.say(self.image_part.problem, ready=False)
            return
        if not self._warm:
            self._warm = True
            self._warming.start(WARM_AFTER)
        image, known = source.image, self.blur_part.known
        self.blur_part.set_image(self.image_part.layer, image.axes)
        self._offer(image)
        _, spatial = self._situation()
        self.blur_part.set_shape([image.sizes[axis] for axis in spatial])
        self.painter.follow((facts_of(image), spatial))
        self.method_part.set_context(self._is_photograph(image), spatial == "ZYX", known, self._kernel_size())
        self._offer(image)  # of the method that now stands there
        try:
            request, part = self.request(), self.part()
            said = summary.words_of(request, part, self.registry, self.method_part.automatic_reason)
            key = self._key(request, part)
            self.run_part.say(said, ready=True, key=key)
            self.run_part.set_continues(self._stopped == key)
        except UnblurError as error:
            self.run_part.say(in_the_dock(str(error)), ready=False)

    def _key(self, request: Request, part: layers.LayerSource) -> Any:
        """What a run is told from others by."""
        psf = facts_of(request.psf) if isinstance(request.psf, Image) else request.psf
        return request, psf, part.region, facts_of(part.image), id(self.image_part.layer)

    def event(self, event: QEvent) -> bool:
        """Qt's; napari's × takes the dock out of its frame, and leaves it to whoever holds it."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                QTimer.singleShot(0, self._on_close)
        return bool(super().event(event))

    def _on_close(self) -> None:
        if isalive(self) and self.parent() is None:
            self._conductor.abandon()
            self.deleteLater()

    def _offer(self, image: Image) -> None:
        found = targets(image, self.blur_part.known, self._is_video(), self.blur_part.deep)
        self.run_part.set_targets(found, image)

    def _is_volume(self) -> bool:
        target = self.run_part.target
        return target is not None and target.planes == "volume"

    def _is_video(self) -> bool:
        """Whether what would run explains frames by their neighbours."""
        try:
            return is_video(self.method_part.pipeline(), self.registry)
        except UnblurError:  # parts that do not fit, which is said where they are put together
            return False

    def _is_photograph(self, image: Image) -> bool:
        try:
            white = self.values_part.arguments().get("white_level")
        except ParameterError:
            white = None
        return is_photograph(image, image.white_level if white is None else white)

    def _kernel_size(self) -> Any:
        try:
            return kernel_size(self.blur_part.size.text())
        except ParameterError:
            return None


def facts_of(image: Image) -> Any:
    """What of an image, besides its pixels, makes another run or PSF."""
    return image.axes, image.shape, dict(image.pixel_size), dict(image.units)
