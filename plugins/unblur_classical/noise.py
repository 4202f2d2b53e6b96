"""The noise that an algorithm reckons with, and the pixels that it leaves out."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from unblur.components import Batch, Context
from unblur.operators.missing import filled
from unblur.operators.noise import without_outliers

LEAST_NOISE = 1e-4
"""Standard deviation, as a part of the peak, below which noise is not believed (rounding to 8 bits has 1.1e-3)."""

ASSUMED_NOISE = 0.01
"""Standard deviation, as a part of the peak, where an image is too small to tell."""

OUTLYING = 0.1
"""Distance from the neighbours' median, as a part of the peak, below which no pixel is an outlier."""


def contrast_of(frames: Tensor) -> float:
    """Standard deviation of frames (frames, channels, *spatial) within channels: what sets colours apart is none."""
    return max(float(frames.flatten(2).var(2).mean().sqrt()), LEAST_NOISE)


def outlying(kept: Tensor, batch: Batch) -> str:
    """The share of outliers among the pixels that count, in words."""
    known = kept if batch.valid is None else kept[batch.valid.expand_as(kept) > 0]
    return f"{100 * float(1 - known.mean()):.2g} % outliers left out"


def trusted(batch: Batch, context: Context, who: str) -> Batch:
    """The batch without its impulses, hot and dead pixels: they no longer count. Their share is noted."""
    kept = without_outliers(filled(batch.observed, batch.valid), floor=OUTLYING)[1]
    if context.scale == 1:
        context.note(f"{who}: {outlying(kept, batch)}")
    return dataclasses.replace(batch, valid=kept if batch.valid is None else kept * batch.valid)
