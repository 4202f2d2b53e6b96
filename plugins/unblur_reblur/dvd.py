"""The encoder-decoder of DVD (Su et al. 2017, Deep Video Deblurring for Hand-held Cameras, Table 1), for one frame."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from unblur.networks.initialise import seeded
from unblur_reblur.layers import COLOURS, Normalisation, cropped, faint, initialise, normalised, padded


class Dvd(nn.Module):
    """Three halvings with skips that are added, and the input added to the output.

    With width 64 it is the network of the paper, but for its input: one frame, as in Chen et al. 2018 section 3.1,
    where Su et al. stack five. Reading: the sigmoid at the end is left out, since a skip from the input needs none.

    Args:
        rng: generator for the weights.
        width: channels at the full resolution; 2, 4 and 8 times as many below.
        norm: normalisation after every convolution; batch in the paper.
    """

    stride = 8

    def __init__(self, rng: Generator, width: int = 64, norm: Normalisation = "batch") -> None:
        super().__init__()

        def flat(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
            return normalised(nn.Conv2d(inputs, outputs, size, stride, size // 2), outputs, norm)

        def up(inputs: int, outputs: int) -> nn.Module:
            return normalised(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), outputs, norm, active=False)

        one, two, four, eight = width, 2 * width, 4 * width, 8 * width
        with seeded(rng):
            self.f0 = flat(COLOURS, one, 5)
            self.f1 = nn.Sequential(flat(one, one, stride=2), flat(one, two), flat(two, two))
            self.f2 = nn.Sequential(flat(two, four, stride=2), *(flat(four, four) for _ in range(3)))
            self.f3 = nn.Sequential(flat(four, eight, stride=2), *(flat(eight, eight) for _ in range(3)))
            self.u1 = up(eight, four)
            self.f4 = nn.Sequential(*(flat(four, four) for _ in range(3)))
            self.u2 = up(four, two)
            self.f5 = nn.Sequential(flat(two, two), flat(two, one))
            self.u3 = up(one, one)
            self.f6 = flat(one, 15)
            self.last = nn.Conv2d(15, COLOURS, 3, padding=1)
            initialise(self)
            faint(self.last)

    def forward(self, image: Tensor) -> Tensor:
        """Frames (batch, 3, height, width) of intensities from 0 to 1 to sharp ones."""
        f0 = self.f0(padded(image, self.stride))
        f1 = self.f1(f0)
        f2 = self.f2(f1)
        x = (self.u1(self.f3(f2)) + f2).relu_()
        x = (self.u2(self.f4(x)) + f1).relu_()
        x = (self.u3(self.f5(x)) + f0).relu_()
        return image + cropped(self.last(self.f6(x)), image.shape[2:]).to(image.dtype)
