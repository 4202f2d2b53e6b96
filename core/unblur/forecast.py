"""What a job will cost, and the plan of steps for each of its tasks."""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unblur.errors import ParameterError, UnblurError
from unblur.pipeline import Pipeline
from unblur.planes import Task

if TYPE_CHECKING:
    from unblur.planning import Cost

RESERVE = 0.96
"""Part of a budget that is planned; the rest is for what lies between the steps."""

HEADROOM = 1.2
"""What restores with a kernel that was found before is given this much more than its measured time."""

_FEW = 120, 0.05
"""Steps, and the part of all work: with less than both a network that begins from nothing makes the image worse."""


@dataclass(frozen=True)
class Forecast:
    """What a job will cost.

    Attributes:
        seconds: for all planes, without what measuring took (`spent`).
        memory: bytes at the most.
        steps: planned steps per stage, for each kind of task.
    """

    seconds: float
    memory: int
    steps: Mapping[str, tuple[int, ...]]
    spent: float


def forecast(costs: Mapping[str, Cost], counts: Mapping[str, int], budget: float | None, spent: float) -> Forecast:
    """Time and memory for `counts` tasks of each kind, within the budget in seconds if there is one."""
    steps = within_budget(costs, counts, budget, spent)
    seconds = sum(counts[kind] * dataclasses.replace(cost, steps=steps[kind]).seconds for kind, cost in costs.items())
    return Forecast(seconds, max((cost.memory for cost in costs.values()), default=0), steps, spent)


def within_budget(
    costs: Mapping[str, Cost], counts: Mapping[str, int], budget: float | None, spent: float
) -> dict[str, tuple[int, ...]]:
    """Steps per stage for each kind of task; the budget is split evenly over the tasks of a kind.

    Where planes share a kernel, restoring them may take up to half of it, and the kernel gets what is left.

    Raises:
        ParameterError: it does not pay for one step of each stage, or for so few that the image would be worse.
    """
    if budget is None:
        return {kind: cost.steps for kind, cost in costs.items()}
    left = max(0.0, budget - spent)
    shares = dict.fromkeys(costs, left)
    if "kernel" in costs and "plane" in costs:
        shares["plane"] = min(counts["plane"] * costs["plane"].seconds * HEADROOM, left / 2)
        shares["kernel"] = left - shares["plane"]
    shares = {kind: seconds / counts[kind] for kind, seconds in shares.items()}
    plans = {kind: dataclasses.replace(cost, spent=0.0).within(shares[kind]).steps for kind, cost in costs.items()}
    for kind, cost in costs.items():
        _refuse_too_few(
            cost,
            plans[kind],
            shares[kind],
            f"the budget of {budget:g} seconds",
            f"all of them take some {spent + sum(counts[each] * one.seconds for each, one in costs.items()):.2g} s, of "
            "which a third is worth its time (--max-seconds)",
        )
    return plans


def _refuse_too_few(cost: Cost, plan: Sequence[int], share: float, budget: str, whole: str) -> None:
    """Raise where a plan does not fit into its share of the seconds, or has next to nothing of the main steps.

    Args:
        budget, whole: what the share is of, and what all steps take, in words.
    """
    if dataclasses.replace(cost, steps=tuple(plan)).seconds > share:
        raise ParameterError(
            f"{budget} does not pay for a single step of each stage on this machine, as busy as it is now; {whole}; or "
            "choose a smaller part of the image"
        )
    own = cost.main_stages
    paid, asked = plan[own.start : own.stop], cost.steps[own.start : own.stop]
    work = [sum(map(operator.mul, steps, cost.seconds_per_step)) for steps in (paid, asked)]
    if cost.from_nothing and sum(paid) < _FEW[0] and work[0] < 0.999 * _FEW[1] * work[1]:
        raise ParameterError(
            f"{budget} pays for {sum(paid)} of {sum(asked)} steps on this machine, as busy as it is now, with which a "
            f"network makes the image worse; {whole}; or choose a smaller part "
            "of the image, a method without networks, or --threads 1 where other programs run"
        )


def all_steps(pipeline: Pipeline) -> list[int]:
    return [stage.steps for segment in pipeline.segments() for stage in segment.stages]


def given_plan(plan: Any, tasks: Sequence[Task], stages: Sequence[int | None]) -> list[dict[str, Any]]:
    """The plan of a report (a row for each task), or steps per stage for every task.

    Args:
        stages: how many each task has; None where there is nothing to do.

    Raises:
        ParameterError: it is neither, or not of so many tasks and stages.
    """
    rows = _rows(plan, tasks)
    for task, row, count in zip(tasks, rows, stages, strict=True):
        given = {len(steps) for steps in row.values()}
        if count is not None and given != {count}:
            raise ParameterError(
                f"a plan of {' and '.join(map(str, given))} numbers: what makes a {task.kind} has {count} stages; give "
                "the whole plan of a report, which has those of every kind"
            )
    return rows


def _rows(plan: Any, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    try:
        rows = list(plan)
        if rows and not isinstance(rows[0], Mapping):
            return [{"steps": [int(steps) for steps in rows]} for _ in tasks]
        if len(rows) != len(tasks):
            raise ParameterError(f"a plan for {len(rows)} planes, the image has {len(tasks)}")
        return [_row(row) for row in rows]
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(error, UnblurError):
            raise
        raise ParameterError(f"plan {plan!r:.80}: expected report['plan'] or a list of steps per stage") from error


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    executed = list(map(int, row.get("executed") or ()))
    if executed and not any(executed):
        raise ValueError("a plan without a step")
    return {"steps": list(map(int, row["steps"])), **({"executed": executed} if executed else {})}


def needed_after(cost: Cost, stages: Sequence[int], share: float) -> list[float]:
    """For each stage the seconds before the end of its share at which what follows in `then` must begin.

    For the main stages, that is all of it; for those before and after them one step of everything: short ones are
    not to be cut so that a long one, which may end at any step, has all of its steps. Half of what is not planned
    is added, so that what follows is whole even if it is slower than it was measured, and half of that in each segment
    farther from the main one.

    Args:
        cost: with the planned steps.
        stages: how many there are of the pipeline, of its `then`, and so on.
        share: seconds of the budget.
    """
    seconds: list[float] = []
    slack = (1 - RESERVE) / 2 * share
    single = dataclasses.replace(cost, steps=(1,) * len(cost.steps))
    starts = [0, *itertools.accumulate(stages)]
    main = next(number for number, start in enumerate(starts) if start in cost.main_stages)
    for number, count in enumerate(stages):
        done = starts[number + 1]
        rest = (cost if number == main else single).seconds_from(done) + slack / 2 ** abs(number - main)
        seconds += [rest if done < len(cost.steps) else 0.0] * count
    return seconds
