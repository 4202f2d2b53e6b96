"""The noise that an algorithm reckons with, and the pixels that it leaves out."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from unblur.components import Batch, Context
from unblur.operators.noise import noise_std, without_outliers

LEAST_NOISE = 1e-4
"""Standard deviation, as a part of the peak, below which noise is not believed (rounding to 8 bits has 1.1e-3)."""

OUTLYING = 0.1
"""Distance from the neighbours' median, as a part of the peak, below which no pixel is an outlier."""


def noise_of(observed: Tensor, context: Context, who: str) -> float:
    """Standard deviation of the noise of frames (frames, channels, *spatial), with a note (Chen, Zhu, Heng 2015).

    What the context knows comes first.

    Raises:
        ImageError: the image is too small to tell.
    """
    if context.noise is not None:
        return context.noise
    noise = max(float(noise_std(observed).square().mean().sqrt()), LEAST_NOISE)
    context.note(f"{who}: noise of {noise:.2g} of the peak, estimated from the observed image")
    return noise


def trusted(batch: Batch, context: Context, who: str) -> Batch:
    """The batch without its impulses, hot and dead pixels: they no longer count. Their share is noted."""
    _, kept = without_outliers(batch.observed, floor=OUTLYING)
    if context.scale == 1:
        context.note(f"{who}: {100 * float(1 - kept.mean()):.2g} % outliers left out")
    return dataclasses.replace(batch, valid=kept if batch.valid is None else kept * batch.valid)
