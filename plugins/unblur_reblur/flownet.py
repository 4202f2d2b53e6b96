"""FlowNetS (Dosovitskiy et al. 2015, FlowNet: Learning Optical Flow with Convolutional Networks, Figure 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from unblur.networks.initialise import seeded
from unblur_reblur.layers import COLOURS, cropped, faint, initialise, padded

UNIT = 20.0
"""Pixels of flow that the network counts as one."""

_SLOPE = 0.1


class FlowNetS(nn.Module):
    """Optical flow from two frames laid on each other: an encoder, and a decoder that refines the flow level by level.

    With width 64 it is the network of the paper (38.7 million parameters). It predicts flow at a quarter of the
    resolution and is enlarged bilinearly. Reading: the mean of each pair is taken off first, so that brightness does
    not matter.

    Args:
        rng: generator for the weights.
        width: channels after the first convolution; up to 16 times as many below.
    """

    stride = 64

    def __init__(self, rng: Generator, width: int = 64) -> None:
        super().__init__()
        one, two, four, eight, sixteen = (width * factor for factor in (1, 2, 4, 8, 16))
        with seeded(rng):
            self.conv2 = nn.Sequential(_conv(2 * COLOURS, one, 7, 2), _conv(one, two, 5, 2))
            self.conv3 = nn.Sequential(_conv(two, four, 5, 2), _conv(four, four))
            self.conv4 = nn.Sequential(_conv(four, eight, 3, 2), _conv(eight, eight))
            self.conv5 = nn.Sequential(_conv(eight, eight, 3, 2), _conv(eight, eight))
            self.conv6 = nn.Sequential(_conv(eight, sixteen, 3, 2), _conv(sixteen, sixteen))
            self.flow6 = nn.Conv2d(sixteen, 2, 3, padding=1)
            self.refine5 = _Refine(sixteen, eight, eight)
            self.refine4 = _Refine(eight + eight + 2, eight, four)
            self.refine3 = _Refine(eight + four + 2, four, two)
            self.refine2 = _Refine(four + two + 2, two, one)
            initialise(self, _SLOPE)
            faint(self.flow6, *(refine.flow for refine in (self.refine5, self.refine4, self.refine3, self.refine2)))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow (batch, 2, height, width) in pixels along x and y, with first[p] = second[p + flow[p]].

        Args:
            first, second: frames (batch, 3, height, width).
        """
        return self.levels(first, second)[-1]

    def levels(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """The flow at 1/64, 1/32, 1/16, 1/8, 1/4 and all of the resolution, always in pixels of the full one."""
        pair = padded(torch.cat([first, second], dim=1), self.stride)
        pair = pair - pair.mean((1, 2, 3), keepdim=True)
        c2 = self.conv2(pair)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        c5 = self.conv5(c4)
        c6 = self.conv6(c5)
        found = [self.flow6(c6)]
        features = c6
        for refine, skip in ((self.refine5, c5), (self.refine4, c4), (self.refine3, c3), (self.refine2, c2)):
            features, flow = refine(features, found[-1], skip)
            found.append(flow)
        flows = [flow.float() * UNIT for flow in found]
        full = F.interpolate(flows[-1], scale_factor=4, mode="bilinear", align_corners=False)
        return [*flows, cropped(full, first.shape[2:])]


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2), nn.LeakyReLU(_SLOPE, inplace=True))


class _Refine(nn.Module):
    """Features and flow of a level enlarged, laid on the encoder's features, and the flow of the next level."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(_SLOPE, inplace=True))
        self.enlarge = nn.ConvTranspose2d(2, 2, 4, 2, 1)
        self.flow = nn.Conv2d(outputs + skip + 2, 2, 3, padding=1)

    def forward(self, features: Tensor, flow: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([skip, self.features(features), self.enlarge(flow)], dim=1)
        return joined, self.flow(joined)
