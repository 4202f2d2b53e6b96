"""The ensemble, and stopping at the level of the noise."""

from __future__ import annotations

import math

import pytest
import torch

from tests.sadropout.small import CPU, generator, made, pipeline
from unblur import Stage, default_registry
from unblur.components import Clock
from unblur.driver import Run, finish
from unblur.problem import Problem
from unblur.testing.worlds import photograph


def inferences(problem: Problem, clock: Clock, count: int) -> torch.Tensor:
    """As many images drawn anew, (count, frames, channels, *spatial), as `estimate` with the same seed draws them."""
    rng = generator(4)
    with torch.no_grad():
        return torch.stack([problem.draw(problem.batch, clock, rng).latent for _ in range(count)])


def test_mean_and_standard_deviation_of_inferences() -> None:
    problem, state = made(pipeline(estimator={"inferences": 6}))
    clock = Clock(5, 10)
    found = problem.estimator.estimate(problem, state, problem.batch, clock, generator(4))
    drawn = inferences(problem, clock, 6)
    torch.testing.assert_close(found.image, drawn.mean(0))
    assert found.spread is not None
    torch.testing.assert_close(found.spread, drawn.std(0), atol=1e-6, rtol=1e-4)


def test_images_of_the_last_steps_are_kept() -> None:
    problem, state = made(pipeline(estimator={"average_from": 0.6}))
    kept = []
    for step in range(10):
        info = problem.estimator.step(problem, state, problem.batch, Clock(step, 10))
        if step >= 6:
            kept.append(info.draw.latent)
    found = problem.estimator.estimate(problem, state, problem.batch, Clock(10, 10), generator())
    torch.testing.assert_close(found.image, torch.stack(kept).mean(0))
    torch.testing.assert_close(found.spread, torch.stack(kept).std(0), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("network", "inferences"), [({}, 0), ({"dropout": 0.0, "replaced": 0.0}, 3)])
def test_without_randomness_there_is_no_uncertainty(network: dict[str, float], inferences: int) -> None:
    problem, state = made(pipeline(network, {"inferences": inferences}))
    found = problem.estimator.estimate(problem, state, problem.batch, Clock(5, 10), generator(4))
    assert found.spread is None
    torch.testing.assert_close(found.image, problem.draw(problem.batch, Clock(5, 10), None).latent)


def test_it_stops_once_the_masked_residual_is_down_to_the_noise() -> None:
    """The step at which it stops is the first whose replaced pixels have a residual of at most the level."""
    noise, margin = 0.08, 0.01
    pipe = pipeline(stopping=[("noise-level", {"noise": noise, "margin": margin})], stages=[Stage(steps=400)])
    run = Run(pipe, photograph((24, 21), (5, 3)), default_registry(), CPU)
    events, misfits = run.events(), []
    while True:
        try:
            misfits.append(next(events).misfit)
        except StopIteration as stop:
            outcome = stop.value
            break
    residuals = [math.sqrt(misfit) for misfit in misfits]
    assert "down to the noise" in outcome.reason
    assert residuals[-1] <= noise + margin < min(residuals[:-1])


def test_a_learned_kernel_takes_part() -> None:
    pipe = pipeline(kernel_prior="free", estimator={"kernel_rate": 1e-3}, stages=[Stage(steps=4)])
    observation = photograph((24, 21), (5, 3))
    outcome = finish(Run(pipe, observation, default_registry(), CPU).events())
    assert not torch.equal(outcome.estimate.kernel, observation.psf)


def test_too_few_kept_images_are_no_ensemble() -> None:
    """Just after averaging begins, as many images are drawn anew as make one."""
    problem, state = made(pipeline(estimator={"average_from": 0.6, "inferences": 4}))
    for step in range(8):
        problem.estimator.step(problem, state, problem.batch, Clock(step, 10))
    clock = Clock(8, 10)
    found = problem.estimator.estimate(problem, state, problem.batch, clock, generator(4))
    torch.testing.assert_close(found.image, inferences(problem, clock, 4).mean(0))
