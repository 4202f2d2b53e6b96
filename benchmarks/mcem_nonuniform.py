"""MCEM on blur that changes over the image: a grid of kernels against one kernel, with the truth known.

Each image is blurred by a drawn camera shake that moves and turns (`unblur.testing.camera_shake`), with 1 % noise, and
restored by the variants asked for, from the blurred image, a kernel size and nothing else. Figures are the aligned PSNR
(±5 pixels, border 15) and the similarity of each kernel with the true one in the centre of its cell. With --output,
pictures of the images and of the grids of kernels are drawn.

Without --data the images are scikit-image's camera, astronaut and coffee.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from skimage.io import imread

from unblur import Job, default_registry
from unblur.cli.options import settings as assignments
from unblur.kernel_grid import KernelGrid
from unblur.metrics import aligned_psnr, aligned_ssim, kernel_similarity
from unblur.testing.camera_shake import ShakenScene, shaken_scene
from unblur_mcem.ablations import ablations
from unblur_mcem.presets import NETWORKS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Restored:
    """What one variant found."""

    name: str
    image: Array
    kernels: Array
    facts: dict[str, Any]


def images(data: Path | None, grey: bool, largest: int) -> Iterator[tuple[str, Array]]:
    """Sharp images from 0 to 1, cut to their middle where they are larger than wanted."""
    if data is None:
        found = [(name, getattr(skimage.data, name)()) for name in ("camera", "astronaut", "coffee")]
    else:
        paths = sorted(path for path in data.iterdir() if path.suffix.lower() in (".png", ".jpg", ".tif", ".tiff"))
        found = [(path.stem, imread(path)) for path in paths]
    for name, pixels in found:
        image = pixels[..., :3] / np.iinfo(pixels.dtype).max if pixels.ndim == 3 else pixels / 255.0
        if grey and image.ndim == 3:
            image = image @ np.array([0.299, 0.587, 0.114])
        spans = [slice(max(0, (n - largest) // 2), max(0, (n - largest) // 2) + largest) for n in image.shape[:2]]
        yield name, image[tuple(spans)]


def restore(name: str, scene: ShakenScene, options: argparse.Namespace) -> Restored:
    """One variant on one scene."""
    base = NETWORKS[options.preset] if options.networks else default_registry().method("mcem").pipeline(options.preset)
    base = base.set({"forward_model.grid": scene.grid.shape, "forward_model.orientation": "fixed"})
    pipeline = ablations(base)[name].set_throughout(assignments(options.set))
    job = Job(
        scene.blurred.astype(np.float32),
        axes="YXS" if scene.blurred.ndim == 3 else "YX",
        pipeline=pipeline,
        kernel_size=options.kernel_size,
        white_level=1.0,
        max_seconds=options.max_seconds,
        threads=options.threads,
        precision=options.precision,
        seed=options.seed,
    )
    began = time.perf_counter()
    for _ in job.events():
        pass
    result = job.result
    image, kernels = np.asarray(result.image, dtype=float), np.asarray(result.kernel, dtype=float)
    shape = kernels.shape[-2:]
    field = np.broadcast_to(kernels.reshape(-1, *shape), (scene.grid.count, *shape))
    pairs = zip(field, scene.kernels.reshape(-1, *scene.kernels.shape[-2:]), strict=True)
    similar = np.array([kernel_similarity(one, true) for one, true in pairs])
    facts = figures(image, scene) | {
        "kernel similarity": float(similar.mean()),
        "least kernel similarity": float(similar.min()),
        "kernel similarities": similar.reshape(scene.grid.shape).round(3).tolist(),
        "steps": result.report["planes"][0]["executed"],
        "seconds": time.perf_counter() - began,
        "warnings": result.report["warnings"],
    }
    return Restored(name, image, field.reshape(*scene.grid.shape, *shape), facts)


def figures(image: Array, scene: ShakenScene) -> dict[str, Any]:
    """Aligned PSNR and SSIM."""
    channels = 2 if image.ndim == 3 else None
    return {
        "psnr": aligned_psnr(image, scene.sharp, channel_axis=channels),
        "ssim": aligned_ssim(image, scene.sharp, channel_axis=channels),
    }


def draw(folder: Path, name: str, scene: ShakenScene, found: list[Restored]) -> None:
    """The images side by side, and the grids of kernels below each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [("blurred", scene.blurred), *((one.name, one.image) for one in found), ("truth", scene.sharp)]
    height, width = scene.sharp.shape[:2]
    grids = [*((one.name, one.kernels) for one in found), ("truth", scene.kernels)]
    for what, columns in (("images", shown), ("kernels", [(title, picture(field)) for title, field in grids])):
        rows, across = (height, width) if what == "images" else columns[0][1].shape
        figure = Figure(figsize=(5 * len(columns), 5 * rows / across + 0.4), dpi=110)
        FigureCanvasAgg(figure)
        for axis, (title, pixels) in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
            axis.imshow(np.clip(pixels, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(title)
            axis.set_axis_off()
        figure.tight_layout()
        figure.savefig(folder / f"{name}-{what}.png")


def picture(field: Array) -> Array:
    """Kernels (Py, Px, kh, kw) as one picture."""
    return KernelGrid(field.shape[:2]).mosaic(field.reshape(-1, *field.shape[2:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of sharp images")
    parser.add_argument("--images", type=int, default=3, help="how many of them")
    parser.add_argument("--largest", type=int, default=400, help="pixels along each axis")
    parser.add_argument("--grey", action="store_true", help="turn colour into grey")
    parser.add_argument("--variants", default="uniform,mcem", help="mcem,no-warm-up,mle,map-tv,uniform")
    parser.add_argument("--networks", action="store_true", help="the paper's networks, without edges")
    parser.add_argument("--grid", type=int, nargs=2, default=(3, 5))
    parser.add_argument("--kernel-size", type=int, default=23)
    parser.add_argument("--move", type=float, default=4.0, help="largest shift of the camera, in pixels")
    parser.add_argument("--turn", type=float, default=6.0, help="largest displacement of the corners by turning")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", default=[], metavar="ADDRESS=JSON", help="a setting of all variants")
    parser.add_argument("--max-seconds", type=float, help="for each run")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="folder for pictures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    for number, (name, sharp) in enumerate(images(options.data, options.grey, options.largest)):
        if number == options.images:
            break
        size = (options.kernel_size, options.kernel_size)
        scene = shaken_scene(sharp, options.grid, size, seed=number, move=options.move, turn=options.turn)
        rows = {"blurred": figures(scene.blurred, scene)}
        print(f"{name}: blurred {rows['blurred']['psnr']:.2f} dB", flush=True)
        found = []
        for variant in options.variants.split(","):
            found.append(restore(variant, scene, options))
            rows[variant] = facts = found[-1].facts
            print(
                f"{name}: {variant} {facts['psnr']:.2f} dB, SSIM {facts['ssim']:.3f}, kernels "
                f"{facts['kernel similarity']:.3f} (least {facts['least kernel similarity']:.3f}), "
                f"steps {facts['steps']}, {facts['seconds']:.0f} s",
                flush=True,
            )
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            draw(options.output, name, scene, found)
        results.append({"image": name, "shape": scene.sharp.shape, **rows})
        if options.json:
            options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
