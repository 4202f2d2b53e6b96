"""Means over sliding windows, and the structural similarity built on them, in 2-D and 3-D.

Windows slide by shift-and-add along one axis after another. For one-channel images that is five to ten times faster
on a CPU than a convolution layer, and faster than banded matrix products or FFTs at 255 to 1024 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.fourier import as_float

SSIM_SIGMA = 1.5
SSIM_TAPS = 11

SSIM_STEADY = 50.0
"""Variances of the noise that are added to the constant of the structure term."""


def gaussian_taps(count: int, sigma: float) -> tuple[float, ...]:
    """Weights of a Gaussian window of ``count`` pixels and standard deviation ``sigma`` in pixels; their sum is one."""
    values = [math.exp(-((i - (count - 1) / 2) ** 2) / (2 * sigma**2)) for i in range(count)]
    return tuple(v / sum(values) for v in values)


def window_mean(image: Tensor, taps: Sequence[float]) -> Tensor:
    """Weighted mean over every full window of (frames, channels, *spatial), the same taps along each spatial axis.

    Returns:
        (frames, channels, *(n - len(taps) + 1)), differentiable.

    Raises:
        ImageError: the image is smaller than the window.
    """
    (image,) = as_float(image)
    _require_window(image, len(taps))
    return _WindowMean.apply(image, tuple(taps))  # type: ignore[no-untyped-call,no-any-return]


def box_mean(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Mean over every full box of ``shape`` pixels, at a cost that does not depend on the size of the box.

    The running sums are float64: in float32 they would lose the digits that variances need.

    Raises:
        ImageError: the image is smaller than the box.
    """
    (image,) = as_float(image)
    total = image.double()
    for axis, size in zip(range(-len(shape), 0), shape, strict=True):
        if not 1 <= size <= image.shape[axis]:
            raise ImageError(f"a box of {tuple(shape)} pixels does not fit an image of {tuple(image.shape[2:])}")
        count = total.shape[axis] - size + 1
        sums = torch.cumsum(total, axis)
        total = sums.narrow(axis, size - 1, count) / size
        total.narrow(axis, 1, count - 1).sub_(sums.narrow(axis, 0, count - 1) / size)
    return total.to(image.dtype)


def local_ssim(a: Tensor, b: Tensor, data_range: float = 1.0, noise: float = 0.0, window: int = SSIM_TAPS) -> Tensor:
    """Structural similarity in every full Gaussian window, of 11 pixels (Wang et al. 2004), differentiable in both.

    With noise of variance s² in b, the variance of b is taken as s² less, and the constant that steadies the quotient
    as 50 s² more: the clean image behind b is the most similar one, and where noise prevails, dissimilarity is the
    squared distance from the window's mean over 50 s², which fits noise as slowly as squares do.

    Args:
        a, b: (frames, channels, *spatial) of one shape, 2-D (plane by plane) or 3-D, at least as wide as the window.
        data_range: the distance from black to white.
        noise: standard deviation s of the noise in b.
        window: its pixels along each axis; the Gaussian stays the same.

    Returns:
        (frames, channels, *(n - window + 1)), the inner part of scikit-image's map with its Gaussian weights.

    Raises:
        ImageError: shapes differ or are smaller than the window.
    """
    if a.shape != b.shape:
        raise ImageError(f"SSIM of images of shapes {tuple(a.shape)} and {tuple(b.shape)}: expected one shape")
    a, b = as_float(a, b)
    _require_window(a, window)
    return _LocalSsim.apply(a, b, data_range, noise, gaussian_taps(window, SSIM_SIGMA))  # type: ignore[no-untyped-call,no-any-return]


def ssim(a: Tensor, b: Tensor, data_range: float = 1.0, noise: float = 0.0) -> Tensor:
    """Mean of :func:`local_ssim`, a scalar: scikit-image's value with Gaussian weights and population covariance."""
    return local_ssim(a, b, data_range, noise).mean()


class _WindowMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, taps: tuple[float, ...]) -> Tensor:
        ctx.taps = taps
        return _slide(image, taps, image.ndim - 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _spread(gradient, ctx.taps, gradient.ndim - 2), None


class _LocalSsim(torch.autograd.Function):
    """The four window means in one pass; backward spreads the three derivatives of each image in one pass."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, data_range: float, noise: float, taps: tuple[float, ...]) -> Tensor:
        ctx.taps = taps
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2 + SSIM_STEADY * noise**2
        mean_a, mean_b, energy, product = _slide(torch.stack([a, b, a * a + b * b, a * b]), taps, a.ndim - 2).unbind()
        means = mean_a * mean_b
        squares = mean_a * mean_a + mean_b * mean_b
        luminance, structure = 2 * means + c1, 2 * (product - means) + c2
        below_1, below_2 = squares + c1, energy - squares + c2 - noise**2
        scale = 1 / (below_1 * below_2)
        similarity = luminance * structure * scale
        ctx.save_for_backward(a, b, mean_a, mean_b, luminance, structure, below_1, below_2, scale, similarity)
        return similarity

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        a, b, mean_a, mean_b, luminance, structure, below_1, below_2, scale, similarity = ctx.saved_tensors
        weighted = gradient * similarity
        to_energy = -weighted / below_2
        own = -2 * (weighted / below_1 + to_energy)
        scaled = 2 * gradient * scale
        other = scaled * (structure - luminance)
        to_product = scaled * luminance
        maps = [to_energy, to_product]
        wants_a, wants_b = ctx.needs_input_grad[:2]
        if wants_a:
            maps.append(other * mean_b + own * mean_a)
        if wants_b:
            maps.append(other * mean_a + own * mean_b)
        energy, product, *means = _spread(torch.stack(maps), ctx.taps, a.ndim - 2).unbind()
        grad_a = means[0] + 2 * a * energy + b * product if wants_a else None
        grad_b = means[-1] + 2 * b * energy + a * product if wants_b else None
        return grad_a, grad_b, None, None, None


def _slide(image: Tensor, taps: tuple[float, ...], dims: int) -> Tensor:
    """Correlation with the taps along each of the last ``dims`` axes, full windows only."""
    size = len(taps)
    symmetric = taps == taps[::-1]
    for axis in range(-dims, 0):
        count = image.shape[axis] - size + 1
        pairs = size // 2 if symmetric else 0
        result = torch.zeros_like(image.narrow(axis, 0, count), memory_format=torch.contiguous_format)
        both = torch.empty_like(result)
        for i in range(pairs):
            torch.add(image.narrow(axis, i, count), image.narrow(axis, size - 1 - i, count), out=both)
            result.add_(both, alpha=taps[i])
        for i in range(pairs, size - pairs):
            result.add_(image.narrow(axis, i, count), alpha=taps[i])
        image = result
    return image


def _spread(gradient: Tensor, taps: tuple[float, ...], dims: int) -> Tensor:
    """Adjoint of :func:`_slide`."""
    return _slide(F.pad(gradient, [len(taps) - 1] * (2 * dims)), taps[::-1], dims)


def _require_window(image: Tensor, size: int) -> None:
    if image.ndim not in (4, 5) or min(image.shape[2:]) < size:
        raise ImageError(
            f"an image of shape {tuple(image.shape)} for windows of {size} pixels: "
            f"expected (frames, channels, *spatial), at least {size} pixels along each spatial axis"
        )
