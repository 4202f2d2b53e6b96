from __future__ import annotations

import pytest
import torch

from tests.classical.parts import batch, context, number, part, problem, rand
from unblur.components import Estimate
from unblur.errors import ImageError


def test_gamma_brightens_and_has_a_finite_slope_at_zero() -> None:
    response = part("forward_model", "gamma", gamma=2.0)
    light = torch.tensor([-0.1, 0.0, 1e-4, 0.25, 1.0], requires_grad=True)
    shown = response(light)
    torch.testing.assert_close(shown[[1, 3, 4]], torch.tensor([0.0, 0.5, 1.0]))
    (slope,) = torch.autograd.grad(shown.sum(), light)
    assert bool((slope > 0).all())
    assert bool(torch.isfinite(slope).all())


def test_with_gamma_the_result_looks_like_the_input() -> None:
    observed = 200 * rand(1, 1, 12, 12) + 20
    terms = [("convolution", {"kernel_size": [3]}), ("gamma", {"gamma": 2.2}), "squared"]
    whole = problem(observed, forward_model=terms)
    light = (observed / observed.max()) ** 2.2
    padded = torch.nn.functional.pad(light, (1, 1, 1, 1))
    delta = torch.zeros(1, 3, 3)
    delta[0, 1, 1] = 1
    torch.testing.assert_close(whole.predict(padded, delta), whole.batch.observed, rtol=1e-4, atol=1e-5)
    step = 1e-3
    finished = whole.finish(Estimate(padded, delta, spread=torch.full_like(padded, step)), (12, 12))
    torch.testing.assert_close(finished.image, observed, rtol=1e-4, atol=1e-3)
    other = whole.finish(Estimate(padded + step, delta), (12, 12))
    torch.testing.assert_close(finished.spread, other.image - observed, rtol=0.05, atol=1e-3)


def test_the_spread_behind_gamma_is_the_slope_of_the_curve_in_the_dark_too() -> None:
    response = part("forward_model", "gamma", gamma=2.2)
    light = torch.tensor([-0.01, 0.0, 1e-4, 9e-4, 2e-3, 0.5], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(response(light).sum(), light)
    torch.testing.assert_close(response.spread(torch.ones_like(light), light.detach()), slope)


def test_saturation_leaves_the_dark_alone_and_is_full_at_the_level() -> None:
    response = part("forward_model", "saturation", level=0.8)
    light = torch.linspace(0, 3, 50)
    measured = response(light)
    torch.testing.assert_close(measured[light < 0.5], light[light < 0.5], atol=1e-6, rtol=1e-5)
    assert number(measured.max()) == pytest.approx(0.8, abs=1e-4)
    assert bool((measured.diff() >= -1e-6).all())


def test_behind_saturation_the_latent_image_may_be_brighter() -> None:
    noted = context(bounded=True)
    part("forward_model", "saturation").init(batch(rand(1, 1, 4, 4)), noted)
    assert not noted.bounded
    assert noted.notes == []
    science = context(bounded=False)
    part("forward_model", "saturation").init(batch(rand(1, 1, 4, 4)), science)
    assert "no white level" in science.notes[0]


def test_a_given_camera_is_undone_and_done_again() -> None:
    response = part("forward_model", "camera", gain=2.5, offset=100.0)
    photons = 300 * rand(1, 1, 8, 8)
    counts = 2.5 * photons + 100
    noted = context()
    torch.testing.assert_close(response.calibrate(counts, noted), photons, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(response.restore(photons), counts)
    torch.testing.assert_close(response.spread(torch.ones(3), photons), torch.full((3,), 2.5))
    assert noted.notes == []


@pytest.mark.parametrize(("offset", "warned"), [(100.0, False), (102.0, True)])
def test_an_offset_with_most_of_the_image_below_it_is_a_warning(offset: float, warned: bool) -> None:
    dark = 100 + torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    said = context()
    part("forward_model", "camera", gain=1.0, offset=offset).calibrate(dark, said)
    assert any(f"below the offset of {offset:g}" in text for text in said.warnings) == warned


def test_behind_a_camera_zero_is_darkness_and_what_lies_below_is_noise() -> None:
    rng = torch.Generator().manual_seed(0)
    photons = torch.zeros(1, 1, 32, 32)
    photons[..., 10:20, 10:20] = 80.0
    counts = 100 + 2 * (torch.poisson(photons, rng) + 3 * torch.randn(photons.shape, generator=rng))
    terms = [("convolution", {"kernel_size": [3]}), ("camera", {"gain": 2.0, "offset": 100.0}), "poisson"]
    whole = problem(counts, forward_model=terms)
    assert whole.intensity.offset == 0
    assert whole.context.photons == pytest.approx(float(counts.max() - 100) / 2)
    assert float(whole.batch.observed.min()) < 0
    assert any("as noise" in note for note in whole.context.notes)
    assert whole.intensity.scaled(50.0, whole.context, whole.batch.observed) == pytest.approx(
        25 / whole.context.photons
    )


def test_an_unknown_camera_is_estimated_from_its_noise_and_noted() -> None:
    rng = torch.Generator().manual_seed(0)
    ramp = torch.linspace(20, 400, 256).expand(1, 1, 256, 256).contiguous()
    counts = 4 * torch.poisson(ramp, rng) + 50
    response, noted = part("forward_model", "camera"), context()
    response.calibrate(counts, noted)
    assert response.restore(torch.tensor(1.0)) - response.restore(torch.tensor(0.0)) == pytest.approx(4, rel=0.1)
    assert "gain" in noted.notes[0]
    assert response.calibrate(counts[..., :20, :20], noted).mean() == pytest.approx(
        number(ramp[..., :20].mean()), rel=0.3
    )
    assert len(noted.notes) == 1


def test_a_camera_that_cannot_be_estimated_is_asked_for() -> None:
    with pytest.raises(ImageError, match=r"set forward_model\.camera\.gain"):
        part("forward_model", "camera").calibrate(torch.ones(1, 1, 64, 64), context())


def test_gamma_has_a_zero_of_its_own_so_that_ringing_below_it_is_noise() -> None:
    """An offset between the two would be stretched by the curve's slope in the dark."""
    observed = 200 * rand(1, 1, 12, 12) + 20
    observed[..., 3, 4] = -2
    whole = problem(
        observed, forward_model=[("convolution", {"kernel_size": [3]}), ("gamma", {"gamma": 2.2}), "squared"]
    )
    light = torch.nn.functional.pad((observed.clamp_min(0) / observed.max()) ** 2.2, (1, 1, 1, 1))
    delta = torch.zeros(1, 3, 3)
    delta[0, 1, 1] = 1
    finished = whole.finish(Estimate(light, delta), (12, 12))
    torch.testing.assert_close(finished.image, observed.clamp_min(0), rtol=1e-4, atol=1e-3)
