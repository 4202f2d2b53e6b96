"""Where a blind method of networks begins: with a kernel from sharp edges, or from nothing. Equal steps, one seed.

The quick preset of a method goes on from a kernel that `l0-gradient` finds up to half the resolution. Beside it: up to
a quarter; up to the full resolution, which the networks then begin at; and networks that begin from nothing at a
quarter of the resolution, with as many steps there as at a half.

Scenes are images of Levin et al., by the name of their file, and IMAGE+KERNEL: the middle of a sharp image of Lai et
al., grey, blurred by one of their kernels, with noise. The folder has `levin/*.mat`, `lai/sharp/*.png` and
`lai/kernels/*.png`. Printed are the PSNR at the best shift, the kernel's similarity with the true one, and the seconds.
Every run is written when it is done, and found ones are skipped, so that a list may be run in parts.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from estimates import machine
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from skimage.io import imread

from unblur import Pipeline, deblur, default_registry
from unblur.beginning import HELD_AT_FIRST, kernel_by_edges
from unblur.cli.levin import load
from unblur.coarse_to_fine import coarse_to_fine, edge_stages
from unblur.io.atomic import write_json
from unblur.metrics import aligned_psnr, kernel_similarity

Array = NDArray[np.float64]
SHIFT, BORDER = 24, 32
"""Farthest shift, and what is left out along the border: large kernels are centred anywhere."""

Beginning = Callable[[Pipeline, tuple[int, int]], Pipeline]


def _nothing(pipeline: Pipeline, steps: tuple[int, int]) -> Pipeline:
    half, full = steps
    return pipeline.replace(first=None, stages=coarse_to_fine((half, half, full)))


def _edges(finest: float) -> Beginning:
    def begun(pipeline: Pipeline, steps: tuple[int, int]) -> Pipeline:
        first = kernel_by_edges(edge_stages(10, finest))
        stages = coarse_to_fine(steps, kernel_rate=HELD_AT_FIRST)
        if finest == 1.0:
            rates = {"estimator.kernel_rate": (*HELD_AT_FIRST, (0.8, 1e-4))}
            stages = [replace(stages[-1], set=rates)]
        return pipeline.replace(first=first, stages=stages)

    return begun


BEGINNINGS: dict[str, Beginning] = {
    "nothing": _nothing,
    "a quarter": _edges(0.25),
    "a half": _edges(0.5),
    "full": _edges(1.0),
}


def scene(name: str, options: argparse.Namespace) -> tuple[Array, Array, Array]:
    """Truth, blurred image and kernel."""
    if "+" not in name:
        return load(options.data / "levin" / f"{name}.mat")
    image, number = name.split("+")
    sharp = _grey(options.data / "lai" / "sharp" / f"{image}.png") / 255
    kernel = _grey(options.data / "lai" / "kernels" / f"{number}.png")
    kernel = np.pad(kernel / kernel.sum(), [(0, 1 - size % 2) for size in kernel.shape])
    truth = _middle(sharp, (options.side, options.side))
    around = _middle(sharp, [options.side + size - 1 for size in kernel.shape])
    blurred = fftconvolve(around, kernel, mode="valid")
    return truth, blurred + options.noise * np.random.default_rng(3).standard_normal(blurred.shape), kernel


def _grey(path: Path) -> Array:
    pixels = np.asarray(imread(path), float)
    return pixels[..., :3].mean(-1) if pixels.ndim == 3 else pixels


def _middle(image: Array, shape: Sequence[int]) -> Array:
    start = [(size - wanted) // 2 for size, wanted in zip(image.shape, shape, strict=True)]
    return image[start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]]


def run(name: str, beginning: str, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one scene with one beginning."""
    truth, blurred, kernel = scene(name, options)
    pipeline = default_registry().method(options.method).pipeline(options.preset)
    result = deblur(
        blurred.astype(np.float32),
        pipeline=BEGINNINGS[beginning](pipeline, options.steps),
        kernel_size=kernel.shape,
        white_level=1.0,
        threads=options.threads,
        seed=options.seed,
    )
    image = np.asarray(result.image, float)
    return {
        "psnr": aligned_psnr(image, truth, shift=SHIFT, border=BORDER),
        "blurred": aligned_psnr(blurred, truth, shift=SHIFT, border=BORDER),
        "similarity": kernel_similarity(np.asarray(result.kernel, float), kernel),
        "seconds": result.report["seconds"],
    }


def table(rows: Mapping[str, Mapping[str, Any]], scenes: Sequence[str], beginnings: Sequence[str]) -> Iterator[str]:
    """For each scene the PSNR, similarity and seconds of each beginning."""
    yield " | ".join(["scene", "blurred", *beginnings])
    for name in scenes:
        found = [rows[f"{name}/{beginning}"] for beginning in beginnings]
        cells = [f"{row['psnr']:.2f} dB, {row['similarity']:.2f}, {row['seconds']:.0f} s" for row in found]
        yield " | ".join([name, f"{found[0]['blurred']:.2f} dB", *cells])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--scenes",
        type=names,
        default=["natural_01+kernel_01", "people_02+kernel_02", "manmade_01+kernel_03", "im02_ker04", "im02_ker07"],
    )
    parser.add_argument("--beginnings", type=names, default=["nothing", "a half"], help=", ".join(BEGINNINGS))
    parser.add_argument("--method", default="selfdeblur")
    parser.add_argument("--preset", default="fast")
    parser.add_argument(
        "--steps", type=lambda text: tuple(map(int, text.split(","))), default=(150, 200), help="at half, at full"
    )
    parser.add_argument("--side", type=int, default=320, help="pixels of the middle of a sharp image")
    parser.add_argument("--noise", type=float, default=0.01, help="in the scenes of Lai et al.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    given = {name: getattr(options, name) for name in ("method", "preset", "side", "noise", "seed")}
    given["steps"] = list(options.steps)
    earlier = json.loads(options.json.read_text()) if options.json.exists() else {"options": given, "rows": {}}
    if earlier["options"] != given:
        raise SystemExit(f"{options.json} was made with {earlier['options']}; these are {given}. Take another file")
    rows: dict[str, Any] = earlier["rows"]
    for name, beginning in itertools.product(options.scenes, options.beginnings):
        key = f"{name}/{beginning}"
        if key in rows:
            continue
        rows[key] = run(name, beginning, options)
        print(f"{key}: {json.dumps(rows[key])}", flush=True)
        write_json(options.json, {"environment": machine(options.threads), "options": given, "rows": rows})
    print("\n".join(table(rows, options.scenes, options.beginnings)))


if __name__ == "__main__":
    main()
