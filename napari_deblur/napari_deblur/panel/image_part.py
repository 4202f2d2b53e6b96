"""Which layer, what its axes are, how large its pixels are; and how each of these is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from magicgui.widgets import ComboBox
from napari.layers import Image as ImageLayer
from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from napari_deblur import layers, opening
from napari_deblur.facts import PIXEL
from napari_deblur.form.sections import add_row, drop_down, labelled, row, words
from unblur.errors import ParameterError, UnblurError
from unblur.image import PLANE, Image, sizes_by_axis

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

OWN = "napari-deblur: not an input"
"""Key in the metadata of layers that only show something: live previews."""

WATCHED = ("data", "scale", "units", "axis_labels", "name")
"""What is read anew when it changes."""

LETTERS = {"T": "time", "C": "channel", "Z": "depth", "Y": "height", "X": "width", "S": "colours"}


def image_layers(viewer: ViewerModel) -> list[ImageLayer]:
    """The layers that can be deblurred."""
    return [layer for layer in viewer.layers if isinstance(layer, ImageLayer) and OWN not in layer.metadata]


class LayerBox(ComboBox):
    """A drop-down of the viewer's image layers that follows the viewer."""

    def __init__(self, viewer: ViewerModel, **kwargs: Any) -> None:
        self._viewer = viewer
        self._kept: ImageLayer | None = None
        super().__init__(choices=lambda _: [(layer.name, layer) for layer in image_layers(viewer)], **kwargs)
        self._kept = self.value
        self.changed.connect(self._keep)
        viewer.layers.events.inserted.connect(self._follow)
        viewer.layers.events.removed.connect(self.reset_choices)
        viewer.layers.events.reordered.connect(self.reset_choices)
        for layer in viewer.layers:
            layer.events.name.connect(self.reset_choices)
        drop_down(self.native)

    def reset_choices(self, *_: Any) -> None:
        """The layers that are there now; the one that was chosen stays chosen, under whatever name."""
        if not isalive(self.native):  # the viewer outlives the dock
            return
        kept = self._kept
        with self.changed.blocked():
            super().reset_choices()
            if kept is not None and kept in self.choices:
                self.value = kept
        if self.value is not kept:
            self.changed.emit(self.value)

    def _keep(self, layer: ImageLayer | None) -> None:
        self._kept = layer

    def _follow(self, event: Any) -> None:
        if not isalive(self.native):
            return
        event.value.events.name.connect(self.reset_choices)
        self.reset_choices()


