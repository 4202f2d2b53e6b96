"""The kernel model of practical BID as a prior."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from unblur.components import Context, KernelSpec
from unblur.networks.priors import NetworkKernelPrior
from unblur.networks.siren import Siren, pixel_positions


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
