from __future__ import annotations

import math

import pytest
import torch

from tests.operators.scenes import scene
from unblur.errors import ImageError
from unblur.operators.noise import NoiseMethod, camera_estimate, noise_std, without_outliers
from unblur.operators.windows import gaussian_taps, window_mean


def soft_scene(*shape: int) -> torch.Tensor:
    return window_mean(scene(*(n + 8 for n in shape)), gaussian_taps(9, 1.5))


@pytest.mark.parametrize("method", ["patches", "laplacian"])
@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("shape", [(160, 150), (24, 40, 36)])
def test_white_noise_is_measured(shape: tuple[int, ...], sigma: float, method: NoiseMethod) -> None:
    clean = soft_scene(*shape)
    noisy = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    assert float(noise_std(noisy, method)) == pytest.approx(sigma, rel=0.12)


@pytest.mark.parametrize("method", ["patches", "laplacian"])
@pytest.mark.parametrize("depth", [2, 7])
def test_the_noise_of_a_thin_stack_is_that_of_its_planes(depth: int, method: NoiseMethod) -> None:
    sigma = torch.tensor([[0.05, 0.1]])
    clean = soft_scene(160, 150)[:, :, None].expand(1, 2, depth, 160, 150)
    noisy = clean + sigma[..., None, None, None] * torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(noise_std(noisy, method), sigma, rtol=0.12, atol=0)
    valid = torch.ones_like(noisy)
    valid[:, 0, 0] = 0
    torch.testing.assert_close(noise_std(noisy, method, valid)[0, 1], sigma[0, 1], rtol=0.12, atol=0)


def test_a_thin_stack_tells_its_camera() -> None:
    electrons = 20 + 400 * soft_scene(256, 256)[:, :, None].expand(1, 1, 3, 256, 256)
    image = 2 * torch.poisson(electrons, generator=torch.Generator().manual_seed(5)) + 20
    assert camera_estimate(image).gain == pytest.approx(2, rel=0.15)


def test_frames_and_channels_are_apart() -> None:
    sigma = torch.tensor([[0.02, 0.1], [0.3, 0.05]])
    noisy = 0.5 + sigma[..., None, None] * torch.randn(2, 2, 90, 90, generator=torch.Generator().manual_seed(3))
    for method in ("patches", "laplacian"):
        torch.testing.assert_close(noise_std(noisy, method), sigma, rtol=0.08, atol=0)  # type: ignore[arg-type]


def test_no_noise_no_standard_deviation() -> None:
    assert float(noise_std(torch.full((1, 1, 40, 40), 0.7))) == 0
    assert float(noise_std(soft_scene(120, 120))) < 0.003


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 100.0), (2.0, 20.0)])
def test_gain_and_offset_of_a_camera(gain: float, offset: float) -> None:
    electrons = 20 + 400 * soft_scene(256, 256)
    counts = torch.poisson(electrons, generator=torch.Generator().manual_seed(5))
    found = camera_estimate(gain * counts + offset)
    assert found.gain == pytest.approx(gain, rel=0.15)
    assert found.offset == pytest.approx(offset, abs=gain * 40)
    assert found.confidence > 0.8


@pytest.mark.parametrize("method", ["patches", "laplacian"])
def test_what_is_filled_in_does_not_count_as_an_image_without_noise(method: NoiseMethod) -> None:
    noisy = 0.5 + 0.05 * torch.randn(1, 2, 90, 90, generator=torch.Generator().manual_seed(3))
    valid = torch.ones(1, 2, 90, 90)
    valid[:, 0, :, :50] = 0
    holed = torch.where(valid > 0, noisy, torch.tensor(0.5))
    assert float(noise_std(holed, method)[0, 0]) < 0.042
    torch.testing.assert_close(noise_std(holed, method, valid), torch.full((1, 2), 0.05), rtol=0.1, atol=0)
    nothing = noise_std(holed, method, torch.zeros_like(valid))
    assert bool(torch.isfinite(nothing).all())


def test_a_camera_with_one_value_known_and_with_unknown_pixels() -> None:
    electrons = 20 + 400 * soft_scene(256, 256)
    image = 2 * torch.poisson(electrons, generator=torch.Generator().manual_seed(5)) + 20
    valid = torch.ones_like(image)
    valid[..., 60:200, 40:180] = 0
    found = camera_estimate(torch.where(valid > 0, image, image.mean()), valid=valid)
    assert found.gain == pytest.approx(2, rel=0.15)
    assert found.offset_for(2.0) == pytest.approx(20, abs=40)
    assert found.gain_for(20.0) == pytest.approx(2, rel=0.1)
    assert found.gain_for(-1e9) < 1e-3
    assert found.gain_for(1e9) == found.gain
    assert found.offset_for(found.gain) == pytest.approx(found.offset, rel=1e-6)
    assert math.isnan(camera_estimate(image, valid=torch.zeros_like(image)).gain)


def test_no_camera_in_noise_that_is_the_same_everywhere_or_absent() -> None:
    clean = soft_scene(160, 160)
    noise = 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    assert camera_estimate(clean + noise).confidence < 0.5
    flat = camera_estimate(torch.full((1, 1, 64, 64), 3.0))
    assert flat.confidence == 0
    assert math.isnan(flat.gain)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ImageError, match="at least 16"):
        noise_std(torch.zeros(1, 1, 15, 40))
    with pytest.raises(ImageError, match="choose one of"):
        noise_std(torch.zeros(1, 1, 40, 40), "wavelet")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="expected"):
        camera_estimate(torch.zeros(40, 40))


@pytest.mark.parametrize("shape", [(48, 40), (12, 14, 16)])
def test_outliers_are_found_and_nothing_else(shape: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(5)
    axes = torch.meshgrid(*[torch.linspace(0, 3, size) for size in shape], indexing="ij")
    smooth = 0.5 + 0.2 * torch.stack([torch.sin(axis) for axis in axes]).sum(0)[None, None] / len(shape)
    noisy = smooth + 0.01 * torch.randn(smooth.shape, generator=rng)
    hit = torch.rand(smooth.shape, generator=rng) < 0.02
    cleaned, kept = without_outliers(torch.where(hit, torch.ones(()), noisy))
    assert bool((kept[hit] == 0).all())
    assert float(kept[~hit].mean()) > 0.99
    assert float((cleaned - smooth)[hit].abs().max()) < 0.1
    assert torch.equal(cleaned[kept == 1], noisy[kept == 1])
