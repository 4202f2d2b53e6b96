from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.classical.parts import batch, context, number, part, problem, rand
from unblur.components import Batch, Clock, Draw
from unblur.operators.windows import gaussian_taps

MISFITS = ["squared", "huber", "poisson", "ssim"]


def misfit(name: str, observed: Tensor, **params: Any) -> Any:
    built = part("forward_model", name, **params)
    built.init(batch(observed), context(photons=100.0))
    return built


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("shape", [(2, 3, 16, 17), (1, 1, 12, 13, 14)])
def test_misfits_are_smallest_for_a_perfect_prediction(name: str, shape: tuple[int, ...]) -> None:
    observed = 0.05 + 0.9 * rand(*shape)
    term = misfit(name, observed)
    predicted = observed.clone().requires_grad_()
    value = term(predicted, observed, None)
    (slope,) = torch.autograd.grad(value, predicted)
    assert abs(number(value.detach())) < 1e-5
    assert number(slope.abs().max()) < 1e-5
    assert number(term(observed * 0.9 + 0.02, observed, None)) > 1e-4


@pytest.mark.parametrize("name", MISFITS)
def test_pixels_of_weight_zero_count_for_nothing(name: str) -> None:
    observed = rand(1, 2, 20, 20)
    predicted = (observed + 0.1 * rand(1, 2, 20, 20, seed=3)).requires_grad_()
    weight = (rand(1, 2, 20, 20, seed=4) > 0.5).float()
    term = misfit(name, observed)
    value = term(predicted, observed, weight)
    (slope,) = torch.autograd.grad(value, predicted)
    assert number(slope[weight == 0].abs().max()) == 0
    assert number(slope[weight == 1].abs().min()) > 0
    spoilt = torch.where(weight > 0, predicted, torch.tensor(7.0))
    torch.testing.assert_close(term(spoilt, observed, weight), value)
    torch.testing.assert_close(term(predicted, observed, torch.ones_like(weight)), term(predicted, observed, None))
    assert number(term(predicted, observed, torch.zeros_like(weight))) == 0


def test_known_values() -> None:
    observed = torch.zeros(1, 1, 1, 2)
    predicted = torch.tensor([[[[0.02, 0.3]]]])
    assert number(misfit("squared", observed)(predicted, observed, None)) == pytest.approx((0.02**2 + 0.3**2) / 2)
    expected = (0.02**2 / 2 + 0.05 * (0.3 - 0.025)) / 2
    assert number(misfit("huber", observed)(predicted, observed, None)) == pytest.approx(expected)
    some = torch.tensor([[[[0.1, 0.4]]]])
    deviance = [2 * (30 - n + n * math.log(n / 30)) for n in (10, 40)]
    value = misfit("poisson", some)(torch.full_like(some, 0.3), some, None)
    assert number(value) == pytest.approx(sum(deviance) / 2, rel=1e-5)


@pytest.mark.parametrize("read_noise", [0.0, 4.0])
def test_the_poisson_misfit_is_about_one_on_the_truth(read_noise: float) -> None:
    light = 40 + 100 * rand(1, 1, 100, 100)
    rng = torch.Generator().manual_seed(5)
    counts = torch.poisson(light, rng) + read_noise * torch.randn(light.shape, generator=rng)
    term = misfit("poisson", counts, photons=140.0, read_noise=read_noise)
    assert number(term(light / 140, counts / 140, None)) == pytest.approx(1, abs=0.05)


def test_the_poisson_misfit_stays_finite_and_pushes_dark_predictions_up() -> None:
    observed = torch.tensor([[[[0.5, 0.5, 0.5, 0.0]]]])
    predicted = torch.tensor([[[[-3.0, 0.0, 1e-9, -3.0]]]], requires_grad=True)
    value = misfit("poisson", observed)(predicted, observed, None)
    (slope,) = torch.autograd.grad(value, predicted)
    assert bool(torch.isfinite(value))
    assert bool((slope[..., :3] < 0).all())
    assert number(slope[..., 3]) >= 0
    exact = predicted.detach().double().requires_grad_()
    small = observed.double()
    assert torch.autograd.gradcheck(lambda p: misfit("poisson", small)(p, small, None), (exact,))


def test_read_noise_in_the_dark_is_no_light() -> None:
    rng = torch.Generator().manual_seed(1)
    dark = 5 * torch.randn((1, 1, 100, 100), generator=rng)
    term = misfit("poisson", dark, photons=1.0, read_noise=5.0)
    levels = torch.linspace(-2, 4, 121)
    values = torch.stack([term(torch.full_like(dark, float(level)), dark, None) for level in levels])
    assert number(levels[values.argmin()]) == pytest.approx(0, abs=0.25)


@pytest.mark.parametrize("counts", [1.0, 3.0, 50.0])
def test_the_poisson_misfit_is_least_for_the_photons_that_were_counted(counts: float) -> None:
    """Also for few of them beside a bright peak."""
    observed = torch.full((1, 1, 1, 1), counts / 1e4, dtype=torch.float64)
    term = misfit("poisson", observed, photons=1e4)
    expected = torch.linspace(0.1, 60, 600, dtype=torch.float64)
    values = torch.stack([term((light / 1e4).view(1, 1, 1, 1), observed, None) for light in expected])
    assert number(expected[values.argmin()]) == pytest.approx(counts, abs=0.11)


