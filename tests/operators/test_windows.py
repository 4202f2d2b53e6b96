from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from skimage.metrics import structural_similarity

from unblur.errors import ImageError
from unblur.operators.convolution import convolve
from unblur.operators.windows import box_mean, gaussian_taps, local_ssim, ssim, window_mean


def noisy_pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    a = torch.rand(shape, generator=rng, dtype=dtype)
    return a, (a + 0.2 * torch.randn(shape, generator=rng, dtype=dtype)).clamp(0, 1)


@pytest.mark.parametrize("shape", [(1, 1, 40, 33), (2, 3, 25, 30), (1, 1, 14, 18, 21)])
def test_ssim_is_scikit_images(shape: tuple[int, ...]) -> None:
    a, b = noisy_pair(shape)
    maps = local_ssim(a, b)
    values = []
    for f in range(shape[0]):
        for c in range(shape[1]):
            value, reference = structural_similarity(
                a[f, c].numpy().astype(float), b[f, c].numpy().astype(float), data_range=1.0, gaussian_weights=True,
                sigma=1.5, use_sample_covariance=False, full=True,
            )  # fmt: skip
            inner = (slice(5, -5),) * (len(shape) - 2)
            np.testing.assert_allclose(maps[f, c].numpy(), reference[inner], atol=1e-5)
            values.append(value)
    assert abs(float(ssim(a, b)) - np.mean(values)) < 1e-5


@pytest.mark.parametrize("shape", [(1, 2, 13, 12), (1, 1, 11, 12, 11)])
def test_ssim_gradient(shape: tuple[int, ...]) -> None:
    a, b = noisy_pair(shape, torch.float64)
    a.requires_grad_()
    b.requires_grad_()
    assert torch.autograd.gradcheck(local_ssim, (a, b))
    assert torch.autograd.gradcheck(lambda x: ssim(x, b.detach(), 0.5), (a,))


def test_ssim_of_equal_images_is_one_and_a_maximum() -> None:
    a, _ = noisy_pair((1, 1, 30, 30), torch.float64)
    b = a.clone().requires_grad_()
    value = ssim(a, b)
    (gradient,) = torch.autograd.grad(value, b)
    assert abs(float(value.detach()) - 1) < 1e-12
    assert float(gradient.abs().max()) < 1e-9


def test_ssim_under_autocast_is_float32() -> None:
    a, b = noisy_pair((1, 1, 30, 30))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(local_ssim(a, b), local_ssim(a, b.double().float()))
        assert local_ssim(a, b).dtype == torch.float32


@pytest.mark.parametrize("shapes", [((1, 1, 10, 30), (1, 1, 10, 30)), ((1, 1, 30, 30), (1, 1, 30, 31))])
def test_ssim_refuses(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ImageError):
        ssim(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


@pytest.mark.parametrize("taps", [gaussian_taps(11, 1.5), gaussian_taps(4, 1.0), (0.2, 0.5, 0.3), (0.1, 0.9)])
def test_window_mean_is_a_correlation(taps: tuple[float, ...]) -> None:
    a, _ = noisy_pair((1, 2, 15, 17), torch.float64)
    weights = torch.tensor(taps[::-1], dtype=torch.float64)
    torch.testing.assert_close(window_mean(a, taps), convolve(a, (weights[:, None] * weights)[None], "valid"))
    small = a[..., :12, :12].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: window_mean(x, taps), (small,))


@given(st.integers(1, 9), st.integers(1, 8))
@settings(max_examples=15, deadline=None)
def test_box_mean(height: int, width: int) -> None:
    a, _ = noisy_pair((1, 1, 12, 11))
    expected = uniform_filter(a[0, 0].numpy(), (height, width))
    expected = expected[height // 2 : height // 2 + 13 - height, width // 2 : width // 2 + 12 - width]
    np.testing.assert_allclose(box_mean(a, (height, width))[0, 0].numpy(), expected, atol=1e-6)


def test_box_mean_can_be_differentiated() -> None:
    a, _ = noisy_pair((1, 1, 4, 5, 6), torch.float64)
    assert torch.autograd.gradcheck(lambda x: box_mean(x, (2, 3, 4)), (a.requires_grad_(),))


def test_the_clean_image_is_the_most_similar_one_behind_noise() -> None:
    rng = torch.Generator().manual_seed(3)
    axis = torch.linspace(0, 1, 96, dtype=torch.float64)
    clean = (0.5 + 0.3 * torch.sin(7 * axis)[:, None] * torch.cos(5 * axis)[None, :])[None, None]
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=rng, dtype=torch.float64)
    contrasts = [0.5, 1.0, 2.0]
    around = [0.5 + contrast * (clean - 0.5) for contrast in contrasts]
    assert max(contrasts, key=lambda c: float(ssim(around[contrasts.index(c)], noisy, noise=0.05))) == 1.0
    assert float(ssim(clean, noisy, noise=0.05)) > 0.9 > 2 * float(ssim(clean, noisy))
