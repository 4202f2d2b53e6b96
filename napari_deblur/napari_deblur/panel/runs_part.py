"""The runs of this session: a switch between before and after, and what can be done with each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QMenu, QToolButton, QVBoxLayout, QWidget

from napari_deblur.form.sections import column, glyph, row, words
from napari_deblur.layers import LayerSource
from napari_deblur.request import Request
from napari_deblur.wording import in_the_dock

if TYPE_CHECKING:
    from napari.layers import Image as ImageLayer

    from unblur.results import Result


@dataclass(frozen=True, eq=False)
class Run:
    """One run that has ended with a result.

    Attributes:
        title: for people.
        part: what was restored; `request`: how.
        layers: what the viewer was given, the restored image first; empty where it could not be shown.
    """

    title: str
    request: Request
    part: LayerSource
    result: Result
    layers: list[ImageLayer] = field(default_factory=list)


MOST_WARNINGS = 2
"""Shown below a run; all of them are in its report."""

Action = Callable[[Run], Any]


class RunsPart(QWidget):
    """A row for each run, the latest first.

    Args:
        switch: what the button for before and after does.
        actions: the entries of each run's menu.
    """

    def __init__(self, switch: Action, actions: Mapping[str, Action]) -> None:
        super().__init__()
        self._switch, self._actions = switch, actions
        self.runs: list[Run] = []
        self._rows: dict[Run, QWidget] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(12, 0, 0, 0)
        self._layout.setSpacing(2)

    def add(self, run: Run) -> None:
        self.runs.insert(0, run)
        before_after = glyph("⇄", "Switch between before and after")
        before_after.clicked.connect(lambda: self._switch(run))
        said = words(("" if run.result.complete else "stopped or incomplete · ") + run.title)
        warnings = [in_the_dock(warning) for warning in run.result.report.get("warnings", ())]
        said.setToolTip(str(run.result.report.get("status", "")))
        warned = words("\n".join(warnings[:MOST_WARNINGS]), faint=True)
        warned.setToolTip("\n".join(warnings))
        warned.setIndent(28)  # below the title
        if not warnings:
            warned.hide()
        more = glyph("…", "Save, copy, report")
        menu = QMenu(more)
        for name, action in self._actions.items():
            menu.addAction(name).triggered.connect(lambda _=False, action=action: action(run))
        menu.addSeparator()
        menu.addAction("Remove from this list").triggered.connect(lambda: self.remove(run))
        more.setMenu(menu)
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self._rows[run] = column(row(before_after, said, more, stretch=1), warned)
        self._layout.insertWidget(0, self._rows[run])

    def remove(self, run: Run) -> None:
        """Let go of a run: its pixels are kept for what its menu does. Its layers stay."""
        self.runs.remove(run)
        gone = self._rows.pop(run)
        self._layout.removeWidget(gone)
        gone.deleteLater()