@pytest.mark.parametrize("counts", [0.0, 0.5, 30.0])
def test_the_poisson_misfit_is_convex_through_zero(counts: float) -> None:
    observed = torch.full((1, 1, 1, 1), counts / 100, dtype=torch.float64)
    term = misfit("poisson", observed)
    predicted = torch.linspace(-0.005, 0.005, 101, dtype=torch.float64)
    values = torch.stack([term(p.view(1, 1, 1, 1), observed, None) for p in predicted])
    assert number(values.diff().diff().min()) > -1e-9


def test_poisson_says_what_it_takes_for_photons() -> None:
    noted = context(photons=1234.0)
    part("forward_model", "poisson").init(batch(rand(1, 1, 4, 4)), noted)
    assert "1234 at the peak" in noted.notes[0]
    silent = context(photons=1234.0)
    part("forward_model", "poisson", photons=50.0).init(batch(rand(1, 1, 4, 4)), silent)
    assert silent.notes == []


def test_ssim_of_a_narrow_image_has_windows_that_it_holds() -> None:
    """With 7x7 pixels there is one window: the definition, with the Gaussian's weights of 7 pixels."""
    observed, predicted = rand(1, 1, 7, 7), rand(1, 1, 7, 7, seed=1)
    term = misfit("ssim", observed)
    assert term.window == 7
    assert misfit("ssim", rand(1, 1, 10, 30)).window == 9
    taps = torch.tensor(gaussian_taps(7, 1.5))
    weights = taps[:, None] * taps
    means = [(weights * image).sum() for image in (predicted, observed)]
    apart = [image - mean for image, mean in zip((predicted, observed), means, strict=True)]
    variances = [(weights * part * part).sum() for part in apart]
    covariance = (weights * apart[0] * apart[1]).sum()
    luminance = (2 * means[0] * means[1] + 1e-4) / (means[0] ** 2 + means[1] ** 2 + 1e-4)
    structure = (2 * covariance + 9e-4) / (sum(variances) + 9e-4)
    assert number(term(predicted, observed, None)) == pytest.approx(1 - number(luminance * structure), abs=1e-5)
    assert number(term(observed, observed, torch.ones_like(observed))) == pytest.approx(0, abs=1e-6)


def test_a_schedule_switches_from_one_misfit_to_another() -> None:
    terms = [
        ("convolution", {"kernel_size": [3]}),
        ("squared", {"weight": [[0, 2.0], [0.5, 0.0]]}),
        ("huber", {"weight": [[0, 0.0], [0.5, 3.0]]}),
    ]
    whole = problem(rand(1, 1, 12, 12), forward_model=terms)
    latent = rand(*whole.latent_shape, seed=8)
    kernels = whole.kernel(latent, Clock(0, 10), None)
    predicted = whole.predict(latent, kernels)
    squared, huber = (term(predicted, whole.batch.observed, None) for term in whole.misfits)
    first = whole.misfit(Draw(latent), kernels, whole.batch, Clock(4, 10))
    second = whole.misfit(Draw(latent), kernels, whole.batch, Clock(5, 10))
    torch.testing.assert_close(first, 2 * squared)
    torch.testing.assert_close(second, 3 * huber)


def test_robust_ssim_prefers_the_clean_image_behind_noise_and_impulses() -> None:
    axes = torch.meshgrid(torch.linspace(0, 9, 96), torch.linspace(0, 7, 96), indexing="ij")
    clean = (0.5 + 0.3 * torch.sin(axes[0]) * torch.cos(axes[1]))[None, None]
    rng = torch.Generator().manual_seed(1)
    hit = torch.rand(clean.shape, generator=rng) < 0.05
    observed = torch.where(hit, torch.ones(()), clean + 0.05 * torch.randn(clean.shape, generator=rng))
    robust, plain = misfit("ssim", observed, robust=True), misfit("ssim", observed)
    assert 0.03 < robust.noise < 0.08
    for other in (0.5 + 0.6 * (clean - 0.5), 0.5 + 1.5 * (clean - 0.5)):
        assert number(robust(clean, observed, None)) < number(robust(other, observed, None))
    assert number(robust(clean, observed, None)) < 0.1 < number(plain(clean, observed, None))


def test_robust_ssim_takes_small_images_without_an_estimate() -> None:
    assert misfit("ssim", rand(1, 1, 14, 13), robust=True).noise == 0


def test_robust_ssim_tells_outliers_and_noise_by_the_pixels_that_count() -> None:
    """Three of four are missing, as in a mosaic, and hold some value."""
    observed, valid = rand(1, 1, 48, 48), torch.zeros(1, 1, 48, 48)
    valid[..., ::2, ::2] = 1
    observed = torch.where(valid > 0, 0.2 + 0.6 * (torch.arange(48) > 24) + 0.001 * observed, 0.5)
    robust = part("forward_model", "ssim", robust=True)
    told = context()
    robust.init(Batch(observed, (0,), valid), told)
    assert float(robust.kept[valid > 0].mean()) > 0.9
    assert robust.noise < 0.01
    [said] = told.notes
    assert "outliers left out" in said


def test_robust_ssim_takes_a_window_of_a_series() -> None:
    series = rand(4, 1, 40, 40)
    robust = part("forward_model", "ssim", robust=True)
    robust.init(Batch(series, (0, 1, 2, 3), None), context())
    window = series[1:2, :, 4:28, 5:29]
    assert number(robust(window, window, None)) == pytest.approx(0, abs=1e-5)
