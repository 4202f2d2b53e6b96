"""The noise that a component reckons with."""

from __future__ import annotations

from unblur.components import Batch, Context
from unblur.operators.missing import filled
from unblur.operators.noise import noise_std, tells_noise


def noise_of(batch: Batch, context: Context, who: str, least: float, assumed: float | None = None) -> float:
    """Standard deviation of the noise of observed frames (Chen, Zhu, Heng 2015), with a note at the full resolution.

    What the context knows comes first.

    Args:
        batch: what was observed; pixels that do not count tell nothing.
        least: standard deviation, as a part of the peak, below which noise is not believed.
        assumed: where the image is too small to tell, with a note of that.

    Raises:
        ImageError: the image is too small to tell, and nothing is assumed.
    """
    if context.noise is not None:
        return context.noise
    observed = batch.observed
    if assumed is not None and not tells_noise(observed.shape[2:]):
        context.note(f"{who}: the image is too small to tell its noise, which is taken as {assumed:g} of the peak")
        return assumed
    estimated = noise_std(filled(observed, batch.valid), valid=batch.valid)
    noise = max(float(estimated.square().mean().sqrt()), least)
    if context.scale == 1:
        context.note(f"{who}: noise of {noise:.2g} of the peak, estimated from the observed image")
    return noise
