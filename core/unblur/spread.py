"""The standard deviation of an image that stages after `then` have made from that of the stages before."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.operators.windows import gaussian_taps, window_mean

_SIGMA = 2.0
"""Pixels over which squared differences are averaged: that of one pixel is as often small by chance as it is large."""

_REACH = 6


def after_then(
    image: Tensor, spread: Tensor | None, before: Tensor | None, spread_before: Tensor | None
) -> Tensor | None:
    """The image's own variance, the one it began with, and how far it lies from there, added up.

    Samples of one estimator share its bias, so that their standard deviation falls short of the error by far. Two
    estimators have two biases: where their images differ, one of them is wrong by so much.

    Args:
        image: (frames, channels, *spatial).
        spread: its standard deviation, if there is one.
        before: the image that the stages began with, of the same shape, if there is one.
        spread_before: its standard deviation, if there is one.

    Returns:
        Of the image's shape, in its units. None where neither image has a standard deviation; the image's own where it
        began with nothing, or with an image of another shape.
    """
    known = [part for part in (spread, spread_before) if part is not None and part.shape == image.shape]
    if before is None or before.shape != image.shape or not known:
        return spread
    parts = [*known, image - before]
    size = max(float(part.abs().max()) for part in parts) or 1.0  # squares of fluxes leave the range of float32
    *spreads, moved = [part / size for part in parts]
    return torch.stack([part.square() for part in spreads]).sum(0).add(_local_square(moved)).sqrt() * size


def _local_square(difference: Tensor) -> Tensor:
    """Gaussian mean of the squares; beyond the borders as at them."""
    padded = F.pad(difference.square(), (_REACH,) * 2 * (difference.ndim - 2), mode="replicate")
    return window_mean(padded, gaussian_taps(2 * _REACH + 1, _SIGMA)).clamp_min(0)
