"""Wiener filters and the hyper-Laplacian method: Fourier transforms, although borders are not periodic."""

from __future__ import annotations

import math

import pytest
import torch

from tests.classical.restoring import blocks, gaussian, misfits, observe, pipeline, problem_of, psnr, restore, streak
from unblur.components import Clock, Estimator
from unblur.operators.fourier import differences, roughness
from unblur_classical.hyper_laplacian import fidelity, shrink
from unblur_classical.periodic import power

FILTERS = {"wiener": 20, "unsupervised-wiener": 40, "hyper-laplacian": 20}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("boundary", ["valid", "same"])
def test_gains_on_a_blurred_image_up_to_its_borders(name: str, boundary: str) -> None:
    kernel = streak()
    observed, sharp = observe(blocks((90, 96)), kernel, noise=0.003)
    found = restore(pipeline(name, FILTERS[name], boundary), observed, kernel).estimate.image
    assert psnr(found, sharp) > psnr(observed, sharp) + 3
    inner = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    assert psnr(found, sharp) > psnr(found[inner], sharp[inner]) - 3


@pytest.mark.parametrize("name", FILTERS)
def test_volume(name: str) -> None:
    kernel = gaussian((5, 7, 7), 1.2)
    observed, sharp = observe(blocks((24, 38, 40), seed=3), kernel, noise=0.003)
    found = restore(pipeline(name, FILTERS[name]), observed, kernel).estimate.image
    assert psnr(found, sharp) > psnr(observed, sharp) + 1.5


@pytest.mark.parametrize("name", FILTERS)
def test_channels_are_restored_each_by_itself(name: str) -> None:
    kernel = streak()
    first, second = (observe(blocks((60, 64), seed=seed), kernel, noise=0.003, seed=seed)[0] for seed in (1, 2))
    composed = pipeline(name, 10)
    both = problem_of(composed, torch.cat((first, second), 1), kernel)
    found = restore(composed, torch.cat((first, second), 1), kernel).estimate.image
    assert found.shape == (1, 2, *first.shape[2:])
    assert both.latent_shape[1] == 2
    alone = restore(composed, first, kernel).estimate.image
    assert float((found[:, :1] - first).abs().mean()) < 0.2
    assert float((found[:, 1:] - second).abs().mean()) < 0.2
    assert float((found[:, :1] - alone).abs().mean()) < 0.02, "the other channel leaves no trace"


@pytest.mark.parametrize("name", FILTERS)
def test_a_smooth_border_does_not_ring_where_a_periodic_model_does(name: str) -> None:
    kernel = gaussian((15, 15), 2.5)
    observed, sharp = observe(torch.linspace(0.1, 0.9, 78).expand(1, 1, 78, 78), kernel, noise=1e-3)
    errors = []
    for boundary in ("valid", "periodic"):
        found = restore(pipeline(name, FILTERS[name], boundary), observed, kernel).estimate.image
        errors.append(float((found - sharp)[..., :6].square().mean().sqrt()))
    assert errors[0] < 0.03
    assert errors[1] > 3 * errors[0]


@pytest.mark.parametrize("name", FILTERS)
def test_pixels_that_do_not_count_do_no_harm(name: str) -> None:
    kernel = streak()
    observed, sharp = observe(blocks((60, 64)), kernel, noise=0.003)
    valid = torch.ones_like(observed)
    valid[..., 20:22, 30:33] = 0
    broken = torch.where(valid > 0, observed, 5.0)
    whole = restore(pipeline(name, FILTERS[name]), observed, kernel).estimate.image
    masked = restore(pipeline(name, FILTERS[name]), broken, kernel, valid=valid).estimate.image
    assert psnr(masked, sharp) > psnr(whole, sharp) - 2


def test_hyper_laplacian_is_better_than_wiener_on_flat_regions() -> None:
    kernel = streak()
    observed, sharp = observe(blocks((90, 96)), kernel, noise=0.01)
    linear = restore(pipeline("wiener", 10), observed, kernel).estimate.image
    sparse = restore(pipeline("hyper-laplacian", 20), observed, kernel).estimate.image
    assert psnr(sparse, sharp) > psnr(linear, sharp) + 1.5


