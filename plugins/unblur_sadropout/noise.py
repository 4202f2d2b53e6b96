"""What follows the level of the noise: a misfit for penalties that grow with it, and early stopping."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from unblur.components import Batch, Clock, Context, Info, Misfit, StoppingRule
from unblur.noise import noise_of
from unblur.problem import Problem
from unblur_sadropout.params import NoiseStepsParams, SquaredOverNoiseParams

LEAST_NOISE = 1e-3
"""Standard deviation, as a part of the peak, below which noise is not told from rounding to 8 bits."""


def noise_in(batch: Batch, context: Context, who: str) -> float:
    """Standard deviation of the noise of the pixels that count, `LEAST_NOISE` where the image is too small to tell."""
    return noise_of(batch, context, who, LEAST_NOISE, LEAST_NOISE)


class SquaredOverNoise(Misfit[SquaredOverNoiseParams]):
    """Mean squared residual over the standard deviation of the noise.

    Beside it, a penalty of weight w weighs as much as one of w sigma beside the mean squared residual: DIKP with
    w = 0.1 (Chen et al. 2022, section 4.1). Adam, which does not see the scale of a loss, makes both the same.
    """

    noise = 1.0

    def init(self, batch: Batch, context: Context) -> None:
        given, dims = self.params.noise, batch.observed.ndim - 2
        if given is not None:
            self.noise = given * context.scale ** (dims / 2)  # pixels are averaged
        else:
            self.noise = noise_in(batch, context, "squared-over-noise")

    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None:
            return F.mse_loss(predicted, observed) / self.noise
        squares = (predicted - observed).square() * weight
        return squares.sum() / weight.expand_as(observed).sum().clamp_min(1e-12) / self.noise


class NoiseSteps(StoppingRule[NoiseStepsParams]):
    """Ends the stage after a number of steps that depends on the noise, by linear interpolation of a table.

    Early stopping of DIP as Chen et al. 2022 tuned it: 10000 steps up to 1 % noise, 6000 at 3 %, 4000 from 5 % on.
    """

    def init(self, problem: Problem) -> None:
        noise = noise_in(problem.batch, problem.context, "noise-steps")
        self.steps = round(float(np.interp(noise, self.params.noise, self.params.steps)))

    def update(self, info: Info, clock: Clock) -> str | None:
        return f"{self.steps} steps done, the number for this noise" if clock.step >= self.steps else None
