"""Seconds per step, and how far they are from what the machine could do.

The floor of a network is the number of floating-point operations of a step, forward and backward, over the rate that
the machine reaches with one convolution of 3x3 taps (the best of some widths), measured in the same run. Operations are
counted by torch in the plain form of the network, with upsampled and concatenated maps, and in the form of this
package; both are timed. The median of the repeats counts, since that is what a run is made of.

Cases: `selfdeblur`'s network with as many channels at all five levels, structural similarity, both networks updated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unblur.compute import Compute, saved_bytes
from unblur.jobs import Job
from unblur.networks.encoder_decoder import EncoderDecoder
from unblur.operators.convolution import convolve
from unblur.operators.windows import ssim

OBSERVED, KERNEL = 255, 19
LATENT = OBSERVED + KERNEL - 1
INPUTS, SKIPS, LEVELS = 8, 16, 5
WIDTHS = (64, 128)


class Plain(nn.Module):
    """The encoder-decoder as it is usually written."""

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


def median_seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """The median of some repeats, after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def best_rate(compute: Compute, repeats: int) -> float:
    """Operations per second of a convolution, forward and backward: the best of some widths."""
    rates = []
    for width in WIDTHS:
        x = compute.lay(torch.rand(1, width, LATENT - 1, LATENT - 1)).requires_grad_()
        layer = compute.place(nn.Conv2d(width, width, 3, padding=1, bias=False))

        def work(x: Tensor = x, layer: nn.Module = layer) -> None:
            with compute.autocast():
                y = layer(x)
            y.backward(torch.ones_like(y))

        with FlopCounterMode(display=False) as counter:
            work()
        rates.append(counter.get_total_flops() / median_seconds(work, repeats, compute.device))
    return max(rates)


def network_work(network: nn.Module, compute: Compute) -> Callable[[], None]:
    """One pass forward and backward, without a misfit."""
    placed = compute.place(network)
    z = compute.lay(torch.rand(1, INPUTS, LATENT, LATENT))

    def work() -> None:
        with compute.autocast():
            y = placed(z)
        y.float().mean().backward()

    return work


def counted(work: Callable[[], object]) -> float:
    """Operations as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def step_seconds(width: int, compute: Compute, steps: int) -> float:
    """The median step of a real run: driver, misfit, both updates."""
    image = np.random.default_rng(0).random((OBSERVED, OBSERVED))
    job = Job(
        image,
        method="selfdeblur",
        preset="paper",
        kernel_size=KERNEL,
        white_level=1.0,
        plan=[steps],
        settings={
            "image_prior.channels": (width,) * LEVELS,
            "forward_model.squared.weight": 0.0,
            "forward_model.ssim.weight": 1.0,
        },
        precision=compute.precision,
        device=str(compute.device),
        threads=compute.threads,
    )
    times = [event.event.elapsed for event in job.events()]
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(times[2:]))


def operators(compute: Compute, repeats: int) -> dict[str, float]:
    """Seconds forward and backward of what is not network."""
    latent = torch.rand(1, 1, LATENT, LATENT, device=compute.device, requires_grad=True)
    kernel = torch.rand(1, KERNEL, KERNEL, device=compute.device, requires_grad=True)
    observed, predicted = (torch.rand(1, 1, OBSERVED, OBSERVED, device=compute.device) for _ in range(2))
    predicted.requires_grad_()
    works: dict[str, Callable[[], object]] = {
        "convolution": lambda: convolve(latent, kernel).mean().backward(),  # type: ignore[no-untyped-call]
        "structural similarity": lambda: ssim(predicted, observed).backward(),  # type: ignore[no-untyped-call]
    }
    return {name: median_seconds(work, repeats, compute.device) for name, work in works.items()}


def measure(precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures in one precision."""
    compute = Compute.choose(options.device, precision, options.threads)  # type: ignore[arg-type]
    result: dict[str, Any] = {**compute.describe(), "rate": best_rate(compute, options.repeats)}
    result["operators"] = operators(compute, 4 * options.repeats)
    for width in WIDTHS:
        plain = network_work(nn.Sequential(Plain(INPUTS, width), nn.Conv2d(width, 1, 1), nn.Sigmoid()), compute)
        own = network_work(EncoderDecoder(INPUTS, 1, rng=torch.Generator().manual_seed(0), channels=width), compute)
        row = {
            "plain operations": counted(plain),
            "own operations": counted(own),
            "plain seconds": median_seconds(plain, options.repeats, compute.device),
            "own seconds": median_seconds(own, options.repeats, compute.device),
            "own saved bytes": saved_bytes(own),
            "step seconds": step_seconds(width, compute, 2 * options.repeats + 3),
        }
        row["floor seconds"] = row["plain operations"] / result["rate"]
        row["step over floor"] = row["step seconds"] / row["floor seconds"]
        result[f"{width} channels"] = row
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", default="bfloat16,float32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = [measure(precision, options) for precision in options.precisions.split(",")]
    for result in results:
        print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
