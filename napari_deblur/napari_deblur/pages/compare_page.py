"""Which methods are to be tried on one region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from napari_deblur.form.sections import words
from napari_deblur.regions import SECONDS


class ComparePage(QDialog):
    """Methods to tick. `chosen` is emitted with their names when the button is pressed.

    Args:
        methods: what each is good for, by name.
        ticked: those that are ticked at first.
    """

    chosen = Signal(list)

    def __init__(self, methods: Mapping[str, str], ticked: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Compare on the region")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.list = QListWidget()
        for name, good_for in methods.items():
            item = QListWidgetItem(name)
            item.setToolTip(good_for)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if name in ticked else Qt.CheckState.Unchecked)
            self.list.addItem(item)
        self.button = QPushButton("Compare")
        self.button.clicked.connect(self._on_click)
        layout = QVBoxLayout(self)
        limit = f"for {SECONDS:g} s each, or the limit beside Effort"
        layout.addWidget(words(f"The methods run on the rectangle, with the blur and the effort of the dock, {limit}."))
        layout.addWidget(self.list, 1)
        layout.addWidget(self.button)
        self.resize(320, 360)

    def names(self) -> list[str]:
        """The methods that are ticked."""
        items = [self.list.item(number) for number in range(self.list.count())]
        return [item.text() for item in items if item.checkState() == Qt.CheckState.Checked]

    def _on_click(self) -> None:
        if names := self.names():
            self.chosen.emit(names)
            self.close()
