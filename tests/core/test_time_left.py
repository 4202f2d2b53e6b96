"""How long the rest of a job takes."""

from __future__ import annotations

import pytest

from unblur.time_left import TimeLeft


def test_tasks_to_come_take_what_those_of_their_kind_took_and_before_that_what_was_measured() -> None:
    left = TimeLeft(["kernel", "plane", None, "plane", "plane"], {"kernel": 200.0, "plane": 2.0})
    assert left.after(0, 180.0) == pytest.approx(6)
    left.done(0, 190.0)
    left.done(1, 3.0)
    assert left.after(1, 3.0) == pytest.approx(6)
    left.done(3, 5.0)
    assert left.after(3, 5.0) == pytest.approx(4)
    assert left.after(4, 4.0) == 0


def test_without_a_measurement_further_tasks_are_as_the_one_that_runs_if_they_are_of_its_kind() -> None:
    left = TimeLeft(["kernel", "plane", "plane"], {})
    assert left.after(0, 180.0) == 0
    assert left.after(1, 2.0) == pytest.approx(2)
