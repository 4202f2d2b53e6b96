"""What a report says of pixels and kernels, and the warnings that follow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

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
    ("executed", "ended", "said"),
    [
        ([150], {"stop_reason": "planned steps done"}, None),
        ([30], {"stop_reason": "no progress"}, None),
        ([30], {"stop_reason": "budget of 9 seconds used"}, "paid for 30 of 1000 steps"),
        ([30], {"notes": ["budget of 9 seconds nearly used: on to what follows"]}, "paid for 30 of 1000 steps"),
        ([], {}, None),
    ],
)
def test_a_run_slower_than_planned_is_judged_by_what_it_did(
    executed: list[int], ended: dict[str, Any], said: str | None
) -> None:
    job = SimpleNamespace(budget=9.0, pipelines={"plane": BLIND.with_steps([1000])})
    warnings = poor_budget(job, [{"kind": "plane", "steps": [300], "executed": executed}], [ended])
    assert [said in text for text in warnings if said] == ([True] if said else [])
    assert len(warnings) == (said is not None)


def test_motion_is_told_by_its_length() -> None:
    flow = np.zeros((4, 5, 6), np.float32)
    flow[0], flow[1, 0, 0] = 3.0, 4.0
    facts = flow_facts(flow, True)
    assert facts["largest_motion"] == 5.0
    assert facts["estimated"] is True
    assert facts["mean_motion"] == pytest.approx((3 * 29 + 5) / 60, abs=1e-3)
