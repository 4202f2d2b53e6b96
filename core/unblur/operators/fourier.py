"""Real Fourier transforms at the sizes that are fast, and the arithmetic precision of the operators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=4096)
def fast_length(n: int) -> int:
    """Smallest fast transform length of at least ``n``: even, of factors 2, 3, 5, 7 and at most one 11 (odd up to 16).

    Odd lengths cost MKL about twice as much per pixel for real input, and larger primes up to four times.
    """
    length = max(n, 1)
    while not _is_fast(length):
        length += 1
    return length


def _is_fast(n: int) -> bool:
    if n > 16 and n % 2:
        return False
    for prime in (2, 3, 5, 7):
        while n % prime == 0:
            n //= prime
    return n in (1, 11)


def spectrum(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Real transform over the last ``len(shape)`` axes, padded with zeros at their end to ``shape``."""
    transformed: Tensor = torch.fft.rfftn(image, s=tuple(shape), dim=tuple(range(-len(shape), 0)))
    return transformed


def image_of(spectrum: Tensor, shape: Sequence[int], crop: Sequence[int]) -> Tensor:
    """Inverse of :func:`spectrum` on a grid of ``shape``, of which the first ``crop`` pixels are kept, contiguous.

    Axis by axis, so that later axes are transformed only where pixels are kept: a quarter faster than ``irfftn``.
    """
    for axis in range(-len(shape), -1):
        spectrum = torch.fft.ifft(spectrum, dim=axis).narrow(axis, 0, crop[axis])
    image: Tensor = torch.fft.irfft(spectrum, n=shape[-1])
    return image.narrow(-1, 0, crop[-1]).contiguous()


def as_float(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in float64 if one is float64, else in float32: half precision is too coarse for transforms."""
    dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    return tuple(t.to(dtype) for t in tensors)


def differences(grid: Sequence[int], device: torch.device) -> list[Tensor]:
    """Transfer functions of the periodic forward differences along each axis, broadcastable to the half spectrum."""
    factors = []
    for axis, size in enumerate(grid):
        count = size // 2 + 1 if axis == len(grid) - 1 else size
        angle = 2 * torch.pi * torch.arange(count, dtype=torch.float64) / size
        shape = [1] * len(grid)
        shape[axis] = count
        factor = torch.complex(torch.cos(angle) - 1, torch.sin(angle)).to(device, torch.complex64)
        factors.append(factor.view(shape))
    return factors


def roughness(grid: Sequence[int], device: torch.device) -> Tensor:
    """Transfer function of the gradient's square, the sum over the axes, on the half spectrum."""
    total: Tensor = sum((factor.abs() ** 2 for factor in differences(grid, device)), torch.zeros((), device=device))
    return total
