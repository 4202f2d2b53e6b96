"""Small images and kernels for tests: deterministic, asymmetric, with known truth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unblur.components import Shape
from unblur.operators.convolution import convolve
from unblur.problem import Observation

OBSERVED: dict[int, Shape] = {2: (22, 27), 3: (12, 13, 15)}
KERNEL: dict[int, Shape] = {2: (5, 7), 3: (3, 5, 3)}


def noise(shape: Sequence[int], seed: int) -> Tensor:
    """Normal deviates."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def smooth(shape: Shape, seed: int) -> Tensor:
    """Low-frequency images (frames, channels, *spatial) with intensities from 0.1 to 0.9."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(shape)
    dims = len(shape) - 2
    for _ in range(6):
        lead = (*shape[:2], *(1,) * dims)
        phase = 6.3 * torch.rand(lead, generator=generator)
        for axis, size in enumerate(shape[2:]):
            view = [1] * len(shape)
            view[2 + axis] = size
            phase = phase + 9.0 * torch.rand(lead, generator=generator) * torch.linspace(0, 1, size).view(view)
        total = total + torch.sin(phase)
    axes = tuple(range(2, len(shape)))
    low, high = total.amin(axes, keepdim=True), total.amax(axes, keepdim=True)
    return 0.1 + 0.8 * (total - low) / (high - low)


def kernels(count: int, shape: Shape, seed: int = 0) -> Tensor:
    """Random kernels (count, *shape), non-negative, of sum one, with more weight near the origin."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand((count, *shape), generator=generator)
    for axis, size in enumerate(shape):
        view = [1] * (len(shape) + 1)
        view[1 + axis] = size
        drawn = drawn * torch.exp(-0.5 * ((torch.arange(size) - size // 2) / (0.25 * size)) ** 2).view(view)
    return drawn / drawn.flatten(1).sum(1).view(-1, *(1,) * len(shape))


def photograph(shape: Shape, kernel_shape: Shape, seed: int = 0, channels: int = 1) -> Observation:
    """A blurred image of `shape` with edges, 1 % noise, the kernel that blurred it as `psf`, and white at 1."""
    latent_shape = (1, channels, *(n + k - 1 for n, k in zip(shape, kernel_shape, strict=True)))
    latent = 0.7 * smooth(latent_shape, seed) + 0.3 * (smooth(latent_shape, seed + 1) > 0.5)
    kernel = kernels(1, kernel_shape, seed + 2)
    blurred = convolve(latent, kernel)
    blurred = (blurred + 0.01 * noise(blurred.shape, seed + 3)).clamp(0, 1)
    return Observation(blurred, psf=kernel, white_level=1.0, pixel_size=(0.1,) * len(shape))


def moving(shape: Shape, frames: int = 3, seed: int = 0, channels: int = 1) -> Observation:
    """Frames in which a smooth image moves by two pixels along the last axis, each blurred over them; white at 1."""
    steps = 2 * frames
    wide = smooth((1, channels, *shape[:-1], shape[-1] + steps), seed)
    views = torch.cat([wide[..., step : step + shape[-1]] for step in range(steps)])
    return Observation(views.view(frames, 2, channels, *shape).mean(1), white_level=1.0, pixel_size=(0.1,) * len(shape))
