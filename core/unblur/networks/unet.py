"""The plain U-Net that MC-MAPk (Li et al. 2022) and MCEM (Li et al. 2023) use for images and kernels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor, nn

from unblur.networks.blocks import Convolution, Head, Norm, UpsampledConvolution, Upsampling, check_dims
from unblur.networks.hourglass import Hourglass, Level, widths
from unblur.networks.initialise import child


class UNet(Hourglass):
    """Convolutions at every level, halved by stride 2 and doubled by upsampling, with skips of the full width.

    `forward` takes a dropout rate, for the dropout before every rescaling in the decoder. Blocks are convolution, batch
    normalisation and LeakyReLU: of slope 0.1 in MC-MAPk, 0 (ReLU) in MCEM. Reading: how many convolutions there are and
    how it is enlarged, which the papers do not say, follows the common form. With the width of the skips it needs
    nearly twice the time of `EncoderDecoder`.

    Args:
        in_channels, out_channels: of the input and the image.
        rng: generator for the weights; one number is drawn from it.
        levels: how often the resolution is halved.
        channels: width of the levels, or one width for each, the highest resolution first.
        convolutions: in each block on the way down and up.
        dims: 2 or 3.
        upsampling: ``bilinear`` (in 3-D trilinear) or ``nearest``.
        head: ``sigmoid``, ``softplus`` or ``linear``.
        slope: of the LeakyReLU.

    Raises:
        ParameterError: a number of dimensions, channels or levels, or a name, that does not exist.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        rng: Generator,
        levels: int = 5,
        channels: int | Sequence[int] = 64,
        convolutions: int = 1,
        dims: int = 2,
        upsampling: Upsampling = "bilinear",
        head: str = "sigmoid",
        slope: float = 0.1,
    ) -> None:
        weights = child(rng)
        parts = unet_levels(in_channels, weights, levels, channels, convolutions, dims, upsampling, slope)
        width = widths(channels, levels)[0]
        super().__init__(parts, Head(width, out_channels, weights, head), weights, dims)


def unet_levels(
    inputs: int,
    rng: Generator,
    levels: int,
    channels: int | Sequence[int],
    convolutions: int,
    dims: int,
    upsampling: Upsampling,
    slope: float,
) -> list[Level]:
    """The levels of a U-Net, without a head."""
    check_dims(dims)
    each = widths(channels, levels)
    parts: list[Level] = []
    for width, below in zip(each, [*each[1:], each[-1]], strict=True):
        parts.append(_Level(inputs, width, below, max(1, convolutions), rng, dims, upsampling, slope))
        inputs = below
    return parts


def _block(inputs: int, width: int, count: int, rng: Generator, dims: int, slope: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [Convolution(width if index else inputs, width, rng, 3, dims), Norm(width, slope)]
    return nn.Sequential(*layers)


class _Level(Level):
    def __init__(
        self,
        inputs: int,
        width: int,
        below: int,
        convolutions: int,
        rng: Generator,
        dims: int,
        upsampling: Upsampling,
        slope: float,
    ) -> None:
        super().__init__()
        self.features = _block(inputs, width, convolutions, rng, dims, slope)
        self.down = nn.Sequential(Convolution(width, below, rng, 3, dims, stride=2), Norm(below, slope))
        self.up = UpsampledConvolution(below, width, width, rng, dims, upsampling)
        self.mix = nn.Sequential(Norm(width, slope), _block(width, width, convolutions - 1, rng, dims, slope))

    def encode(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        features = self.features(x)
        return features, self.down(features)

    def decode(self, x: Tensor, skip: Tensor | None, size: Sequence[int]) -> Tensor:
        mixed: Tensor = self.mix(self.up(x, skip, size))
        return mixed
