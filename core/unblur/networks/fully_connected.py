"""The fully connected kernel network of SelfDeblur (Ren et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Generator, Tensor, nn

from unblur.networks.initialise import child, seeded


class FullyConnected(nn.Module):
    """One hidden layer with ReLU6, from a fixed vector to the logits of a kernel; the prior makes them into a kernel.

    Args:
        shape: of the output.
        rng: generator for the weights; one number is drawn from it.
        inputs: length of the input vector.
        hidden: width of the hidden layer.
    """

    def __init__(self, shape: Sequence[int], *, rng: Generator, inputs: int = 200, hidden: int = 1000) -> None:
        super().__init__()
        self.shape = tuple(shape)
        with seeded(child(rng)):
            self.body = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU6(), nn.Linear(hidden, math.prod(shape)))

    def forward(self, z: Tensor) -> Tensor:
        """Logits (*shape), float32 unless under autocast, from a vector (inputs,)."""
        logits: Tensor = self.body(z)
        return logits.view(self.shape)
