"""What the tasks of a job cost, and how many steps its budget pays for."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from unblur.composition import gives_uncertainty
from unblur.errors import CancelledError, ImageError, ResourceError, UnblurError
from unblur.forecast import Forecast, all_steps, forecast, given_plan, needed_after, within_budget
from unblur.pieces import typed
from unblur.planes import Task

if TYPE_CHECKING:
    from unblur.jobs import Job
    from unblur.pipeline import Pipeline
    from unblur.planning import Cost
    from unblur.problem import Observation


T = TypeVar("T")

_LOOKS = 5
"""Tasks of a kind that are looked at before all of them are taken to be unusable."""


class JobPlans:
    """The plans of a job's tasks; costs are measured once, when they are first asked for."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._measured: tuple[dict[str, Cost], float] | None = None

    def costs(self) -> tuple[dict[str, Cost], float]:
        """Of each kind of task, and the seconds that measuring them took.

        Raises:
            ResourceError: the run would need more memory than there is.
            ParameterError: the budget is over.
            CancelledError: the job was cancelled.
        """
        if self._measured is None:
            from unblur.planning import measure

            job, began = self._job, time.perf_counter()
            found: dict[str, Cost] = {}
            for kind in self._counts():
                found[kind] = self._of_the_first(
                    kind,
                    lambda pipeline, seen: measure(
                        pipeline, seen, job.registry, job.compute, job.budget, lambda: job.is_cancelled
                    ),
                )
            self._measured = found, time.perf_counter() - began
        return self._measured

    def paces(self, kind: str) -> tuple[float, ...] | None:
        """Seconds that a step of each stage takes; None where costs were not measured."""
        cost = None if self._measured is None else self._measured[0].get(kind)
        return None if cost is None else cost.seconds_per_step

    def seconds(self, plans: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """What a task of each kind takes with its planned steps; none where costs were not measured.

        Args:
            plans: of each task.
        """
        job, costs = self._job, {} if self._measured is None else self._measured[0]
        steps: dict[str, tuple[int, ...]] = {
            task.kind: tuple(plan["steps"])
            for task, plan in zip(job.tasks, plans, strict=True)
            if not job.is_idle(task)
        }
        return {kind: dataclasses.replace(cost, steps=steps[kind]).seconds for kind, cost in costs.items()}

    def forecast(self) -> Forecast:
        """Time and memory for the whole job.

        Raises:
            ResourceError: the run would need more memory than there is.
            ParameterError: the budget pays for next to nothing.
        """
        self._refuse_results()
        costs, spent = self.costs()
        found = forecast(costs, self._counts(), self._job.budget, spent)
        return dataclasses.replace(found, memory=found.memory + self._results())

    def made(self, given: Any) -> list[dict[str, Any]]:
        """For each task the planned steps, and where a repeated run ends.

        Args:
            given: the plan of an earlier run that is repeated; None to make one.

        Raises:
            ResourceError: the run would need more memory than there is.
            ParameterError: the budget pays for next to nothing, or the given plan is none for these tasks.
        """
        job = self._job
        if given is not None:
            return given_plan(given, job.tasks, self.stages())
        everything = [{"steps": all_steps(job.pipelines[task.kind])} for task in job.tasks]
        if job.budget is None:
            return everything
        try:
            costs, spent = self.costs()
        except CancelledError:  # then nothing of it is run
            return everything
        steps = within_budget(costs, self._counts(), job.budget, spent)
        share = (job.budget - spent) / max(1, sum(self._counts().values()))
        limit = {} if "kernel" in costs else {"seconds": share}
        return [{"steps": list(steps.get(task.kind, ())), **limit} for task in job.tasks]

    def needed_after(self, task: Task, plan: Mapping[str, Any]) -> list[float]:
        """Seconds that the segments after each stage of a task take, with the steps and the share of its plan."""
        cost = dataclasses.replace(self.costs()[0][task.kind], steps=tuple(plan["steps"]))
        stages = [len(segment.stages) for segment in self._job.pipelines[task.kind].segments()]
        return needed_after(cost, stages, plan["seconds"])

    def stages(self) -> list[int | None]:
        """How many stages each task has; None where there is nothing to do."""
        job = self._job
        return [None if job.is_idle(task) else len(all_steps(job.pipelines[task.kind])) for task in job.tasks]

    def refuse_what_does_not_fit(self) -> None:
        """Of a run whose costs were measured, which refuses as well, only what all of its planes take together.

        Raises:
            ResourceError: the run would need more memory than there is.
        """
        self._refuse_results()
        if self._measured is None:
            from unblur.refusal import refuse_too_large

            job = self._job
            for kind in self._counts():
                self._of_the_first(
                    kind, lambda pipeline, seen: refuse_too_large(pipeline, seen, job.registry, job.compute)
                )

    def _results(self) -> int:
        """Bytes of the restored planes or tiles, and of the image that they become; videos lie on the disk."""
        job = self._job
        planes = [task for task in job.tasks if task.kind == "plane"]
        if len(planes) < 2 or job.mode == "video":
            return 0
        maps = 1 + gives_uncertainty(job.pipelines["plane"], job.registry)
        return 2 * 4 * maps * math.prod(job.image.shape)

    def _refuse_results(self) -> None:
        need, free = self._results(), psutil.virtual_memory().available
        if need > free:
            sizes = "x".join(map(str, self._job.image.shape))
            raise ResourceError(
                f"an image of {sizes}, restored in parts, would need {need / 1e9:.3g} GB of "
                f"memory, {free / 1e9:.3g} GB are free; restore a part of it at a time (--region)"
            )

    def _counts(self) -> Mapping[str, int]:
        """How many tasks of each kind there is work for."""
        kinds = [task.kind for task in self._job.tasks if not self._job.is_idle(task)]
        return {kind: kinds.count(kind) for kind in kinds}

    def _of_the_first(self, kind: str, look: Callable[[Pipeline, Observation], T]) -> T:
        """A look at the first task of a kind, with a kernel that stands for one that is yet to be found.

        One whose pixels cannot be used fails alone when its turn comes: then another one is looked at.

        Raises:
            ImageError: none of the first few can be used.
        """
        from unblur.kernel_fit import refuse_too_wide
        from unblur.observing import flat_kernel, observation_of

        job = self._job
        errors: list[ImageError] = []
        for task in itertools.islice((one for one in job.tasks if one.kind == kind and not job.is_idle(one)), _LOOKS):
            kernel = None if task.kernel_from is None else flat_kernel(job.spatial)
            try:
                with _typed_errors(job):
                    observation = observation_of(job, task, kernel)
                    refuse_too_wide(job.pipelines[kind], observation, job.registry, job.compute)
                    return look(job.pipelines[kind], observation)
            except ImageError as error:
                errors.append(error)
        raise errors[0]


@contextlib.contextmanager
def _typed_errors(job: Job) -> Iterator[None]:
    """What a component or torch raises, as an error that a user can act on."""
    try:
        yield
    except UnblurError:
        raise
    except (Exception, SystemExit) as error:
        raise typed(error, job.registry) from error
