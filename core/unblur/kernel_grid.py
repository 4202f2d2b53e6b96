"""Where the kernels of a space-variant blur hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class KernelGrid:
    """Kernels in the centres of equal cells of an image; in a list of them the last axis of the grid runs fastest.

    Args:
        shape: kernels along each spatial axis.
    """

    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    def centres(self, size: Sequence[int]) -> np.ndarray:
        """Centres in an image of `size` pixels, (*shape, dims), in pixels from the centre of the first."""
        axes = [(np.arange(n) + 0.5) * pixels / n - 0.5 for n, pixels in zip(self.shape, size, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def arranged(self, kernels: np.ndarray) -> np.ndarray:
        """Kernels (..., count, *k) as (..., *shape, *k)."""
        dims = len(self.shape)
        arranged: np.ndarray = kernels.reshape(*kernels.shape[: -dims - 1], *self.shape, *kernels.shape[-dims:])
        return arranged