class ImagePart(QWidget):
    """The layer and what is known about it. `source` is what `layers.read` gives, None where there is nothing to read.

    `problem` says in words why there is none.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._written: WeakKeyDictionary[ImageLayer, tuple[str | None, str | None]] = WeakKeyDictionary()
        self._watched: Layer | None = None
        self.source: layers.LayerSource | None = None
        self.problem = ""
        self.layer_box = LayerBox(viewer, label="Image")
        self._axes = QLineEdit()
        self._axes.setToolTip(
            "One letter for each dimension: " + ", ".join(f"{letter} {name}" for letter, name in LETTERS.items())
        )
        self._axes_said = words(faint=True)
        self._size = QLineEdit()
        self._size.setPlaceholderText("not known")
        self._size.setToolTip("One number for Y and X, or one for each of Z, Y, X; models of a microscope need it.")
        self._size_said = words(faint=True)
        self._keep = QPushButton("Set on the layer")
        self._keep.setToolTip("Give the layer these axes and this pixel size, for the viewer and every other plugin")
        self._keep.clicked.connect(lambda _=False: self.keep())
        self._keep_row = row(self._keep)
        self._problem = words()
        form = labelled(self)
        add_row(form, "Image", self.layer_box.native)
        add_row(form, "Axes", row(self._axes, self._axes_said, stretch=1))
        add_row(form, "Pixel size", row(self._size, self._size_said, stretch=1))
        form.addRow("", self._keep_row)
        form.addRow(self._problem)
        self._form = form
        self._axes.setFixedWidth(80)
        self._size.setFixedWidth(110)
        self.layer_box.changed.connect(self._on_layer)
        self._axes.editingFinished.connect(self.commit)
        self._size.editingFinished.connect(self.commit)
        self._on_layer()

    @property
    def layer(self) -> ImageLayer | None:
        return self.layer_box.value

    def now(self) -> layers.LayerSource | None:
        """`source` where the layer lies now, and as it looks now, which changes without being read anew."""
        return None if self.source is None or self.layer is None else layers.as_now(self.source, self.layer)

    def read(self, layer: ImageLayer) -> layers.LayerSource:
        """What is known of a layer, with what the user wrote for it.

        Raises:
            UnblurError: it cannot be read.
        """
        if layer is not self.layer:
            return self._made(layer)
        source = self.now()
        if source is None:
            raise ParameterError(self.problem)
        return source

    def keep(self) -> None:
        """Give the layer the axes and pixel sizes that the user wrote, so that results and files agree with it."""
        layer, source = self.layer, self.source
        if layer is None or source is None:
            return
        placed = opening.placed(source.image)
        sizes = [
            math.copysign(size, old) if unit != PIXEL else old
            for size, unit, old in zip(placed["scale"], placed["units"], layer.scale, strict=True)
        ]
        units = [
            unit if axis in source.image.pixel_size else old
            for axis, unit, old in zip(source.placed_axes, placed["units"], layer.units, strict=True)
        ]
        self._unwatch()
        self._written.pop(layer, None)
        layer.axis_labels, layer.units, layer.scale = placed["axis_labels"], units, sizes
        self._on_layer()

    def _unwatch(self) -> None:
        if self._watched is not None:
            for name in WATCHED:
                getattr(self._watched.events, name).disconnect(self._reread)
        self._watched = None

    def _on_layer(self, *_: Any) -> None:
        layer = self.layer
        self._unwatch()
        self._watched = layer
        if layer is not None:
            for name in WATCHED:
                getattr(layer.events, name).connect(self._reread)
        self._axes.setText("")
        self._size.setText("")
        self._read()

    def _reread(self, *_: Any) -> None:
        """What the user wrote holds as long as it fits the layer."""
        if isalive(self):
            self._read()
            if self.problem and self._written.pop(self.layer, None) is not None:
                self._read()

    def commit(self) -> None:
        """Take what is written in the lines, which a button that is pressed without taking the focus has not done."""
        if self.layer is None:
            return
        axes, size = self._written.get(self.layer, (None, None))
        if self._axes.isModified():
            axes = self._axes.text().strip() or None
        if self._size.isModified():
            size = self._size.text().strip() or None
        if self._axes.isModified() or self._size.isModified():
            self._axes.setModified(False)
            self._size.setModified(False)
            self._written[self.layer] = axes, size
            self._read()

    def _made(self, layer: ImageLayer) -> layers.LayerSource:
        axes, size = self._written.get(layer, (None, None))
        source = layers.read(layer, axes=axes)
        if size is None:
            return source
        try:
            numbers = sizes(size, source.image.axes)
        except UnblurError:
            raise
        except ValueError as error:
            raise ParameterError(f"Pixel size {size}: expected a number, or one for each of Z, Y, X.") from error
        return layers.with_pixel_size(source, numbers)

    def _read(self) -> None:
        """Read the layer anew, with the axes and the pixel size that the user wrote."""
        self.source, self.problem = None, ""
        if self.layer is None:
            self.problem = "Open an image, or try a sample: File → Open Sample → Deblur."
        else:
            try:
                self.source = self._made(self.layer)
            except UnblurError as error:
                self.problem = str(error)
        self._show(keep=bool(self.problem))
        self.changed.emit()

    def _show(self, keep: bool) -> None:
        self._problem.setText(self.problem)
        self._problem.setVisible(bool(self.problem))
        given = self.source is not None and "given" in self.source.image.status.values()
        self._form.setRowVisible(self._keep_row, given)
        for widget in (self._axes, self._size):
            widget.setEnabled(self.layer is not None)
        if self.source is None:
            if not keep:
                self._axes.setText("")
                self._size.setText("")
            self._axes_said.setText("")
            self._size_said.setText("")
            return
        image = self.source.image
        self._axes.setText(image.axes)
        self._axes_said.setText(f"{sizes_of(image)} ({known(self.source, 'axes')})")
        spatial = [axis for axis in image.axes if axis in "ZYX" and axis in image.pixel_size]
        values = [f"{image.pixel_size[axis]:.6g}" for axis in spatial]
        same = len(set(values[-2:])) == 1 and len(values) == 2
        self._size.setText(values[-1] if same else ", ".join(values))
        self._size.setCursorPosition(0)
        if spatial:
            units = {image.units.get(axis, "") for axis in spatial}
            states = {known(self.source, axis) for axis in spatial}
            self._size_said.setText(f"{', '.join(sorted(units))} ({', '.join(sorted(states))})")
        else:
            self._size_said.setText("µm, where it is known")


def sizes_of(image: Image) -> str:
    """``time 5 · 192 × 192``: names for the axes that are not seen."""
    seen = " × ".join(str(size) for axis, size in image.sizes.items() if axis in PLANE)
    return " · ".join([*(f"{LETTERS[axis]} {image.sizes[axis]}" for axis in image.axes if axis in "TCZ"), seen])


def sizes(text: str, axes: str) -> dict[str, float]:
    """``0.1`` for Y and X, or one number for each spatial axis.

    Raises:
        ValueError: something else.
    """
    numbers = [float(part) for part in text.replace(";", ",").split(",")]
    return sizes_by_axis(numbers[0] if len(numbers) == 1 else numbers, axes)


def known(source: layers.LayerSource, fact: str) -> str:
    """How the axes, or the size along an axis, are known."""
    status = source.image.status[fact]
    read = "from the file" if fact in source.from_file else "from the layer"
    return {"read": read, "given": "given by you", "assumed": "guessed", "missing": "not known"}[status]
