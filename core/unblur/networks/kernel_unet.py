"""The small U-Net of MC-MAPk (Li et al. 2022) and MCEM (Li et al. 2023, Fig. 2) for one kernel or many."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from unblur.networks.blocks import Convolution, Upsampling
from unblur.networks.hourglass import Hourglass
from unblur.networks.initialise import child, fan_in_uniform
from unblur.networks.unet import unet_levels


class KernelUNet(Hourglass):
    """A shared trunk, and for each kernel a head of its own; the values are logits, made into a kernel by the prior.

    MC-MAPk: 4 levels of 64 channels. MCEM: 4 levels of 32, 32, 64, 64.

    Args:
        in_channels: of the input, which has the kernel's size.
        rng: generator for the weights; one number is drawn from it.
        count: kernels.
        levels, channels, dims, upsampling, slope: as in `UNet`.
        head_channels: features of each head.

    `forward` gives (batch, count, *spatial), float32.
    """

    head: KernelHeads

    def __init__(
        self,
        in_channels: int,
        *,
        rng: Generator,
        count: int = 1,
        levels: int = 4,
        channels: int | Sequence[int] = 64,
        head_channels: int = 16,
        dims: int = 2,
        upsampling: Upsampling = "bilinear",
        slope: float = 0.1,
    ) -> None:
        weights = child(rng)
        parts = unet_levels(in_channels, weights, levels, channels, 1, dims, upsampling, slope)
        width = channels if isinstance(channels, int) else channels[0]
        super().__init__(parts, KernelHeads(width, head_channels, count, weights, dims), weights, dims)

    def spread(self, count: int) -> None:
        """Give `count` kernels the head of the first (MCEM's end of warm-up); the head's parameters are new tensors."""
        self.head.spread(count)


class KernelHeads(nn.Module):
    """Convolution, ReLU and projection of each kernel, all of them in one pass.

    Args:
        inputs: channels of the trunk.
        width: features of each head.
        count: kernels.
        rng: CPU generator for the weights.
        dims: spatial dimensions.
    """

    def __init__(self, inputs: int, width: int, count: int, rng: Generator, dims: int) -> None:
        super().__init__()
        self.width = width
        self.features = Convolution(inputs, count * width, rng, 3, dims, bias=True)
        self.weight = fan_in_uniform((count, width), width, rng)
        self.bias = fan_in_uniform((count,), width, rng)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.features(x)).movedim(1, -1)
        with torch.autocast(x.device.type, enabled=False):
            each = features.float().reshape(*features.shape[:-1], -1, self.width)
            logits = (each * self.weight).sum(-1) + self.bias
        return logits.movedim(-1, 1)

    @torch.no_grad()
    def spread(self, count: int) -> None:
        """Replace the heads by `count` copies of the first."""
        first, bias = self.features.weight[: self.width], self.features.bias
        self.features.weight = nn.Parameter(torch.cat([first] * count))  # which keeps the memory format
        self.features.bias = None if bias is None else nn.Parameter(bias[: self.width].repeat(count))
        self.weight = nn.Parameter(self.weight[:1].repeat(count, 1))
        self.bias = nn.Parameter(self.bias[:1].repeat(count))
