"""Seconds of every network, forward and backward without a misfit, beside the floor of `floors.py`.

Operations are those that torch counts, of convolutions and products of matrices, in each network as it is here; the
encoder-decoder is also timed in its plain form, with upsampled and concatenated maps. Sines, dropout and normalisation
count as nothing. The bytes are those of the weights, read twice, and of their gradients. Kernel networks compute in
float32, whatever the precision of the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from floors import FLOAT, Machine, Work, counted, line
from torch import Tensor, nn

from unblur.coarse_to_fine import CHANNELS
from unblur.compute import Compute
from unblur.networks.encoder_decoder import EncoderDecoder
from unblur.networks.fully_connected import FullyConnected
from unblur.networks.kernel_unet import KernelUNet
from unblur.networks.siren import Siren, pixel_positions
from unblur.networks.unet import UNet
from unblur_sadropout.dropout import AdaptiveDropout
from unblur_sadropout.network import DropoutUNet

INPUTS, SKIPS, LEVELS = 8, 16, 5
DROPOUT = 0.3


class Plain(nn.Module):
    """The encoder-decoder as it is usually written, with upsampled and concatenated maps."""

    def __init__(self, inputs: int, width: int, levels: int = LEVELS) -> None:
        super().__init__()
        self.skip = nn.Sequential(*_block(inputs, SKIPS, 1), nn.BatchNorm2d(SKIPS))
        self.down = nn.Sequential(*_block(inputs, width, 3, 2), *_block(width, width, 3))
        self.below = Plain(width, width, levels - 1) if levels > 1 else nn.BatchNorm2d(width)
        self.norm = nn.BatchNorm2d(width)
        self.up = nn.Sequential(*_block(width + SKIPS, width, 3), *_block(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        low = self.norm(self.below(self.down(x)))
        high = F.interpolate(low, scale_factor=2, mode="bilinear")[..., : x.shape[-2], : x.shape[-1]]
        up: Tensor = self.up(torch.cat([high, self.skip(x)], 1))
        return up


def _block(inputs: int, outputs: int, size: int, stride: int = 1) -> Sequence[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False, padding_mode="reflect")
    return convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)


def plain(width: int) -> nn.Module:
    return nn.Sequential(Plain(INPUTS, width), nn.Conv2d(width, 1, 1), nn.Sigmoid())


def own(width: int) -> nn.Module:
    return EncoderDecoder(INPUTS, 1, rng=_seeded(), channels=width)


def passing(network: nn.Module, forward: Callable[[], Tensor], compute: Compute) -> Callable[[], None]:
    """One pass forward and backward."""

    def run() -> None:
        network.zero_grad(set_to_none=True)
        with compute.autocast():
            y = forward()
        y.float().mean().backward()  # type: ignore[no-untyped-call]

    return run


def on_noise(network: nn.Module, side: int, compute: Compute, **more: Any) -> Callable[[], None]:
    """A pass of a network whose input is noise."""
    placed = compute.place(network)
    z = compute.lay(torch.rand(1, INPUTS, side, side))
    return passing(placed, lambda: placed(z, **more), compute)


def with_dropout(network: DropoutUNet, shape: Sequence[int], compute: Compute) -> Callable[[], None]:
    """A pass of SA-dropout's network on an image or a volume, with new masks in every layer."""
    compute.place(network, len(shape))
    rng = compute.generator(0)
    masks = AdaptiveDropout(network.ratios, rng)
    image = compute.lay(torch.rand(1, 1, *shape))
    return passing(network, lambda: network(image, masks.opened(rng)), compute)


def work(name: str, network: nn.Module, run: Callable[[], None]) -> Work:
    """With its operations and bytes."""
    return Work(name, run, counted(run), 3 * FLOAT * sum(weight.numel() for weight in network.parameters()))


def image_networks(side: int, compute: Compute) -> Iterator[Work]:
    for width in (64, 128):
        for form, network in (("", own(width)), (", plain", plain(width))):
            yield work(f"encoder-decoder, {width}{form}", network, on_noise(network, side, compute))
    rng = compute.generator(0)
    for kind, levels, channels in (("narrow", 5, CHANNELS), ("paper", 6, (128,) * 6)):
        unet = UNet(INPUTS, 1, rng=_seeded(), levels=levels, channels=channels)
        yield work(f"random U-Net, {kind}", unet, on_noise(unet, side, compute, rng=rng, dropout=DROPOUT))
    dropout = DropoutUNet(1, 1, rng=_seeded())
    yield work("dropout U-Net, Table 1", dropout, with_dropout(dropout, (side, side), compute))


def kernel_networks(size: int, compute: Compute) -> Iterator[Work]:
    full = FullyConnected((size, size), rng=_seeded()).to(compute.device)
    vector = torch.rand(200, device=compute.device)
    yield work(f"fully connected, {size}x{size}", full, passing(full, lambda: full(vector), compute))
    siren = Siren((size, size), rng=_seeded(), layers=2).to(compute.device)
    positions = pixel_positions((size, size), device=compute.device)
    yield work(f"siren, {size}x{size}", siren, passing(siren, lambda: siren(positions), compute))
    unet = KernelUNet(INPUTS, rng=_seeded())
    yield work(f"kernel U-Net, {size}x{size}", unet, on_noise(unet, size, compute))


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def measure(machine: Machine, works: Iterator[Work], repeats: int | None = None) -> dict[str, Any]:
    """Rows of some networks, printed as they come."""
    rows = []
    for one in works:
        rows.append(machine.row(one, repeats))
        print(line(rows[-1]), flush=True)
    print(f"{machine.compute.precision}: {machine.convolution / 1e9:.0f} GFLOP/s", flush=True)
    return {**machine.compute.describe(), "rate": machine.convolution, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=273, help="of the latent image")
    parser.add_argument("--kernel-sizes", default="19,127")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", default="bfloat16,float32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = []
    for precision in options.precisions.split(","):
        compute = Compute.choose(options.device, precision, options.threads)
        results.append(measure(Machine(compute, options.repeats), image_networks(options.side, compute)))
    compute = Compute.choose(options.device, "float32", options.threads)
    machine = Machine(compute, options.repeats)
    for size in map(int, options.kernel_sizes.split(",")):
        results.append(measure(machine, kernel_networks(size, compute), 10 * options.repeats))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
