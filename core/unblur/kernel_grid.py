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

    def mosaic(self, kernels: np.ndarray) -> np.ndarray:
        """Kernels (count, Y, X), or the middle planes of volumes, as one picture with values from 0 to 1.

        Each kernel is as bright as its largest weight, with a grey line around it; of a grid in three dimensions the
        layers stand below each other.
        """
        planes = kernels.reshape(len(kernels), -1, *kernels.shape[-2:])
        planes = planes[:, planes.shape[1] // 2]
        peaks = planes.max(axis=(1, 2), keepdims=True)
        framed = np.pad(planes / np.where(peaks > 0, peaks, 1), [(0, 0), (1, 1), (1, 1)], constant_values=0.4)
        columns = self.shape[-1]
        rows = [np.concatenate(list(framed[at : at + columns]), axis=1) for at in range(0, self.count, columns)]
        return np.concatenate(rows, axis=0)
