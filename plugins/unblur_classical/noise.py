"""The noise that an algorithm reckons with."""

from __future__ import annotations

from torch import Tensor

from unblur.components import Context
from unblur.operators.noise import noise_std

LEAST_NOISE = 1e-4
"""Standard deviation, as a part of the peak, below which noise is not believed (rounding to 8 bits has 1.1e-3)."""


def noise_of(observed: Tensor, context: Context, who: str) -> float:
    """Standard deviation of the noise of frames (frames, channels, *spatial), with a note (Chen, Zhu, Heng 2015).

    Raises:
        ImageError: the image is too small to tell.
    """
    noise = max(float(noise_std(observed).square().mean().sqrt()), LEAST_NOISE)
    context.note(f"{who}: noise of {noise:.2g} of the peak, estimated from the observed image")
    return noise
