"""Draws of the dropout network: seeds, masks, the masked misfit (eq. 8), adaptation, what it begins with."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.sadropout.small import generator, made, pipeline
from unblur.components import Clock
from unblur.errors import ImageError, ParameterError
from unblur.operators.convolution import convolve
from unblur.testing.worlds import photograph

CLOCK = Clock(0, 10)


def test_the_misfit_is_that_of_the_replaced_pixels_alone() -> None:
    """Eq. 8, as a mean."""
    problem, _ = made(pipeline())
    draw = problem.draw(problem.batch, CLOCK, generator(1))
    kernel = problem.kernel(draw.latent, CLOCK, None)
    assert draw.weight is not None
    assert set(draw.weight.unique().tolist()) == {0.0, 1.0}
    assert float(draw.weight.mean()) == pytest.approx(0.3, abs=0.08)
    residual = convolve(draw.latent, kernel) - problem.batch.observed
    direct = residual[draw.weight > 0].square().mean()
    torch.testing.assert_close(problem.misfit(draw, kernel, problem.batch, CLOCK), direct)


def test_invalid_pixels_neither_count_nor_are_seen() -> None:
    observation = photograph((24, 21), (5, 3))
    observation.valid = torch.ones_like(observation.pixels)
    observation.valid[..., 4:9, 5:11] = 0
    images = []
    for value in (0.0, 1.0):
        pixels = torch.where(observation.valid > 0, observation.pixels, torch.tensor(value))
        problem, _ = made(pipeline(), dataclasses.replace(observation, pixels=pixels))
        draw = problem.draw(problem.batch, CLOCK, generator(1))
        counted = problem.counted(draw, problem.batch)
        assert counted is not None
        assert not bool((counted[observation.valid == 0]).any())
        images.append(draw.latent)
    assert torch.equal(*images)


def test_what_is_replaced_beside_an_invalid_pixel_is_not_seen_either() -> None:
    """The invalid pixels are filled from their neighbours, of which the replaced ones must not be in the seed."""
    observation = photograph((24, 21), (5, 3))
    observation.valid = torch.ones_like(observation.pixels)
    observation.valid[..., 4:9, 5:11] = 0
    problem, _ = made(pipeline(), observation)
    draw = problem.draw(problem.batch, CLOCK, generator(1))
    counted = problem.counted(draw, problem.batch)
    assert counted is not None
    rim = [(3, 7), (9, 8), (6, 4), (6, 11), (3, 9), (9, 6), (5, 4), (7, 11)]
    hidden = [place for place in rim if counted[0, 0][place] > 0]
    assert hidden
    pixels = observation.pixels.clone()
    for place in hidden:
        pixels[0, 0][place] += 0.5
    other, _ = made(pipeline(), dataclasses.replace(observation, pixels=pixels, levels=(0.0, 1.0)))
    same, _ = made(pipeline(), dataclasses.replace(observation, levels=(0.0, 1.0)))
    assert torch.equal(*(one.draw(one.batch, CLOCK, generator(1)).latent for one in (other, same)))


@pytest.mark.parametrize("known", [0, 1])
def test_hardly_any_pixel_counts(known: int) -> None:
    """A tile may lie within what is not known."""
    observation = photograph((24, 21), (5, 3))
    observation.valid = torch.zeros_like(observation.pixels)
    observation.valid[..., :known, 3] = 1
    problem, _ = made(pipeline({"seeds": 4}), dataclasses.replace(observation, levels=(0.0, 1.0)))
    assert bool(problem.draw(problem.batch, CLOCK, generator(1)).latent.isfinite().all())


def test_without_randomness_nothing_is_replaced_or_dropped() -> None:
    problem, _ = made(pipeline())
    draw = problem.draw(problem.batch, CLOCK, None)
    assert draw.weight is None
    plain, _ = made(pipeline({"dropout": 0.0, "replaced": 0.0}))
    still = plain.draw(plain.batch, CLOCK, generator(1))
    assert still.weight is None
    assert torch.equal(still.latent, draw.latent)


def test_masking_can_be_left_out() -> None:
    problem, _ = made(pipeline({"masked": False}))
    first, second = (problem.draw(problem.batch, CLOCK, generator(seed)) for seed in (1, 2))
    assert first.weight is None
    assert not torch.equal(first.latent, second.latent)


def test_ratios_adapt_in_steps_and_never_in_looks() -> None:
    problem, state = made(pipeline({"adapt_every": 3, "adapt_samples": 4}))
    shapes = []
    for step in range(8):
        problem.estimator.step(problem, state, problem.batch, Clock(step, 10))
        with torch.no_grad():
            problem.draw(problem.batch, Clock(3, 10), generator(9))
        shapes.append(list(problem.image.dropout.ratios))  # type: ignore[attr-defined]
    assert all(isinstance(ratio, float) for ratios in shapes[:3] for ratio in ratios)
    for ratios, first in ((shapes[3], 0.075), (shapes[7], 0.075)):
        assert ratios[0].shape == (1, 1, 28, 23)
        assert 0.49 * first < float(ratios[0].min()) < float(ratios[0].max()) < 1.51 * first
    assert torch.equal(shapes[3][1], shapes[5][1])
    assert not torch.equal(shapes[5][1], shapes[6][1])


@pytest.mark.parametrize("names", [("hyper-laplacian",), ("wiener", "richardson-lucy")])
def test_it_begins_near_classical_estimates(names: tuple[str, ...]) -> None:
    observation = photograph((40, 36), (7, 5))
    far, _ = made(pipeline(), observation)
    near, _ = made(pipeline({"start": names}), observation)
    errors = []
    for problem in (far, near):
        with torch.no_grad():
            latent = problem.draw(problem.batch, CLOCK, None).latent
            predicted = problem.predict(latent, problem.kernel(latent, CLOCK, None))
        errors.append(float((predicted - problem.batch.observed).square().mean()))
    assert errors[1] < 0.2 * errors[0]


def test_the_start_must_be_for_pixels() -> None:
    with pytest.raises(ParameterError, match=r"joint-adam.*hyper-laplacian"):
        made(pipeline({"start": ("wiener", "joint-adam")}))


@pytest.mark.parametrize("noise", [1e-3, 1.0])
def test_fixed_seeds_start_from_what_they_kept(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a seed nor its classical estimates change with the pixels that the misfit counts on.

    With little noise the estimates do without the replaced pixels, with much they take them as they are.
    """
    monkeypatch.setattr("unblur_sadropout.prior.noise_in", lambda *_: noise)
    pipe = pipeline({"start": ("wiener",), "seeds": 4})
    observation = photograph((40, 36), (5, 3))
    first, _ = made(pipe, observation)
    draw = first.draw(first.batch, CLOCK, generator(1))
    assert draw.weight is not None
    changed = torch.where(draw.weight > 0, observation.pixels.flip(2, 3), observation.pixels)
    second, _ = made(pipe, dataclasses.replace(observation, pixels=changed))
    pairs = zip(first.image.seeds, second.image.seeds, strict=True)  # type: ignore[attr-defined]
    same = [other for one, other in pairs if torch.equal(one.image, other.image)]
    assert len(same) == 1
    assert torch.equal(1 - same[0].kept, draw.weight)
    assert torch.equal(second.draw(second.batch, CLOCK, generator(1)).latent, draw.latent)
    kept_whole = float((same[0].starts[0] - first.image.whole.starts[0]).abs().max())  # type: ignore[attr-defined]
    assert kept_whole > 0
    assert not torch.equal(first.image.whole.starts[0], second.image.whole.starts[0])  # type: ignore[attr-defined]


