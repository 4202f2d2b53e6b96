"""Rules for what runs: estimators, stopping rules and selectors, on the registry's simplest fitting parts."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unblur.components import Clock, Info
from unblur.composition import USES
from unblur.errors import CompositionError
from unblur.pipeline import Pipeline
from unblur.problem import Problem
from unblur.records import Role, Slot
from unblur.testing.case import Case
from unblur.testing.compositions import Composition
from unblur.testing.trial import STEPS, Trial, fitting, trials


def misfit_falls(case: Case) -> None:
    """in five steps the misfit is finite and falls"""
    for trial in trials(case):
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
    for trial in trials(case):
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
    for trial in trials(case):
        trial.run(STEPS)
        given = trial.look().spread is not None
        case.expect(not given or "standard-deviation" in case.traits, "the trait is missing, and it gives one")


def looking_changes_nothing(case: Case) -> None:
    """estimates drawn between the steps change no bit of what follows"""
    for trial in trials(case):
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
    for trial in trials(case):
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
    for trial in trials(case):
        trial.run(1)
        answer = trial.problem.estimator.soften(trial.state)
        case.expect(isinstance(answer, bool), f"it gave {answer!r}; expected True or False")
        trial.run(1)
        case.scalar(trial.infos[-1].misfit, "the misfit afterwards")


def works_in_colour(case: Case) -> None:
    """of an image of three channels, all are restored"""
    for trial in trials(case, channels=3):
        before = trial.look().image.clone()
        trial.run(STEPS)
        case.scalar(trial.infos[-1].misfit, "the misfit of a step")
        image = trial.look().image
        case.shaped(image, trial.problem.latent_shape, f"the image with {trial.composition.name}")
        case.finite(image, "the image")
        for channel in range(3):
            moved = not torch.equal(image[:, channel], before[:, channel])
            case.expect(moved, f"channel {channel} stayed as it was with {trial.composition.name}")


def what_does_not_count_changes_nothing(case: Case) -> None:
    """the values of pixels that do not count change neither image nor kernel"""
    for composition in fitting(case):
        dark, bright = (Trial(composition, case, hidden=value) for value in (0.0, 1.0))
        for trial in (dark, bright):
            trial.run(STEPS)
        for what in ("image", "kernel"):
            got, wanted = (getattr(trial.look(), what) for trial in (bright, dark))
            case.close(got, wanted, f"the {what} with {composition.name}, the pixels bright in place of dark", 1e-4)


DARKNESS = (1.0, 0.05)
"""Gain and offset that a response among added parts is told."""

_USUAL = {"misfit": "ssim", "response": "gamma", "penalty": "tv"}
"""What is added to see whether it counts, if it is registered; else the first that is."""


def what_it_uses_counts(case: Case) -> None:
    """misfits, responses and penalties that it says it uses change what the steps find"""
    for composition in fitting(case):
        plain = Trial(composition, case, camera=DARKNESS)
        plain.run(STEPS)
        for (slot, role), trait in USES.items():
            if trait in case.traits and (slot != "kernel_prior" or composition.learns(slot)):
                for name, pipeline in _with_another(composition, case, slot, role):
                    trial = Trial(composition, case, pipeline=pipeline, camera=DARKNESS)
                    trial.run(STEPS)
                    pairs = ((trial.look().image, plain.look().image), (trial.look().kernel, plain.look().kernel))
                    moved = any(not torch.equal(got, without) for got, without in pairs)
                    case.expect(moved, f"with the {role} {name!r} image and kernel are what they are without it")


def _with_another(composition: Composition, case: Case, slot: Slot, role: Role) -> Iterator[tuple[str, Pipeline]]:
    """The composition with one part more; with none where nothing that is registered fits."""
    parts = case.registry.components(slot)
    used = {part.name for part in composition.pipeline.slots[slot]}
    for name in sorted(parts, key=lambda name: (name != _USUAL[role], name)):
        if parts[name].role == role and name not in used and case.dims in parts[name].component.dims:
            params = case.settings.get(f"{slot}.{name}", {})
            pipeline = composition.pipeline.replace(**{slot: [*composition.pipeline.slots[slot], (name, params)]})
            try:
                pipeline.check(case.registry)
            except CompositionError:
                continue
            yield name, pipeline
            return


_COARSE = 0.75
"""Resolution of the stage before another: the small images of the kit still have their pixels there."""


def a_later_stage_goes_on(case: Case) -> None:
    """a stage at the full resolution goes on from one at a lower resolution, and is resumed with the same bits"""
    for composition in fitting(case):
        first = Trial(composition, case, scale=_COARSE)
        first.run(2)
        trial = Trial(composition, case, earlier=first)
        before = trial.look().image.clone()
        trial.run(1)
        saved = trial.snapshot()
        trial.run(STEPS)
        where = f"in a second stage with {composition.name}"
        case.finite(trial.look().image, f"the image {where}")
        case.expect(not torch.equal(trial.look().image, before), f"the image stayed as it was {where}")
        resumed = Trial(composition, case, shape=trial.problem.spec.shape, step=1)
        resumed.load(saved)
        resumed.run(STEPS)
        case.same(resumed.snapshot(), trial.snapshot(), f"the state at the end, resumed {where}")


ESTIMATOR_RULES = (
    misfit_falls,
    what_learns_moves,
    standard_deviations_are_declared,
    looking_changes_nothing,
    resumes_with_the_same_bits,
    softening,
    works_in_colour,
    what_does_not_count_changes_nothing,
    what_it_uses_counts,
    a_later_stage_goes_on,
)


def _events(case: Case, count: int) -> tuple[Problem, list[tuple[Info, Clock]]]:
    """A problem, and steps as a run would report them: images and misfits that improve ever more slowly, with noise.

    In the last quarter they get worse again.
    """
    trial = Trial(next(fitting(case)), case)
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
