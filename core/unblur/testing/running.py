"""Rules for what runs: estimators, stopping rules and selectors, on the registry's simplest fitting parts."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unblur.components import Clock, Info
from unblur.composition import resolve
from unblur.problem import Problem, build
from unblur.stages import current
from unblur.testing.case import Case
from unblur.testing.compositions import Composition, compositions
from unblur.testing.worlds import moving, photograph

STEPS = 5

DRAWS = 8
"""Of parts that draw by chance, for the residual."""


@dataclass
class Trial:
    """A composition on a small blurred image, to be run step by step."""

    composition: Composition
    case: Case
    seed: int = 0
    step: int = 0
    infos: list[Info] = field(default_factory=list)

    def __post_init__(self) -> None:
        case = self.case
        resolved = resolve(self.composition.pipeline, case.registry)
        stage = dataclasses.replace(self.composition.pipeline.stages[0], steps=2 * STEPS)
        video = self.composition.has("forward_model", "video")
        observation = moving(case.observed_shape) if video else photograph(case.observed_shape, case.kernel_shape)
        self.problem: Problem = build(resolved, stage, observation, case.compute, self.seed, [])
        self.state: Any = self.problem.begin()

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


def _fitting(case: Case) -> Iterator[Composition]:
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


def _trials(case: Case) -> Iterator[Trial]:
    for composition in _fitting(case):
        yield Trial(composition, case)


def misfit_falls(case: Case) -> None:
    """in five steps the misfit is finite and falls"""
    for trial in _trials(case):
        before = trial.residual()
        trial.run(STEPS)
        misfits = [float(case.scalar(info.misfit, "the misfit of a step")) for info in trial.infos]
        residuals = _words([before, trial.residual()])
        where = f"with {trial.composition.name}"
        case.expect(trial.fell(before), f"{where} the misfits are {_words(misfits)}, the squared residual {residuals}")
        noted = trial.infos[-1].draw.latent
        case.shaped(noted, trial.problem.latent_shape, f"the latent image of a step's Info {where}")


def _words(numbers: list[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)


def what_learns_moves(case: Case) -> None:
    """five steps move image and learned kernel, and leave a fixed kernel as it is"""
    for trial in _trials(case):
        where = f"with {trial.composition.name}"
        before = trial.look()
        before_image, before_kernel = before.image.clone(), before.kernel.clone()
        trial.run(STEPS)
        after = trial.look()
        case.expect(not torch.equal(after.image, before_image), f"the image stayed as it was {where}")
        moved = not torch.equal(after.kernel, before_kernel)
        if trial.composition.learns("kernel_prior"):
            case.expect(moved, f"the kernel stayed as it was {where}")
        elif trial.composition.has("kernel_prior", "fixed"):
            case.same(after.kernel, before_kernel, f"the known kernel moved {where}")


def standard_deviations_are_declared(case: Case) -> None:
    """a standard deviation is given by none but estimators with the trait `standard-deviation`"""
    for trial in _trials(case):
        trial.run(STEPS)
        given = trial.look().spread is not None
        case.expect(not given or "standard-deviation" in case.traits, "the trait is missing, and it gives one")


def looking_changes_nothing(case: Case) -> None:
    """estimates drawn between the steps change no bit of what follows"""
    for trial in _trials(case):
        other = Trial(trial.composition, case)
        for _ in range(STEPS):
            trial.run(1)
            other.run(1)
            state = other.snapshot()
            estimate = other.look()
            case.shaped(estimate.image, other.problem.latent_shape, "the image of an estimate")
            spec = other.problem.spec
            case.shaped(estimate.kernel, (spec.count, *spec.shape), "the kernel of an estimate")
            case.same(other.snapshot(), state, "the state after a look")
        case.same(other.snapshot(), trial.snapshot(), "the state after five steps and looks")


def resumes_with_the_same_bits(case: Case) -> None:
    """a run that is saved, built anew and loaded goes on with the same bits"""
    for trial in _trials(case):
        trial.run(2)
        saved = case.kept(trial.snapshot(), f"the state with {trial.composition.name}")
        trial.run(3)
        resumed = Trial(trial.composition, case, step=2)
        resumed.load(saved)
        resumed.run(3)
        where = f"with {trial.composition.name}, "
        case.same(resumed.snapshot(), trial.snapshot(), where + "the state at the end")
        case.same(resumed.infos[-1].misfit, trial.infos[-1].misfit, where + "the last misfit")
        case.same(resumed.look().image, trial.look().image, where + "the image")


def softening(case: Case) -> None:
    """`soften` says whether it made the steps smaller, and the run goes on after it"""
    for trial in _trials(case):
        trial.run(1)
        answer = trial.problem.estimator.soften(trial.state)
        case.expect(isinstance(answer, bool), f"it gave {answer!r}; expected True or False")
        trial.run(1)
        case.scalar(trial.infos[-1].misfit, "the misfit afterwards")


ESTIMATOR_RULES = (
    misfit_falls,
    what_learns_moves,
    standard_deviations_are_declared,
    looking_changes_nothing,
    resumes_with_the_same_bits,
    softening,
)


def _events(case: Case, count: int) -> tuple[Problem, list[tuple[Info, Clock]]]:
    """A problem, and steps as a run would report them: images and misfits that improve ever more slowly, with noise.

    In the last quarter they get worse again.
    """
    trial = Trial(next(_fitting(case)), case)
    trial.run(1)
    last = trial.infos[-1]
    found = []
    for step in range(1, count + 1):
        size = 0.1 / min(step, 3 * count // 2 - step)
        image = last.draw.latent.detach() + size * case.noise(last.draw.latent.shape, step)
        misfit = torch.tensor(size**2 + 1e-4 * (step % 3), device=image.device)
        kernel = last.kernel if isinstance(last.kernel, Tensor) else trial.look().kernel
        info = Info(misfit, dataclasses.replace(last.draw, latent=image), kernel)
        found.append((info, Clock(step, count, elapsed=0.5 * step)))
    return trial.problem, found


def _part(case: Case, problem: Problem) -> Any:
    part = case.instance()
    part.init(problem)
    return part


def _answer(part: Any, info: Info, clock: Clock) -> Any:
    return part.update(info, clock) if hasattr(part, "update") else part.better(info, clock)


def answers_are_of_their_kind(case: Case) -> None:
    """a stopping rule answers None or a reason in words, a selector True or False"""
    problem, events = _events(case, 40)
    part = _part(case, problem)
    for info, clock in events:
        answer = _answer(part, info, clock)
        if case.registered.role == "selector":
            case.expect(isinstance(answer, bool), f"it gave {answer!r}; expected True or False")
        else:
            fine = answer is None or (isinstance(answer, str) and bool(answer.strip()))
            case.expect(fine, f"it gave {answer!r}; expected None or a text")
    if case.registered.role == "rule":
        case.expect(part.ends in ("stage", "run"), f"ends is {part.ends!r}; expected 'stage' or 'run'")
        fine = part.budget is None or (isinstance(part.budget, int | float) and part.budget > 0)
        case.expect(fine, f"budget is {part.budget!r}; expected seconds or None")


def answers_survive_a_resume(case: Case) -> None:
    """with the state of a saved run, a fresh rule or selector gives the same answers"""
    problem, events = _events(case, 40)
    for cut in (1, 20, 33, 37):  # while images improve, and where they have got worse again
        part = _part(case, problem)
        for info, clock in events[:cut]:
            _answer(part, info, clock)
        state = case.kept(part.state_dict(), "the state")
        resumed = _part(case, problem)
        resumed.load_state_dict(copy.deepcopy(state))
        case.same(resumed.state_dict(), state, "the state after loading")
        for info, clock in events[cut:]:
            wanted, got = _answer(part, info, clock), _answer(resumed, info, clock)
            words = f"at step {clock.step} it answers {got!r} instead of {wanted!r}, resumed at step {cut}"
            case.expect(got == wanted, words)


def looks_on_only(case: Case) -> None:
    """rules and selectors change neither the step's Info nor the problem"""
    problem, events = _events(case, 10)
    part = _part(case, problem)
    before = copy.deepcopy(problem.state_dict())
    for info, clock in itertools.islice(events, 10):
        seen = info.draw.latent.clone(), info.misfit.clone()
        _answer(part, info, clock)
        case.same((info.draw.latent, info.misfit), seen, "the Info")
    case.same(problem.state_dict(), before, "the problem")


STOPPING_RULES = (answers_are_of_their_kind, answers_survive_a_resume, looks_on_only)
