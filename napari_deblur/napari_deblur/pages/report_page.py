"""What was done and found in a run: the warnings in words, and the whole report below."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QPlainTextEdit, QVBoxLayout, QWidget

from napari_deblur.form.sections import words


class ReportPage(QDialog):
    """One report."""

    def __init__(self, title: str, report: Mapping[str, Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Report: {title}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.said = words("\n".join(remarks(report)))
        self.text = QPlainTextEdit(json.dumps(report, indent=2, ensure_ascii=False, default=str))
        self.text.setReadOnly(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.said)
        layout.addWidget(self.text, 1)
        self.resize(560, 520)


def remarks(report: Mapping[str, Any]) -> list[str]:
    """Why the run ended, and its warnings."""
    reasons = {row["stop_reason"] for row in report.get("planes", ()) if "stop_reason" in row}
    ended = [f"Ended: {', '.join(sorted(reasons))}."] if reasons else []
    return [*ended, *report.get("warnings", ())]
