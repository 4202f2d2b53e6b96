"""The layers that the networks are made of, for 2 and 3 dimensions, in forms that are cheap forward and backward.

Feature maps are (batch, channels, *spatial), channels last in memory. Under autocast the convolutions run in bfloat16
while statistics, weights and the output head stay in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from unblur.errors import ParameterError
from unblur.networks.initialise import fan_in_uniform

Upsampling = Literal["bilinear", "nearest"]
HEADS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "softplus": F.softplus, "linear": lambda x: x}

# What a filter of 3 taps sees of a signal upsampled by 2: for each of the 2 phases (rows) and taps t = -1, 0, 1
# (columns) the weights of the low-resolution samples i - 1, i, i + 1.
PHASES: dict[str, list[list[list[float]]]] = {
    "bilinear": [
        [[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.75, 0.25]],
        [[0.25, 0.75, 0.0], [0.0, 0.75, 0.25], [0.0, 0.25, 0.75]],
    ],
    "nearest": [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]],
        [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
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
    return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution over what lies wholly inside, in as many dimensions as the weight has."""
    convolution = F.conv2d if weight.ndim == 4 else F.conv3d
    return convolution(x, weight, bias, stride, 0, 1, groups)


def pad(x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Pad every spatial axis by reflection, or by the border value where an axis is too short to be reflected."""
    sizes = x.shape[2:]
    if not any(before) and not any(after):
        return x
    short = any(max(widths) >= size for *widths, size in zip(before, after, sizes, strict=True))
    amounts = [width for pair in zip(reversed(before), reversed(after), strict=True) for width in pair]
    return F.pad(x, amounts, mode="replicate" if short else "reflect")


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

    Args:
        inputs: channels of the low-resolution map.
        skips: channels of the skip; 0 for none.
        outputs: channels.
        rng: CPU generator for the weights.
        dims: spatial dimensions.
        upsampling: linear interpolation (``bilinear``, in 3-D trilinear) or repetition (``nearest``).
    """

    matrix: Tensor

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
        each = torch.tensor(PHASES[upsampling]).transpose(0, 1).flatten(1)
        # one axis: (tap, phase * low); all of them: (taps, phase, low, phase, low, …) to (taps, phases, lows)
        combined = functools.reduce(torch.kron, [each] * dims).view(3**dims, *(2, 3) * dims)
        order = [0, *range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2)]
        self.register_buffer("matrix", combined.permute(order).reshape(3**dims, -1), persistent=False)

    def phase_weight(self) -> Tensor:
        """The weights of all phases, (2**dims * outputs, inputs, 3, …)."""
        outputs, inputs, *taps = self.weight.shape
        with torch.autocast(self.weight.device.type, enabled=False):
            phases = self.weight.reshape(outputs * inputs, -1) @ self.matrix
        return phases.view(outputs, inputs, 2**self.dims, *taps).movedim(2, 0).flatten(0, 1)

    def forward(self, x: Tensor, skip: Tensor | None = None, size: Sequence[int] | None = None) -> Tensor:
        """Upsample and convolve.

        Args:
            x: (batch, inputs, *low); may have one row more at the end of an axis than `size` stands for, as results of
                this layer do.
            skip: (batch, skips, *high).
            size: sizes of x that count; default all.

        Returns:
            (batch, outputs, *2 size); a skip of 2 size - 1 is extended by reflection.
        """
        size = x.shape[2:] if size is None else size
        low = F.pad(x, self._borders(x, size), mode="replicate")
        phases = convolve(low, self.phase_weight()).movedim(1, -1)
        d = self.dims
        # (batch, *size, 2, …, outputs) to (batch, size, 2, size, 2, …, outputs)
        blocks = phases.reshape(*phases.shape[:-1], *(2,) * d, self.outputs)
        blocks = blocks.permute(0, *(axis for i in range(d) for axis in (1 + i, 1 + d + i)), 1 + 2 * d)
        if skip is not None and self.skip_weight is not None:
            extra = [1 + 2 * low - high for low, high in zip(size, skip.shape[2:], strict=True)]
            high = convolve(pad(skip, (1,) * d, extra), self.skip_weight).movedim(1, -1)
            blocks = high.reshape(blocks.shape) + blocks
        return blocks.reshape(x.shape[0], *(2 * low for low in size), self.outputs).movedim(-1, 1)

    def _borders(self, x: Tensor, size: Sequence[int]) -> list[int]:
        borders = []
        for have, want in zip(reversed(x.shape[2:]), reversed(size), strict=True):
            borders += [1, 1 - (have - want)]
        return borders


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
            values = F.linear(x.movedim(1, -1).float(), self.weight, self.bias)
            image = HEADS[self.kind](values.movedim(-1, 1))
        return image
