"""The noise that an algorithm reckons with, and the pixels that it leaves out."""

from __future__ import annotations

import dataclasses

from unblur.components import Batch, Context
from unblur.operators.noise import without_outliers

LEAST_NOISE = 1e-4
"""Standard deviation, as a part of the peak, below which noise is not believed (rounding to 8 bits has 1.1e-3)."""

OUTLYING = 0.1
"""Distance from the neighbours' median, as a part of the peak, below which no pixel is an outlier."""


def trusted(batch: Batch, context: Context, who: str) -> Batch:
    """The batch without its impulses, hot and dead pixels: they no longer count. Their share is noted."""
    _, kept = without_outliers(batch.observed, floor=OUTLYING)
    if context.scale == 1:
        context.note(f"{who}: {100 * float(1 - kept.mean()):.2g} % outliers left out")
    return dataclasses.replace(batch, valid=kept if batch.valid is None else kept * batch.valid)
