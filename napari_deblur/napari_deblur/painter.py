"""The picture of the chosen PSF, made in a thread as soon as nothing has changed for a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_deblur import work
from napari_deblur.layers import LayerSource
from napari_deblur.panel.blur_part import BlurPart
from napari_deblur.wording import in_the_dock
from napari_deblur.worker import Worker
from unblur.errors import UnblurError
from unblur.registry import Registry

AFTER = 300
"""Milliseconds without a change before the picture is made."""

LOOK_EVERY = 50

Situation = Callable[[], tuple[LayerSource | None, str]]


class Painter(QObject):
    """Shows the PSF that a `BlurPart` asks for.

    Args:
        situation: gives the image's source and its spatial axes, when the picture is made.
    """

    def __init__(
        self,
        blur: BlurPart,
        registry: Registry,
        situation: Situation,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._blur, self._registry, self._situation = blur, registry, situation
        self._worker: Worker | None = None
        self._drawn_for: Any = None
        self._wait = QTimer(self)
        self._wait.setInterval(AFTER)
        self._wait.setSingleShot(True)
        self._wait.timeout.connect(self._begin)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_EVERY)
        self._timer.timeout.connect(self._look)
        blur.picture_wanted.connect(self.want)

    @property
    def busy(self) -> bool:
        return self._worker is not None or self._wait.isActive()

    def follow(self, situation: Any) -> None:
        """A picture anew where what it depends on, besides the blur's part, is another."""
        if situation != self._drawn_for and self._blur.known:
            self.want()
        self._drawn_for = situation

    def want(self) -> None:
        """A picture of what is chosen now, soon."""
        self._wait.start()

    def _begin(self) -> None:
        source, spatial = self._situation()
        if not self._blur.known or source is None:
            return
        if self._worker is not None:
            self.want()
            return
        try:
            given = self._blur.arguments()
        except UnblurError as error:
            self._blur.show_picture(None, in_the_dock(str(error)))
            return
        job = work.picture(given, source.image, spatial, self._registry)
        self._worker = Worker(job, "picture of the PSF").start()
        self._timer.start()

    def _look(self) -> None:
        worker: Any = self._worker
        if worker.running:
            return
        self._timer.stop()
        self._worker = None
        if not self._blur.known:
            return
        if worker.failure is not None:
            self._blur.show_picture(None, worker.failure.words)
        else:
            self._blur.show_picture(*worker.result)
