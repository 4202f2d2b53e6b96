"""One message at a time, in words, with its details behind a button."""

from __future__ import annotations

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFrame, QPlainTextEdit, QPushButton, QToolButton, QVBoxLayout

from napari_deblur.form.sections import row, words
from napari_deblur.worker import Failure


class Message(QFrame):
    """A failure, until it is dismissed or the next piece of work begins."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("deblurMessage")
        self.setStyleSheet("#deblurMessage { border: 1px solid #c8553d; border-radius: 3px; padding: 4px; }")
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
        close = QToolButton()
        close.setText("×")
        close.setToolTip("Dismiss")
        close.clicked.connect(self.clear)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(row(self.text, close, stretch=0))
        layout.addWidget(self.details)
        layout.addWidget(row(self._more, self._copy))
        self.clear()

    def show_failure(self, failure: Failure) -> None:
        self.text.setText(failure.words)
        self.details.setPlainText(failure.details)
        self._more.setChecked(False)
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
