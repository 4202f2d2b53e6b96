"""What the machine could do, measured in the same run, and the floor of some work that follows from it.

The rates are those of convolutions (3x3 taps, forward and backward as networks here make them, the best of some widths)
and of bare real transforms (there and back, the best of some sizes). A real transform of N pixels counts 5/2 N log2 N
operations, half of what a complex one needs. The floor of some work is the larger of two times: its operations over the
rate of their kind, and a copy that moves as many bytes as it must read and write. The median of the repeats counts,
since that is what a run is made of.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from unblur.compute import Compute
from unblur.networks.blocks import convolve

WIDTHS = (64, 128)
SIDE = 272
SIDES = (32, 64, 128, 256, 512)
FLOAT = 4


@dataclass(frozen=True)
class Work:
    """What is timed: its operations, of one kind, and the bytes of what goes in and comes out, gradients too."""

    name: str
    run: Callable[[], object]
    operations: float
    bytes: float
    kind: Literal["convolution", "transform"] = "convolution"


class Machine:
    """Rates of a device in one precision, each measured when it is first asked for."""

    def __init__(self, compute: Compute, repeats: int) -> None:
        self.compute, self.repeats = compute, repeats

    @cached_property
    def convolution(self) -> float:
        """Operations per second."""
        return max(self._convolution(width) for width in WIDTHS)

    @cached_property
    def transform(self) -> float:
        """Operations per second."""
        return max(self._transform(side) for side in SIDES)

    def seconds(self, run: Callable[[], object], repeats: int | None = None) -> float:
        """The median of some repeats, after one that does not count."""
        return median_seconds(run, repeats or self.repeats, self.compute.device)

    def copying(self, count: float) -> float:
        """Seconds in which so many bytes are moved, half of them read and half of them written."""
        source = torch.ones(max(1, round(count / 2 / FLOAT)), device=self.compute.device)
        target = torch.empty_like(source)
        return self.seconds(lambda: target.copy_(source), 10 * self.repeats)

    def row(self, work: Work, repeats: int | None = None) -> dict[str, Any]:
        """Measured, floor and ratio."""
        seconds = self.seconds(work.run, repeats)
        floors = {"operations": work.operations / getattr(self, work.kind), "bytes": self.copying(work.bytes)}
        bound = max(floors, key=lambda name: floors[name])
        return {
            "name": work.name,
            "operations": work.operations,
            "bytes": work.bytes,
            "seconds": seconds,
            "floor seconds": floors[bound],
            "bound by": bound,
            "ratio": seconds / floors[bound],
        }

    def _convolution(self, width: int) -> float:
        weight = self.compute.lay(torch.rand(width, width, 3, 3)).requires_grad_()
        with self.compute.autocast(), torch.no_grad():
            y = convolve(self.compute.lay(torch.rand(1, width, SIDE, SIDE)), weight, padding=1)
        x, slope = y.clone().requires_grad_(), torch.ones_like(y)  # in the precision in which layers hand them on

        def run() -> None:
            with self.compute.autocast():
                y = convolve(x, weight, padding=1)
            torch.autograd.grad(y, (x, weight), slope)

        return counted(run) / self.seconds(run)

    def _transform(self, side: int) -> float:
        image = torch.rand(SIDE**2 // side**2 + 1, side, side, device=self.compute.device)
        seconds = self.seconds(lambda: torch.fft.irfft2(torch.fft.rfft2(image), s=(side, side)))
        return 2 * len(image) * transform_operations((side, side)) / seconds


def median_seconds(run: Callable[[], object], repeats: int, device: torch.device) -> float:
    """The median of some repeats, after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def counted(run: Callable[[], object]) -> float:
    """Operations as torch counts them: those of convolutions and of products of matrices."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def transform_operations(shape: Sequence[int]) -> float:
    """Of one real transform."""
    pixels = math.prod(shape)
    return 2.5 * pixels * math.log2(pixels)


def line(row: dict[str, Any]) -> str:
    """A row as text."""
    return (
        f"{row['name']:44} {1e3 * row['seconds']:9.3f} ms, floor {1e3 * row['floor seconds']:9.3f} ms by "
        f"{row['bound by']}, ratio {row['ratio']:.2f}"
    )
