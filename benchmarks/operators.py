"""Seconds of what is not network in a step, forward and backward, beside the floor of `floors.py`; float32.

Operations that are counted:

- convolution with one kernel or a grid of them: the transforms of latent image, kernels, residual, prediction and both
  gradients, at the size that the operator takes;
- structural similarity: four maps forward and three back, each along both axes by 11 taps;
- noise on a network's input: two; resampling: two taps along each axis, and back.

The floor is that of the algorithm, not of all that could be done instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from floors import FLOAT, Machine, Work, line, transform_operations
from torch import Tensor

from unblur.compute import Compute
from unblur.networks.randomness import GaussianNoise
from unblur.operators.convolution import convolve, geometry
from unblur.operators.resample import resize
from unblur.operators.svola import svola, tiling
from unblur.operators.windows import SSIM_TAPS, ssim

GRID, GRID_KERNEL, GRID_LATENT = (5, 10), (31, 31), (3, 414, 542)
"""Kernels for 384x512 RGB."""

INPUTS = 8
MAPS = 7


def random(shape: tuple[int, ...], compute: Compute, learns: bool = True) -> Tensor:
    return torch.rand(shape, device=compute.device, requires_grad=learns)


def gradients(value: Tensor, *inputs: Tensor) -> None:
    """Of the mean."""
    torch.autograd.grad(value.mean(), inputs)


def moved(*tensors: Tensor) -> float:
    """Bytes of these, read or written once, and of their gradients where they have one."""
    return float(sum(FLOAT * tensor.numel() * (2 if tensor.requires_grad else 1) for tensor in tensors))


def one_kernel(observed: int, size: int, channels: int, compute: Compute) -> Work:
    """Valid convolution of a latent image that belongs to so many observed pixels."""
    latent = random((1, channels, observed + size - 1, observed + size - 1), compute)
    kernel = random((1, size, size), compute)
    geo = geometry(tuple(latent.shape[2:]), tuple(kernel.shape[1:]), "valid")
    return Work(
        f"convolution, {channels} x {observed}x{observed}, {size}x{size}",
        lambda: gradients(convolve(latent, kernel), latent, kernel),
        (4 * channels + 2) * transform_operations(geo.grid),
        moved(latent, kernel, convolve(latent, kernel)),
        "transform",
    )


def grid_of_kernels(compute: Compute) -> Work:
    """Space-variant blur."""
    channels, *spatial = GRID_LATENT
    latent = random((1, *GRID_LATENT), compute)
    kernels = random((GRID[0] * GRID[1], *GRID_KERNEL), compute)
    tiles = tiling(tuple(spatial), GRID_KERNEL, GRID)
    return Work(
        f"grid of {GRID[0]} x {GRID[1]} kernels, {channels} x {'x'.join(map(str, tiles.output))}, 31x31",
        lambda: gradients(svola(latent, kernels, GRID), latent, kernels),
        tiles.count * (4 * channels + 2) * transform_operations(tiles.transform),
        moved(latent, kernels, svola(latent, kernels, GRID)),
        "transform",
    )


def similarity(observed: int, compute: Compute) -> Work:
    """SSIM of a prediction with an observation, which has no gradient."""
    predicted = random((1, 1, observed, observed), compute)
    target = random((1, 1, observed, observed), compute, learns=False)
    return Work(
        f"structural similarity, {observed}x{observed}",
        lambda: gradients(ssim(predicted, target), predicted),
        MAPS * 2 * 2 * SSIM_TAPS * predicted.numel(),
        moved(predicted, target),
    )


def input_noise(latent: int, compute: Compute) -> Work:
    """Input, numbers of the pool, and their sum."""
    z = compute.lay(torch.rand(1, INPUTS, latent, latent))
    rng = compute.generator(0)
    noise = GaussianNoise(rng)
    return Work(
        f"noise on the input, {INPUTS} x {latent}x{latent}",
        lambda: noise(z, 0.01, rng),
        2 * z.numel(),
        moved(z, z, z),
    )


def resampling(latent: int, compute: Compute) -> Work:
    """From half the resolution to all of it, as between stages, with its gradient."""
    half = random((1, INPUTS, latent // 2, latent // 2), compute)
    full = (latent, latent)
    return Work(
        f"resampling, {INPUTS} x {latent // 2}x{latent // 2} to {latent}x{latent}",
        lambda: gradients(resize(half, full, "linear"), half),
        2 * 6 * INPUTS * latent**2,
        moved(half, resize(half, full, "linear")),
    )


def works(observed: int, size: int, compute: Compute) -> Iterator[Work]:
    latent = observed + size - 1
    yield one_kernel(observed, size, 1, compute)
    yield one_kernel(observed, size, 3, compute)
    yield grid_of_kernels(compute)
    yield similarity(observed, compute)
    yield input_noise(latent, compute)
    yield resampling(latent, compute)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=255, help="of the observed image")
    parser.add_argument("--kernel-size", type=int, default=19)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compute = Compute.choose(options.device, "float32", options.threads)
    machine = Machine(compute, options.repeats)
    rows = []
    for work in works(options.side, options.kernel_size, compute):
        rows.append(machine.row(work))
        print(line(rows[-1]), flush=True)
    rates = {"convolution": machine.convolution, "transform": machine.transform}
    print("  ".join(f"{name}: {rate / 1e9:.1f} GFLOP/s" for name, rate in rates.items()))
    if options.json:
        options.json.write_text(json.dumps({**compute.describe(), "rates": rates, "rows": rows}, indent=2), "utf-8")


if __name__ == "__main__":
    main()
