"""Whether the parts of a pipeline fit each other: names, parameters, roles and traits, before any work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from unblur.errors import CompositionError, PluginError, UnblurError, described
from unblur.params import has_field, plain, validate, value_at
from unblur.pipeline import Pipeline
from unblur.records import Registered, Role, Slot
from unblur.registry import Registry

USES: Mapping[tuple[Slot, Role], str] = {
    ("forward_model", "misfit"): "uses-misfit",
    ("forward_model", "response"): "uses-response",
    ("image_prior", "penalty"): "uses-image-penalty",
    ("kernel_prior", "penalty"): "uses-kernel-penalty",
}
"""The trait an estimator must have for a modifier to count: without it, the modifier would be ignored in silence."""


def check(pipeline: Pipeline, registry: Registry) -> None:
    """Hold every part, parameter and combination of all segments and stages against the registered components.

    Raises:
        UnknownNameError: a part is not registered.
        ParameterError: a parameter is unknown or out of bounds.
        CompositionError: two parts do not fit; the message names both and what would fit.
    """
    known_kernel = False
    before: str | None = None
    segment = pipeline
    for segment in pipeline.segments():
        before = _check_grid(segment, registry, before)
        if segment.stages[0].support == "shrink":
            raise CompositionError("support = 'shrink' in the first stage: there is no kernel yet that could shrink")
        for number, stage in enumerate(segment.stages, 1):
            resolved = resolve(segment.in_stage(stage), registry)
            check_fit(resolved, registry, known_kernel)
            _check_misfits(resolved, number)
        known_kernel = True
    if segment.stages[-1].frames is not None or segment.stages[-1].crop is not None:
        raise CompositionError("the last stage looks at a part of the image; add one without frames and crop")


def resamples_psf(prior: Registered) -> bool:
    """Whether a kernel prior resamples the PSF itself: it then has a parameter for the size of that one's pixels."""
    return has_field(prior.component.params, "pixel_size")


def wants_grid(pipeline: Pipeline, registry: Registry) -> bool:
    """Whether the forward model of a pipeline's first stages has several kernels, each for its place."""
    return "kernel_prior:grid" in resolve(pipeline, registry).base("forward_model").registered.component.requires


def grid_models(pipeline: Pipeline, registry: Registry) -> list[str]:
    """The forward models of a pipeline's segments that have several kernels, each for its place."""
    return [one.slots["forward_model"][0].name for one in pipeline.segments() if wants_grid(one, registry)]


def kernels_in_a_plane(pipeline: Pipeline, registry: Registry) -> int:
    """How many kernels a plane has at the most, as far as the forward model's parameter `grid` says; else 1."""
    models = [
        resolve(segment.in_stage(segment.stages[-1]), registry).base("forward_model") for segment in pipeline.segments()
    ]
    return max(math.prod(getattr(model.params, "grid", (1,))) for model in models)


def gives_uncertainty(pipeline: Pipeline, registry: Registry) -> bool:
    """Whether an estimator of a pipeline, `then` included, can give a standard deviation for every pixel."""
    estimators = (resolve(segment, registry).base("estimator") for segment in pipeline.segments())
    return any("standard-deviation" in one.registered.component.provides for one in estimators)


def has_response(pipeline: Pipeline, registry: Registry) -> bool:
    """Whether a camera's response stands between blur and file anywhere in a pipeline."""
    return any(resolve(segment, registry).having("forward_model", "response") for segment in pipeline.segments())


def _check_grid(segment: Pipeline, registry: Registry, before: str | None) -> str | None:
    """The forward model's name if its kernels are a grid; `before` is that of the stages whose kernels it takes."""
    grid, name = wants_grid(segment, registry), segment.slots["forward_model"][0].name
    if before is not None and not grid:
        raise CompositionError(
            f"forward_model {name!r} in `then` takes one kernel, and {before!r} hands over a grid of them; "
            f"choose {before!r} there as well, or leave `then` out"
        )
    return name if grid else None


def _check_misfits(resolved: Resolved, stage: int) -> None:
    """A CompositionError where the observation counts for nothing during a part of a stage."""
    misfits = resolved.having("forward_model", "misfit")
    weights = [getattr(part.params, "weight", 1.0) for part in misfits]
    for fraction in sorted({start for weight in weights if isinstance(weight, tuple) for start, _ in weight} | {0.0}):
        if misfits and fraction < 1 and not any(value_at(weight, fraction) for weight in weights):
            names = " and ".join(repr(part.name) for part in misfits)
            raise CompositionError(
                f"forward_model {names}: no weight but 0 from {fraction:.0%} of stage {stage} on, so that the "
                f"observation would count for nothing; set forward_model.{misfits[-1].name}.weight to more than 0 there"
            )


def refuse_dims(resolved: Resolved, dims: int) -> None:
    """A CompositionError where a part does not work in so many spatial dimensions."""
    for slot, part in resolved.parts():
        if dims not in part.registered.component.dims:
            works = " and ".join(f"{n}-D" for n in sorted(part.registered.component.dims))
            raise CompositionError(f"{slot} {part.name!r} works in {works}; the image has {dims} spatial dimensions")


@dataclass(frozen=True)
class ResolvedPart:
    """A registered component with its validated parameters."""

    registered: Registered
    params: Any

    @property
    def name(self) -> str:
        return self.registered.name

    def build(self) -> Any:
        """A fresh instance of the component's class."""
        from unblur.components import BASES

        component = self.registered.load()
        try:
            part = component(self.params)
            base = BASES[self.registered.slot, self.registered.role]
            if not isinstance(part, base):
                raise PluginError(f"{self.registered.named}: {self.registered.component.target} is no {base.__name__}")
            part.registered = self.registered
            return part
        except UnblurError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"component {self.name!r} of plugin {self.registered.provenance.plugin!r} cannot be built: "
                f"{described(error)}"
            ) from error


