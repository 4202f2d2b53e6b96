"""What blurred the image: unknown, or a PSF from a layer, a file or a model, shown as a picture."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_deblur import layers, pixels
from napari_deblur.facts import KEY, REPEATED, SEVERAL
from napari_deblur.form.parameters import ParameterForm
from napari_deblur.form.sections import add_row, drop_down, labelled, row, words
from napari_deblur.panel.image_part import WATCHED, LayerBox
from unblur.errors import ParameterError, UnblurError
from unblur.io import read_header
from unblur.psfs import psf_models
from unblur.registry import Registry

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer

UNKNOWN, LAYER, FILE, MODEL = "unknown", "layer", "file", "model"
MODES = {
    UNKNOWN: "unknown: estimate it",
    LAYER: "known: from a layer",
    FILE: "known: from a file",
    MODEL: "known: from a model",
}
MODEL_SIZE = 65
"""Pixels that a modelled PSF may have along each axis, where the user does not say."""

FAINT, MARGIN = 0.01, 2
"""Weights below this part of the largest are not looked for; pixels that are shown around the others."""

PICTURE = 72
"""Side of the PSF's picture in screen pixels."""


class BlurPart(QWidget):
    """The choice of a PSF. `arguments` are what a request needs of it."""

    changed = Signal()
    picture_wanted = Signal()

    def __init__(self, viewer: ViewerModel, registry: Registry) -> None:
        super().__init__()
        self._models = psf_models(registry)
        self._sizes: tuple[int, ...] = (MODEL_SIZE, MODEL_SIZE)
        self._model_form: ParameterForm | None = None
        self._header = "", ""
        self._image: ImageLayer | None = None
        self._watched: ImageLayer | None = None
        self._image_axes = ""
        self.mode_box = drop_down()
        for mode, name in MODES.items():
            self.mode_box.addItem(name, mode)
        self.layer_box = LayerBox(viewer, nullable=True)
        self.path = QLineEdit()
        self.path.setPlaceholderText("TIFF, PNG, NPZ, …")
        self.axes = QLineEdit()
        self.axes.setToolTip("Axes of the PSF, where they are not known: YX, ZYX, or CYX for one a channel.")
        browse = QPushButton("Browse …")
        browse.clicked.connect(self._on_browse)
        self.centre = QCheckBox("centre it")
        self.centre.setToolTip("Move the PSF's centroid to its origin; without this the result may be shifted.")
        self.model_box = drop_down()
        for one in self._models.values():
            self.model_box.addItem(one.name, one.name)
            self.model_box.setItemData(self.model_box.count() - 1, one.component.summary, 3)
        self._model_place = QWidget()
        QVBoxLayout(self._model_place).setContentsMargins(0, 0, 0, 0)
        self.size = QLineEdit()
        self.size.setFixedWidth(80)
        self.size.setToolTip("Upper bound of the kernel's size in pixels: 31, or 31x21, or 9x31x31 (Z, Y, X).")
        self.found_in = QLineEdit()
        self.found_in.setFixedWidth(80)
        self.found_in.setPlaceholderText("all of it")
        self.found_in.setToolTip(
            "Width in pixels of the window that the kernel is estimated in, or auto, where its place follows from the "
            "edges.\nThe kernel found there restores the whole image, which saves time where that is large."
        )
        found_in_said = words("window in pixels, or auto", faint=True)
        self._size_said = words("pixels at most", faint=True)
        self.picture = QLabel()
        self.picture.setFixedSize(PICTURE, PICTURE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setToolTip("The PSF, its largest value white")
        self.picture_said = words(faint=True)
        form = labelled(self)
        add_row(form, "Blur", self.mode_box)
        self._rows = {
            "layer": add_row(form, "PSF layer", self.layer_box.native),
            "file": add_row(form, "PSF file", row(self.path, browse, stretch=0)),
            "axes": add_row(form, "PSF axes", self.axes),
            "centre": add_row(form, "", self.centre),
            "model": add_row(form, "Model", self.model_box),
            "form": add_row(form, "", self._model_place),
            "size": add_row(form, "Kernel", row(self.size, self._size_said, stretch=1)),
            "window": add_row(form, "Found in", row(self.found_in, found_in_said, stretch=1)),
            "picture": add_row(form, "", row(self.picture, self.picture_said, stretch=1)),
        }
        self._form = form
        self.mode_box.currentIndexChanged.connect(self._on_mode)
        self.layer_box.changed.connect(self._on_layer)
        self.path.editingFinished.connect(self._tell)
        self.axes.editingFinished.connect(self._tell)
        self.centre.toggled.connect(lambda _: self._tell())
        self.model_box.currentIndexChanged.connect(self._on_model)
        self.size.editingFinished.connect(self._tell)
        self.found_in.editingFinished.connect(self._tell)
        self._on_mode()

    @property
    def mode(self) -> str:
        return str(self.mode_box.currentData())

    def set_mode(self, mode: str) -> None:
        self.mode_box.setCurrentIndex(self.mode_box.findData(mode))

    @property
    def known(self) -> bool:
        return self.mode != UNKNOWN

    @property
    def psf_layer(self) -> ImageLayer | None:
        """The layer that holds the PSF, where one does."""
        return self.layer_box.value if self.mode == LAYER else None

    @property
    def deep(self) -> bool:
        """Whether a PSF has Z among its axes, as far as layer or words say so."""
        if self.mode == LAYER:
            with contextlib.suppress(UnblurError):  # of a layer that cannot be read, which is said elsewhere
                source = self._source()
                return "Z" in source.image.axes and not _holds_several(source)
            return False
        return self.mode == FILE and "Z" in (self.axes.text().upper() or self._axes_of_file())

    def _axes_of_file(self) -> str:
        """What the file of a PSF says; nothing where it does not, or cannot be read."""
        path = self.path.text().strip()
        if path != self._header[0]:
            self._header = path, ""
            with contextlib.suppress(UnblurError, OSError):
                self._header = path, read_header(path).axes or ""
        return self._header[1]

    @property
    def model(self) -> ParameterForm | None:
        return self._model_form if self.mode == MODEL else None

    def _source(self) -> layers.LayerSource:
        """The layer of the PSF, with the axes that the user wrote, or that alone fit the image.

        Raises:
            UnblurError: there is none, or it cannot be one.
        """
        layer = self.layer_box.value
        if layer is None:
            raise ParameterError("choose the layer that holds the PSF")
        if layer is self._image:
            raise ParameterError(f"{layer.name} is the image itself: choose the layer that holds the PSF")
        source = layers.read(layer, axes=self.axes.text().strip().upper() or None)
        channels = "C" in self._image_axes and "Z" not in self._image_axes
        if channels and source.axes == "ZYX" and source.image.status["axes"] == "assumed":
            source = layers.read(layer, axes="CYX")
        source = _without_repeats(source)
        pixels.refuse_too_large(source.image.data, layer.name)
        return source

    def set_image(self, layer: ImageLayer | None, axes: str) -> None:
        """The image that is blurred, which is no PSF, and its axes."""
        self._image, self._image_axes = layer, axes

    def set_shape(self, shape: Sequence[int]) -> None:
        """The spatial shape of what is run, which bounds a model's kernel where the user gives no size."""
        self._sizes = tuple(min(MODEL_SIZE, size | 1) for size in shape)

    def arguments(self) -> dict[str, Any]:
        """What a request needs to know of the blur; a model comes as `settings` that put it in.

        Raises:
            UnblurError: something is missing or cannot be read.
        """
        if self.mode == LAYER:
            source = self._source()
            if _holds_several(source):
                kept = "save its run, and choose the file" if source.metadata[KEY].get("grid") else "take one of them"
                raise ParameterError(f"{source.name} shows kernels of several planes or places: {kept}")
            return {"psf": source.image, "psf_name": source.name, "centre_psf": self.centre.isChecked()}
        if self.mode == FILE:
            if not self.path.text().strip():
                raise ParameterError("choose the file that holds the PSF")
            path = Path(self.path.text().strip())
            axes = self.axes.text().strip().upper() or None
            return {"psf": path, "psf_name": path.name, "psf_axes": axes, "centre_psf": self.centre.isChecked()}
        size = kernel_size(self.size.text())
        if self.mode == MODEL and self._model_form is not None:
            if problems := self._model_form.problems():
                raise ParameterError(problems[0])
            part = self._model_form.part()
            values = {f"kernel_prior.{name}": value for name, value in part.params.items()}
            return {"settings": {"kernel_prior": [part.name], **values}, "kernel_size": size or self._sizes}
        return {"kernel_size": size, "crop": window(self.found_in.text())}

    def show_picture(self, kernel: np.ndarray | None, said: str = "") -> None:
        """Show a kernel (of several or of a volume: its middle), or only words."""
        self.picture.setPixmap(QPixmap() if kernel is None else pixmap(kernel))
        self.picture.setVisible(kernel is not None)
        self.picture_said.setText(said)
        self._set_visible("picture", kernel is not None or bool(said))

    def _on_mode(self, *_: Any) -> None:
        mode = self.mode
        self._set_visible("layer", mode == LAYER)
        self._set_visible("file", mode == FILE)
        self._set_visible("axes", mode in (LAYER, FILE))
        self.axes.setPlaceholderText(f"as the {mode} says")
        self._set_visible("centre", mode in (LAYER, FILE))
        self._set_visible("model", mode == MODEL)
        self._set_visible("form", mode == MODEL)
        self._set_visible("size", mode in (UNKNOWN, MODEL))
        self._set_visible("window", mode == UNKNOWN)
        self.size.setPlaceholderText(str(MODEL_SIZE) if mode == MODEL else "auto")
        self.show_picture(None)
        if mode == MODEL and self._model_form is None:
            self._on_model()
        else:
            self._tell()

    def _on_layer(self, layer: ImageLayer | None) -> None:
        if self._watched is not None:
            for name in WATCHED:
                getattr(self._watched.events, name).disconnect(self._on_change)
        self._watched = layer
        if layer is not None:
            for name in WATCHED:
                getattr(layer.events, name).connect(self._on_change)
        self._tell()

    def _on_change(self, *_: Any) -> None:
        """Of the layer that holds the PSF."""
        if isalive(self) and self.mode == LAYER:
            self._tell()

    def _on_model(self, *_: Any) -> None:
        layout = self._model_place.layout()
        while (item := layout.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        registered = self._models.get(self.model_box.currentData())
        self._model_form = ParameterForm(registered, {}) if registered else None
        if self._model_form is not None:
            self._model_form.changed.connect(lambda _: self._tell())
            layout.addWidget(self._model_form.native)
            self.model_box.setToolTip(registered.component.summary)
        self._tell()

    def _on_browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "PSF", "", "PSFs (*.tif *.tiff *.png *.jpg *.npz);;All files (*)")
        if name:
            self.path.setText(name)
            self._tell()

    def _tell(self) -> None:
        self.changed.emit()
        if self.known:
            self.picture_wanted.emit()

    def _set_visible(self, name: str, visible: bool) -> None:
        self._form.setRowVisible(self._rows[name], visible)


def _without_repeats(source: layers.LayerSource) -> layers.LayerSource:
    """A kernel without the axes along which it is repeated for the viewer."""
    kept = source.metadata.get(KEY, {})
    image = source.image
    for axis in kept.get(REPEATED, "") if isinstance(kept, Mapping) else "":
        if axis in image.axes:
            image = image.taken(axis, 0)
    return dataclasses.replace(source, image=image)


def _holds_several(source: layers.LayerSource) -> bool:
    kept = source.metadata.get(KEY, {})
    return isinstance(kept, Mapping) and bool(kept.get(SEVERAL))


def kernel_size(text: str) -> int | tuple[int, ...] | None:
    """``31``, ``31x21`` or nothing.

    Raises:
        ParameterError: something else.
    """
    text = text.strip().lower()
    if text in ("", "auto"):
        return None
    parts = [part.strip() for part in text.replace(",", "x").split("x")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ParameterError(f"kernel size {text}: expected a number, one per axis such as 31x21, or auto")
    numbers = tuple(map(int, parts))
    return numbers[0] if len(numbers) == 1 else numbers


def window(text: str) -> int | str | None:
    """``256``, ``auto``, or nothing for the whole image.

    Raises:
        ParameterError: something else.
    """
    text = text.strip().lower()
    if text in ("", "all of it"):
        return None
    if text == "auto":
        return text
    if not (text.isdecimal() and int(text) > 0):
        raise ParameterError(f"window {text}: expected a number of pixels, auto, or nothing for the whole image")
    return int(text)


def pixmap(kernel: np.ndarray, side: int = PICTURE) -> QPixmap:
    """The middle plane of a kernel about its origin, as far as it can be seen; grey from zero to its largest value."""
    while kernel.ndim > 2:
        kernel = kernel[len(kernel) // 2]
    kernel = seen(kernel)
    top = float(np.nanmax(kernel, initial=0.0)) or 1.0
    grey = np.ascontiguousarray(np.nan_to_num(kernel / top).clip(0, 1) * 255).astype(np.uint8)
    image = QImage(grey.tobytes(), grey.shape[1], grey.shape[0], grey.shape[1], QImage.Format.Format_Grayscale8)
    aspect, fast = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.FastTransformation
    return QPixmap.fromImage(image.copy()).scaled(side, side, aspect, fast)


def seen(kernel: np.ndarray) -> np.ndarray:
    """The square about the origin of a kernel (Y, X) that holds all weights above a hundredth of the largest."""
    origin = [size // 2 for size in kernel.shape]
    strong = np.argwhere(kernel > FAINT * np.nanmax(kernel, initial=0.0))
    reach = int(np.abs(strong - origin).max(initial=0)) + MARGIN
    return kernel[tuple(slice(max(0, place - reach), place + reach + 1) for place in origin)]
