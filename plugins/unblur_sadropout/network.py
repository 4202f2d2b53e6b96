"""The encoder-decoder of Table 1 (Chen et al. 2022), with dropout before every convolution, 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from unblur.errors import ParameterError
from unblur.networks.blocks import UpsampledConvolution, channels_last, check_dims, convolve
from unblur.networks.initialise import child, uniform

Drop = Callable[[int, Tensor], Tensor]
"""From the number of a dropout layer and its input to what is left of it."""

LARGEST_RATIO = 0.5
SLOPE = 0.01


def keep(layer: int, x: Tensor) -> Tensor:
    """No dropout."""
    return x


class DropoutUNet(nn.Module):
    """Six blocks down, five up; every convolution is preceded by a dropout layer of its own (Table 1).

    Max pooling between the blocks rounds sizes up, features are cut before they are concatenated, and the input itself
    is the skip of the full resolution. The convolutions (3 taps, borders of zeros) keep the size: "padding 2" in
    section 4.1 would not. Weights begin as He et al. 2015 advise for LeakyReLU, which the paper does not say.

    Args:
        inputs, outputs: channels of the input and the image.
        rng: generator for the weights; one number is drawn from it.
        widths: of encoder, decoder, and the last two hidden layers.
        levels: how often the resolution is halved.
        ratio: dropout ratio of the first block; each level below adds as much.
        early: drop the features of the decoder before they are upsampled instead of after. Upsampling, concatenation
            and convolution are then one.
        dims: 2 or 3.

    Attributes:
        ratios: initial dropout ratio of every dropout layer, in the order of their use.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rng: Generator,
        widths: tuple[int, int, int, int] = (48, 96, 64, 32),
        levels: int = 5,
        ratio: float = 0.075,
        early: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        check_dims(dims)
        if levels < 1 or min(widths) < 1:
            raise ParameterError(f"dropout network of {levels} levels and widths {widths}: expected at least one each")
        weights = child(rng)
        encoder, decoder, *last = widths
        self.dims, self.early = dims, early
        self.ratios: list[float] = []
        ratios = [min(ratio * (level + 1), LARGEST_RATIO) for level in range(levels + 1)]

        def block(before: int, after: int, level: int) -> _Block:
            self.ratios.append(ratios[level])
            return _Block(len(self.ratios) - 1, before, after, weights, dims)

        def joined(below: int, skip: int, after: int, level: int) -> nn.Module:
            if not early:
                return block(below + skip, after, level)
            self.ratios += [ratios[level]] * 2
            return _EarlyBlock(len(self.ratios) - 2, below, skip, after, weights, dims)

        self.first = nn.ModuleList([block(inputs, encoder, 0), block(encoder, encoder, 0)])
        self.down = nn.ModuleList([block(encoder, encoder, level) for level in range(1, levels + 1)])
        self.up = nn.ModuleList()
        below = encoder
        for level in range(levels - 1, 0, -1):
            self.up.append(nn.ModuleList([joined(below, encoder, decoder, level), block(decoder, decoder, level)]))
            below = decoder
        self.last = nn.ModuleList([joined(below, inputs, last[0], 0), block(last[0], last[1], 0)])
        self.output = block(last[1], outputs, 0)

    def forward(self, z: Tensor, drop: Drop = keep) -> Tensor:
        """What the image is made of by a sigmoid (Table 1) or another range, (batch, outputs, *spatial), float32.

        Args:
            z: input, (batch, inputs, *spatial).
            drop: what is left of the input of a dropout layer.
        """
        x = channels_last(z)
        skips = [x]
        for block in self.first:
            x = block(x, drop)
        for block in self.down:
            x = self._halved(x)
            skips.append(x)
            x = block(x, drop)
        skips.pop()
        for first, second in self.up:  # type: ignore[misc]
            x = second(self._joined(first, x, skips.pop(), drop), drop)
        first, second = self.last
        x = second(self._joined(first, x, skips.pop(), drop), drop)
        with torch.autocast(z.device.type, enabled=False):
            image: Tensor = self.output(x.float(), drop, activated=False)
        return image

    def _halved(self, x: Tensor) -> Tensor:
        pool = F.max_pool2d if self.dims == 2 else F.max_pool3d
        return pool(x, 2, ceil_mode=True)

    def _joined(self, block: nn.Module, x: Tensor, skip: Tensor, drop: Drop) -> Tensor:
        if self.early:
            return block(x, skip, drop)
        x = F.interpolate(x, scale_factor=2, mode="bilinear" if self.dims == 2 else "trilinear", align_corners=False)
        return block(channels_last(torch.cat((cut(x, skip.shape[2:]), skip), 1)), drop)


class _Block(nn.Module):
    """Dropout, convolution, LeakyReLU."""

    def __init__(self, layer: int, inputs: int, outputs: int, rng: Generator, dims: int) -> None:
        super().__init__()
        self.layer = layer
        fan_in = inputs * 3**dims
        self.weight = uniform((outputs, inputs, *(3,) * dims), he_bound(fan_in), rng)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, drop: Drop, activated: bool = True) -> Tensor:
        x = convolve(drop(self.layer, x), self.weight, self.bias, padding=1)
        return F.leaky_relu_(x, SLOPE) if activated else x


class _EarlyBlock(nn.Module):
    """Dropout, upsampling, concatenation, convolution, LeakyReLU."""

    def __init__(self, layer: int, below: int, skip: int, outputs: int, rng: Generator, dims: int) -> None:
        super().__init__()
        self.layer = layer
        self.up = UpsampledConvolution(below, skip, outputs, rng, dims)
        with torch.no_grad():
            for weight in (self.up.weight, self.up.skip_weight):
                weight.uniform_(-1, 1, generator=rng).mul_(he_bound((below + skip) * 3**dims))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, skip: Tensor, drop: Drop) -> Tensor:
        size = [-(-n // 2) for n in skip.shape[2:]]
        x = cut(x, size)
        x = self.up(drop(self.layer, x), drop(self.layer + 1, skip), size)
        x = cut(x, skip.shape[2:]) + self.bias.to(x.dtype).view(-1, *(1,) * (x.ndim - 2))
        return F.leaky_relu_(x, SLOPE)


def he_bound(fan_in: int) -> float:
    """Of uniform weights that keep the variance of what passes a LeakyReLU (He et al. 2015)."""
    return (6 / ((1 + SLOPE**2) * fan_in)) ** 0.5


def cut(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first pixels along every spatial axis."""
    for axis, count in enumerate(size, 2):
        x = x.narrow(axis, 0, count)
    return x
