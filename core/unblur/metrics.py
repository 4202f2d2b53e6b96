"""How far an estimate is from the truth, up to what blind deblurring cannot know: a shift, or a scale.

The protocol of Levin's benchmark: search the shift with the least squared error, whole pixels first and then quarters
of a pixel (bilinear), cut a border, and take the PSNR with peak 1. Arrays are NumPy, numbers plain floats.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from skimage.metrics import structural_similarity

from unblur.errors import ImageError

Array = npt.NDArray[Any]
QUARTERS = (-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Aligned:
    """The estimate at the best shift and the truth, both without the border, in float64.

    ``shift`` is where the truth's pixel 0 lies in the estimate, in pixels along each spatial axis.
    """

    estimate: Array
    truth: Array
    shift: tuple[float, ...]

    def psnr(self, peak: float = 1.0) -> float:
        return _decibels(float(np.mean((self.estimate - self.truth) ** 2)), peak)


def align(
    estimate: Array,
    truth: Array,
    shift: int = 5,
    border: int = 15,
    fractions: bool = True,
    channel_axis: int | None = None,
) -> Aligned:
    """Find the shift of ``estimate`` with the least squared error from ``truth``.

    Args:
        estimate, truth: one shape, 2-D or 3-D (beside the channel axis).
        shift: whole pixels searched in both directions along each axis.
        border: pixels cut from every side after alignment; at least ``shift`` (one more with ``fractions``).
        fractions: refine by quarters of a pixel, with linear interpolation.
        channel_axis: an axis of channels, which are not shifted against each other.

    Raises:
        ImageError: shapes differ, values are not finite, or the border leaves nothing or less than the shift needs.
    """
    estimate, truth = _pair(estimate, truth, channel_axis)
    margin = shift + (1 if fractions else 0)
    spatial = truth.shape[1:]
    if shift < 0 or border < margin or min(spatial) <= 2 * border:
        raise ImageError(
            f"images of {spatial} pixels, border {border}, shift {shift}: "
            f"expected more than {2 * border} pixels along each axis and a border of at least {margin}"
        )
    reference = _inner(truth, border)
    whole = _whole_shift(_inner(estimate, border - shift), reference)
    offset = tuple(float(s) for s in whole)
    best = _window(estimate, border, whole)
    if fractions:
        fraction = _fraction(estimate, reference, border, whole)
        best = _interpolated(estimate, border, whole, fraction)
        offset = tuple(s + f for s, f in zip(whole, fraction, strict=True))
    if channel_axis is None:
        return Aligned(best[0], reference[0], offset)
    return Aligned(np.moveaxis(best, 0, channel_axis), np.moveaxis(reference, 0, channel_axis), offset)


def aligned_psnr(
    estimate: Array,
    truth: Array,
    shift: int = 5,
    border: int = 15,
    peak: float = 1.0,
    fractions: bool = True,
    channel_axis: int | None = None,
) -> float:
    """PSNR in dB at the best shift, by the protocol of this module; arguments as in :func:`align`."""
    return align(estimate, truth, shift, border, fractions, channel_axis).psnr(peak)


def aligned_ssim(
    estimate: Array,
    truth: Array,
    shift: int = 5,
    border: int = 15,
    peak: float = 1.0,
    fractions: bool = True,
    channel_axis: int | None = None,
) -> float:
    """SSIM on the crop of :func:`aligned_psnr`, with the Gaussian window of Wang et al. 2004."""
    pair = align(estimate, truth, shift, border, fractions, channel_axis)
    return ssim(pair.estimate, pair.truth, peak, channel_axis)


def psnr(estimate: Array, truth: Array, peak: float = 1.0, border: int = 0, channel_axis: int | None = None) -> float:
    """PSNR in dB without alignment; ``border`` pixels are cut from every side. Equal images give infinity.

    Of colours, ``channel_axis`` says which axis holds them: nothing is cut from it.
    """
    first, second = _pair(estimate, truth, channel_axis)
    return _decibels(float(np.mean((_inner(first, border) - _inner(second, border)) ** 2)), peak)


def scaled_psnr(
    estimate: Array, truth: Array, peak: float = 1.0, border: int = 0, channel_axis: int | None = None
) -> float:
    """PSNR in dB of the estimate times the one factor that brings it nearest to the truth in least squares."""
    first, second = (_inner(a, border) for a in _pair(estimate, truth, channel_axis))
    energy = float(np.sum(first * first))
    scale = float(np.sum(first * second)) / energy if energy > 0 else 0.0
    return _decibels(float(np.mean((scale * first - second) ** 2)), peak)


def ssim(estimate: Array, truth: Array, peak: float = 1.0, channel_axis: int | None = None) -> float:
    """Mean SSIM with an 11-pixel Gaussian window, sigma 1.5, population covariance (Wang et al. 2004).

    Raises:
        ImageError: shapes differ or are smaller than the window.
    """
    first, second = _pair(estimate, truth, channel_axis)
    if min(first.shape[1:]) < 11:
        raise ImageError(f"SSIM of images of {first.shape[1:]} pixels: expected at least 11 along each axis")
    value = structural_similarity(  # type: ignore[no-untyped-call]
        first,
        second,
        channel_axis=0,
        data_range=peak,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


def kernel_similarity(estimate: Array, truth: Array) -> float:
    """Maximum of the normalised cross-correlation of two kernels over all shifts: 1 for equal up to shift and scale.

    The shapes may differ. Raises ImageError for an empty, zero or not finite kernel.
    """
    first, second = _finite(estimate, "kernel"), _finite(truth, "kernel")
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    if first.ndim != second.ndim or norm == 0:
        raise ImageError(f"kernels of shapes {first.shape} and {second.shape}: expected equal dimensions, neither zero")
    grid = [scipy.fft.next_fast_len(a + b - 1, real=True) for a, b in zip(first.shape, second.shape, strict=True)]
    product = scipy.fft.rfftn(first, grid) * np.conj(scipy.fft.rfftn(second, grid))
    return float(np.max(scipy.fft.irfftn(product, grid)) / norm)


def kernel_concentration(kernel: Array) -> float:
    """Share of a kernel's weight in the 3 x 3 (x 3) pixels around its largest: near 1 if it does not blur."""
    values = _finite(kernel, "kernel")
    total = float(np.sum(values))
    if total == 0:
        raise ImageError(f"a kernel of shape {values.shape} sums to zero: its concentration has no meaning")
    peak = np.unravel_index(int(np.argmax(values)), values.shape)
    around = tuple(slice(max(int(i) - 1, 0), int(i) + 2) for i in peak)
    return float(np.sum(values[around])) / total


