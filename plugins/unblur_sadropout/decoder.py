"""The deep decoder (Heckel & Hand 2019): an under-parameterised network of 1x1 convolutions and upsampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from unblur.components import Batch, Clock, Context, Draw, ImagePrior, Shape, Transfer
from unblur.networks.blocks import Head, Norm, channels_last, check_dims, convolve
from unblur.networks.hourglass import widths
from unblur.networks.initialise import child, fan_in_uniform
from unblur_sadropout.network import cut
from unblur_sadropout.params import DeepDecoderParams


class DeepDecoder(nn.Module):
    """Mix the channels, upsample by 2, ReLU, normalise; as often as there are levels, then once more, then a head.

    Mixing comes before the upsampling, with which it commutes, where it costs a quarter (an eighth in 3-D).

    Args:
        outputs: channels of the image.
        rng: generator for the weights; one number is drawn from it.
        channels: of the input and of every level, from the lowest resolution.
        dims: 2 or 3.
        head: ``sigmoid``, ``softplus`` or ``linear``.
    """

    def __init__(
        self, outputs: int, *, rng: Generator, channels: Sequence[int], dims: int = 2, head: str = "sigmoid"
    ) -> None:
        super().__init__()
        check_dims(dims)
        weights = child(rng)
        each = [*channels, channels[-1]]
        self.mixing = nn.ParameterList(
            fan_in_uniform((after, before, *(1,) * dims), before, weights)
            for before, after in zip([each[0], *each[:-1]], each, strict=True)
        )
        self.norms = nn.ModuleList(Norm(width) for width in each)
        self.head = Head(each[-1], outputs, weights, head)
        self.dims = dims

    def forward(self, z: Tensor, size: Sequence[int]) -> Tensor:
        """An image of a spatial size from an input at its lowest resolution."""
        mode = "bilinear" if self.dims == 2 else "trilinear"
        x = channels_last(z)
        for index, (weight, norm) in enumerate(zip(self.mixing, self.norms, strict=True)):
            x = convolve(x, weight)
            if index < len(self.mixing) - 1:
                x = F.interpolate(x, scale_factor=2, mode=mode, align_corners=False)
            x = norm(F.relu_(x))
        image: Tensor = self.head(cut(x, size))
        return image


class DeepDecoderPrior(ImagePrior[DeepDecoderParams]):
    """The latent image as the output of a deep decoder on fixed uniform noise at the lowest resolution."""

    network: DeepDecoder
    input: Tensor

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        params = self.params
        frames, channels, *spatial = shape
        head = params.output
        if head == "auto":
            head = "sigmoid" if context.bounded else "softplus"
        each = widths(params.channels, params.levels)
        network = DeepDecoder(channels, rng=context.rng, channels=each, dims=len(spatial), head=head)
        compute = context.compute
        compute.place(network, len(spatial))
        self.network, self.size = network, tuple(spatial)
        weights, values = sum(tensor.numel() for tensor in network.parameters()), math.prod(shape)
        if weights > values:
            context.note(
                f"deep-decoder: {weights} parameters for {values} values, so that it can fit noise: narrower channels, "
                "or a stopping rule such as noise-level, keep it from that"
            )
        low = [-(-size // 2**params.levels) for size in spatial]
        noise = torch.rand((frames, each[0], *low), generator=child(context.rng))
        self.input = compute.lay(noise * params.input_scale)

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        """The weights of the earlier stage's network, and its input at the new size."""
        if not isinstance(earlier, DeepDecoderPrior):
            return
        self.network.load_state_dict(earlier.network.state_dict())
        mode = "bilinear" if len(self.size) == 2 else "trilinear"
        self.input.copy_(F.interpolate(earlier.input, self.input.shape[2:], mode=mode, align_corners=False))

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        return Draw(self.network(self.input, self.size))

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "input": self.input}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.input.copy_(state["input"])
