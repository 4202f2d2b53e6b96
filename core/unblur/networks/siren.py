"""Sinusoidal representation networks (Sitzmann et al. 2020), the kernels of practical BID (Zhuang et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from unblur.networks.initialise import child, fan_in_uniform, uniform


class Siren(nn.Module):
    """Values as a continuous function of position: a perceptron on coordinates with sines between the layers.

    Positions are in pixels, so that trained weights can be evaluated on a finer grid, or on a smaller or shifted
    support. Reading: the paper names no sizes in its text; the defaults are those of Sitzmann et al. but for the width.

    Args:
        extent: pixels along each axis that correspond to [-1, 1]; the size of the support that is fitted first.
        rng: generator for the weights; one number is drawn from it.
        outputs: values at each position.
        hidden: width of the hidden layers.
        layers: hidden layers.
        first_frequency: factor omega of the first layer, which sets the frequencies that are fitted easily.
        frequency: factor omega of the others.
    """

    extent: Tensor

    def __init__(
        self,
        extent: Sequence[float],
        *,
        rng: Generator,
        outputs: int = 1,
        hidden: int = 64,
        layers: int = 3,
        first_frequency: float = 30.0,
        frequency: float = 30.0,
    ) -> None:
        super().__init__()
        weights = child(rng)
        self.register_buffer("extent", torch.tensor([float(size) for size in extent]))
        self.frequencies = [first_frequency, *[frequency] * (layers - 1)]
        inputs = [len(extent), *[hidden] * layers]
        bounds = [1 / inputs[0], *[math.sqrt(6 / hidden) / frequency] * layers]
        sizes = zip([*[hidden] * layers, outputs], inputs, bounds, strict=True)
        self.weights = nn.ParameterList([uniform(size[:2], size[2], weights) for size in sizes])
        self.biases = nn.ParameterList([fan_in_uniform((len(w),), w.shape[1], weights) for w in self.weights])

    def forward(self, positions: Tensor) -> Tensor:
        """Values (..., outputs) at positions (..., dims) in pixels from the origin; float32, also under autocast."""
        with torch.autocast(positions.device.type, enabled=False):
            x = 2 * positions.float() / self.extent
            for weight, bias, frequency in zip(self.weights, self.biases, self.frequencies, strict=False):
                x = torch.sin(frequency * F.linear(x, weight, bias))
            return F.linear(x, self.weights[-1], self.biases[-1])


def pixel_positions(
    shape: Sequence[int],
    spacing: float = 1.0,
    origin: Sequence[float] | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Positions of the samples of a grid, in pixels.

    Args:
        shape: samples along each axis.
        spacing: distance of two samples in pixels: 0.5 gives a grid twice as fine.
        origin: index of the sample at position 0; default floor(n / 2), where kernels have it.
        device: of the result.

    Returns:
        (*shape, dims), float32.
    """
    centre = [size // 2 for size in shape] if origin is None else origin
    axes = [
        (torch.arange(size, dtype=torch.float32, device=device) - middle) * spacing
        for size, middle in zip(shape, centre, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
