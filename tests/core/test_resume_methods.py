"""Every method, broken off at five steps in every stage and resumed: the bits of a run without interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.short import short
from unblur.clips import is_video
from unblur.jobs import Job
from unblur.pipeline import Pipeline
from unblur.registry import default_registry

STEPS = 4


def job(method: str, preset: str, checkpoint: Path | None = None) -> Job:
    record = default_registry().method(method)
    pipeline = short(record.pipeline(preset), STEPS)
    video = is_video(pipeline, default_registry())
    image = np.random.default_rng(0).random((4, 24, 28) if video else (56, 48), dtype=np.float32)
    psf = np.outer([1, 3, 1], [1, 2, 1]).astype(np.float32)
    known = {"psf": psf} if record.needs_psf else {"axes": "TYX"} if video else {"kernel_size": 5}
    return Job(image, pipeline=pipeline, threads=1, checkpoint=checkpoint, checkpoint_seconds=0.0, **known)  # type: ignore[arg-type]


def run(one: Job, resume: bool = False) -> int:
    return sum(1 for _ in one.events(resume=resume))


def shape_of(pipeline: Pipeline) -> str:
    """Which parts, in how many stages: presets that only differ in numbers are resumed alike."""
    parts = [(slot, [part.name for part in parts]) for one in pipeline.segments() for slot, parts in one.slots.items()]
    return repr((parts, [len(one.stages) for one in pipeline.segments()]))


def cases() -> list[tuple[str, str]]:
    """Every method, and of its presets those that are made of different parts."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for name, method in default_registry().methods().items():
        for preset, pipeline in method.presets.items():
            found.setdefault((name, shape_of(pipeline)), (name, preset))
    return list(found.values())


CASES = cases()


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
