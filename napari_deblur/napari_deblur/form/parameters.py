"""The form of one component: a widget for each of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magicgui.widgets import Container
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QApplication, QLabel

from napari_deblur.form.edits import edit_for
from unblur.params import fields_of
from unblur.pipeline import Part
from unblur.records import Registered

DIRECT = Qt.FindChildOption.FindDirectChildrenOnly
WIDER = 1.15
"""Of the theme's font against the application's."""


class ParameterForm(Container[Any]):
    """Parameters of a component, shown with the values of a part.

    `part` gives back the part: what differs from the defaults, and what the original part said.
    """

    def __init__(self, registered: Registered, params: Mapping[str, Any]) -> None:
        self._registered, self._given = registered, dict(params)
        self._fields = fields_of(registered.component.params)
        edits = [edit_for(field, self._given.get(field.name, field.default)) for field in self._fields]
        super().__init__(labels=True)
        self.extend(edits)
        self.margins = (0, 0, 0, 0)
        self._align()

    def _align(self) -> None:
        """Labels of one width: magicgui measures them in another font than napari's theme draws them in."""
        holders = [edit.native.parentWidget() for edit in self]
        labels = [label for holder in holders for label in holder.findChildren(QLabel, options=DIRECT)]
        measure = QFontMetrics(QApplication.font()).horizontalAdvance
        width = max((measure(label.text()) for label in labels), default=0)
        for label in labels:
            label.setFixedWidth(round(WIDER * width) + 8)

    def values(self) -> dict[str, Any]:
        """All values by name."""
        return {field.name: self[number].value for number, field in enumerate(self._fields)}

    def part(self) -> Part:
        values = self.values()
        kept = {
            field.name: values[field.name]
            for field in self._fields
            if field.name in self._given or values[field.name] != field.default
        }
        return Part(self._registered.name, kept)

    def problems(self) -> list[str]:
        """What cannot be used, in words."""
        return [problem for edit in self for problem in [edit.problem] if problem]
