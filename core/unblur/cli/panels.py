"""Pictures of results side by side, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unblur.io.atomic import atomic_path
from unblur.kernel_grid import KernelGrid


@dataclass(frozen=True)
class Column:
    """One picture: an array (Y, X) or (Y, X, 3), a title, and a kernel that is drawn into its corner."""

    title: str
    pixels: np.ndarray
    kernel: np.ndarray | None = None


def write_panel(path: str | Path, columns: Sequence[Column], levels: tuple[float, float]) -> None:
    """Pictures in one row, all on the same grey scale from `levels`.

    Raises:
        FileError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, width = columns[0].pixels.shape[0], columns[0].pixels.shape[1]
    side = 4.2
    figure = Figure(figsize=(side * len(columns), side * rows / width + 0.5), dpi=max(100, min(300, width / side)))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for axis, column in zip(axes, columns, strict=True):
        _draw(axis, column, levels)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.005, top=0.9, wspace=0.02)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw(axis: Any, column: Column, levels: tuple[float, float]) -> None:
    low, high = levels
    scaled = np.clip((column.pixels.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
    axis.imshow(scaled, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(column.title, fontsize=9)
    axis.set_axis_off()
    if column.kernel is not None:
        corner = axis.inset_axes((0.02, 0.02, 0.24, 0.24))
        corner.imshow(column.kernel, cmap="gray", interpolation="nearest")
        corner.set_xticks([])
        corner.set_yticks([])


def levels_of(observed: np.ndarray, white_level: float | None) -> tuple[float, float]:
    """Black and white for the panel: the format's, or those of the observed picture without its extremes."""
    if white_level is not None:
        return 0.0, white_level
    finite = observed[np.isfinite(observed)]
    low, high = np.percentile(finite, (0.5, 99.5))
    return float(low), float(high)


def flat(pixels: np.ndarray, axes: str) -> np.ndarray:
    """One picture (Y, X) or (Y, X, 3): the middle of every other axis."""
    for position in range(len(axes) - 1, -1, -1):
        if axes[position] in "TCZ":
            pixels = np.take(pixels, pixels.shape[position] // 2, axis=position)
    left = [axis for axis in axes if axis in "YXS"]
    return pixels.transpose([left.index(axis) for axis in "YXS" if axis in left])


def moved(flow: np.ndarray) -> np.ndarray:
    """How far pixels move (Y, X) in the middle frame of a flow (..., numbers, Y, X), whose first two are X and Y."""
    while flow.ndim > 3:
        flow = flow[len(flow) // 2]
    length: np.ndarray = np.nan_to_num(np.hypot(flow[0], flow[1]))
    return length


def triptych(
    path: str | Path,
    observed: np.ndarray,
    kernel: np.ndarray,
    restored: np.ndarray,
    white: float | None,
    grid: KernelGrid | None = None,
    motion: bool = False,
) -> None:
    """Before, kernel, after; with a grid, `kernel` is the picture of all its kernels; with motion, how far pixels move.

    Raises:
        FileError: the file cannot be written.
    """
    low, high = levels_of(observed, white)
    peak = float(kernel.max()) or 1.0
    if motion:
        title, shown = f"motion (up to {kernel.max():.1f} pixels)", kernel / peak
    elif grid is None:
        title, shown = f"kernel ({kernel.shape[0]} x {kernel.shape[1]})", _enlarged(kernel / peak, observed.shape[:2])
    else:
        title, shown = f"kernels ({' x '.join(map(str, grid.shape))})", kernel / peak
    columns = [Column("before", observed), Column(title, low + (high - low) * shown), Column("after", restored)]
    write_panel(path, columns, (low, high))


def _enlarged(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel in blocks of pixels, as large as fits, on black."""
    factor = max(1, min(shape[0] // kernel.shape[0], shape[1] // kernel.shape[1]))
    large = np.kron(kernel, np.ones((factor, factor)))[: shape[0], : shape[1]]
    canvas = np.zeros(shape)
    top, left = (shape[0] - large.shape[0]) // 2, (shape[1] - large.shape[1]) // 2
    canvas[top : top + large.shape[0], left : left + large.shape[1]] = large
    return canvas
