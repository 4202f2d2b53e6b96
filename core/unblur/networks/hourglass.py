"""What encoder-decoders with skips have in common: the way down, the way up, sizes, dropout, the head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Generator, Tensor, nn

from unblur.errors import ImageError, ParameterError
from unblur.networks.blocks import UpsampledConvolution, channels_last
from unblur.networks.randomness import RandomPool


class Level(nn.Module, ABC):
    """One resolution of an hourglass; `up` is the layer that doubles it."""

    up: UpsampledConvolution

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """The skip at this resolution (None without), and the features at half of it, ceil(size / 2)."""

    @abstractmethod
    def decode(self, x: Tensor, skip: Tensor | None, size: Sequence[int]) -> Tensor:
        """Features at twice the `size` that counts of x, from those below and the skip, with margins as x has them."""


class Hourglass(nn.Module):
    """Encoder, decoder and skips at any number of levels; fully convolutional, so the same weights serve every size.

    Args:
        levels: from the highest resolution to the lowest.
        head: from the features of the decoder to the output.
        rng: CPU generator for the seed of the dropout.
        dims: spatial dimensions.
    """

    def __init__(self, levels: Sequence[Level], head: nn.Module, rng: Generator, dims: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.head = head
        self.pool = RandomPool(rng)
        self.dims = dims
        self.margin = levels[0].up.margin

    def forward(self, z: Tensor, *, rng: Generator | None = None, dropout: float = 0.0) -> Tensor:
        """One image.

        Args:
            z: input, (batch, inputs, *spatial) of any spatial size.
            rng: generator for the dropout; None for the network without randomness.
            dropout: rate before every rescaling in the decoder.

        Returns:
            (batch, outputs, *spatial), float32, in the range of the head.

        Raises:
            ImageError: z has the wrong number of axes.
            ParameterError: the rate is outside [0, 1).
        """
        if z.ndim != self.dims + 2:
            wanted = f"(batch, channels, {self.dims} spatial axes)"
            raise ImageError(f"network: input of shape {tuple(z.shape)}, expected {wanted}")
        if not 0 <= dropout < 1:
            raise ParameterError(f"dropout: rate {dropout} is outside [0, 1)")
        sampler = self.pool.open(rng) if dropout > 0 else None
        x, skips, sizes = channels_last(z), [], []
        for level in self.levels:
            skip, x = level.encode(x)  # type: ignore[operator]
            skips.append(skip)
            sizes.append(x.shape[2:])
        if self.margin:
            x = F.pad(x, (self.margin,) * 2 * self.dims, mode="replicate")
        for level in reversed(self.levels):
            if sampler is not None:
                x = sampler.dropout(x, dropout)
            x = level.decode(x, skips.pop(), sizes.pop())  # type: ignore[operator]
        image: Tensor = self.head(x)
        for axis, size in enumerate(z.shape[2:], 2):
            image = image.narrow(axis, self.margin, size)
        return image


def widths(channels: int | Sequence[int], levels: int) -> list[int]:
    """The channels of every level, from the highest resolution to the lowest.

    Raises:
        ParameterError: no level, or another number of widths than of levels.
    """
    if levels < 1:
        raise ParameterError(f"levels {levels}: a network has at least one")
    each = [channels] if isinstance(channels, int) else list(channels)
    each = each * levels if len(each) == 1 else each
    if len(each) != levels or min(each) < 1:
        raise ParameterError(f"channels {channels}: expected one positive number, or one for each of {levels} levels")
    return each