@pytest.mark.parametrize(("noise", "shares"), [(0.002, (0.05, 0.06)), (0.1, (0.3, 0.3))])
def test_fewer_pixels_are_replaced_where_that_is_worse_than_the_noise(
    noise: float, shares: tuple[float, float]
) -> None:
    observation = photograph((48, 48), (3, 3))
    random = torch.rand((1, 1, 12, 12), generator=generator(1)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    observation.pixels = 0.3 * random + noise * torch.randn(random.shape, generator=generator(2))
    problem, _ = made(pipeline({"sparing": True, "seeds": 4}), observation)
    prior = problem.image
    assert shares[0] <= prior.share <= shares[1]  # type: ignore[attr-defined]
    times = sum(1 - seed.kept for seed in prior.seeds)  # type: ignore[attr-defined]
    assert int(times.min()) >= 1
    draw = problem.draw(problem.batch, CLOCK, generator(3))
    assert float(draw.weight.mean()) == pytest.approx(prior.share, abs=0.04)  # type: ignore[union-attr, attr-defined]


def test_a_classical_method_that_cannot_look_at_the_image_leaves_the_observation_to_begin_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(*_: object) -> None:
        raise ImageError("too small")

    monkeypatch.setattr("unblur_sadropout.prior.classical", refuses)
    pipe = pipeline({"start": ("unsupervised-wiener",)})
    problem, _ = made(pipe, photograph((12, 12), (3, 3)))
    assert not problem.image.whole.starts  # type: ignore[attr-defined]
    assert any("nothing classical to begin with" in note for note in problem.context.notes)
    assert problem.draw(problem.batch, CLOCK, generator(1)).latent.shape == (1, 1, 14, 14)


def test_the_weights_move_to_the_next_stage() -> None:
    first, _ = made(pipeline(), seed=1)
    second, _ = made(pipeline(), seed=2)
    second.image.start_from(first.image, torch.zeros(()), None)  # type: ignore[arg-type]
    assert torch.equal(first.draw(first.batch, CLOCK, None).latent, second.draw(second.batch, CLOCK, None).latent)


@pytest.mark.parametrize("name", ["l0-gradient", "blind-richardson-lucy", "mcem"])
def test_what_needs_more_than_a_kernel_is_no_start(name: str) -> None:
    with pytest.raises(ParameterError, match=f"'{name}' is not for free pixels and a known kernel; choose from"):
        made(pipeline({"start": (name,)}))


def test_several_draws_in_a_step_adapt_once() -> None:
    problem, _ = made(pipeline({"adapt_every": 3, "adapt_samples": 4}))
    problem.draw(problem.batch, Clock(3, 10), generator(1))
    once = list(problem.image.dropout.ratios)  # type: ignore[attr-defined]
    problem.draw(problem.batch, Clock(3, 10), generator(2))
    assert all(torch.equal(*pair) for pair in zip(once, problem.image.dropout.ratios, strict=True))  # type: ignore[attr-defined]


def test_a_start_is_in_the_light_that_the_latent_image_is_in() -> None:
    """With gamma, the classical image of the observation in linear light; a constant one is its light."""
    observation = photograph((32, 32), (5, 3))
    observation = dataclasses.replace(observation, pixels=torch.full_like(observation.pixels, 0.5), white_level=1.0)
    slots = {"forward_model": ["convolution", "squared", ("gamma", {"gamma": 2.2})]}
    problem, _ = made(pipeline({"start": ("hyper-laplacian",), "replaced": 0.0}, **slots), observation)
    start = problem.image.whole.starts[0]  # type: ignore[attr-defined]
    torch.testing.assert_close(start, torch.full_like(start, 0.5**2.2), atol=2e-3, rtol=0)


def test_with_other_estimators_it_begins_with_classical_images_too() -> None:
    estimator = ("joint-adam", {"image_rate": 1e-3})
    pipe = pipeline({"start": ("wiener",)}).replace(estimator=estimator)
    problem, _ = made(pipe)
    assert len(problem.image.whole.starts) == 1  # type: ignore[attr-defined]
