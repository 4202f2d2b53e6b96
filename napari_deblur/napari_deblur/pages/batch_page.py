"""Which layers and files are to be restored with what the dock says, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari.layers import Image as ImageLayer
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_deblur.form.sections import add_row, labelled, row, words
from napari_deblur.saving import BATCH_PATTERN


@dataclass(frozen=True)
class Batch:
    """What is to be restored, and where it goes.

    Attributes:
        folder: for the restored files; None where there are only layers, which come back as layers.
        pattern: name of the restored files, in which ``{name}`` stands for that of the layer or file.
        axes: of the files, where these do not say them.
    """

    layers: Sequence[ImageLayer]
    files: Sequence[Path] = ()
    folder: Path | None = None
    pattern: str = BATCH_PATTERN
    axes: str | None = None


class BatchPage(QDialog):
    """Layers to tick, files to add, a folder for what comes out. `chosen` is emitted with a `Batch`.

    Args:
        said: how every image is treated.
        unlikely: whether a layer is hardly meant, and therefore not ticked at first.
    """

    chosen = Signal(Batch)

    def __init__(
        self,
        layers: Sequence[ImageLayer],
        said: str,
        parent: QWidget | None = None,
        unlikely: Callable[[ImageLayer], bool] = lambda _: False,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Batch")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.list = QListWidget()
        self._layers = list(layers)
        for layer in self._layers:
            self._add(layer.name, ticked=not unlikely(layer))
        self._files: list[Path] = []
        files = QPushButton("Add files …")
        files.clicked.connect(self._on_files)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("folder for the restored files")
        browse = QPushButton("Browse …")
        browse.clicked.connect(self._on_folder)
        for button in (files, browse):  # Enter in a line runs the batch, and opens nothing
            button.setAutoDefault(False)
        self.pattern = QLineEdit(BATCH_PATTERN)
        self.pattern.setToolTip(
            "{name} stands for the name of the layer or file; .ome.tif is added, and the kernel lies beside it.\n"
            "Files that are there already are left alone."
        )
        self.axes = QLineEdit()
        self.axes.setPlaceholderText("as the files say")
        self.axes.setToolTip("Axes of the files, where they do not say them: a letter of TCZYX for each dimension")
        self.button = QPushButton("Run batch")
        self.button.clicked.connect(self._on_click)
        self.button.setDefault(True)
        self._said = words("Layers come back as layers, and as files too where a folder is given. Files need one.")
        layout = QVBoxLayout(self)
        layout.addWidget(
            words(f"Everything here is restored whole, one after the other, with what the dock says. {said}")
        )
        layout.addWidget(self.list, 1)
        layout.addWidget(row(files))
        form = labelled(holder := QWidget())
        add_row(form, "Folder", row(self.folder, browse, stretch=0))
        add_row(form, "Names", self.pattern)
        add_row(form, "File axes", self.axes)
        layout.addWidget(holder)
        layout.addWidget(self._said)
        layout.addWidget(self.button)
        self.resize(440, 480)

    def add_files(self, paths: Sequence[Path]) -> None:
        """More files, ticked."""
        for path in paths:
            if path not in self._files:
                self._files.append(path)
                self._add(str(path), ticked=True)

    def _add(self, name: str, ticked: bool) -> None:
        item = QListWidgetItem(name)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        self.list.addItem(item)

    def _on_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Files to restore")
        self.add_files([Path(name) for name in names])

    def _on_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder for the restored files")
        if name:
            self.folder.setText(name)

    def _on_click(self) -> None:
        ticked = [
            number
            for number in range(self.list.count())
            if self.list.item(number).checkState() == Qt.CheckState.Checked
        ]
        layers = [self._layers[number] for number in ticked if number < len(self._layers)]
        files = [self._files[number - len(self._layers)] for number in ticked if number >= len(self._layers)]
        folder = Path(self.folder.text().strip()) if self.folder.text().strip() else None
        if files and folder is None:
            self._said.setText("Choose a folder: files are restored into one, and never overwritten.")
            return
        if layers or files:
            pattern, axes = self.pattern.text().strip(), self.axes.text().strip().upper()
            self.chosen.emit(Batch(layers, files, folder, pattern or BATCH_PATTERN, axes or None))
            self.close()
