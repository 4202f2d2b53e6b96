"""The image and kernel models of practical BID as priors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from unblur.components import Context, KernelSpec
from unblur.networks.encoder_decoder import EncoderDecoder
from unblur.networks.hourglass import widths
from unblur.networks.priors import NetworkImagePrior, NetworkKernelPrior
from unblur.networks.siren import Siren, pixel_positions


class DipUnetPrior(NetworkImagePrior[Any]):
    """The U-Net of Zhuang et al. 2023, Fig. 17, on fixed uniform noise.

    Reading: its blocks are those of the deep image prior's encoder-decoder, with full-size skips of few channels.
    """

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


class SirenPrior(NetworkKernelPrior[Any]):
    """Kernels as continuous functions (Zhuang et al. 2023, eq. 21): SIREN and a sigmoid.

    Reading: a sigmoid fixes no scale, so the discretised kernel is divided by its sum. The bias of the output starts
    where that sum is one: the sigmoid is steep there, and a weight can grow by orders of magnitude within few steps.
    """

    positions: Tensor

    def build(self, spec: KernelSpec, context: Context) -> nn.Module:
        params = self.params
        self.positions = pixel_positions(spec.shape, device=context.compute.device)
        network = Siren(
            spec.shape,
            rng=context.rng,
            outputs=spec.count,
            hidden=params.hidden,
            layers=params.layers,
            first_frequency=params.frequency,
            frequency=params.frequency,
        )
        with torch.no_grad():
            network.biases[-1].fill_(-math.log(max(1, math.prod(spec.shape) - 1)))
        return network

    def positive(self) -> Tensor:
        return torch.sigmoid(self.network(self.positions)).movedim(-1, 0)
