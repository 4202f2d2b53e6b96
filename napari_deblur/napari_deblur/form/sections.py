"""What forms are arranged with: a heading that opens and closes, and rows."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

LABEL_WIDTH = 72
"""Of the left column of every part of the dock, so that they stand in line."""


class Section(QWidget):
    """A heading, and below it what opens on a click."""

    toggled = Signal(bool)

    def __init__(self, title: str, content: QWidget, opened: bool = False, strong: bool = True) -> None:
        super().__init__()
        self.content = content
        self._title = title
        self._head = QToolButton()
        self._head.setCheckable(True)
        self._head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        weight = "bold" if strong else "normal"
        self._head.setStyleSheet(f"QToolButton {{ border: none; background: transparent; font-weight: {weight}; }}")
        self._head.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._head.toggled.connect(self._show)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._head)
        layout.addWidget(content)
        self.say("")
        self._head.setChecked(opened)
        self._show(opened)

    def say(self, words: str) -> None:
        """A few words beside the title, for when it is closed."""
        text = f"{self._title}: {words}" if words else self._title
        self._head.setText(text)
        self._head.setToolTip(text)

    def open(self, opened: bool = True) -> None:
        self._head.setChecked(opened)

    @property
    def opened(self) -> bool:
        return self._head.isChecked()

    def _show(self, opened: bool) -> None:
        self._head.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self.content.setVisible(opened)
        self.toggled.emit(opened)


def column(*widgets: QWidget, indent: int = 0) -> QWidget:
    """Widgets below each other."""
    holder = QWidget()
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(indent, 0, 0, 0)
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget)
    return holder


def row(*widgets: QWidget, stretch: int | None = None) -> QWidget:
    """Widgets beside each other; the one with number `stretch` takes what is left, and a gap where there is none."""
    holder = QWidget()
    layout = QHBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if number == stretch else 0)
    if stretch is None:
        layout.addStretch(1)
    return holder


class _WheelGuard(QObject):
    """Lets the wheel scroll the dock, and change a drop-down only when that was clicked before."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not self.parent().hasFocus():
            event.ignore()
            return True
        return False


def drop_down(box: QComboBox | None = None) -> QComboBox:
    """A drop-down that gets narrow with its place, however long its entries are."""
    box = QComboBox() if box is None else box
    box.setMinimumContentsLength(6)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    box.installEventFilter(_WheelGuard(box))
    return box


def labelled(owner: QWidget) -> QFormLayout:
    """The layout of a part of the dock."""
    form = QFormLayout(owner)
    form.setContentsMargins(0, 0, 0, 0)
    form.setVerticalSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def label(text: str) -> QLabel:
    """The name of a row."""
    named = QLabel(text)
    named.setFixedWidth(LABEL_WIDTH)
    return named


def add_row(form: QFormLayout, name: str, widget: QWidget) -> QWidget:
    """Add a row, by whose name screen readers know its lines and drop-downs, but for those that have their own."""
    form.addRow(label(name), widget)
    for edit in [widget, *widget.findChildren(QWidget)]:
        if isinstance(edit, QLineEdit | QComboBox) and not edit.accessibleName():
            edit.setAccessibleName(name)
    return widget


def glyph(text: str, meaning: str) -> QToolButton:
    """A small button with a sign on it, and what that means for the mouse and for screen readers."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(meaning)
    button.setAccessibleName(meaning)
    return button


def words(text: str = "", faint: bool = False) -> QLabel:
    """A text that wraps, is never wider than its place, and can be copied."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    if faint:
        label.setStyleSheet("font-size: 11px;")
    return label
