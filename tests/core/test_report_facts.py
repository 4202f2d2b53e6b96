"""What a report says of pixels and kernels, and the warnings that follow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import unblur
from tests.core.small import BLIND
from unblur.report import flow_facts, image_facts, poor_budget

OBSERVED = np.linspace(10.0, 250.0, 64, dtype=np.float32).reshape(1, 8, 8)


def test_values_of_a_photograph() -> None:
    restored = OBSERVED.copy()
    restored[0, 0, :3] = [-1.0, 255.0, 300.0]
    facts, warnings = image_facts(OBSERVED, restored, 255.0)
    assert (facts["below_zero"], facts["at_white"], facts["at_white_observed"]) == (1, 2, 0)
    assert (facts["minimum"], facts["maximum"]) == (-1.0, 300.0)
    assert facts["mean"] == pytest.approx(float(restored.mean()))
    assert warnings == []
    assert "at_white" not in image_facts(OBSERVED, restored, None)[0]


@pytest.mark.parametrize(
    ("restored", "words"),
    [(np.zeros_like(OBSERVED), "is black"), (np.full_like(OBSERVED, 130.0), "is nearly constant"), (OBSERVED, None)],
)
def test_a_run_that_failed_is_told_from_its_image(restored: np.ndarray, words: str | None) -> None:
    _, warnings = image_facts(OBSERVED, restored, None)
    assert [words in text for text in warnings if words] == ([True] if words else [])
    assert len(warnings) == (words is not None)


@pytest.mark.parametrize(
    ("planned", "executed", "late", "said"),
    [
        ([500, 300], [500, 300], False, None),
        ([500, 150], [500, 150], False, "paid for 150 of 1000 steps of stage 2"),
        ([500, 300], [500, 30], True, "paid for 30 of 1000 steps of stage 2"),
        ([500, 300], [500, 30], False, None),  # a rule that has nothing to do with time
        ([90, 10], [], False, None),
    ],
)
def test_a_budget_is_poor_by_the_stage_that_lost_most_and_by_what_was_done_where_time_ran_out(
    planned: list[int], executed: list[int], late: bool, said: str | None
) -> None:
    pipeline = BLIND.replace(stages=[unblur.Stage(steps=500), unblur.Stage(steps=1000)])
    row = {"kind": "plane", "steps": planned, "executed": executed}
    job: Any = SimpleNamespace(budget=9.0, pipelines={"plane": pipeline})
    warnings = poor_budget(job, [row], [{"late": late}])
    assert [said in text for text in warnings if said] == ([True] if said else [])
    assert len(warnings) == (said is not None)


def test_motion_is_told_by_its_length() -> None:
    flow = np.zeros((4, 5, 6), np.float32)
    flow[0], flow[1, 0, 0] = 3.0, 4.0
    facts = flow_facts(flow, True)
    assert facts["largest_motion"] == 5.0
    assert facts["estimated"] is True
    assert facts["mean_motion"] == pytest.approx((3 * 29 + 5) / 60, abs=1e-3)


@pytest.mark.parametrize("scale", [1e-24, 1.0, 1e24])
def test_a_failed_run_is_said_whatever_the_scale(scale: float) -> None:
    observed = (scale * np.random.default_rng(0).random((1, 20, 20))).astype(np.float32)
    _, warnings = image_facts(observed, np.full_like(observed, observed.mean()), None)
    assert any("nearly constant" in text for text in warnings)
