"""The two networks of MC-MAPk as priors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn

from unblur.components import Clock, Context, KernelSpec
from unblur.networks.hourglass import widths
from unblur.networks.initialise import child
from unblur.networks.kernel_unet import KernelUNet
from unblur.networks.priors import NetworkImagePrior, NetworkKernelPrior
from unblur.networks.randomness import GaussianNoise
from unblur.networks.unet import UNet
from unblur.params import value_at
from unblur_mapk.params import KernelUNetParams, RandomUNetParams


class RandomUNetPrior(NetworkImagePrior[RandomUNetParams]):
    """G_x(z + eps; theta, M): a U-Net whose input noise eps and dropout M make it a distribution of images (eq. 18-20).

    Readings: "6 levels" are six halvings; the input has as many channels as that of Ren et al. 2020, the output a
    sigmoid where the data have a known white. With convolutions in the common form of a U-Net it has 3.4 million
    parameters and the kernel network 0.6 million; the paper counts 2.65 million for both.
    """

    def build(self, channels: int, dims: int, head: str, rng: Generator) -> nn.Module:
        params = self.params
        return UNet(
            params.input_channels,
            channels,
            rng=rng,
            levels=params.levels,
            channels=widths(params.channels, params.levels),
            dims=dims,
            upsampling=params.upsampling,
            head=head,
            slope=params.slope,
        )


class KernelUNetPrior(NetworkKernelPrior[KernelUNetParams]):
    """G_k(z; theta): a small U-Net on fixed uniform noise, softmax over the kernel's pixels (section 3.1).

    Several kernels share all but their heads. With noise or dropout it is the random kernel network of Fig. 9; what it
    begins with it gives without them.
    Reading: between U-Net and softmax is a head as MCEM has it, a convolution to 16 features, ReLU and a projection.
    """

    input: Tensor

    def build(self, spec: KernelSpec, context: Context) -> nn.Module:
        params, dims = self.params, len(spec.shape)
        network = KernelUNet(
            params.input_channels,
            rng=context.rng,
            count=spec.count,
            levels=params.levels,
            channels=widths(params.channels, params.levels),
            dims=dims,
        )
        noise = torch.rand((1, params.input_channels, *spec.shape), generator=child(context.rng))
        self.input = context.compute.lay(noise * params.input_scale)
        self.noise = GaussianNoise(context.rng)
        return context.compute.place(network, dims)

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        params = self.params
        z = self.noise(self.input, value_at(params.noise, clock.fraction), rng)
        return _softmax(self.network(z, rng=rng, dropout=value_at(params.dropout, clock.fraction)))

    def positive(self) -> Tensor:
        return _softmax(self.network(self.input))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "input": self.input, "noise": self.noise.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.input.copy_(state["input"])
        self.noise.load_state_dict(state["noise"])


def _softmax(logits: Tensor) -> Tensor:
    """Kernels (count, *spatial) from (1, count, *spatial)."""
    return torch.softmax(logits[0].flatten(1), dim=1).view(logits.shape[1:])
