"""Which planes of a series are run, which of them a shared kernel comes from, and how many frames go together."""

from __future__ import annotations

from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_deblur.form.sections import row, words
from napari_deblur.panel.targets import Target, along_of
from napari_deblur.regions import Span, anchors_of, range_of
from unblur.clips import FRAMES
from unblur.errors import ParameterError
from unblur.image import Image

NAME_WIDTH, EDIT_WIDTH = 82, 70


class PlanesPart(QWidget):
    """Three lines, of which only those stand there that the target has a use for."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._image: Image | None = None
        self._target: Target | None = None
        self.range, self.anchors, self.clip = (QLineEdit() for _ in range(3))
        self._range_said, self._anchors_said = words(faint=True), words(faint=True)
        self.range.setPlaceholderText("all")
        self.anchors.setPlaceholderText("middle")
        self.anchors.setToolTip(
            "The shared kernel is estimated from these planes together: numbers as the sliders count, such as 0, 3"
        )
        self.clip.setPlaceholderText(str(FRAMES))
        self.clip.setToolTip("Fewer frames at a time need less memory")
        self._rows = {
            "range": _line("Planes", self.range, self._range_said),
            "anchors": _line("Kernel from", self.anchors, self._anchors_said),
            "clip": _line("Together", self.clip, words("frames of the series at a time", faint=True)),
        }
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for line in self._rows.values():
            layout.addWidget(line)
        for edit in (self.range, self.anchors, self.clip):
            edit.editingFinished.connect(self.changed.emit)
        self.show_for(None, None)

    @property
    def along(self) -> str:
        """The axis of the series, nothing where there is none."""
        return along_of(self._image.axes, self._target) if self._image is not None and self._target is not None else ""

    def show_for(self, image: Image | None, target: Target | None) -> None:
        """Offer what a target of an image has a use for."""
        self._image, self._target = image, target
        along = self.along
        planes = target.planes if target is not None else ""
        if image is not None and along:
            last = image.sizes[along] - 1
            self._range_said.setText(f"of {along} 0–{last}, such as 0-{min(2, last)}")
            self._anchors_said.setText(f"of {along}, such as {last // 2}")
        self._rows["range"].setVisible(bool(along))
        self._rows["anchors"].setVisible(bool(along) and planes == "shared-kernel")
        self._rows["clip"].setVisible(planes == "video")

    def region(self) -> dict[str, Span]:
        """The planes that are asked for; nothing for all.

        Raises:
            ParameterError: they are not there.
        """
        if self._image is None or not self.along:
            return {}
        span = range_of(self.range.text(), self._image.sizes[self.along])
        return {} if span is None else {self.along: span}

    def arguments(self, whole: bool = False) -> dict[str, Any]:
        """`planes`, `anchors` and `clip_frames` of a request, for the range of planes or for the `whole` series.

        Raises:
            ParameterError: something in the lines cannot be used.
        """
        planes = self._target.planes if self._target is not None else "auto"
        found: dict[str, Any] = {"planes": planes}
        if planes == "shared-kernel" and self._image is not None:
            sizes = self._image.sizes
            span = (0, sizes[self.along])
            if not whole:
                span = self.region().get(self.along, span)
            depth = sizes["Z"] if self.along == "T" and "Z" in sizes else 1
            found["anchors"] = anchors_of(self.anchors.text(), span, depth)
        if planes == "video" and (text := self.clip.text().strip()):
            if not text.isdecimal() or int(text) < 1:
                raise ParameterError(f"frames together {text}: expected a whole number, at least 1")
            found["clip_frames"] = int(text)
        return found


def _line(name: str, edit: QLineEdit, said: QWidget) -> QWidget:
    named = QLabel(name)
    named.setFixedWidth(NAME_WIDTH)
    edit.setFixedWidth(EDIT_WIDTH)
    edit.setAccessibleName(name)
    return row(named, edit, said, stretch=2)
