"""A run that would need more memory than there is is refused before it starts, however it is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unblur
from tests.core.small import BLIND, small_registry
from unblur import refusal
from unblur.compute import Compute
from unblur.errors import ImageError, ResourceError
from unblur.jobs import Job

REGISTRY = small_registry()
REFUSED = r"20x18 pixels would need .* about \d+x\d+ would fit"


def job(**wishes: Any) -> Job:
    picture = np.random.default_rng(0).random((20, 18), dtype=np.float32)
    return Job(picture, **{"registry": REGISTRY, "threads": 1, "method": "two-step", **wishes})


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(Compute, "free_memory", lambda self: count)


@pytest.mark.parametrize("wishes", [{}, {"plan": [12, 10]}, {"max_seconds": 5.0}, {"crop": 12}])
def test_a_run_is_refused_without_an_estimate(monkeypatch: pytest.MonkeyPatch, wishes: dict[str, Any]) -> None:
    chosen = job(**wishes)
    free(monkeypatch, 10_000)
    with pytest.raises(ResourceError, match=r"\d+x\d+ pixels would need"):
        next(chosen.events())


def test_so_is_one_that_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    events = job(checkpoint=tmp_path / "checkpoint", checkpoint_seconds=0).events()
    for _ in range(3):
        next(events)
    events.close()
    free(monkeypatch, 10_000)
    with pytest.raises(ResourceError, match=REFUSED):
        next(job(checkpoint=tmp_path / "checkpoint").events(resume=True))


def test_and_one_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 10_000)
    with pytest.raises(ResourceError, match=REFUSED):
        unblur.deblur(np.random.default_rng(0).random((20, 18)), registry=REGISTRY, method="selfdeblur", kernel_size=5)


def test_nothing_is_counted_where_there_is_ample_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> int:
        raise AssertionError("counted")

    monkeypatch.setattr(refusal, "memory_of", never)
    free(monkeypatch, 64_000_000_000)
    next(job().events())


def test_counting_changes_no_bit_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = job()
    list(plain.events())
    counted = []
    count = refusal.memory_of
    monkeypatch.setattr(refusal, "memory_of", lambda *arguments: counted.append(count(*arguments)) or counted[-1])
    free(monkeypatch, 500_000_000)
    again = job()
    list(again.events())
    assert len(counted) == 2
    np.testing.assert_array_equal(plain.result.image, again.result.image)


def test_what_fails_otherwise_is_left_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> int:
        raise KeyError("lost")

    monkeypatch.setattr(refusal, "memory_of", broken)
    free(monkeypatch, 500_000_000)
    next(job().events())


def test_of_equal_parts_the_stage_with_the_highest_resolution_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [unblur.Stage(2, scale=0.5), unblur.Stage(2), unblur.Stage(2, set={"estimator.rate": 0.1})]
    counted: list[float] = []
    monkeypatch.setattr(refusal, "memory_of", lambda resolved, stage, *more: counted.append(stage.scale) or 0)
    free(monkeypatch, 500_000_000)
    next(job(method=None, pipeline=BLIND.replace(stages=stages)).events())
    assert counted == [1, 1]


@pytest.mark.parametrize(("size", "fits"), [(18, True), ((20, 18), True), (19, False), ((21, 5), False)])
def test_a_kernel_may_be_as_wide_as_the_image(size: Any, fits: bool) -> None:
    events = job(kernel_size=size).events()
    if fits:
        next(events)
    else:
        with pytest.raises(ImageError, match=r"at most (18x18|19x18|20x5), or an image of at least (20x19|21x18)"):
            next(events)


def test_the_widest_kernel_follows_from_what_a_stage_looks_at() -> None:
    part = BLIND.replace(stages=[unblur.Stage(2, crop=((0, 9), (0, 9))), unblur.Stage(2)])
    with pytest.raises(ImageError, match="11x11 pixels is wider than the image of 9x9"):
        next(job(method=None, pipeline=part, kernel_size=11).events())
