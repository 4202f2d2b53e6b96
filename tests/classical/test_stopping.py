from __future__ import annotations

import copy
import dataclasses
import io
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.classical.parts import after, fed, info, kernel, number, part, problem, rand
from unblur.operators.convolution import convolve

FLAT = torch.zeros(1, 1, 14, 14)
SWITCH = [
    ("convolution", {"kernel_size": [3]}),
    ("squared", {"weight": [[0, 1.0], [0.5, 0.0]]}),
    ("huber", {"weight": [[0, 0.0], [0.5, 1.0]]}),
]


def rule(name: str, whole: Any = None, **params: Any) -> Any:
    built = part("stopping", name, **params)
    built.init(problem(rand(1, 1, 12, 12)) if whole is None else whole)
    return built


def test_steps_end_the_stage_and_seconds_the_run() -> None:
    steps, seconds = rule("max-steps", steps=3), rule("max-seconds", seconds=2)
    assert [bool(said) for said in fed(steps, [info(1.0, FLAT)] * 4)] == [False, False, True, True]
    assert steps.ends == "stage"
    assert seconds.update(info(1.0, FLAT), after(1, elapsed=1.9)) is None
    assert "2 seconds" in seconds.update(info(1.0, FLAT), after(2, elapsed=2.0))
    assert (seconds.ends, seconds.budget) == ("run", 2)


def test_no_progress_waits_for_two_windows_that_hardly_differ() -> None:
    misfits = [1 / step for step in range(1, 200)]
    said = fed(rule("no-progress", window=10, tolerance=0.1), [info(m, FLAT) for m in misfits], steps=200)
    stopped = next(step for step, reason in enumerate(said, 1) if reason)
    before, later = sum(misfits[stopped - 20 : stopped - 10]), sum(misfits[stopped - 10 : stopped])
    assert before - later < 0.1 * before
    assert sum(misfits[stopped - 21 : stopped - 11]) * 0.9 > sum(misfits[stopped - 11 : stopped - 1])


def test_misfits_of_different_weights_are_not_compared() -> None:
    whole = problem(rand(1, 1, 12, 12), forward_model=SWITCH)
    falling = [10 - step for step in range(5)] + [50 - step for step in range(5)]
    said = fed(rule("no-progress", whole, window=2, tolerance=0.0), [info(m, FLAT) for m in falling], steps=10)
    assert not any(said)
    best = fed(rule("best-misfit", whole), [info(m, FLAT) for m in [3, 1, 2, 1, 1, 9, 8, 9, 7, 8]], steps=10)
    assert best == [True, True, False, False, False, True, True, False, True, False]


def test_last_never_finds_a_better_one() -> None:
    assert not any(fed(rule("last"), [info(1 / step, FLAT) for step in range(1, 5)]))


def noisy(sigma: float) -> tuple[Tensor, Tensor, Any]:
    latent, psf = rand(1, 1, 66, 66), kernel(3, 3)
    smooth = convolve(latent, torch.full((1, 9, 9), 1 / 81), "periodic")
    clean = convolve(smooth, psf)
    scale = 1 / number(clean.max())
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    whole = problem(clean * scale + sigma * noise, psf=psf)
    return smooth * scale / whole.intensity.peak, noise, whole


def test_noise_level_stops_when_the_residual_is_the_noise() -> None:
    truth, _, whole = noisy(0.03)
    known = rule("noise-level", whole, noise=0.03 / whole.intensity.peak, factor=1.05, margin=0.0)
    assert "down to the noise" in known.update(info(9.0, truth), after(1))
    assert known.update(info(9.0, truth + 0.02), after(2)) is None
    guessed = rule("noise-level", whole, factor=1.1)
    assert guessed.level == pytest.approx(1.1 * 0.03 / whole.intensity.peak + 5e-4, rel=0.15)
    assert guessed.update(info(9.0, truth), after(3)) is not None
    assert any("estimated from the observed image" in note for note in whole.context.notes)
    assert rule("noise-level", whole, noise=1.0, every=2).update(info(9.0, truth), after(3)) is None


def test_noise_level_looks_only_at_pixels_that_count() -> None:
    truth, noise, whole = noisy(0.03)
    quiet = (noise.abs() < 0.3).float()
    strict = rule("noise-level", whole, noise=0.01, margin=0.0)
    assert strict.update(info(9.0, truth), after(1)) is None
    assert strict.update(info(9.0, truth, weight=quiet), after(2)) is not None


def test_where_the_noise_cannot_be_told_no_stage_is_ended() -> None:
    whole = problem(rand(1, 1, 12, 12))
    unknown = rule("noise-level", whole)
    assert unknown.update(info(0.0, FLAT), after(1)) is None
    assert any("all steps are done" in note for note in whole.context.notes)