@dataclass(frozen=True)
class Resolved:
    """A pipeline (one segment) whose names and parameters were found good."""

    slots: Mapping[Slot, tuple[ResolvedPart, ...]]

    def base(self, slot: Slot) -> ResolvedPart:
        """The part that a slot is about.

        Raises:
            CompositionError: there is none.
        """
        if not self.slots[slot]:
            raise CompositionError(f"{slot} is empty: a pipeline needs a part there")
        return self.slots[slot][0]

    def having(self, slot: Slot, role: Role) -> tuple[ResolvedPart, ...]:
        """The parts of a slot with a role, in order."""
        return tuple(part for part in self.slots[slot] if part.registered.role == role)

    def parts(self) -> Iterator[tuple[Slot, ResolvedPart]]:
        for slot, parts in self.slots.items():
            for part in parts:
                yield slot, part

    def full(self) -> dict[str, dict[str, dict[str, Any]]]:
        """All parameters, defaults included, as slot → part → parameter (for the report)."""
        return {slot: {part.name: plain(part.params) for part in parts} for slot, parts in self.slots.items()}


_TAKES_KERNEL = {"takes-psf", "begins-with-psf", "flow"}


def resolve(pipeline: Pipeline, registry: Registry) -> Resolved:
    """Look every part of one segment up and validate its parameters; `last` selects where nothing else does."""
    slots: dict[Slot, tuple[ResolvedPart, ...]] = {}
    for slot, parts in pipeline.slots.items():
        found = []
        for part in parts:
            registered = registry.component(slot, part.name)
            where = slot if registered.role == "base" else f"{slot}.{part.name}"
            found.append(ResolvedPart(registered, validate(registered.component.params, part.params, where)))
        slots[slot] = tuple(found)
    if not any(part.registered.role == "selector" for part in slots["stopping"]):
        last = registry.component("stopping", "last")
        slots["stopping"] = (*slots["stopping"], ResolvedPart(last, last.component.params()))
    return Resolved(slots)


def check_fit(resolved: Resolved, registry: Registry, known_kernel: bool = False) -> None:
    """Hold the parts against each other; with `known_kernel`, what follows in `then` must take the kernel handed over.

    Raises:
        CompositionError: roles out of place, or a required trait is missing; names both parts and what would fit.
    """
    for slot, parts in resolved.slots.items():
        _check_roles(slot, parts)
    for slot, part in resolved.parts():
        for need in sorted(part.registered.component.requires):
            _check_need(resolved, registry, part, need)
        uses = USES.get((slot, part.registered.role))
        if uses:
            _check_need(resolved, registry, part, f"estimator:{uses}")
    if "learns" in provided(resolved, "kernel_prior"):
        _check_need(resolved, registry, resolved.base("kernel_prior"), "estimator:learns-kernel")
    if known_kernel and not _TAKES_KERNEL & provided(resolved, "kernel_prior"):
        prior = resolved.base("kernel_prior")
        takers = [
            name
            for name, other in registry.components("kernel_prior").items()
            if _TAKES_KERNEL & other.component.provides
        ]
        raise CompositionError(
            f"kernel_prior {prior.name!r} (plugin {prior.registered.provenance.plugin}) does not take "
            f"the kernel that is handed over; what would fit: {', '.join(takers) or 'nothing that is registered'}"
        )


def _check_roles(slot: Slot, parts: tuple[ResolvedPart, ...]) -> None:
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise CompositionError(f"{slot}: the same part twice in {', '.join(names)}")
    if slot == "stopping":
        selectors = [part.name for part in parts if part.registered.role == "selector"]
        if len(selectors) > 1:
            raise CompositionError(f"stopping: exactly one selector, but {' and '.join(selectors)} are selectors")
        return
    if not parts:
        raise CompositionError(f"{slot} is empty: expected one base, then any modifiers")
    bases = [part.name for part in parts if part.registered.role == "base"]
    if len(bases) != 1 or parts[0].registered.role != "base":
        modifiers = ", ".join(f"{part.name} ({part.registered.role})" for part in parts[1:]) or "none"
        raise CompositionError(
            f"{slot}: expected one base first, then modifiers; got {parts[0].name}, then {modifiers}"
        )


def provided(resolved: Resolved, slot: Slot) -> frozenset[str]:
    """The traits of a slot: those of its base, the roles of its modifiers, less what responses take away."""
    traits = set(resolved.base(slot).registered.component.provides) if slot != "stopping" else set()
    for part in resolved.slots[slot]:
        traits.add(part.registered.role)
        if part.registered.role != "base":  # what a response leaves of these is said below
            traits |= part.registered.component.provides - {"linear", "stationary"}
        if part.registered.role == "response" and "linear" not in part.registered.component.provides:
            traits -= {"linear", "stationary"}
    return frozenset(traits)


def _check_need(resolved: Resolved, registry: Registry, part: ResolvedPart, need: str) -> None:
    target, _, trait = need.partition(":")
    slot = cast(Slot, target)
    if trait in provided(resolved, slot):
        return
    fitting = [
        name
        for name, other in registry.components(slot).items()
        if trait in other.component.provides or other.role == trait
    ]
    there = " + ".join(other.name for other in resolved.slots[slot]) or "nothing"
    raise CompositionError(
        f"{part.registered.slot} {part.name!r} (plugin {part.registered.provenance.plugin}) does not fit {slot} "
        f"{there!r}: it needs {trait!r} there; what would fit: {', '.join(fitting) or 'nothing that is registered'}"
    )
