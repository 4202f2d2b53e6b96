"""Forms of fields: of any dataclass of parameters, and of a component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from magicgui.widgets import Container
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QApplication, QLabel

from napari_deblur.form.edits import edit_for
from unblur.params import Field, fields_of
from unblur.pipeline import Part
from unblur.records import Registered

DIRECT = Qt.FindChildOption.FindDirectChildrenOnly
WIDER = 1.15
"""Of the theme's font against the application's."""


class FieldsForm(Container[Any]):
    """A widget for each field, showing the given values, or else the defaults."""

    def __init__(self, fields: Sequence[Field], given: Mapping[str, Any]) -> None:
        self._fields = tuple(fields)
        edits = [edit_for(field, given.get(field.name, field.default)) for field in self._fields]
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

    def changes(self) -> dict[str, Any]:
        """The values that differ from the defaults."""
        values = self.values()
        return {field.name: values[field.name] for field in self._fields if values[field.name] != field.default}

    def problems(self) -> list[str]:
        """What cannot be used, in words."""
        return [problem for edit in self for problem in [edit.problem] if problem]


class ParameterForm(FieldsForm):
    """Parameters of a component, shown with the values of a part.

    `part` gives back the part: what differs from the defaults, and what the original part said.
    """

    def __init__(self, registered: Registered, params: Mapping[str, Any]) -> None:
        self._registered, self._given = registered, dict(params)
        super().__init__(fields_of(registered.component.params), self._given)

    def part(self) -> Part:
        changed = self.changes()
        kept = {name: value for name, value in self.values().items() if name in self._given or name in changed}
        return Part(self._registered.name, kept)