def test_wiener_reaches_the_solution_with_free_borders() -> None:
    """Against the normal equations as one dense matrix."""
    kernel = gaussian((3, 5), 1.0)
    observed, _ = observe(blocks((12, 14)), kernel, noise=0.01)
    valid = torch.ones_like(observed)
    valid[..., 4, 3:6] = 0
    problem = problem_of(pipeline("wiener", 80, balance=0.01), observed, kernel, valid)
    state = problem.estimator.init(problem, None)
    for step in range(80):
        problem.estimator.step(problem, state, problem.batch, Clock(step, 80))
    periodic = state.periodic
    pixels = math.prod(periodic.grid)
    units = torch.eye(pixels).view(pixels, 1, *periodic.grid)
    blur = periodic.image(periodic.spectrum(units) * periodic.otf).view(pixels, pixels).T.double()
    rough = periodic.image(periodic.spectrum(units) * roughness(periodic.grid, units.device)).view(pixels, pixels)
    known = periodic.known.flatten().double()
    matrix = blur.T @ (known[:, None] * blur) + 0.01 * rough.double()
    expected = torch.linalg.solve(matrix, blur.T @ (known * periodic.observed.flatten().double()))
    found = periodic.image(state.solution.half).flatten().double()
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


def test_wiener_is_the_known_filter_when_periodic() -> None:
    observed = torch.rand((1, 1, 24, 26), generator=torch.Generator().manual_seed(0))
    found = restore(pipeline("wiener", 1, "periodic", balance=0.05), observed, gaussian((5, 5), 1.0)).estimate.image
    kernel = torch.zeros(24, 26)
    kernel[:5, :5] = gaussian((5, 5), 1.0)[0]
    response = torch.fft.fft2(torch.roll(kernel, (-2, -2), (0, 1)))
    y, x = (2 - 2 * torch.cos(2 * torch.pi * torch.arange(n) / n) for n in (24, 26))
    filtered = response.conj() * torch.fft.fft2(observed) / (response.abs() ** 2 + 0.05 * (y[:, None] + x[None, :]))
    expected = torch.fft.ifft2(filtered).real.clamp_min(0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_wiener_takes_a_given_signal_to_noise_ratio() -> None:
    observed, _ = observe(blocks((60, 64)), streak(), noise=0.01)
    rough = [
        float(restore(pipeline("wiener", 1, snr=snr), observed, streak()).estimate.image.diff().abs().mean())
        for snr in (10.0, 25.0, 50.0)
    ]
    assert rough[0] < rough[1] < rough[2]


def test_samples_tell_how_far_they_are_from_the_truth() -> None:
    """On an image drawn from the prior itself, spread and error agree, and the noise is found."""
    grid, kernel, noise = (64, 64), gaussian((7, 7), 1.2), 0.02
    rough = roughness(grid, torch.device("cpu"))
    white = torch.fft.rfft2(torch.randn((1, 1, *grid), generator=torch.Generator().manual_seed(3)))
    weights = torch.where(rough > 0, rough.clamp_min(1e-9).rsqrt(), 0)
    sharp = 0.08 * torch.fft.irfft2(white * weights, s=grid)
    sharp = (sharp - sharp.min()) / (sharp.max() - sharp.min())
    observed, truth = observe(sharp, kernel, noise=noise)
    composed = pipeline("unsupervised-wiener", 80)
    result = restore(composed, observed, kernel)
    spread = result.estimate.spread
    assert spread is not None
    assert spread.shape == observed.shape
    error = (result.estimate.image - truth).square().mean().sqrt()
    assert float(spread.mean()) == pytest.approx(float(error), rel=0.2)
    assert result.residual * result.unit == pytest.approx(noise, rel=0.2)


def test_samples_follow_the_seed() -> None:
    observed, _ = observe(blocks((40, 42)), streak(), noise=0.01)
    composed = pipeline("unsupervised-wiener", 30)
    first, again, other = (restore(composed, observed, streak(), seed=seed).estimate.image for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", FILTERS)
def test_goes_on_from_its_saved_state(name: str) -> None:
    observed, _ = observe(blocks((30, 32)), streak(), noise=0.01)
    composed = pipeline(name, 8)
    expected = misfits(problem_of(composed, observed, streak()), 8)
    first = problem_of(composed, observed, streak())
    estimator: Estimator[object] = first.estimator
    state = estimator.init(first, None)
    for step in range(4):
        estimator.step(first, state, first.batch, Clock(step, 8))
    second = problem_of(composed, observed, streak())
    again = second.estimator.init(second, None)
    second.load_state_dict(first.state_dict())
    again.load_state_dict(state.state_dict())
    found = [float(second.estimator.step(second, again, second.batch, Clock(step, 8)).misfit) for step in range(4, 8)]
    assert found == expected[4:]


@pytest.mark.parametrize("alpha", [0.5, 2 / 3, 0.8, 1.0])
@pytest.mark.parametrize("beta", [1.0, 16.0, 256.0])
def test_auxiliary_gradients_are_the_minimum(alpha: float, beta: float) -> None:
    values = torch.linspace(-1.5, 1.5, 61)
    candidates = torch.linspace(-1.5, 1.5, 12001)

    def cost(w: torch.Tensor) -> torch.Tensor:
        return w.abs() ** alpha + beta / 2 * (w - values) ** 2

    best = cost(candidates[:, None]).amin(0)
    assert bool((cost(shrink(values, alpha, beta)) <= best + 1e-5).all())


@pytest.mark.parametrize("grid", [(8, 9), (9, 8), (4, 5, 6)])
def test_differences_and_power_on_the_half_spectrum(grid: tuple[int, ...]) -> None:
    image = torch.rand((1, 2, *grid), generator=torch.Generator().manual_seed(0))
    axes = tuple(range(2, image.ndim))
    half = torch.fft.rfftn(image, dim=axes)
    torch.testing.assert_close(power(half, grid), image.square().sum(axes))
    expected = torch.zeros(1, 2)
    for axis, factor in zip(axes, differences(grid, image.device), strict=True):
        difference = torch.roll(image, -1, axis) - image
        torch.testing.assert_close(torch.fft.irfftn(half * factor, s=grid, dim=axes), difference, atol=1e-5, rtol=1e-4)
        expected += difference.square().sum(axes)
    torch.testing.assert_close(power(half * roughness(grid, image.device).sqrt(), grid), expected)


def test_the_weight_of_the_residual_is_the_papers_at_one_percent() -> None:
    assert fidelity(0.01, 0.0, 2 / 3) == pytest.approx(2000)
    assert fidelity(0.005, 0.0, 2 / 3) == pytest.approx(4 * 2000)
    assert 1 / fidelity(0.01, 0.01, 2 / 3) == pytest.approx(2 / 2000)  # what is unexplained counts like noise


@pytest.mark.parametrize("alpha", [0.5, 2 / 3, 1.0])
def test_gradients_that_are_smoothed_away_grow_as_the_noise_does(alpha: float) -> None:
    values = torch.linspace(0, 0.2, 200_001)

    def smallest(noise: float) -> float:
        return float(values[shrink(values, alpha, fidelity(noise, 0.0, alpha)) > 0][0])

    assert smallest(0.04) == pytest.approx(2 * smallest(0.02), rel=1e-2)


def test_strong_noise_is_not_smoothed_as_by_the_most_probable_image() -> None:
    kernel, noise = streak(), 0.05
    texture = blocks((90, 96)) + 0.15 * torch.sin(torch.arange(96) * 0.5) * torch.sin(torch.arange(90) * 0.4)[:, None]
    observed, sharp = observe(texture.clamp(0, 1), kernel, noise)
    ours = restore(pipeline("hyper-laplacian", 10), observed, kernel).estimate.image
    probable = restore(pipeline("hyper-laplacian", 10, fidelity=0.2 / noise**2), observed, kernel).estimate.image
    assert psnr(ours, sharp) > psnr(probable, sharp) + 0.3