def _whole_shift(estimate: Array, reference: Array) -> tuple[int, ...]:
    """Least squared error over all whole shifts, expanded: the cross term by FFT, the energies by running sums."""
    axes = tuple(range(1, reference.ndim))
    sizes = reference.shape[1:]
    count = estimate.shape[1] - sizes[0] + 1
    if count == 1:
        return (0,) * len(sizes)
    grid = [scipy.fft.next_fast_len(n, real=True) for n in estimate.shape[1:]]
    level = float(np.mean(reference))
    moving, fixed = estimate - level, reference - level
    product = np.sum(scipy.fft.rfftn(moving, grid, axes) * np.conj(scipy.fft.rfftn(fixed, grid, axes)), axis=0)
    cross = scipy.fft.irfftn(product, grid)[(slice(0, count),) * len(sizes)]
    energy = np.sum(moving * moving, axis=0)
    for axis, size in enumerate(sizes):
        sums = np.cumsum(energy, axis=axis)
        sums = np.concatenate([np.zeros_like(np.take(sums, [0], axis)), sums], axis=axis)
        energy = np.take(sums, range(size, size + count), axis) - np.take(sums, range(count), axis)
    best = np.unravel_index(int(np.argmin(energy - 2 * cross)), cross.shape)
    return tuple(int(i) - (count - 1) // 2 for i in best)


def _fraction(estimate: Array, reference: Array, border: int, whole: Sequence[int]) -> tuple[float, ...]:
    """Interpolation is a weighted mean of neighbours, so all squared errors follow from the neighbours' Gram matrix."""
    dims = len(whole)
    steps = list(itertools.product((-1, 0, 1), repeat=dims))
    gram = np.zeros((len(steps), len(steps)))
    shifted = [tuple(w + s for w, s in zip(whole, step, strict=True)) for step in steps]
    windows = [_window(estimate, border, s) for s in shifted]
    for row in range(reference.shape[1]):
        errors = np.stack([(w[:, row] - reference[:, row]).ravel() for w in windows])
        gram += errors @ errors.T
    fractions = list(itertools.product(QUARTERS, repeat=dims))
    weights = np.array([[_weight(step, fraction) for step in steps] for fraction in fractions])
    errors = np.einsum("fi,ij,fj->f", weights, gram, weights)
    return fractions[int(np.argmin(errors))]


def _interpolated(estimate: Array, border: int, whole: Sequence[int], fraction: Sequence[float]) -> Array:
    result = np.zeros_like(_inner(estimate, border))
    for step in itertools.product((-1, 0, 1), repeat=len(whole)):
        weight = _weight(step, fraction)
        if weight > 0:
            result += weight * _window(estimate, border, [w + s for w, s in zip(whole, step, strict=True)])
    return result


def _weight(step: Sequence[int], fraction: Sequence[float]) -> float:
    return math.prod(max(0.0, 1 - abs(f - s)) for s, f in zip(step, fraction, strict=True))


def _window(image: Array, border: int, shift: Sequence[int]) -> Array:
    window = (slice(border + s, n - border + s) for n, s in zip(image.shape[1:], shift, strict=True))
    return image[(slice(None), *window)]


def _inner(image: Array, border: int) -> Array:
    if border < 0 or min(image.shape[1:]) <= 2 * border:
        raise ImageError(f"a border of {border} pixels leaves nothing of an image of {image.shape[1:]}")
    return _window(image, border, (0,) * (image.ndim - 1))


def _pair(estimate: Array, truth: Array, channel_axis: int | None) -> tuple[Array, Array]:
    """Both images in float64 as (channels, *spatial)."""
    first, second = _finite(estimate, "estimate"), _finite(truth, "truth")
    if first.shape != second.shape:
        raise ImageError(f"estimate of shape {first.shape} and truth of shape {second.shape}: expected one shape")
    if channel_axis is None:
        return first[None], second[None]
    return np.moveaxis(first, channel_axis, 0), np.moveaxis(second, channel_axis, 0)


def _finite(values: Array, what: str) -> Array:
    result = np.asarray(values, dtype=np.float64)
    if result.size == 0 or not np.all(np.isfinite(result)):
        raise ImageError(f"{what} of shape {result.shape} is empty or has values that are not finite")
    return result


def _decibels(mean_square: float, peak: float) -> float:
    return math.inf if mean_square == 0 else 10 * math.log10(peak**2 / mean_square)
