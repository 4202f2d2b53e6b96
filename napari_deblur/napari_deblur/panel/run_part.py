"""What will run, in words; the buttons; and, while it runs, how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QMenu, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_deblur.form.sections import drop_down, row, words
from napari_deblur.panel.curve import Curve
from napari_deblur.panel.planes_part import PlanesPart
from napari_deblur.panel.targets import Target
from napari_deblur.regions import SECONDS
from napari_deblur.worker import Progress
from unblur.cli.text import duration
from unblur.image import Image


class RunPart(QWidget):
    """Summary, buttons and progress. It starts nothing itself: it says what was clicked."""

    estimate = Signal()
    preview = Signal()
    run = Signal()
    stop = Signal()
    cancel = Signal()
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._targets: Sequence[Target] = ()
        self._kept: Target | None = None
        self._image: Image | None = None
        self._key: Any = None
        self.summary = words()
        self.estimated = words(faint=True)
        self._estimate = QPushButton("Estimate")
        self._estimate.setToolTip("Measure time and memory with a few steps that are thrown away")
        self.more = QPushButton("More")
        self.more.setStyleSheet("QPushButton::menu-indicator { image: none; }")
        self._target = drop_down()
        self._target.setAccessibleName("What is run")
        self.planes = PlanesPart()
        self._preview = QPushButton("Preview region")
        self._preview.setToolTip(
            f"Run on a rectangle, to see what would come out: for {SECONDS:g} s, or the limit beside Effort"
        )
        self._run = QPushButton("Run")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.said = words()
        self.curve = Curve()
        self._stop = QPushButton("Stop and keep")
        self._stop.setToolTip("End after this step and keep the best so far; Run goes on from there")
        self._cancel = QPushButton("Cancel")
        self._cancel.setToolTip("End after this step and drop what was found")
        self._busy = QWidget()
        busy = QVBoxLayout(self._busy)
        busy.setContentsMargins(0, 0, 0, 0)
        busy.setSpacing(4)
        for widget in (self.bar, self.said, self.curve, row(self._stop, self._cancel)):
            busy.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.summary)
        layout.addWidget(self.estimated)
        layout.addWidget(row(self._preview, self._estimate, QWidget(), self.more, stretch=2))
        layout.addWidget(row(self._run, self._target, stretch=1))
        layout.addWidget(self.planes)
        layout.addWidget(self._busy)
        for button, signal in (
            (self._estimate, self.estimate),
            (self._preview, self.preview),
            (self._run, self.run),
            (self._stop, self.stop),
            (self._cancel, self.cancel),
        ):
            button.clicked.connect(lambda _=False, signal=signal: signal.emit())
        self._target.currentIndexChanged.connect(self._on_target)
        self.planes.changed.connect(self.changed.emit)
        self.set_busy(False)
        self.set_targets([], None)

    @property
    def target(self) -> Target | None:
        place = self._target.currentIndex()
        return self._targets[place] if 0 <= place < len(self._targets) else None

    def set_target(self, start: str) -> None:
        """Choose the first target whose name begins so."""
        place = next(n for n, target in enumerate(self._targets) if target.name.startswith(start))
        self._target.setCurrentIndex(place)

    def set_targets(self, found: Sequence[Target], image: Image | None) -> None:
        """Offer other targets; the image says which planes a series has."""
        self._image = image
        if list(found) != list(self._targets):
            self._kept = self.target or self._kept
            self._targets = list(found)
            self._target.blockSignals(True)
            self._target.clear()
            self._target.addItems([target.name for target in found])
            self._target.setCurrentIndex(self._targets.index(self._kept) if self._kept in self._targets else 0)
            self._target.blockSignals(False)
        self._target.setEnabled(len(self._targets) > 1)
        self.planes.show_for(image, self.target)

    def say(self, said: str, ready: bool, key: Any = None) -> None:
        """What would run, or why it cannot; an estimate is forgotten when `key`, what it was made for, is another."""
        self.summary.setText(said)
        for button in (self._estimate, self._preview, self._run):
            button.setEnabled(ready)
        if key != self._key:
            self._key = key
            self.tell_estimate("")

    def tell_estimate(self, said: str) -> None:
        """Time and memory."""
        self.estimated.setText(said)
        self.estimated.setVisible(bool(said))

    def hint(self, said: str) -> None:
        """What to do next, until something changes."""
        self.summary.setText(said)

    def set_busy(self, busy: bool, stoppable: bool = True) -> None:
        """Whether a piece of work is being done; and whether it has a best so far that could be kept."""
        self._busy.setVisible(busy)
        for button in (self._estimate, self.more, self._preview, self._run, self._target):
            button.setVisible(not busy)
        self.planes.setVisible(not busy)
        self._stop.setVisible(stoppable)
        self.curve.setVisible(stoppable)
        for button in (self._stop, self._cancel):
            button.setEnabled(True)
        if busy:
            self.bar.setRange(0, 0)
            self.said.setText("")
            self.curve.show_values([])

    def set_menu(self, actions: Mapping[str, Callable[[], Any] | None]) -> None:
        """What the button More offers; None is a line between entries."""
        menu = QMenu(self.more)
        for name, action in actions.items():
            if action is None:
                menu.addSeparator()
            else:
                menu.addAction(name).triggered.connect(lambda _=False, action=action: action())
        self.more.setMenu(menu)

    def set_continues(self, continues: bool) -> None:
        """Whether Run would go on with a run that was stopped."""
        self._run.setText("Continue" if continues else "Run")

    def set_ending(self, said: str) -> None:
        """The end was asked for, and comes after the step in progress."""
        self._stop.setEnabled(False)
        self._cancel.setEnabled(False)
        self.said.setText(said)

    def show_progress(self, progress: Progress) -> None:
        if progress.fraction is None:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * progress.fraction))
        if self._cancel.isEnabled():
            left = f" · {duration(progress.remaining)} left" if progress.remaining is not None else ""
            self.said.setText(f"{progress.words}{left}")
        self.curve.show_values(progress.misfits)

    def _on_target(self, *_: Any) -> None:
        self.planes.show_for(self._image, self.target)
        self.changed.emit()
