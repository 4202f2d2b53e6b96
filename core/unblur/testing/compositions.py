"""Every combination of the registered bases, and whether the pipeline accepts it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unblur.errors import CompositionError
from unblur.pipeline import Pipeline, Stage
from unblur.records import Registered, Slot
from unblur.registry import Registry

_BASES: tuple[Slot, ...] = ("forward_model", "image_prior", "kernel_prior", "estimator")
_USUAL_MISFIT = "squared"


@dataclass(frozen=True)
class Composition:
    """A combination of forward model, image prior, kernel prior and estimator.

    Attributes:
        parts: their records, in this order.
        pipeline: the composition, with a default misfit where the estimator uses one; five steps.
        refusal: why the pipeline refuses it; None where it is accepted.
    """

    parts: tuple[Registered, ...]
    pipeline: Pipeline
    refusal: CompositionError | None

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self.parts)

    @property
    def dims(self) -> frozenset[int]:
        """Numbers of spatial dimensions that all parts work in."""
        return frozenset.intersection(*(part.component.dims for part in self.parts))

    def learns(self, slot: Slot) -> bool:
        return self.has(slot, "learns")

    def has(self, slot: Slot, trait: str) -> bool:
        return any(trait in part.component.provides for part in self.parts if part.slot == slot)


def compositions(
    registry: Registry, settings: Mapping[str, Mapping[str, Any]] | None = None, **only: str
) -> Iterator[Composition]:
    """All combinations of the registered bases, the simplest parts (free pixels, known kernels) first.

    Args:
        settings: ``"slot.name"`` → parameters of that part, such as a small network's.
        only: slot → the only name to take there, such as ``estimator="joint-adam"``.

    Raises:
        UnknownNameError: a name in `only` is not registered.
    """
    choices = [_bases(registry, slot, only.get(slot)) for slot in _BASES]
    for parts in itertools.product(*choices):
        pipeline = _pipeline(registry, parts, settings or {})
        refusal = None
        try:
            pipeline.check(registry)
        except CompositionError as error:
            refusal = error
        yield Composition(parts, pipeline, refusal)


def _bases(registry: Registry, slot: Slot, name: str | None) -> list[Registered]:
    if name is not None:
        return [registry.component(slot, name)]
    found = [part for part in registry.components(slot).values() if part.role == "base"]
    return sorted(found, key=_simplicity)


def _simplicity(part: Registered) -> tuple[bool, bool, int, str]:
    traits = part.component.provides
    return ("pixels" not in traits, "fixed" not in traits, -len(traits & {"linear", "stationary"}), part.name)


def _pipeline(registry: Registry, parts: tuple[Registered, ...], settings: Mapping[str, Mapping[str, Any]]) -> Pipeline:
    slots: dict[Slot, list[Any]] = {part.slot: [_part(part.slot, part.name, settings)] for part in parts}
    misfit = _misfit(registry)
    if misfit is not None and "uses-misfit" in parts[-1].component.provides:
        slots["forward_model"].append(_part("forward_model", misfit, settings))
    named: dict[str, Any] = {str(slot): filling for slot, filling in slots.items()}
    return Pipeline(**named, stages=[Stage(steps=5)])


def _part(slot: Slot, name: str, settings: Mapping[str, Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]]:
    return name, settings.get(f"{slot}.{name}", {})


def _misfit(registry: Registry) -> str | None:
    names = [name for name, part in registry.components("forward_model").items() if part.role == "misfit"]
    return _USUAL_MISFIT if _USUAL_MISFIT in names else next(iter(names), None)
