from __future__ import annotations

import pytest
import torch

from tests.operators.scenes import scene, streak
from unblur.errors import ImageError
from unblur.operators.convolution import convolve
from unblur.operators.locate import cut, kernel_at, locate, nearest_keeping, window_similarity


def test_the_window_itself_is_found() -> None:
    latent = scene(70, 60)
    found = locate(latent, cut(latent, (23, 9), (40, 44)))
    assert found.offset == (23, 9)
    assert found.similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_blurred_and_noisy_observation_is_found(seed: int) -> None:
    """Bounded shift ambiguity: the latent image holds its window far off the centre, the kernel makes up for it."""
    window, size = (24, 5), 33
    kernel = torch.zeros(1, size, size)
    kernel[:, 3:12, 22:31] = 1 / 81
    latent = scene(96, 96, seed=seed)
    observed = convolve(latent, kernel)
    observed = observed + 0.03 * torch.randn(observed.shape, generator=torch.Generator().manual_seed(seed))
    found = locate(latent, observed)
    # the centre (7, 26) of the kernel's box sends pixel q of the latent image to q - 32 + centre
    truth = (size - 1 - 7, size - 1 - 26)
    assert max(abs(a - b) for a, b in zip(found.offset, truth, strict=True)) <= 1, (found, window)


def test_kernel_moves_with_the_window() -> None:
    kernel = torch.zeros(1, 12, 13)
    kernel[0, 2:5, 8:11] = streak(3)[0]
    latent = scene(60, 60)
    observed = convolve(latent, kernel)
    offset = (8, 3)
    moved = kernel_at(kernel, offset)
    window = cut(latent, offset, observed.shape[2:])
    assert float(moved.sum()) == pytest.approx(1)
    torch.testing.assert_close(convolve(window, moved, "same")[..., 8:-8, 8:-8], observed[..., 8:-8, 8:-8])


def test_the_window_goes_no_farther_than_the_kernel_can() -> None:
    kernel = torch.zeros(1, 11, 9)
    kernel[0, 2:5, 5:8] = torch.arange(1, 10).view(3, 3) / 45
    central = (5, 4)
    assert nearest_keeping(kernel, (7, 4)) == (7, 4)
    assert nearest_keeping(kernel, (0, 8)) == (central[0] - 2, central[1] + 1)
    faint = kernel + 1e-5
    assert nearest_keeping(faint / faint.sum(), (0, 8)) == (central[0] - 2, central[1] + 1)
    for wanted in ((0, 0), (10, 8), (0, 8)):
        moved = kernel_at(kernel, nearest_keeping(kernel, wanted))
        torch.testing.assert_close(moved[moved > 0].sort().values, kernel[kernel > 0].sort().values)
    assert nearest_keeping(torch.ones(1, 5), (4,)) == (2,)


def test_3d_and_frames_share_one_offset() -> None:
    latent = torch.cat([scene(20, 24, 22, seed=s) for s in (0, 1)])
    assert locate(latent, cut(latent, (3, 7, 2), (12, 13, 14))).offset == (3, 7, 2)
    assert locate(latent, cut(latent, (3, 7, 2), (6, 13, 14))).offset == (3, 7, 2)


def test_window_similarity_is_the_definition() -> None:
    latent, observed = scene(20, 21).double(), scene(9, 8, seed=4).double()
    scores = window_similarity(latent, observed)
    window = cut(latent, (4, 6), (9, 8))
    mean_a, mean_b = window.mean(), observed.mean()
    covariance = ((window - mean_a) * (observed - mean_b)).mean()
    spread = ((window - mean_a) ** 2).mean() + ((observed - mean_b) ** 2).mean()
    expected = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    expected = expected / ((mean_a**2 + mean_b**2 + 1e-4) * (spread + 9e-4))
    assert scores.shape == (12, 14)
    assert float(scores[4, 6]) == pytest.approx(float(expected), abs=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ImageError, match="smaller"):
        locate(torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 21, 12))
    with pytest.raises(ImageError, match="channels"):
        locate(torch.zeros(1, 1, 20, 20), torch.zeros(1, 3, 12, 12))
    with pytest.raises(ImageError, match="inside"):
        cut(torch.zeros(1, 1, 20, 20), (5, 5), (16, 10))
    with pytest.raises(ImageError, match="whole kernel"):
        kernel_at(torch.ones(1, 3, 3), (9, 9))
