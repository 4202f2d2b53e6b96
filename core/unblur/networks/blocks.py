"""The layers that the networks are made of, for 2 and 3 dimensions, in forms that are cheap forward and backward.

Feature maps are (batch, channels, *spatial), channels last in memory. Under autocast the convolutions run in bfloat16
while statistics, weights and the output head stay in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from unblur.compute import memory_format
from unblur.errors import ParameterError
from unblur.networks import products
from unblur.networks.initialise import fan_in_uniform

Upsampling = Literal["bilinear", "nearest"]
HEADS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "softplus": F.softplus, "linear": lambda x: x}

_MARGINS = {"sigmoid": 5e-3, "softplus": 1e-3}
"""Distance from the ends of a head's range within which a value is not believed: its inverse would be huge."""

_IN_CACHE = 4096
"""Pixels whose features are widened at a time, so that they stay in a processor's cache."""

# What a filter of 3 taps sees of a signal upsampled by 2: for both phases, the weights with which its taps (rows)
# meet the low-resolution samples (columns). Linear: pixels 2i and 2i + 1 see i - 1, i, i + 1. Repetition: pixels 2i - 1
# and 2i, on both sides of a corner, see i - 1 and i alone, which saves more than half of the products.
PHASES: dict[str, list[list[list[float]]]] = {
    "bilinear": [
        [[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.75, 0.25]],
        [[0.25, 0.75, 0.0], [0.0, 0.75, 0.25], [0.0, 0.25, 0.75]],
    ],
    "nearest": [
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
        [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]],
    ],
}


def check_dims(dims: int) -> int:
    """The number of spatial dimensions.

    Raises:
        ParameterError: it is neither 2 nor 3.
    """
    if dims not in (2, 3):
        raise ParameterError(f"dims {dims}: networks are 2-D or 3-D")
    return dims


def channels_last(x: Tensor) -> Tensor:
    """A feature map with its channels innermost in memory."""
    return x.contiguous(memory_format=memory_format(x.ndim - 2))


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, groups: int = 1, padding: int = 0
) -> Tensor:
    """Convolution in as many dimensions as the weight has, by the library or by `networks/products.py`.

    Args:
        x: (batch, inputs, *spatial).
        weight: (outputs, inputs / groups, *taps).
        bias: (outputs,).
        stride: along every axis.
        groups: of channels that do not see each other.
        padding: zeros at every border.

    Returns:
        (batch, outputs, *spatial), its sizes (size + 2 padding - taps) // stride + 1.
    """
    if products.pays(x, weight, groups):
        return products.convolve(x, weight, bias, stride, padding)
    convolution = F.conv2d if weight.ndim == 4 else F.conv3d
    return convolution(x, weight, bias, stride, padding, 1, groups)


def pad(x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Pad every spatial axis by reflection, or by the border value where an axis is too short to be reflected."""
    if not any(before) and not any(after):
        return x
    short = any(max(b, a) >= size for b, a, size in zip(before, after, x.shape[2:], strict=True))
    if short:
        return F.pad(x, _widths(before, after), mode="replicate")
    padded: Tensor = _Reflection.apply(x, tuple(before), tuple(after))  # type: ignore[no-untyped-call]
    return padded


def _widths(before: Sequence[int], after: Sequence[int]) -> list[int]:
    return [width for pair in zip(reversed(before), reversed(after), strict=True) for width in pair]


class _Reflection(torch.autograd.Function):
    """Padding by reflection whose gradient adds in a fixed order: torch's own does not on a GPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> Tensor:
        ctx.widths = (before, after)
        return F.pad(x, _widths(before, after), mode="reflect")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0].clone()
        for axis, (before, after) in enumerate(zip(*ctx.widths, strict=True), 2):
            last = gradient.shape[axis] - after - 1
            for step in range(1, before + 1):
                gradient.select(axis, before + step).add_(gradient.select(axis, before - step))
            for step in range(1, after + 1):
                gradient.select(axis, last - step).add_(gradient.select(axis, last + step))
            gradient = gradient.narrow(axis, before, last + 1 - before)
        return gradient, None, None


