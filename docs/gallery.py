"""Make pictures for a guide to the methods: side by side on photographs, and where each of them fails.

Photographs that come with scikit-image, their middle 256 pixels, grey, blurred by a drawn camera shake. A figure that
is there is not made again; --only names those to make. Over every image stand its aligned PSNR (±5 pixels, border 15)
and the seconds of its run; in its corner is the kernel, as bright as its largest weight.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import skimage.data
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.color import rgb2gray

import unblur
from unblur.metrics import aligned_psnr
from unblur.testing.camera_shake import ShakenScene, kernels, shaken_scene

Array = NDArray[np.float64]
HERE = Path(__file__).parent / "images"
SIDE, SIZE, MOVE = 256, 25, 9.0
"""Pixels of the photograph, of the kernel's bound, and of the farthest shift."""
ROW = 5
"""Panels in a row at the most."""


@dataclass(frozen=True)
class Scene:
    """What was photographed, and how the camera moved."""

    photograph: str
    noise: float
    seed: int

    def made(self) -> ShakenScene:
        pixels = getattr(skimage.data, self.photograph)()
        grey = np.asarray(rgb2gray(pixels) if pixels.ndim == 3 else pixels / 255.0)
        top, left = ((n - SIDE) // 2 for n in grey.shape)
        sharp = grey[top : top + SIDE, left : left + SIDE]
        return shaken_scene(sharp, (1, 1), (SIZE, SIZE), self.seed, MOVE, 0.0, self.noise)


@dataclass(frozen=True)
class Run:
    """One method on a scene.

    Attributes:
        known: the method is told the kernel, that of a path `stretched` times as long.
        uncertainty: its map is a panel of its own.
    """

    method: str
    known: bool = False
    title: str = ""
    seconds: float | None = None
    kernel_size: int = SIZE
    stretched: float = 1.0
    uncertainty: bool = False

    def given(self, scene: ShakenScene) -> Array:
        """The kernel that the method is told."""
        shake = replace(scene.shake, shifts=scene.shake.shifts * self.stretched)
        return kernels(shake, np.zeros(2), (SIZE + 8, SIZE + 8))


@dataclass(frozen=True)
class Panel:
    title: str
    image: Array
    kernel: Array | None = None


KNOWN = Scene("camera", noise=0.03, seed=13)
UNKNOWN = Scene("astronaut", noise=0.01, seed=15)
NOISY = Scene("astronaut", noise=0.05, seed=15)
SMOOTH = Scene("moon", noise=0.01, seed=13)

FIGURES: dict[str, tuple[Scene, Sequence[Run]]] = {
    "known": (
        KNOWN,
        [
            Run("wiener", known=True),
            Run("richardson-lucy", known=True),
            Run("hyper-laplacian", known=True),
            Run("sa-dropout", known=True, seconds=300, uncertainty=True),
        ],
    ),
    "unknown": (
        UNKNOWN,
        [
            Run("l0-gradient"),
            Run("mc-mapk", seconds=150),
            Run("mcem-uniform", seconds=150),
            Run("practical-bid", seconds=150),
        ],
    ),
    "wrong-kernel": (
        KNOWN,
        [
            Run("hyper-laplacian", known=True, stretched=1.25, title="hyper-laplacian, kernel 25 % too long"),
            Run("sa-dropout", known=True, stretched=1.25, seconds=150, title="sa-dropout, kernel 25 % too long"),
            Run("sa-dropout", known=True, seconds=150, title="sa-dropout, right kernel"),
        ],
    ),
    "noise": (
        NOISY,
        [Run("l0-gradient"), Run("mc-mapk", seconds=150), Run("practical-bid", seconds=150)],
    ),
    "kernel-size": (
        UNKNOWN,
        [
            Run("mc-mapk", kernel_size=7, seconds=100, title="mc-mapk, 7 pixels allowed"),
            Run("mc-mapk", kernel_size=51, seconds=100, title="mc-mapk, 51 pixels allowed"),
        ],
    ),
    "smooth": (SMOOTH, [Run("l0-gradient"), Run("mc-mapk", seconds=100), Run("mcem-uniform", seconds=100)]),
}


def panels(scene: ShakenScene, runs: Sequence[Run], threads: int | None) -> list[Panel]:
    """What was observed, what each run made of it, and the truth."""
    found = [Panel(f"blurred\n{aligned_psnr(scene.blurred, scene.sharp):.2f} dB", scene.blurred)]
    for run in runs:
        result = unblur.deblur(
            scene.blurred.astype(np.float32),
            method=run.method,
            psf=run.given(scene) if run.known else None,
            kernel_size=None if run.known else run.kernel_size,
            white_level=1.0,
            max_seconds=run.seconds,
            threads=threads,
        )
        image = np.asarray(result.image, float)
        figures = f"{aligned_psnr(image, scene.sharp):.2f} dB, {result.report['seconds']:.0f} s"
        print(run.title or run.method, figures, result.report["warnings"], flush=True)
        found.append(Panel(f"{run.title or run.method}\n{figures}", image, result.kernel_picture()))
        if run.uncertainty:
            spread = np.asarray(result.uncertainty, float)
            found.append(Panel("its uncertainty\n", spread / np.percentile(spread, 99.5)))
    return [*found, Panel("truth\n", scene.sharp, scene.kernels[0, 0])]


def draw(found: Sequence[Panel], path: Path) -> None:
    """Side by side, in rows of equal length."""
    rows = -(-len(found) // ROW)
    columns = -(-len(found) // rows)
    figure = Figure(figsize=(2.9 * columns, 3.3 * rows), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(found) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes, found, strict=False):
        axis.imshow(np.clip(panel.image, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(panel.title, fontsize=8)
        axis.set_axis_off()
        if panel.kernel is not None:
            inset = axis.inset_axes((0.72, 0.72, 0.28, 0.28))
            inset.imshow(panel.kernel, cmap="gray", interpolation="nearest")
            inset.set_axis_off()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(FIGURES))
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    for name in options.only:
        path = options.output / f"guide-{name}.png"
        if path.exists():
            continue
        scene, runs = FIGURES[name]
        print(name, flush=True)
        draw(panels(scene.made(), runs, options.threads), path)


if __name__ == "__main__":
    main()
