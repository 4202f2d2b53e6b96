"""The two networks of SelfDeblur as priors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn

from unblur.components import Context, KernelSpec
from unblur.networks.encoder_decoder import EncoderDecoder
from unblur.networks.fully_connected import FullyConnected
from unblur.networks.hourglass import widths
from unblur.networks.initialise import child
from unblur.networks.priors import NetworkImagePrior, NetworkKernelPrior


class EncoderDecoderPrior(NetworkImagePrior[Any]):
    """Encoder-decoder with skips on fixed uniform noise (Ren et al. 2020, section 3.2)."""

    def build(self, channels: int, dims: int, head: str, rng: Generator) -> nn.Module:
        params = self.params
        return EncoderDecoder(
            params.input_channels,
            channels,
            rng=rng,
            levels=params.levels,
            channels=widths(params.channels, params.levels),
            skip_channels=params.skip_channels,
            dims=dims,
            upsampling=params.upsampling,
            head=head,
        )


class FullyConnectedPrior(NetworkKernelPrior[Any]):
    """One hidden layer from a fixed random vector to the logits of a softmax (Ren et al. 2020, section 3.3)."""

    input: Tensor

    def build(self, spec: KernelSpec, context: Context) -> nn.Module:
        params = self.params
        noise = torch.rand(params.inputs, generator=child(context.rng)) * params.input_scale
        self.input = noise.to(context.compute.device)
        return FullyConnected((spec.count, *spec.shape), rng=context.rng, inputs=params.inputs, hidden=params.hidden)

    def positive(self) -> Tensor:
        return torch.softmax(self.network(self.input).flatten(1), dim=1).view(self.spec.count, *self.spec.shape)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "input": self.input}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.input.copy_(state["input"])
