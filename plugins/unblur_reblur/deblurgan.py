"""The generator of DeblurGAN (Kupyn et al. 2018, Figure 3): a global skip around nine residual blocks."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from unblur.networks.initialise import seeded
from unblur_reblur.layers import COLOURS, Normalisation, cropped, faint, initialise, normalised, padded


class DeblurGan(nn.Module):
    """Two halvings, nine residual blocks, two doublings; the result is added to the input.

    Only the generator: Chen et al. 2018 fine-tune it without its adversary. With width 64 it is the network of the
    paper (11.4 million parameters). Reading: dropout, which its training has in the blocks, is left out.

    Args:
        rng: generator for the weights.
        width: channels at the full resolution; 2 and 4 times as many below.
        norm: normalisation after every convolution but the last; instance in the paper.
        blocks: residual blocks.
    """

    stride = 4

    def __init__(self, rng: Generator, width: int = 64, norm: Normalisation = "instance", blocks: int = 9) -> None:
        super().__init__()
        one, two, four = width, 2 * width, 4 * width
        with seeded(rng):
            self.down = nn.Sequential(
                normalised(_reflected(COLOURS, one, 7), one, norm),
                normalised(nn.Conv2d(one, two, 3, 2, 1), two, norm),
                normalised(nn.Conv2d(two, four, 3, 2, 1), four, norm),
            )
            self.blocks = nn.Sequential(*(_Residual(four, norm) for _ in range(blocks)))
            self.up = nn.Sequential(
                normalised(nn.ConvTranspose2d(four, two, 3, 2, 1, 1), two, norm),
                normalised(nn.ConvTranspose2d(two, one, 3, 2, 1, 1), one, norm),
            )
            self.last = _reflected(one, COLOURS, 7)
            initialise(self)
            faint(self.last)
            if norm == "none":
                faint(*(block.body[-1] for block in self.blocks))

    def forward(self, image: Tensor) -> Tensor:
        """Frames (batch, 3, height, width) of intensities from 0 to 1 to sharp ones; inside they are from -1 to 1."""
        features = self.down(2 * padded(image, self.stride) - 1)
        change = self.last(self.up(self.blocks(features))).tanh()
        return image + 0.5 * cropped(change, image.shape[2:]).to(image.dtype)


def _reflected(inputs: int, outputs: int, size: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect")


class _Residual(nn.Module):
    def __init__(self, channels: int, norm: Normalisation) -> None:
        super().__init__()
        self.body = nn.Sequential(
            normalised(_reflected(channels, channels, 3), channels, norm),
            normalised(_reflected(channels, channels, 3), channels, norm, active=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.body(x)
        return changed
