"""The form's own widgets, registered with magicgui, whose boxes keep two decimals and know no missing values.

Each is made by ``create_widget(annotation=…, options={"field": field})`` with one of the types below as annotation.
"""

from __future__ import annotations

from typing import Any, NewType

from magicgui import register_type
from magicgui.widgets import CheckBox, ComboBox, LineEdit, create_widget
from magicgui.widgets.bases import ValueWidget

from napari_deblur.form.sections import drop_down
from napari_deblur.form.texts import AUTO, text_of, value_of
from unblur.errors import ParameterError
from unblur.params import Field

Written = NewType("Written", object)
"""A value that is written: a number, a list, a schedule, a text."""

Chosen = NewType("Chosen", object)
"""A value that is chosen from a few, or none."""

Switched = NewType("Switched", bool)
"""Yes or no."""

LONG = 20
"""Letters that a line shows for certain."""

WARNING_STYLE = "border: 1px solid #c8553d;"


class WrittenEdit(LineEdit):
    """A line that takes numbers as people write them: 1e-6, 20000, 0.01, from 0.4: 0.005.

    A text that means no value that the field allows is marked, said in the tooltip and in `problem`; `value` stays what
    it was.
    """

    def __init__(self, *, field: Field, **kwargs: Any) -> None:
        self.field = field
        self.problem = ""
        self._value = field.default
        super().__init__(**kwargs)
        self._words = self.tooltip or ""
        self.native.setPlaceholderText(AUTO if field.optional else "")
        self.native.setMinimumWidth(40)

    def get_value(self) -> Any:
        return self._value

    def set_value(self, value: Any) -> None:
        self._value = self.field.parse(value)
        text = text_of(self.field, self._value)
        self.native.setText(text)
        self._explain(text)
        self.native.setCursorPosition(0)

    def _explain(self, text: str) -> None:
        """The tooltip, which begins with a value that is too long for the line."""
        self.native.setToolTip(f"{text}\n{self._words}" if len(text) > LONG else self._words)

    def _on_value_change(self, text: Any = None) -> None:
        try:
            value = value_of(self.field, str(text or ""))
        except ParameterError as error:
            self.problem = str(error)
            self.native.setStyleSheet(WARNING_STYLE)
            self.native.setToolTip(self.problem)
            self.changed.emit(self._value)
            return
        self.problem = ""
        self.native.setStyleSheet("")
        self._explain(str(text or ""))
        self._value = value
        self.changed.emit(value)


class ChosenBox(ComboBox):
    """A drop-down of a field's choices; where there may be none, ``auto`` comes first."""

    null_string = AUTO
    problem = ""

    def __init__(self, *, field: Field, **kwargs: Any) -> None:
        self.field = field
        values = (True, False) if field.hint is bool else field.choices
        choices = [(_named(value), value) for value in values]
        super().__init__(choices=choices, **{**kwargs, "nullable": field.optional})
        drop_down(self.native)


class SwitchedBox(CheckBox):
    """A box to tick."""

    problem = ""

    def __init__(self, *, field: Field, **kwargs: Any) -> None:
        self.field = field
        super().__init__(**kwargs)


for _type, _widget in ((Written, WrittenEdit), (Chosen, ChosenBox), (Switched, SwitchedBox)):
    register_type(_type, widget_type=_widget)


def edit_for(field: Field, value: Any) -> ValueWidget[Any]:
    """The widget for a field, with its name, unit, explanation and bounds, showing a value."""
    annotation = Switched if field.hint is bool and not field.optional else Written
    if field.choices or (field.hint is bool and field.optional):
        annotation = Chosen
    words = [field.doc, f"{field.type_name}{f' in {field.bounds}' if field.bounds else ''}"]
    words.append(f"Default: {text_of(field, field.default) or AUTO}")
    widget: ValueWidget[Any] = create_widget(
        name=field.name,
        label=label_of(field),
        annotation=annotation,
        options={"field": field, "tooltip": "\n".join(words)},
    )
    widget.value = value
    widget.native.setAccessibleName(widget.label)
    return widget


def label_of(field: Field) -> str:
    """``kernel size (pixels)``; a unit in words is left to the tooltip."""
    name = field.name.replace("_", " ")
    return f"{name} ({field.unit})" if field.unit and len(field.unit) <= 7 else name


def _named(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