class Norm(nn.Module):
    """Batch normalisation with the statistics of the batch at hand, then LeakyReLU with a slope; 1 for none.

    There are no running statistics: an untrained network is always in training. A single pixel has no variance and is
    only scaled and shifted.
    """

    def __init__(self, channels: int, slope: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() == x.shape[1]:
            shape = (1, -1) + (1,) * (x.ndim - 2)
            x = torch.addcmul(self.bias.view(shape), x, self.weight.view(shape))
        else:
            x = F.batch_norm(x, None, None, self.weight, self.bias, training=True)
        return x if self.slope == 1 else F.leaky_relu_(x, self.slope)


class Convolution(nn.Module):
    """Convolution with reflected borders: keeps the size at stride 1, and gives ceil(size / 2) at stride 2.

    Args:
        inputs, outputs: channels.
        rng: CPU generator for the weights.
        size: taps along each axis, odd.
        dims: spatial dimensions.
        stride: 1 or 2.
        bias: superfluous, and off, where a `Norm` follows.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rng: Generator,
        size: int = 3,
        dims: int = 2,
        stride: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        fan_in = inputs * size**dims
        self.weight = fan_in_uniform((outputs, inputs, *(size,) * dims), fan_in, rng)
        self.bias = fan_in_uniform((outputs,), fan_in, rng) if bias else None
        self.stride = stride
        self.margin = (size // 2,) * dims

    def forward(self, x: Tensor) -> Tensor:
        return convolve(pad(x, self.margin, self.margin), self.weight, self.bias, self.stride)


class UpsampledConvolution(nn.Module):
    """Upsampling by 2, concatenation with a skip and a convolution of 3 taps, in one.

    A convolution of an upsampled map is a convolution of the map itself, with one set of weights for each of the
    2**dims positions of a pixel inside its block. So the upsampled and the concatenated map, the largest of a network,
    are never made. The result equals the plain form, with the upsampled part padded by its border values.

    With ``nearest``, maps carry a `margin` of one pixel on all sides from layer to layer, instead of being padded.

    Args:
        inputs: channels of the low-resolution map.
        skips: channels of the skip; 0 for none.
        outputs: channels.
        rng: CPU generator for the weights.
        dims: spatial dimensions.
        upsampling: linear interpolation (``bilinear``, in 3-D trilinear) or repetition (``nearest``).
    """

    def __init__(
        self, inputs: int, skips: int, outputs: int, rng: Generator, dims: int = 2, upsampling: Upsampling = "bilinear"
    ) -> None:
        super().__init__()
        if upsampling not in PHASES:
            raise ParameterError(f"upsampling {upsampling!r}: choose one of {', '.join(PHASES)}")
        fan_in = (inputs + skips) * 3**dims
        self.dims = dims
        self.outputs = outputs
        self.weight = fan_in_uniform((outputs, inputs, *(3,) * dims), fan_in, rng)
        self.skip_weight = fan_in_uniform((outputs, skips, *(3,) * dims), fan_in, rng) if skips else None
        self.margin = 1 if upsampling == "nearest" else 0
        self.matrix: Tensor
        self.register_buffer("matrix", phase_matrix(upsampling, dims), persistent=False)

    def phase_weight(self) -> Tensor:
        """The weights of all phases, (2**dims * outputs, inputs, taps, …)."""
        outputs, inputs = self.weight.shape[:2]
        taps = (3 - self.margin,) * self.dims
        with torch.autocast(self.weight.device.type, enabled=False):
            phases = self.weight.reshape(outputs * inputs, -1) @ self.matrix
        return phases.view(outputs, inputs, 2**self.dims, *taps).movedim(2, 0).flatten(0, 1)

    def forward(self, x: Tensor, skip: Tensor | None = None, size: Sequence[int] | None = None) -> Tensor:
        """Upsample and convolve.

        Args:
            x: (batch, inputs, *low), with `margin` pixels around what counts, and perhaps one row more at the end of an
                axis than `size` says, as results of this layer have.
            skip: (batch, skips, *high) for 2 size or 2 size - 1.
            size: sizes of x that count; default all but the margin.

        Returns:
            (batch, outputs, *2 size + 2 margin).
        """
        d, m = self.dims, self.margin
        size = [have - 2 * m for have in x.shape[2:]] if size is None else size
        phases = convolve(self._bordered(x, size), self.phase_weight()).movedim(1, -1)
        grid = phases.shape[1:-1]
        # (batch, *grid, 2, …, outputs) to (batch, grid, 2, grid, 2, …, outputs)
        blocks = phases.reshape(*phases.shape[:-1], *(2,) * d, self.outputs)
        blocks = blocks.permute(0, *(axis for i in range(d) for axis in (1 + i, 1 + d + i)), 1 + 2 * d)
        if skip is not None and self.skip_weight is not None:
            after = [1 + m + 2 * low - high for low, high in zip(size, skip.shape[2:], strict=True)]
            high = convolve(pad(skip, (1 + m,) * d, after), self.skip_weight).movedim(1, -1)
            blocks = high.reshape(blocks.shape) + blocks
        return blocks.reshape(x.shape[0], *(2 * count for count in grid), self.outputs).movedim(-1, 1)

    def _bordered(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """What counts of x with a border of one pixel: its margin, or a row too many, or the border value."""
        if self.margin:
            for axis, want in enumerate(size, 2):
                x = x.narrow(axis, 0, want + 2)
            return x
        borders = []
        for have, want in zip(reversed(x.shape[2:]), reversed(size), strict=True):
            borders += [1, 1 - (have - want)]
        return F.pad(x, borders, mode="replicate")


def phase_matrix(upsampling: Upsampling, dims: int) -> Tensor:
    """From a filter's taps (3**dims) to those of all phases (2**dims * lows**dims)."""
    one = torch.tensor(PHASES[upsampling]).transpose(0, 1)
    lows = one.shape[2]
    combined = functools.reduce(torch.kron, [one.flatten(1)] * dims).view(3**dims, *(2, lows) * dims)
    order = [0, *range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2)]
    return combined.permute(order).reshape(3**dims, -1)


