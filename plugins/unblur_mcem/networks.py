"""The kernel network of MCEM as a prior."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from unblur.components import Context, KernelPrior, KernelSpec, Transfer
from unblur.networks.hourglass import widths
from unblur.networks.initialise import child
from unblur.networks.kernel_unet import KernelUNet
from unblur.networks.priors import NetworkKernelPrior
from unblur_mcem.params import MultiHeadParams


class MultiHeadPrior(NetworkKernelPrior[MultiHeadParams]):
    """T_K(z; theta): a U-Net that all kernels share, and a head with softmax for each (Li et al. 2023, Fig. 2).

    Readings: a head is a convolution to a few features, ReLU and a projection; the paper draws it and gives no sizes.
    The trunk has batch normalisation before its ReLU, as the image network has, of which Fig. 2 says nothing.
    """

    network: KernelUNet
    input: Tensor

    def build(self, spec: KernelSpec, context: Context) -> nn.Module:
        params, dims = self.params, len(spec.shape)
        network = KernelUNet(
            params.input_channels,
            rng=context.rng,
            count=spec.count,
            levels=params.levels,
            channels=widths(params.channels, params.levels),
            head_channels=params.head_channels,
            dims=dims,
            slope=params.slope,
        )
        noise = torch.rand((1, params.input_channels, *spec.shape), generator=child(context.rng))
        self.input = context.compute.lay(noise * params.input_scale)
        return context.compute.place(network, dims)

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        """Take over the network, and fit it where the kernels are no longer near, by another resolution or a move."""
        if isinstance(earlier, MultiHeadPrior) and earlier.spec.count in (1, self.spec.count):
            self.network = copy.deepcopy(earlier.network)
            if earlier.input.shape == self.input.shape:
                self.input.copy_(earlier.input)
        self.fit(kernel)

    def fit(self, kernel: Tensor) -> None:
        """Make the network give these kernels, and copy the head of one to those of all (Algorithm 1, line 6)."""
        if bool((kernel == kernel[:1]).all()):  # one fit for all
            self.network.spread(1)
        super().fit(kernel[: self._heads])
        if self._heads < self.spec.count:
            self.network.spread(self.spec.count)

    @property
    def _heads(self) -> int:
        return len(self.network.head.weight)

    def positive(self) -> Tensor:
        logits = self.network(self.input)
        return torch.softmax(logits[0].flatten(1), dim=1).view(logits.shape[1:])

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "input": self.input}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.input.copy_(state["input"])
