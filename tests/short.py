"""Pipelines cut short: the same composition with few steps and small networks."""

from __future__ import annotations

import dataclasses

from unblur.params import fields_of
from unblur.pipeline import Pipeline
from unblur.registry import default_registry

SMALL = {"channels": (8,), "skip_channels": 4, "hidden": 16, "levels": 2, "inputs": 8, "width": 16}
"""Sizes of networks, wherever an image or kernel prior has them."""


def short(pipeline: Pipeline, steps: int) -> Pipeline:
    """The same parts in the same stages, each of so many steps."""
    registry = default_registry()
    sizes = {}
    for slot in ("image_prior", "kernel_prior"):
        params = registry.component(slot, pipeline.slots[slot][0].name).component.params  # type: ignore[arg-type, index]
        for field in fields_of(params):
            if field.name in SMALL and isinstance(field.default, tuple | int):
                sizes[f"{slot}.{field.name}"] = SMALL[field.name]
            if field.name == "weights":  # those of networks of other sizes
                sizes[f"{slot}.weights"] = "none"
    stages = tuple(dataclasses.replace(stage, steps=steps) for stage in pipeline.stages)
    first, then = (other and short(other, steps) for other in (pipeline.first, pipeline.then))
    return pipeline.replace(stages=stages, first=first, then=then).set(sizes)
