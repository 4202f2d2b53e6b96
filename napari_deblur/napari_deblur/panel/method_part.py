"""Which method, how thoroughly, within what time; or a pipeline of one's own, part by part."""

from __future__ import annotations

import math
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QLineEdit, QWidget

from napari_deblur.form.pipelines import PipelineForm
from napari_deblur.form.sections import Section, add_row, drop_down, labelled, row, words
from unblur.choice import choose_method
from unblur.errors import ParameterError, UnblurError
from unblur.pipeline import Pipeline
from unblur.records import PRESETS, Method
from unblur.registry import Registry

AUTOMATIC = ""
OWN = "own pipeline"
PRESET_NAMES = {"fast": "Fast", "balanced": "Balanced", "paper": "As in the paper"}


class MethodPart(QWidget):
    """The choice of a method or pipeline. `arguments` are what a request needs of it."""

    changed = Signal()

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry
        self._blur_known = False
        self._automatic = ("practical-bid", "")
        self._own: tuple[str, Pipeline] | None = None
        self.method_box = drop_down()
        self.preset_box = drop_down()
        self.limit = QLineEdit()
        self.limit.setPlaceholderText("no limit")
        self.limit.setFixedWidth(80)
        self.limit.setAccessibleName("Time limit")
        self.limit.setToolTip("Seconds for the whole run, or 5 min, or 1 h; steps are planned to fit.")
        self._said = words(faint=True)
        self.form = PipelineForm(registry)
        self.parts = Section("Parts", self.form)
        self._loaded: Pipeline | None = None
        self._loaded_name = "", ""
        self._edited: dict[tuple[str, str], tuple[Pipeline, Pipeline]] = {}
        self._wanted_method, self._wanted = AUTOMATIC, "balanced"
        layout = labelled(self)
        add_row(layout, "Method", self.method_box)
        layout.addRow(self._said)
        add_row(layout, "Effort", row(self.preset_box, self.limit, stretch=0))
        layout.addRow(self.parts)
        self.method_box.currentIndexChanged.connect(self._on_choice)
        self.preset_box.currentIndexChanged.connect(self._on_preset)
        self.limit.editingFinished.connect(self.changed.emit)
        self.form.changed.connect(self._on_form)
        self.parts.toggled.connect(self._on_open)
        self._fill()

    @property
    def method(self) -> str | None:
        """The name of the method that would run; None for a pipeline of one's own."""
        name = self.method_box.currentData()
        return None if name == OWN else name or self._automatic[0]

    @property
    def automatic_reason(self) -> str:
        """Why the method was chosen, where it was chosen by rule."""
        return self._automatic[1] if self.method_box.currentData() == AUTOMATIC else ""

    @property
    def preset(self) -> str:
        return str(self.preset_box.currentData() or "balanced")

    def set_context(self, photograph: bool, volume: bool, blur_known: bool, kernel_size: Any) -> None:
        """What the choice depends on: the image, and what is known of the blur."""
        automatic = choose_method(photograph, volume, blur_known, kernel_size)
        if (blur_known, automatic) != (self._blur_known, self._automatic):
            self._blur_known, self._automatic = blur_known, automatic
            self._fill()

    def set_method(self, name: str) -> None:
        place = self.method_box.findData(name)
        if place < 0:
            raise ParameterError(f"method {name!r} is not offered for this blur")
        self.method_box.setCurrentIndex(place)

    def set_pipeline(self, name: str, pipeline: Pipeline) -> None:
        """Offer and choose a pipeline of one's own.

        Raises:
            UnblurError: it holds parts that are not there, or that do not fit.
        """
        pipeline.check(self._registry)
        self._own = (name, pipeline)
        self._wanted_method = OWN
        self._fill()

    def base(self) -> Pipeline:
        """The pipeline before any change in the form."""
        if self.method is None:
            assert self._own is not None
            return self._own[1]
        return self._registry.method(self.method).pipeline(self.preset)

    def pipeline(self) -> Pipeline:
        """The pipeline with the changes in the form."""
        return self.base() if self._loaded is None else self.form.pipeline()

    def arguments(self) -> dict[str, Any]:
        """`method` or `pipeline`, `preset`, `settings` and `max_seconds` of a request.

        Raises:
            ParameterError: something in the form cannot be used.
        """
        if self._loaded is not None and (problems := self.form.problems()):
            raise ParameterError(problems[0])
        chosen: dict[str, Any] = {"method": self.method} if self.method is not None else {"pipeline": self.base()}
        settings = self.form.settings() if self._loaded is not None else {}
        return {**chosen, "preset": self.preset, "settings": settings, "max_seconds": seconds(self.limit.text())}

    def fitting(self) -> dict[str, str]:
        """What each method is good for that fits what is known of the blur."""
        return {name: method.good_for for name, method in self._registry.methods().items() if self._fits(method)}

    def _fill(self) -> None:
        """The methods for what is known of the blur, and the one that was chosen last among those that are offered."""
        self.method_box.blockSignals(True)
        self.method_box.clear()
        self.method_box.addItem(f"Automatic: {self._automatic[0]}", AUTOMATIC)
        for name, method in self._registry.methods().items():
            if self._fits(method):
                self.method_box.addItem(name, name)
                self.method_box.setItemData(self.method_box.count() - 1, f"{method.summary}\n{method.good_for}", 3)
        if self._own is not None:
            self.method_box.addItem(f"Own: {self._own[0]}", OWN)
        self.method_box.setCurrentIndex(max(0, self.method_box.findData(self._wanted_method)))
        self.method_box.blockSignals(False)
        self._on_method()

    def _fits(self, method: Method) -> bool:
        return not method.blind if self._blur_known else not method.needs_psf

    def _on_method(self, *_: Any) -> None:
        name = self.method
        method = self._registry.method(name) if name else None
        presets = [preset for preset in PRESETS if method is not None and preset in method.presets]
        if [self.preset_box.itemData(n) for n in range(self.preset_box.count())] != presets:
            self.preset_box.blockSignals(True)
            self.preset_box.clear()
            for preset in presets:
                self.preset_box.addItem(PRESET_NAMES[preset], preset)
            self.preset_box.setCurrentIndex(
                max(0, self.preset_box.findData(self._wanted if self._wanted in presets else "balanced"))
            )
            self.preset_box.blockSignals(False)
        self.preset_box.setEnabled(len(presets) > 1)
        self._said.setText(method.good_for if method else "The pipeline of the file, as it stands.")
        self.method_box.setToolTip("\n".join(filter(None, [method.summary, method.reference])) if method else "")
        if self._loaded is not None and self._loaded != self.base():
            self._keep_edits()
            if self.parts.opened or self._base_name() in self._edited:
                self._load()
        self.changed.emit()

    def _on_choice(self, *_: Any) -> None:
        """What was chosen stays wanted while the blur is of a kind that it is not for."""
        self._wanted_method = self.method_box.currentData()
        self._on_method()

    def _base_name(self) -> tuple[str, str]:
        """What `base` is told from others by."""
        own = self._own[0] if self.method is None and self._own is not None else ""
        return self.method or f"{OWN} {own}", self.preset

    def _keep_edits(self) -> None:
        """What was changed in the form comes back with the method and preset that it was changed in."""
        count = len(self.form.settings())
        name, preset = self._loaded_name
        if count and self._loaded is not None:
            self._edited[self._loaded_name] = self._loaded, self.form.pipeline()
        self._loaded = None
        self.parts.say(f"{count} kept for {name}, {PRESET_NAMES[preset]}" if count else "")

    def _on_preset(self, *_: Any) -> None:
        """What was chosen stays wanted while methods are looked at that do not have it."""
        self._wanted = self.preset
        self._on_method()

    def _on_open(self, opened: bool) -> None:
        if opened and self._loaded is None:
            self._load()
            self.changed.emit()

    def _load(self) -> None:
        base, name = self.base(), self._base_name()
        before, edited = self._edited.pop(name, (base, base))
        try:
            self.form.load(base, edited if before == base else None)
        except UnblurError as error:  # of a plugin whose parts do not fit their own declarations
            self.parts.say(f"cannot be shown: {error}")
            return
        self._loaded, self._loaded_name = base, name
        if self.form.settings():
            self._tell_count()

    def _on_form(self) -> None:
        self._tell_count()
        self.changed.emit()

    def _tell_count(self) -> None:
        count = len(self.form.settings())
        self.parts.say(f"{count} changed" if count else "")


def seconds(text: str) -> float | None:
    """``90``, ``90 s``, ``5 min``, ``1 h`` or nothing.

    Raises:
        ParameterError: something else.
    """
    text = text.strip().lower()
    if not text or text == "no limit":
        return None
    units = {"seconds": 1, "sec": 1, "s": 1, "minutes": 60, "min": 60, "m": 60, "hours": 3600, "h": 3600}
    unit = next((name for name in sorted(units, key=len, reverse=True) if text.endswith(name)), "")
    try:
        value = float(text.removesuffix(unit)) * units.get(unit, 1)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ParameterError(f"time limit {text}: expected seconds, or a time such as 5 min")
    return value
