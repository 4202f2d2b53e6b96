"""The form of one slot: a drop-down for its base, one form for each part, and modifiers that come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_deblur.form.parameters import ParameterForm
from napari_deblur.form.sections import drop_down, glyph, row, words
from unblur.pipeline import Part
from unblur.records import ROLES, Registered, Slot
from unblur.registry import Registry

ROLE_NAMES = {"misfit": "misfit", "response": "camera response", "penalty": "penalty", "rule": "rule"}


class SlotForm(QWidget):
    """The parts of one slot. `parts` gives them back; `changed` says that one of them is another."""

    changed = Signal()

    def __init__(self, slot: Slot, registry: Registry, parts: Sequence[Part]) -> None:
        super().__init__()
        self.slot, self._registry = slot, registry
        self._loaded = {part.name: part for part in parts}
        self._forms: list[ParameterForm] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(12, 0, 0, 6)
        self._layout.setSpacing(4)
        self.set_parts(parts)

    def parts(self) -> tuple[Part, ...]:
        return tuple(form.part() for form in self._forms)

    def problems(self) -> list[str]:
        return [problem for form in self._forms for problem in form.problems()]

    def set_parts(self, parts: Sequence[Part]) -> None:
        """Show other parts."""
        self._clear()
        bases = self._of("base", "selector")
        for part in parts:
            registered = self._registry.component(self.slot, part.name)
            if registered.role in ("base", "selector"):
                self._layout.addWidget(self._chooser(registered, bases))
            else:
                self._layout.addWidget(self._heading(registered))
            self._add_form(registered, part)
        if self.slot == "stopping" and not any(self._role(part) == "selector" for part in parts):
            self._layout.addWidget(self._chooser(None, bases))
        more = self._adder({part.name for part in parts})
        if more is not None:
            self._layout.addWidget(more)

    def _clear(self) -> None:
        self._forms = []
        while (item := self._layout.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()

    def _of(self, *roles: str) -> list[Registered]:
        return [one for one in self._registry.components(self.slot).values() if one.role in roles]

    def _role(self, part: Part) -> str:
        return self._registry.component(self.slot, part.name).role

    def _add_form(self, registered: Registered, part: Part) -> None:
        form = ParameterForm(registered, part.params)
        form.changed.connect(lambda _: self.changed.emit())
        self._forms.append(form)
        if len(form):
            self._layout.addWidget(form.native)

    def _chooser(self, current: Registered | None, bases: Sequence[Registered]) -> QWidget:
        """The drop-down of bases, or of selectors."""
        box = drop_down()
        if current is None:
            box.addItem("last (returns the last iterate)", None)
        for one in bases:
            if current is None and one.name == "last":
                continue
            box.addItem(one.name, one.name)
            box.setItemData(box.count() - 1, one.component.summary, 3)  # the tooltip's role
        box.setCurrentIndex(0 if current is None else box.findData(current.name))
        box.setToolTip(_tooltip(current) if current else "Chooses the iterate that is returned.")
        box.setAccessibleName(self.slot.replace("_", " "))
        box.activated.connect(lambda index: self._replace(current, box.itemData(index)))
        return box

    def _replace(self, current: Registered | None, name: str | None) -> None:
        if name is None or (current is not None and name == current.name):
            return
        parts = list(self.parts())
        if current is None:
            parts.append(self._anew(name))
        else:
            parts[[part.name for part in parts].index(current.name)] = self._anew(name)
        self._show(parts)

    def _heading(self, registered: Registered) -> QWidget:
        title = words(f"{ROLE_NAMES.get(registered.role, registered.role)}: {registered.name}")
        title.setToolTip(_tooltip(registered))
        remove = glyph("×", f"Take {registered.name} out")
        remove.clicked.connect(lambda: self._remove(registered.name))
        return row(title, remove, stretch=0)

    def _remove(self, name: str) -> None:
        self._show([part for part in self.parts() if part.name != name])

    def _adder(self, there: set[str]) -> QWidget | None:
        roles = [role for role in ROLES[self.slot] if role not in ("base", "selector")]
        missing = [one for one in self._of(*roles) if one.name not in there]
        if not missing:
            return None
        box = drop_down()
        added = f"add a {' or '.join(ROLE_NAMES.get(role, role) for role in roles)}"
        box.setAccessibleName(added)
        box.addItem(f"{added} …", None)
        for one in missing:
            box.addItem(f"{one.name} ({ROLE_NAMES.get(one.role, one.role)})", one.name)
            box.setItemData(box.count() - 1, one.component.summary, 3)
        box.activated.connect(lambda index: self._append(box.itemData(index)))
        return box

    def _append(self, name: str | None) -> None:
        if name is not None:
            self._show([*self.parts(), self._anew(name)])

    def _anew(self, name: str) -> Part:
        """A part that is put in: as it was loaded, if it was there."""
        return self._loaded.get(name, Part(name))

    def _show(self, parts: Sequence[Part]) -> None:
        self.set_parts(parts)
        self.changed.emit()


def _tooltip(registered: Registered) -> str:
    component: Any = registered.component
    where = f"plugin {registered.provenance.plugin} ({registered.provenance.distribution})"
    return "\n".join(filter(None, [component.summary, component.source, where]))
