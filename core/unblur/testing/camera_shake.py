"""Images blurred by a camera that moves and turns: space-variant blur whose kernels are known everywhere.

The blurred image is the mean of the sharp one seen in every pose, made by warping, and not with the operators under
test. Distances are in pixels, images (Y, X) or (Y, X, channels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates

from unblur.kernel_grid import KernelGrid

Array = npt.NDArray[np.float64]
KNOTS = 6


@dataclass(frozen=True)
class Shake:
    """The camera's poses during an exposure; their mean is no move and no turn.

    Attributes:
        shifts: (poses, 2), along Y and X.
        angles: (poses,), in radians, about the image's centre.
    """

    shifts: Array
    angles: Array

    def displacements(self, offsets: Array) -> Array:
        """Where each pose sees points at `offsets` (..., 2) from the centre, less where they are: (poses, ..., 2)."""
        poses = (len(self.angles), *(1 for _ in offsets.shape[:-1]))
        cosine, sine = np.cos(self.angles).reshape(poses), np.sin(self.angles).reshape(poses)
        y, x = offsets[..., 0], offsets[..., 1]
        turned = np.stack([cosine * y - sine * x, sine * y + cosine * x], axis=-1)
        return turned - offsets + self.shifts.reshape(*poses, 2)


def drawn_shake(seed: int, shape: Sequence[int], move: float = 4.0, turn: float = 5.0, poses: int = 64) -> Shake:
    """A smooth random path of the camera.

    Args:
        shape: of the image (Y, X).
        move: the largest shift.
        turn: the largest distance by which turning displaces the image's corners.
    """
    rng = np.random.default_rng(seed)
    knots = np.cumsum(rng.normal(size=(KNOTS, 3)), axis=0)
    path = CubicSpline(np.linspace(0, 1, KNOTS), knots)(np.linspace(0, 1, poses))
    path = path - path.mean(axis=0)
    shifts = path[:, :2] * (move / np.linalg.norm(path[:, :2], axis=1).max())
    radius = math.hypot(shape[0], shape[1]) / 2
    angles = path[:, 2] * (turn / radius / np.abs(path[:, 2]).max())
    return Shake(shifts, angles)


def blurred(sharp: Array, shake: Shake) -> Array:
    """The mean over the poses, by linear interpolation; outside of the image its edge is repeated."""
    height, width = sharp.shape[:2]
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).astype(float)
    offsets = places - (np.array([height, width]) - 1) / 2
    planes = sharp[..., None] if sharp.ndim == 2 else sharp
    total = np.zeros(planes.shape)
    for move in range(len(shake.angles)):
        one = Shake(shake.shifts[move : move + 1], shake.angles[move : move + 1])
        seen = np.moveaxis(places + one.displacements(offsets)[0], -1, 0)
        for channel in range(planes.shape[-1]):
            total[..., channel] += map_coordinates(planes[..., channel], seen, order=1, mode="nearest")
    return (total / len(shake.angles)).reshape(sharp.shape)


def kernels(shake: Shake, offsets: Array, shape: Sequence[int]) -> Array:
    """The kernels (..., *shape) at points at `offsets` (..., 2) from the centre, origin at floor(n / 2), of sum one."""
    moves = shake.displacements(offsets)
    stacked = np.zeros((*offsets.shape[:-1], *shape))
    origin = np.array([size // 2 for size in shape])
    places = origin - moves  # a convolution looks the other way
    whole = np.floor(places).astype(int)
    part = places - whole
    lead = [np.asarray(axis) for axis in np.indices(offsets.shape[:-1])]
    for pose in range(len(moves)):
        for dy in (0, 1):
            for dx in (0, 1):
                weight = np.abs(1 - dy - part[pose, ..., 0]) * np.abs(1 - dx - part[pose, ..., 1])
                y, x = whole[pose, ..., 0] + dy, whole[pose, ..., 1] + dx
                inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
                if not bool((inside | (weight < 1e-12)).all()):
                    raise ValueError(f"the camera moves farther than kernels of {tuple(shape)} pixels reach")
                index = (*(axis[inside] for axis in lead), y[inside], x[inside])
                np.add.at(stacked, index, weight[inside])
    return stacked / len(moves)


@dataclass(frozen=True)
class ShakenScene:
    """A sharp image, what a shaken camera saw of it, and the kernels in the centres of a grid's cells.

    Attributes:
        sharp, blurred: (Y, X) or (Y, X, channels), of one window.
        kernels: (*grid, *kernel shape).
    """

    sharp: Array
    blurred: Array
    kernels: Array
    grid: KernelGrid
    shake: Shake


def shaken_scene(
    sharp: Array,
    grid: Sequence[int],
    kernel_shape: Sequence[int],
    seed: int = 0,
    move: float = 4.0,
    turn: float = 5.0,
    noise: float = 0.01,
) -> ShakenScene:
    """A known field of kernels: a drawn shake, and noise of a standard deviation.

    The window is smaller than `sharp` by the kernel size less one: nothing is assumed about what lies outside.

    Args:
        sharp: intensities from 0 to 1.
        move, turn: as in `drawn_shake`; together less than half the kernel.

    Raises:
        ValueError: the camera moves farther than the kernels reach.
    """
    margins = [(size - 1) // 2 for size in kernel_shape]
    window = tuple(
        slice(margin, n - (size - 1 - margin))
        for margin, n, size in zip(margins, sharp.shape, kernel_shape, strict=False)
    )
    inner = sharp[window]
    size = inner.shape[:2]
    shake = drawn_shake(seed, size, move, turn)
    layout = KernelGrid(tuple(grid))
    # The camera turns about the centre of the whole sharp image; odd kernels leave the window there, too.
    centre = (np.array(sharp.shape[:2]) - 1) / 2 - np.array(margins)
    field = kernels(shake, layout.centres(size) - centre, kernel_shape)
    seen = blurred(sharp, shake)[window]
    rng = np.random.default_rng((seed, 1))
    return ShakenScene(inner, seen + noise * rng.normal(size=seen.shape), field, layout, shake)
