"""What the networks of Reblur2Deblur share: normalised convolutions, padding to whole strides, colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Normalisation = Literal["batch", "instance", "none"]

_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
    "none": lambda channels: nn.Identity(),
}

COLOURS = 3
"""Channels of every network: grey images are seen as colours that are equal."""


def normalised(convolution: nn.Module, channels: int, norm: Normalisation, active: bool = True) -> nn.Sequential:
    """A convolution, its normalisation and, if `active`, a ReLU."""
    layers = [convolution, _NORMS[norm](channels)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if active else nn.Sequential(*layers)


def padded(image: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Border values added below and on the right, up to multiples of a number of pixels."""
    sizes = [max(least, math.ceil(size / multiple)) * multiple for size in image.shape[2:]]
    borders = [
        border for new, old in zip(reversed(sizes), reversed(image.shape[2:]), strict=True) for border in (0, new - old)
    ]
    return F.pad(image, borders, mode="replicate") if any(borders) else image


def cropped(image: Tensor, shape: Sequence[int]) -> Tensor:
    """The inverse of `padded`."""
    return image[..., : shape[0], : shape[1]]


def in_colour(image: Tensor) -> Tensor:
    """(frames, channels, height, width) with three channels; any other number of them becomes frames of their own."""
    if image.shape[1] == COLOURS:
        return image
    return image.reshape(-1, 1, *image.shape[2:]).expand(-1, COLOURS, -1, -1)


def out_of_colour(image: Tensor, channels: int) -> Tensor:
    """The inverse of `in_colour`: the mean of the three."""
    if channels == COLOURS:
        return image
    return image.mean(1).reshape(-1, channels, *image.shape[2:])


def initialise(network: nn.Module, slope: float = 0.0) -> None:
    """Weights of He et al. 2015 for all convolutions, drawn from the global generator; biases begin at zero.

    Without normalisation, torch's own would halve the features with every layer.

    Args:
        slope: of the rectifiers below zero.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            inputs = layer.in_channels * math.prod(layer.kernel_size)
            if isinstance(layer, nn.ConvTranspose2d):
                inputs //= math.prod(layer.stride)
            nn.init.normal_(layer.weight, std=math.sqrt(2 / ((1 + slope**2) * inputs)))
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def faint(*convolutions: nn.Module) -> None:
    """Layers that begin with a hundredth of their weights: what is added to a skip is small before training."""
    with torch.no_grad():
        for convolution in convolutions:
            for parameter in convolution.parameters():
                parameter.mul_(0.01)
