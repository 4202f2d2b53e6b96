"""What is installed, and what failed and why."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QLabel, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from napari_deblur.form.sections import words
from unblur.records import SLOTS
from unblur.registry import Registry


class PluginsPage(QDialog):
    """A tree: plugins, and under each what it brings; those that failed first, with the cause."""

    def __init__(self, registry: Registry, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Plugins of unblur")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["Name", "What it is"])
        self.tree.setWordWrap(True)
        for name, state, brings in rows(registry):
            item = QTreeWidgetItem([name, state])
            item.setToolTip(1, state)
            for part, what in brings:
                child = QTreeWidgetItem([part, what])
                child.setToolTip(1, what)
                item.addChild(child)
            self.tree.addTopLevelItem(item)
        self.tree.setColumnWidth(0, 220)
        failed = len(registry.failures)
        said = f"{len(registry.plugins)} loaded, {len(registry.blocked)} blocked, {failed} failed."
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(said))
        layout.addWidget(self.tree, 1)
        layout.addWidget(words("A plugin is a package with an entry point in the group unblur.plugins.", faint=True))
        self.resize(640, 480)


def rows(registry: Registry) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Name, state, and what it brings (name and meaning), for each plugin."""
    found: list[tuple[str, str, list[tuple[str, str]]]] = []
    for failure in registry.failures:
        one = failure.provenance
        found.append((one.plugin, f"failed ({one.distribution} {one.version}): {failure.cause}", []))
    for one in registry.blocked:
        found.append((one.plugin, f"blocked ({one.distribution} {one.version})", []))
    for one in registry.plugins:
        brings = [
            (name, f"method: {method.summary}")
            for name, method in registry.methods().items()
            if registry.method_provenance(name) == one
        ]
        brings += [
            (name, f"{slot.replace('_', ' ')} ({registered.role}): {registered.component.summary}")
            for slot in SLOTS
            for name, registered in registry.components(slot).items()
            if registered.provenance == one
        ]
        found.append((one.plugin, f"{one.distribution} {one.version}", brings))
    return found
