"""The encoder-decoder of Deep Image Prior (Ulyanov et al. 2018), as SelfDeblur (Ren et al. 2020) uses it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor, nn

from unblur.networks.blocks import Convolution, Head, Norm, UpsampledConvolution, Upsampling, check_dims
from unblur.networks.hourglass import Hourglass, Level, widths
from unblur.networks.initialise import child


class EncoderDecoder(Hourglass):
    """Five levels of convolutions with stride 2 down, upsampling up, and skips of 1x1 convolutions to a few channels.

    Three readings save time and left fits as they were: the normalisation of the upsampled part before a convolution is
    done before the upsampling, upsampled parts are padded by their border values (everything else by reflection), and
    odd sizes are rounded up on the way up and cropped once, at the end. Upsampling by repetition takes a fifth less
    time than by interpolation; it fits faster, noise too.

    Args:
        in_channels, out_channels: of the input and the image.
        rng: generator for the weights; one number is drawn from it.
        levels: how often the resolution is halved.
        channels: width of the levels, or one width for each, the highest resolution first. Multiples of 16 or 32 are
            fast. Most of the time is spent in the first.
        skip_channels: width of the skips; 0 for none.
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
        skip_channels: int = 16,
        dims: int = 2,
        upsampling: Upsampling = "bilinear",
        head: str = "sigmoid",
        slope: float = 0.2,
    ) -> None:
        weights = child(rng)
        check_dims(dims)
        each = widths(channels, levels)
        inputs = [in_channels, *each[:-1]]
        below = [*each[1:], each[-1]]
        parts = [
            _Level(*numbers, skip_channels, weights, dims, upsampling, slope)
            for numbers in zip(inputs, each, below, strict=True)
        ]
        super().__init__(parts, Head(each[0], out_channels, weights, head), weights, dims)


class _Level(Level):
    def __init__(
        self,
        inputs: int,
        width: int,
        below: int,
        skips: int,
        rng: Generator,
        dims: int,
        upsampling: Upsampling,
        slope: float,
    ) -> None:
        super().__init__()
        self.skip = None
        if skips:
            self.skip = nn.Sequential(Convolution(inputs, skips, rng, 1, dims), Norm(skips, slope), Norm(skips))
        self.down = nn.Sequential(
            Convolution(inputs, width, rng, 3, dims, stride=2),
            Norm(width, slope),
            Convolution(width, width, rng, 3, dims),
            Norm(width, slope),
        )
        self.below = Norm(below)
        self.up = UpsampledConvolution(below, skips, width, rng, dims, upsampling)
        self.mix = nn.Sequential(Norm(width, slope), Convolution(width, width, rng, 1, dims), Norm(width, slope))

    def encode(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        return None if self.skip is None else self.skip(x), self.down(x)

    def decode(self, x: Tensor, skip: Tensor | None, size: Sequence[int]) -> Tensor:
        mixed: Tensor = self.mix(self.up(self.below(x), skip, size))
        return mixed
