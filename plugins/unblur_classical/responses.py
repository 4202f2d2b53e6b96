"""What a camera makes of light: a gamma curve, a full sensor, offset and gain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.cameras import gain_and_offset
from unblur.components import Batch, Context, Response
from unblur_classical.part_params import CameraParams, GammaParams, SaturationParams

_TOE = 1e-3
"""Light, as a part of the peak, below which the gamma curve is a straight line: its slope at zero would be infinite."""


_FULL = 0.05
"""Distance from the level of saturation, in units of its sharpness, below which light is no longer told."""


class Gamma(Response[GammaParams]):
    """g(z) = z^(1/gamma) on the prediction, so that blur happens in linear light: Chen et al. 2022, section 4.3.1.

    The noise is not touched, since nothing is undone on the data. The result is displayed like the input: g is applied
    to the latent image too, and the standard deviation is that of the latent image times the slope of g.
    """

    zero_is_dark = True
    peak = 1.0

    def init(self, batch: Batch, context: Context) -> None:
        self.peak = context.photons or 1.0

    def __call__(self, predicted: Tensor) -> Tensor:
        power = 1 / self.params.gamma
        line = predicted.clamp_max(_TOE) * _TOE ** (power - 1)
        return torch.where(predicted > _TOE, predicted.clamp_min(_TOE) ** power, line)

    def restore(self, image: Tensor) -> Tensor:
        result: Tensor = self(image / self.peak) * self.peak
        return result

    def unrestored(self, image: Tensor, context: Context) -> Tensor:
        peak = context.photons or 1.0
        return self.linearised(image / peak) * peak

    def linearised(self, observed: Tensor) -> Tensor:
        toe = _TOE ** (1 / self.params.gamma)
        return torch.where(observed > toe, observed.clamp_min(toe) ** self.params.gamma, observed * _TOE / toe)

    def spread(self, spread: Tensor, image: Tensor) -> Tensor:
        power = 1 / self.params.gamma
        light = image / self.peak
        curve = power * light.clamp_min(_TOE) ** (power - 1)
        return spread * torch.where(light > _TOE, curve, _TOE ** (power - 1))


class Saturation(Response[SaturationParams]):
    """R(z) = z - log(1 + exp(a (z - level))) / a on the prediction: Whyte, Sivic, Zisserman 2014.

    The latent image may be brighter than the level. How bright it was where the level was observed is not known;
    `linearised` takes it as little above.
    """

    def init(self, batch: Batch, context: Context) -> None:
        if not context.bounded:
            context.note("saturation: the data have no white level; their largest value is taken for it")
        context.bounded = False

    def __call__(self, predicted: Tensor) -> Tensor:
        return predicted - F.softplus(predicted - self.params.level, beta=self.params.sharpness)

    def linearised(self, observed: Tensor) -> Tensor:
        """z = y - log(1 - exp(-a (level - y))) / a."""
        params = self.params
        beyond = (params.sharpness * (params.level - observed)).clamp_min(_FULL)
        return observed - torch.log(-torch.expm1(-beyond)) / params.sharpness


_MOSTLY = 0.75
"""Of the pixels: of an image that is dark everywhere half lie below darkness."""


class Camera(Response[CameraParams]):
    """y = gain · photons + offset. Undone on the data, so that the problem is in photons and stays linear."""

    zero_is_dark = True
    known: tuple[float, float] | None = None

    def calibrate(self, observed: Tensor, context: Context) -> Tensor:
        if self.known is None:
            self.known = self._known(observed, context)
            self._check_darkness(observed, context)
        gain, offset = self.known
        return (observed - offset) / gain

    def restore(self, image: Tensor) -> Tensor:
        gain, offset = self._calibrated()
        return image * gain + offset

    def spread(self, spread: Tensor, image: Tensor) -> Tensor:
        return spread * self._calibrated()[0]

    def _known(self, observed: Tensor, context: Context) -> tuple[float, float]:
        gain, offset = self.params.gain, self.params.offset
        if gain is not None and offset is not None:
            return gain, offset
        if context.camera is not None:
            return context.camera
        gain, offset, said = gain_and_offset(observed, gain, offset, context.valid)
        context.note(said)
        return gain, offset

    def _check_darkness(self, observed: Tensor, context: Context) -> None:
        """Noise lies on both sides of darkness, so that an offset with most of an image below it is too high."""
        _, offset = self._calibrated()
        known = observed if context.valid is None else observed[context.valid.expand_as(observed) > 0]
        below = float((known < offset).float().mean())
        if below > _MOSTLY:
            context.warn(
                f"{below:.0%} of the pixels lie below the offset of {offset:g}, which is what is read in darkness, and "
                "count as noise: give a lower one"
            )

    def _calibrated(self) -> tuple[float, float]:
        if self.known is None:
            raise RuntimeError("a camera response restores only after it has calibrated")
        return self.known
