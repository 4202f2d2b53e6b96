"""Image priors: the networks that deblur each frame by itself, fed with what was observed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from unblur.components import Batch, Clock, Context, Draw, ImagePrior, Shape, Transfer
from unblur.operators.missing import filled
from unblur_reblur import weights
from unblur_reblur.deblurgan import DeblurGan
from unblur_reblur.dvd import Dvd
from unblur_reblur.layers import in_colour, out_of_colour
from unblur_reblur.params import DeblurGanParams, DvdParams

P = TypeVar("P")


class DeblurringPrior(ImagePrior[P]):
    """The latent image as what a deblurring network makes of the observed one: d(I_B; theta), eq. 1.

    Every frame is deblurred by itself. Grey images and single channels are shown to the network as grey colours. Where
    the latent image is larger than the observed one, the border values go on; a pixel that does not count is shown as
    the nearest one that does. A photograph's result ends at black and
    white; other data only at zero.
    """

    network: nn.Module

    @abstractmethod
    def build(self, rng: Generator) -> tuple[nn.Module, weights.Wanted]:
        """The network, and which weights it needs."""

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        params: Any = self.params
        self.bounded, self.compute = context.bounded, context.compute
        more = [latent - seen for latent, seen in zip(shape[2:], batch.observed.shape[2:], strict=True)]
        self.borders = [border for size in reversed(more) for border in (size // 2, size - size // 2)]
        network, wanted = self.build(context.rng)
        weights.fill(network, params.weights, wanted, context)
        self.network = context.compute.place(network.eval())

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        """The weights of the earlier stage's network if it is of the same kind."""
        if isinstance(earlier, type(self)):
            self.network.load_state_dict(earlier.network.state_dict())

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        frames = filled(batch.observed, batch.valid)
        if any(self.borders):
            frames = F.pad(frames, self.borders, mode="replicate")
        if torch.is_grad_enabled():
            return Draw(self._deblurred(frames))
        return Draw(torch.cat([self._deblurred(frame) for frame in frames.split(1)]))

    def _deblurred(self, frames: Tensor) -> Tensor:
        sharp = self.network(self.compute.lay(in_colour(frames)))
        sharp = out_of_colour(sharp.float(), frames.shape[1])
        return sharp.clamp(0, 1) if self.bounded else sharp.clamp_min(0)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])


class DvdPrior(DeblurringPrior[DvdParams]):
    """The encoder-decoder of DVD."""

    def build(self, rng: Generator) -> tuple[nn.Module, weights.Wanted]:
        params = self.params
        settings = {"width": params.width, "norm": params.norm}
        wanted = weights.Wanted("image_prior", "dvd", params.width, settings)
        return Dvd(rng, params.width, params.norm), wanted


class DeblurGanPrior(DeblurringPrior[DeblurGanParams]):
    """The generator of DeblurGAN."""

    def build(self, rng: Generator) -> tuple[nn.Module, weights.Wanted]:
        params = self.params
        settings = {"width": params.width, "norm": params.norm, "blocks": params.blocks}
        wanted = weights.Wanted("image_prior", "deblurgan", params.width, settings)
        return DeblurGan(rng, params.width, params.norm, params.blocks), wanted
