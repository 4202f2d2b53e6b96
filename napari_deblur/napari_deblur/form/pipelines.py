"""The form of a whole pipeline: a section for each slot and for the stages, for every segment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le
from psygnal import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget
from typing_extensions import Doc

from napari_deblur.form.edits import edit_for
from napari_deblur.form.sections import Section, words
from napari_deblur.form.slots import SlotForm
from napari_deblur.form.texts import plain_text
from unblur.params import fields_of
from unblur.pipeline import Part, Pipeline, Stage
from unblur.records import SLOTS, Slot
from unblur.registry import Registry

TITLES: Mapping[Slot, str] = {
    "forward_model": "Blur model",
    "image_prior": "Image prior",
    "kernel_prior": "Kernel prior",
    "estimator": "Estimator",
    "stopping": "Stopping",
}


@dataclasses.dataclass(frozen=True)
class _StageParams:
    steps: Annotated[int, Ge(1), Doc("Planned steps; a budget in seconds may reduce them.")] = 100
    scale: Annotated[float, Gt(0), Le(1), Doc("Resolution relative to the image's.")] = 1.0


class StagesForm(QWidget):
    """Steps and resolution of each stage; what else a stage holds stays as it is."""

    changed = Signal()

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        super().__init__()
        self._stages = stages
        grid = QGridLayout(self)
        grid.setContentsMargins(12, 0, 0, 6)
        self._edits = []
        for column, field in enumerate(fields_of(_StageParams), 1):
            grid.addWidget(QLabel(field.name), 0, column)
        for place, stage in enumerate(stages):
            grid.addWidget(QLabel(f"{place + 1}"), 2 * place + 1, 0)
            edits = [edit_for(field, getattr(stage, field.name)) for field in fields_of(_StageParams)]
            for column, edit in enumerate(edits, 1):
                edit.changed.connect(lambda _: self.changed.emit())
                grid.addWidget(edit.native, 2 * place + 1, column)
            self._edits.append(edits)
            said = words_of_stage(stage)
            if said:
                grid.addWidget(words(said, faint=True), 2 * place + 2, 1, 1, 2)

    def stages(self) -> tuple[Stage, ...]:
        return tuple(
            dataclasses.replace(stage, steps=steps.value, scale=scale.value)
            for stage, (steps, scale) in zip(self._stages, self._edits, strict=True)
        )

    def problems(self) -> list[str]:
        return [edit.problem for edits in self._edits for edit in edits if edit.problem]


class PipelineForm(QWidget):
    """A pipeline and its parameters. `pipeline` gives it back, `settings` what differs from the one that was loaded."""

    changed = Signal()

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._base: Pipeline | None = None
        self._segments: dict[str, tuple[dict[Slot, SlotForm], StagesForm]] = {}
        self.sections: dict[str, Section] = {}

    def load(self, pipeline: Pipeline, edited: Pipeline | None = None) -> None:
        """Show a pipeline, with all its sections closed; or what was made of it in this form before."""
        while (item := self._layout.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self._base, self._segments, self.sections = pipeline, {}, {}
        segments = (pipeline if edited is None else edited).addressed()
        for number, (prefix, segment) in enumerate(segments):
            if number:
                self._layout.addWidget(words("Then, with the kernel that was found:"))
            slots: dict[Slot, SlotForm] = {}
            for slot in SLOTS:
                form = SlotForm(slot, self._registry, segment.slots[slot])
                slots[slot] = form
                self._section(prefix + slot, TITLES[slot], form)
            stages = StagesForm(segment.stages)
            self._section(prefix + "stages", "Stages", stages)
            self._segments[prefix] = slots, stages
        self._say()

    def _section(self, address: str, title: str, form: SlotForm | StagesForm) -> None:
        section = Section(title, form, strong=False)
        form.changed.connect(self._on_change)
        self.sections[address] = section
        self._layout.addWidget(section)

    def _on_change(self) -> None:
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        for prefix, (slots, stages) in self._segments.items():
            for slot, form in slots.items():
                self.sections[prefix + slot].say(" + ".join(part.name for part in form.parts()) or "last")
            steps = " + ".join(str(stage.steps) for stage in stages.stages())
            self.sections[prefix + "stages"].say(f"{steps} steps")

    def pipeline(self) -> Pipeline:
        """The pipeline as the form shows it."""
        assert self._base is not None
        shown: list[Pipeline] = []
        for slots, stages in self._segments.values():
            filled: dict[str, Any] = {slot: form.parts() for slot, form in slots.items()}
            shown.append(Pipeline(**filled, stages=stages.stages()))
        return self._base.with_segments(shown)

    def settings(self) -> dict[str, Any]:
        """What differs from the pipeline that was loaded, as `Pipeline.set` takes it."""
        assert self._base is not None
        found: dict[str, Any] = {}
        for (prefix, old), new in zip(self._base.addressed(), self.pipeline().segments(), strict=True):
            found |= {prefix + address: value for address, value in changes(old, new, self._registry).items()}
        return found

    def problems(self) -> list[str]:
        """What stands in the form and cannot be used, in words."""
        return [
            problem
            for slots, stages in self._segments.values()
            for form in (*slots.values(), stages)
            for problem in form.problems()
        ]


def changes(old: Pipeline, new: Pipeline, registry: Registry) -> dict[str, Any]:
    """The settings that turn one segment into another with as many stages."""
    found: dict[str, Any] = {}
    for slot in SLOTS:
        before, after = old.slots[slot], new.slots[slot]
        names = [part.name for part in after]
        if names != [part.name for part in before]:
            found[slot] = names
            before = tuple(Part(name) for name in names)
        for place, (was, now) in enumerate(zip(before, after, strict=True)):
            base = place == 0 and slot != "stopping"
            defaults = {
                field.name: field.default for field in fields_of(registry.component(slot, now.name).component.params)
            }
            for name in {**was.params, **now.params}:
                value = now.params.get(name, defaults[name])
                if value != was.params.get(name, defaults[name]):
                    found[f"{slot}.{name}" if base else f"{slot}.{now.name}.{name}"] = value
    for place, (earlier, later) in enumerate(zip(old.stages, new.stages, strict=True)):
        for key in ("steps", "scale"):
            if getattr(earlier, key) != getattr(later, key):
                found[f"stages.{place}.{key}"] = getattr(later, key)
    return found


def words_of_stage(stage: Stage) -> str:
    """What a stage holds besides steps and scale."""
    parts = ["kernel cut to its support"] if stage.support == "shrink" else []
    if stage.frames is not None:
        parts.append("frames " + ", ".join(map(str, stage.frames)))
    if stage.crop is not None:
        parts.append("region " + ", ".join(f"{start}:{stop}" for start, stop in stage.crop))
    for address, value in stage.set.items():
        pairs = isinstance(value, tuple) and all(isinstance(item, tuple) for item in value)
        name = address.partition(".")[2].replace("_", " ").replace(".", " ")
        parts.append(f"{name} {plain_text(value, schedule=pairs)}")
    return "; ".join(parts)
