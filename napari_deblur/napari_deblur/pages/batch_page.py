"""Which layers and files are to be restored with what the dock says, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
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

from napari_deblur.form.sections import row, words


class BatchPage(QDialog):
    """Layers to tick, files to add, a folder for what comes out. `chosen` is emitted with these three."""

    chosen = Signal(list, list, object)

    def __init__(self, layers: Sequence[ImageLayer], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Batch")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.list = QListWidget()
        self._layers = list(layers)
        for layer in self._layers:
            self._add(layer.name, ticked=True)
        self._files: list[Path] = []
        files = QPushButton("Add files …")
        files.clicked.connect(self._on_files)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("folder for the restored files")
        browse = QPushButton("Browse …")
        browse.clicked.connect(self._on_folder)
        self.button = QPushButton("Run batch")
        self.button.clicked.connect(self._on_click)
        self._said = words("Layers come back as layers, and as files too where a folder is given. Files need one.")
        layout = QVBoxLayout(self)
        layout.addWidget(words("Everything here is restored with what the dock says, one after the other."))
        layout.addWidget(self.list, 1)
        layout.addWidget(row(files))
        layout.addWidget(row(self.folder, browse, stretch=0))
        layout.addWidget(self._said)
        layout.addWidget(self.button)
        self.resize(420, 420)

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
            self.chosen.emit(layers, files, folder)
            self.close()
