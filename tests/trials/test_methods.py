"""Trial versions of all methods: accepted, they run, what should learn learns, what is known stays."""

from __future__ import annotations

import math

import pytest
import torch

from tests.trials.plugin import METHODS, compute, kernel, observation_for, registry
from unblur.driver import Run

REGISTRY = registry()


@pytest.mark.parametrize("name", METHODS)
def test_it_runs_and_learns(name: str) -> None:
    pipeline, observation = METHODS[name], observation_for(name)
    pipeline.check(REGISTRY)
    before = observation.pixels.clone()
    run = Run(pipeline, observation, REGISTRY, compute(), seed=1)
    events, misfits, first = run.events(), {}, {}
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            outcome = stop.value
            break
        misfits.setdefault(event.stage, []).append(event.misfit)
        if event.stage not in first:
            first[event.stage] = event.preview()
    for stage, values in misfits.items():
        assert sum(values[-3:]) / 3 < values[0], f"stage {stage}: {values}"
    assert outcome.executed == outcome.plan == [len(values) for values in misfits.values()]
    assert outcome.estimate.image.shape == observation.pixels.shape
    assert torch.equal(observation.pixels, before)
    last = first[max(first)]
    assert not torch.equal(outcome.estimate.image, last.image), "the image never moved"
    fixed = run._segments[-1].resolved.base("kernel_prior").name == "known"
    assert torch.equal(outcome.estimate.kernel, last.kernel) == fixed
    if fixed and observation_for(name).psf is not None:
        assert torch.equal(outcome.estimate.kernel, kernel())
    if name != "reblur2deblur":
        sums = outcome.estimate.kernel.flatten(1).sum(1)
        torch.testing.assert_close(sums, torch.ones_like(sums))


def test_the_spread_is_that_of_the_draws() -> None:
    run = Run(METHODS["sa-dropout"], observation_for("sa-dropout"), REGISTRY, compute())
    spread = _outcome(run).estimate.spread
    assert spread is not None
    assert spread.shape == (1, 1, 32, 32)
    assert float(spread.min()) >= 0
    assert float(spread.mean()) > 1e-4


def test_the_grid_grows_from_the_single_kernel() -> None:
    run = Run(METHODS["mcem"], observation_for("mcem"), REGISTRY, compute())
    previews = {event.stage: event.preview() for event in run.events()}
    assert previews[0].kernel.shape == (1, 5, 5)
    assert previews[1].kernel.shape == (4, 5, 5)
    run = Run(METHODS["mcem"].with_steps([30, 1]), observation_for("mcem"), REGISTRY, compute())
    grid = _outcome(run).estimate.kernel
    # After one step each of the four is still close to the one they started from.
    assert float((grid - previews[0].kernel).abs().max()) < 0.02


def test_pairs_with_truth_are_mixed_in() -> None:
    observation = observation_for("reblur2deblur")
    with_pairs = _outcome(Run(METHODS["reblur2deblur"], observation, REGISTRY, compute()))
    observation.pairs = ()
    without = _outcome(Run(METHODS["reblur2deblur"], observation, REGISTRY, compute()))
    assert not torch.equal(with_pairs.estimate.image, without.estimate.image)


def test_the_blind_kernel_is_what_the_second_problem_uses() -> None:
    blind = _outcome(Run(METHODS["two-stage"].replace(then=None), observation_for("two-stage"), REGISTRY, compute()))
    both = _outcome(Run(METHODS["two-stage"], observation_for("two-stage"), REGISTRY, compute()))
    assert torch.equal(blind.estimate.kernel, both.estimate.kernel)
    assert not torch.equal(blind.estimate.image, both.estimate.image)
    assert any("is handed to what follows" in note for note in both.notes)


def test_blind_richardson_lucy_finds_the_direction_of_the_stroke() -> None:
    pipeline = METHODS["blind-richardson-lucy"].with_steps([60])
    found = _outcome(Run(pipeline, observation_for("blind-richardson-lucy"), REGISTRY, compute())).estimate.kernel[0]
    diagonal, other = found.diagonal().sum(), found.flip(1).diagonal().sum()
    assert math.isfinite(float(diagonal))
    assert diagonal > other


def _outcome(run: Run):  # type: ignore[no-untyped-def]
    from unblur.driver import finish

    return finish(run.events())
