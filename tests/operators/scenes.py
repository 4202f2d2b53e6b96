"""Sharp scenes with edges at every orientation, and kernels, for the tests of the operators."""

from __future__ import annotations

import torch


def scene(*shape: int, seed: int = 0) -> torch.Tensor:
    """Overlapping discs or balls of random brightness, (1, 1, *shape), in 0 to 1."""
    rng = torch.Generator().manual_seed(seed)
    axes = [
        torch.arange(n, dtype=torch.float32).reshape([-1 if i == j else 1 for j in range(len(shape))])
        for i, n in enumerate(shape)
    ]
    image = torch.full(shape, 0.5)
    for _ in range(60):
        centre = [float(torch.rand((), generator=rng)) * n for n in shape]
        radius = (0.04 + 0.1 * float(torch.rand((), generator=rng))) * max(shape)
        inside = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) < radius**2
        image = torch.where(torch.as_tensor(inside), torch.rand((), generator=rng), image)
    return image[None, None]


def streak(size: int) -> torch.Tensor:
    """A bent path of motion, (1, size, size), off the centre of its support."""
    kernel = torch.zeros(1, size, size)
    for i in range(2 * size):
        t = i / (2 * size)
        kernel[0, int(size * (0.25 + 0.5 * t)), int(size * (0.3 + 0.4 * t * t))] += 1
    return kernel / kernel.sum()
