"""One message at a time, in words: what went wrong, with its details behind a button, or something worth knowing."""

from __future__ import annotations

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFrame, QPlainTextEdit, QPushButton, QVBoxLayout

from napari_deblur.form.sections import glyph, row, words
from napari_deblur.worker import Failure

FRAME = "#deblurMessage { border: 1px solid %s; border-radius: 3px; padding: 4px; }"
WRONG, WORTH_KNOWING = "#c8553d", "#7a8ba6"


class Message(QFrame):
    """A failure or a note, until it is dismissed or the next piece of work begins."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("deblurMessage")
        self.text = words()
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setFixedHeight(140)
        self.details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._more = QPushButton("Details")
        self._more.setCheckable(True)
        self._more.toggled.connect(self._show_details)
        self._copy = QPushButton("Copy")
        self._copy.setToolTip("Copy the message with its details")
        self._copy.clicked.connect(self._on_copy)
        close = glyph("×", "Dismiss")
        close.clicked.connect(self.clear)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(row(self.text, close, stretch=0))
        layout.addWidget(self.details)
        self._buttons = row(self._more, self._copy)
        layout.addWidget(self._buttons)
        self.clear()

    def show_failure(self, failure: Failure) -> None:
        self._show(failure.words, failure.details, WRONG)

    def show_note(self, said: str) -> None:
        """Something that is no failure."""
        self._show(said, "", WORTH_KNOWING)

    def _show(self, said: str, details: str, colour: str) -> None:
        self.setStyleSheet(FRAME % colour)
        self.text.setText(said)
        self.details.setPlainText(details)
        self._more.setChecked(False)
        self._buttons.setVisible(bool(details))
        self._show_details(False)
        self.setVisible(True)

    def clear(self) -> None:
        self.setVisible(False)
        self.text.setText("")
        self.details.setPlainText("")

    def _show_details(self, shown: bool) -> None:
        self.details.setVisible(shown)
        self._copy.setVisible(shown)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.text.text()}\n\n{self.details.toPlainText()}")
