"""Small runs for the kit: a composition on a blurred image, taken step by step."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from unblur.components import Clock, Info, Shape
from unblur.composition import Resolved, resolve
from unblur.pipeline import Pipeline, Stage
from unblur.problem import Observation, Problem, build
from unblur.stages import current, hand_over, next_shape
from unblur.testing.case import Case
from unblur.testing.compositions import Composition, compositions
from unblur.testing.worlds import moving, photograph

STEPS = 5

DRAWS = 8
"""Of parts that draw by chance, for the residual."""


@dataclass
class Trial:
    """A composition on a small blurred image, to be run step by step.

    Args:
        channels: of the image.
        scale: the resolution of the stage.
        earlier: the stage before, whose image, kernel and state are handed over.
        shape: of the kernels, where a stage before has fixed it and the run is resumed in this one.
        hidden: intensity of the pixels that do not count; all count if None.
        camera: gain and offset that are known.
        pipeline: that of the composition with other parts; its own if None.
    """

    composition: Composition
    case: Case
    seed: int = 0
    step: int = 0
    channels: int = 1
    scale: float = 1.0
    earlier: Trial | None = None
    shape: Shape | None = None
    hidden: float | None = None
    camera: tuple[float, float] | None = None
    pipeline: Pipeline | None = None
    infos: list[Info] = field(default_factory=list)

    def __post_init__(self) -> None:
        pipeline = self.pipeline or self.composition.pipeline
        resolved = resolve(pipeline, self.case.registry)
        stage = dataclasses.replace(pipeline.stages[0], steps=2 * STEPS, scale=self.scale)
        if self.earlier is None:
            self.problem = self._built(resolved, stage, self.shape)
            self.state: Any = self.problem.begin()
            return
        before, found = self.earlier.problem, self.earlier.look()
        shape, centre = next_shape(before, found, stage)
        self.problem = self._built(resolved, stage, shape)
        with torch.no_grad():
            hand_over(before, self.problem, centre, found)
        self.state = self.problem.begin(self.earlier.state)

    def _built(self, resolved: Resolved, stage: Stage, shape: Shape | None) -> Problem:
        first = self.earlier is None and shape is None
        return build(resolved, stage, self._observed(), self.case.compute, self.seed, [], shape, begins=first)

    def _observed(self) -> Observation:
        case = self.case
        if self.composition.has("forward_model", "video"):
            observation = moving(case.observed_shape, channels=self.channels)
        else:
            observation = photograph(case.observed_shape, case.kernel_shape, channels=self.channels)
        observation.camera = self.camera
        if self.hidden is not None:
            counts = torch.ones_like(observation.pixels)
            hole: Any = (..., *(slice(size // 3, size // 2) for size in case.observed_shape))
            counts[hole] = 0
            observation.pixels = torch.where(counts > 0, observation.pixels, self.hidden)
            observation.valid = counts
        return observation

    @property
    def clock(self) -> Clock:
        return Clock(self.step, 2 * STEPS)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            info = self.problem.estimator.step(self.problem, self.state, self.problem.batch, self.clock)
            self.infos.append(info)
            self.step += 1

    def look(self) -> Any:
        return current(self.problem, self.state, self.clock)

    def residual(self) -> float:
        """Mean squared difference between observation and prediction, over the same draws whenever it is asked for."""
        problem = self.problem
        target = problem.forward.target(problem.batch).observed
        found = []
        with torch.no_grad():
            for seed in range(DRAWS if self.random else 1):
                rng = self.case.compute.generator(seed)
                latent = problem.draw(problem.batch, Clock(0, 2 * STEPS), rng).latent
                predicted = problem.predict(latent, problem.kernel(latent, Clock(0, 2 * STEPS), rng))
                found.append(float((predicted - target).square().mean()))
        return math.fsum(found) / len(found)

    @property
    def random(self) -> bool:
        """Whether a part draws by chance, so that one step's misfit says little beside another's."""
        return self.composition.has("image_prior", "random") or self.composition.has("kernel_prior", "random")

    def fell(self, before: float) -> bool:
        """Whether the residual is below what it was, or the misfit of the steps, where only a move changes it."""
        return self.residual() < before or (
            not self.random and float(self.infos[-1].misfit) < float(self.infos[0].misfit)
        )

    def snapshot(self) -> dict[str, Any]:
        return copy.deepcopy({"problem": self.problem.state_dict(), "estimator": self.state.state_dict()})

    def load(self, snapshot: dict[str, Any]) -> None:
        snapshot = copy.deepcopy(snapshot)
        self.problem.load_state_dict(snapshot["problem"])
        self.state.load_state_dict(snapshot["estimator"])


def fitting(case: Case) -> Iterator[Composition]:
    """The simplest accepted composition with a known kernel, and the simplest with one that is learned."""
    only = {"estimator": case.registered.name} if case.registered.slot == "estimator" else {}
    wanted = {False, True}
    for composition in compositions(case.registry, case.settings, **only):
        learns = composition.learns("kernel_prior")
        if learns in wanted and composition.refusal is None and case.dims in composition.dims:
            wanted.remove(learns)
            yield composition
        if not wanted:
            return
    case.expect(len(wanted) < 2, f"no combination of the registered parts in {case.dims}-D accepts it")


def trials(case: Case, **given: Any) -> Iterator[Trial]:
    """One of each fitting composition; `given`: arguments of `Trial`."""
    for composition in fitting(case):
        yield Trial(composition, case, **given)
