from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as move

from unblur.errors import ImageError
from unblur.metrics import (
    align,
    aligned_psnr,
    aligned_ssim,
    kernel_concentration,
    kernel_similarity,
    psnr,
    scaled_psnr,
    ssim,
)


def image(*shape: int, seed: int = 0) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    return (smooth - smooth.min()) / np.ptp(smooth)


@pytest.mark.parametrize("offset", [(0, 0), (3, -4), (-5, 5)])
def test_whole_shifts_are_undone(offset: tuple[int, int]) -> None:
    truth = image(60, 64)
    pair = align(np.roll(truth, offset, (0, 1)), truth)
    assert pair.shift == offset
    assert pair.estimate.shape == (30, 34)
    np.testing.assert_allclose(pair.estimate, pair.truth)
    assert aligned_psnr(np.roll(truth, offset, (0, 1)), truth, fractions=False) == math.inf


def test_quarters_of_a_pixel_are_found() -> None:
    truth = image(60, 64)
    moved = move(truth, (1.25, -2.5), order=3)
    assert align(moved, truth).shift == (1.25, -2.5)
    assert aligned_psnr(moved, truth) > 35 > aligned_psnr(moved, truth, fractions=False)


def test_search_is_the_brute_force_one() -> None:
    truth = image(44, 45)
    estimate = np.roll(truth, (2, -1), (0, 1)) + 0.05 * np.random.default_rng(1).standard_normal(truth.shape)
    inner = truth[15:-15, 15:-15]
    errors = [
        np.mean((np.roll(estimate, (-a, -b), (0, 1))[15:-15, 15:-15] - inner) ** 2)
        for a in range(-5, 6)
        for b in range(-5, 6)
    ]
    assert aligned_psnr(estimate, truth, fractions=False) == pytest.approx(-10 * np.log10(min(errors)), abs=1e-9)
    fine = align(estimate, truth)
    moved = move(estimate, [-s for s in fine.shift], order=1)[15:-15, 15:-15]
    np.testing.assert_allclose(fine.estimate, moved, atol=1e-12)
    assert fine.psnr() >= aligned_psnr(estimate, truth, fractions=False)


def test_options() -> None:
    truth = image(60, 64)
    moved = np.roll(truth, (7, 0), (0, 1))
    assert aligned_psnr(moved, truth) < 30
    assert aligned_psnr(moved, truth, shift=8) == math.inf
    noisy = truth + 0.1
    assert aligned_psnr(noisy, truth, shift=0, border=1, fractions=False) == pytest.approx(20)
    assert aligned_psnr(255 * noisy, 255 * truth, shift=0, border=1, peak=255, fractions=False) == pytest.approx(20)


def test_colour_and_volumes() -> None:
    colour = np.stack([image(50, 50, seed=s) for s in range(3)], axis=-1)
    assert align(np.roll(colour, (2, 1), (0, 1)), colour, channel_axis=-1).shift == (2, 1)
    assert align(colour, colour, channel_axis=-1).estimate.shape == (20, 20, 3)
    volume = image(20, 24, 26)
    assert align(np.roll(volume, (1, -2, 2), (0, 1, 2)), volume, shift=2, border=4).shift == (1, -2, 2)


def test_structural_similarity() -> None:
    truth = image(60, 64)
    assert aligned_ssim(np.roll(truth, (3, 2), (0, 1)), truth) == pytest.approx(1)
    assert ssim(truth, truth) == pytest.approx(1)
    assert ssim(truth + 0.3 * image(60, 64, seed=3), truth) < 0.95


def test_scale_is_ignored_where_asked() -> None:
    truth = image(30, 30)
    noisy = truth + 0.01 * np.random.default_rng(0).standard_normal(truth.shape)
    assert scaled_psnr(3 * noisy, truth) == pytest.approx(scaled_psnr(noisy, truth))
    assert scaled_psnr(noisy, truth, border=3) > 39
    assert psnr(3 * noisy, truth) < 10
    assert psnr(truth, truth) == math.inf


def test_kernels_are_compared_up_to_shift_scale_and_support() -> None:
    kernel = np.zeros((15, 15))
    kernel[4:7, 5] = 1
    kernel[6, 5:10] = 1
    larger = np.zeros((24, 21))
    larger[9:24, 6:21] = 7 * kernel
    assert kernel_similarity(kernel, larger) == pytest.approx(1)
    line = np.zeros((9, 9))
    line[4, 1:8] = 1
    assert kernel_similarity(line, line.T) == pytest.approx(1 / 7)


def test_concentration() -> None:
    delta = np.zeros((9, 9))
    delta[0, 3] = 2
    assert kernel_concentration(delta) == 1
    assert kernel_concentration(np.ones((9, 9))) == pytest.approx(4 / 81)


def test_bad_input_is_refused() -> None:
    good = np.ones((40, 40))
    for call in (
        lambda: aligned_psnr(good, np.ones((40, 41))),
        lambda: aligned_psnr(good * np.nan, good),
        lambda: aligned_psnr(good, good, border=5),
        lambda: aligned_psnr(good[:30], good[:30]),
        lambda: psnr(good, good, border=20),
        lambda: ssim(good[:10], good[:10]),
        lambda: kernel_similarity(good, 0 * good),
        lambda: kernel_concentration(0 * good),
    ):
        with pytest.raises(ImageError):
            call()


def test_a_border_is_cut_from_space_and_not_from_colours() -> None:
    truth = np.random.default_rng(0).random((20, 24, 3))
    wrong = truth.copy()
    wrong[..., 0] = 1 - wrong[..., 0]
    for measure in (psnr, scaled_psnr):
        assert measure(wrong, truth, border=2, channel_axis=-1) < 20
