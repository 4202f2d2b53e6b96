"""The noise of an image, from its finest details."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal variable."""

LEAST_NOISE = 1e-4
"""Standard deviation, as a part of the peak, below which noise is not believed (rounding to 8 bits has 1.1e-3)."""


def estimate_noise(image: Tensor, valid: Tensor | None = None) -> float:
    """Standard deviation of white noise in an image (frames, channels, *spatial), of any blur.

    Median absolute deviation of the finest diagonal Haar wavelet coefficients: Donoho & Johnstone, "Ideal spatial
    adaptation by wavelet shrinkage", Biometrika 81 (1994), 425-455. Zero where more than half of them are zero.
    """
    dims = image.ndim - 2
    detail = torch.zeros(())
    counted: Tensor | None = None
    for corner in itertools.product((0, 1), repeat=dims):
        region = tuple(slice(start, size - 1 + start) for start, size in zip(corner, image.shape[2:], strict=True))
        region = (slice(None), slice(None), *region)
        detail = image[region] * (-1) ** sum(corner) + detail
        if valid is not None:
            counted = valid[region] > 0 if counted is None else counted & (valid[region] > 0)
    detail = detail / 2 ** (dims / 2)
    values = detail.flatten() if counted is None else detail[counted]
    return float(values.abs().median()) / _MEDIAN if values.numel() else 0.0
