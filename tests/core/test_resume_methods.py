"""Every method, broken off at five steps in every stage and resumed: the bits of a run without interruption."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unblur.jobs import Job
from unblur.params import fields_of
from unblur.pipeline import Pipeline
from unblur.registry import default_registry

STEPS = 4
SMALL = {"channels": (8,), "skip_channels": 4, "hidden": 16, "levels": 2, "inputs": 8, "width": 16}
"""Sizes of networks, wherever an image or kernel prior has them."""


def small(pipeline: Pipeline) -> Pipeline:
    """The same composition with few steps and small networks."""
    registry = default_registry()
    changes: dict[str, Any] = {}
    for slot in ("image_prior", "kernel_prior"):
        params = registry.component(slot, pipeline.slots[slot][0].name).component.params  # type: ignore[arg-type, index]
        known = {field.name: field for field in fields_of(params)}
        for name, value in SMALL.items():
            if name in known:
                changes[f"{slot}.{name}"] = value if isinstance(known[name].default, tuple | int) else None
    stages = tuple(dataclasses.replace(stage, steps=STEPS) for stage in pipeline.stages)
    shrunk = pipeline.replace(stages=stages, then=small(pipeline.then) if pipeline.then else None)
    return shrunk.set({address: value for address, value in changes.items() if value is not None})


def job(method: str, preset: str, checkpoint: Path | None = None) -> Job:
    record = default_registry().method(method)
    image = np.random.default_rng(0).random((56, 48), dtype=np.float32)
    psf = np.outer([1, 3, 1], [1, 2, 1]).astype(np.float32)
    known = {"psf": psf} if record.needs_psf else {"kernel_size": 5}
    pipeline = small(record.pipeline(preset))
    return Job(image, pipeline=pipeline, threads=1, checkpoint=checkpoint, checkpoint_seconds=0.0, **known)  # type: ignore[arg-type]


def run(one: Job, resume: bool = False) -> int:
    return sum(1 for _ in one.events(resume=resume))


CASES = [(name, preset) for name, method in default_registry().methods().items() for preset in method.presets]


@pytest.mark.parametrize(("method", "preset"), CASES)
def test_broken_off_and_resumed_gives_the_same_bits(method: str, preset: str, tmp_path: Path) -> None:
    straight = job(method, preset)
    total = run(straight)
    stages = sum(len(segment.stages) for segment in straight.pipeline.segments())
    assert total <= STEPS * stages
    random = np.random.default_rng(len(method))
    breaks = sorted({1, *map(int, random.integers(1, total + 1, 4)), *range(2, total + 1, STEPS)})
    for after in breaks:
        checkpoint = tmp_path / f"{after}.checkpoint"
        events = job(method, preset, checkpoint).events()
        for _ in range(after):
            next(events)
        events.close()
        resumed = job(method, preset, checkpoint)
        run(resumed, resume=True)
        assert resumed.result.report["resumed"]
        np.testing.assert_array_equal(resumed.result.image, straight.result.image)
        np.testing.assert_array_equal(resumed.result.kernel, straight.result.kernel)
