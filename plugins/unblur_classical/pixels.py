"""The latent image as free pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.components import Batch, Clock, Context, Draw, ImagePrior, Shape, Transfer
from unblur.operators.resample import extend
from unblur_classical.part_params import PixelsParams


class Pixels(ImagePrior[PixelsParams]):
    """Every latent pixel is an unknown; ``parameters()[0]`` is the image (frames, channels, *spatial) itself.

    Estimators may change it in place. With `nonnegative`, a draw that is to be learned from projects it first.
    """

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        observed = batch.observed
        if batch.valid is not None:
            mean = (observed * batch.valid).sum() / batch.valid.sum().clamp_min(1)
            observed = torch.where(batch.valid > 0, observed, mean)
        flat = self.params.start == "flat"
        image = observed.mean().expand(shape).clone() if flat else extend(observed, shape[2:])
        self.image = image.contiguous().requires_grad_()

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        with torch.no_grad():
            self.image.copy_(latent)

    def parameters(self) -> Sequence[Tensor]:
        return [self.image]

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        if not self.params.nonnegative or bool(self.image.min() >= 0):
            return Draw(self.image)
        if not torch.is_grad_enabled():
            return Draw(self.image.clamp_min(0))
        with torch.no_grad():
            self.image.clamp_min_(0)
        return Draw(self.image)

    def state_dict(self) -> dict[str, Any]:
        return {"image": self.image.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.image.copy_(state["image"])