def test_given_noise_falls_with_the_resolution() -> None:
    whole = problem(rand(1, 1, 64, 64), scale=0.5)
    assert rule("noise-level", whole, noise=0.1, margin=0.0).level == pytest.approx(0.05)


def images(spreads: list[float], shape: tuple[int, ...]) -> list[Any]:
    """Reconstructions about one image, each off by a random field of given size."""
    base = rand(*shape)
    return [info(1.0, base + s * (rand(*shape, seed=10 + i) - 0.5)) for i, s in enumerate(spreads)]


@pytest.mark.parametrize("observed", [(1, 2, 12, 12), (1, 1, 140, 20), (1, 1, 6, 7, 8)])
def test_the_smallest_variance_is_where_the_images_vary_least(observed: tuple[int, ...]) -> None:
    whole = problem(rand(*observed), forward_model=[("convolution", {"kernel_size": [3]}), "squared"])
    spreads = [0.3] * 10 + [0.01] * 5 + [0.3] * 10
    found = fed(rule("smallest-variance", whole, window=5), images(spreads, whole.latent_shape))
    assert max(step for step, better in enumerate(found, 1) if better) == 15
    assert not any(found[:4])


def test_the_running_sums_are_the_variance_over_the_window() -> None:
    whole = problem(rand(1, 1, 12, 12))
    selector = rule("smallest-variance", whole, window=4)
    sequence = images([0.2 * 0.9**step for step in range(12)], whole.latent_shape)
    smallest = float("inf")
    for step, item in enumerate(sequence, 1):
        better = selector.better(item, after(step))
        if step >= 4:
            seen = torch.stack([one.draw.latent[..., 1:-1, 1:-1] for one in sequence[step - 4 : step]]).double()
            variance = number(seen.var(0, unbiased=False).mean())
            assert better == (variance < smallest)
            smallest = min(smallest, variance)
            assert selector.curve.smallest == pytest.approx(smallest, rel=1e-6)


def test_moving_variance_stops_after_its_patience() -> None:
    whole = problem(rand(1, 1, 12, 12))
    spreads = [0.3] * 10 + [0.01] * 5 + [0.3] * 40
    said = fed(rule("moving-variance", whole, window=5, patience=12), images(spreads, whole.latent_shape))
    assert next(step for step, reason in enumerate(said, 1) if reason) == 15 + 12
    assert "step 15" in said[26]
    rare = fed(rule("moving-variance", whole, window=6, every=3, patience=12), images(spreads, whole.latent_shape))
    assert "step 15" in next(reason for reason in rare if reason)


def test_noise_free_variance_asks_the_prior() -> None:
    whole = problem(rand(1, 1, 12, 12))
    selector = rule("smallest-variance", whole, window=2, noise_free=True)
    assert fed(selector, images([0.5] * 3, whole.latent_shape))[1]
    assert selector.curve.smallest == 0


RESUMED = [
    ("no-progress", {"window": 3, "tolerance": 0.02}),
    ("moving-variance", {"window": 4, "patience": 5}),
    ("smallest-variance", {"window": 4}),
    ("best-misfit", {}),
]


@pytest.mark.parametrize(("name", "params"), RESUMED)
@pytest.mark.parametrize("resumed", [9, 18])
def test_a_resumed_rule_says_what_it_would_have_said(name: str, params: dict[str, Any], resumed: int) -> None:
    whole = problem(rand(1, 1, 12, 12), forward_model=SWITCH)
    spreads = [0.3 * abs(step - 14) / 14 + 0.01 for step in range(30)]
    sequence = [
        info(1 + spread, item.draw.latent)
        for spread, item in zip(spreads, images(spreads, whole.latent_shape), strict=True)
    ]
    through, first, second = (rule(name, whole, **params) for _ in range(3))
    expected = fed(through, sequence, steps=60)
    assert any(expected)
    fed(first, sequence[:resumed], steps=60)
    stored = io.BytesIO()
    torch.save(copy.deepcopy(first.state_dict()), stored)
    stored.seek(0)
    second.load_state_dict(torch.load(stored, weights_only=True))
    ask = second.better if hasattr(second, "better") else second.update
    assert [ask(item, after(step, 60)) for step, item in enumerate(sequence[resumed:], resumed + 1)] == expected[
        resumed:
    ]


def test_noise_level_counts_what_the_estimator_adds_to_its_prediction() -> None:
    truth, _, whole = noisy(0.03)
    known = rule("noise-level", whole, noise=0.03 / whole.intensity.peak, factor=1.05, margin=0.0)
    darker = info(9.0, truth - 0.02)
    assert known.update(darker, after(1)) is None
    assert known.update(dataclasses.replace(darker, background=0.02), after(1)) is not None