def inverse_head(kind: str, image: Tensor) -> Tensor:
    """What a head, sigmoid or softplus, makes an image (any shape) of; the ends of its range count as values nearby."""
    least = _MARGINS[kind]
    if kind == "sigmoid":
        return torch.logit(image.clamp(least, 1 - least))
    image = image.clamp_min(least)
    return image + torch.log(-torch.expm1(-image))


class Head(nn.Module):
    """Features to the output's channels, pixel by pixel, then a sigmoid, a softplus or nothing; always in float32.

    Args:
        inputs, outputs: channels.
        rng: CPU generator for the weights.
        kind: ``sigmoid``, ``softplus`` or ``linear``.
    """

    def __init__(self, inputs: int, outputs: int, rng: Generator, kind: str = "sigmoid") -> None:
        super().__init__()
        if kind not in HEADS:
            raise ParameterError(f"head {kind!r}: choose one of {', '.join(HEADS)}")
        self.weight = fan_in_uniform((outputs, inputs), inputs, rng)
        self.bias = fan_in_uniform((outputs,), inputs, rng)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            features = x.movedim(1, -1)
            if x.dtype == torch.float32:
                values = F.linear(features, self.weight, self.bias)
            else:
                values = _WideLinear.apply(features, self.weight, self.bias)  # type: ignore[no-untyped-call]
            image = HEADS[self.kind](values.movedim(-1, 1))
        return image


class _WideLinear(torch.autograd.Function):
    """A linear layer from low-precision features to float32 values, whose gradients are in the features' precision.

    Left to autograd, the largest map of a network would be kept and differentiated in float32 as well.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(features, weight)
        rows = features.flatten(0, -2)
        blocks = torch.split(rows, _IN_CACHE) if rows.device.type == "cpu" else (rows,)
        return torch.cat([F.linear(block.float(), weight, bias) for block in blocks]).view(*features.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, weight = ctx.saved_tensors
        low = gradient.to(features.dtype)
        for_weight = low.flatten(0, -2).T @ features.flatten(0, -2)
        return low @ weight.to(features.dtype), for_weight.float(), gradient.flatten(0, -2).sum(0)
