"""The kernel from a window and from the whole image: seconds, aligned PSNR, the kernel's similarity to the true one.

Either images of Levin et al. 2009 (--levin), with a kernel of known size unless --kernel-size says otherwise; or sharp
photographs in colour (--sharp), which are blurred by kernels (--kernel, valid convolution) and get Gaussian noise of
one percent. The PSNR is that of all colours together, aligned within ±5 pixels by quarters, inside a border of 15
pixels, for a peak of 1.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from estimates import machine
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from unblur import io
from unblur.cli.levin import load
from unblur.cli.options import window
from unblur.io.atomic import write_json
from unblur.jobs import Job
from unblur.metrics import aligned_psnr, kernel_similarity

NOISE = 0.01


@dataclass(frozen=True)
class Scene:
    """A blurred image (Y, X) or (Y, X, 3), its truth, and the kernel of the convolution."""

    name: str
    observed: NDArray[np.float32]
    truth: NDArray[np.float64]
    kernel: NDArray[np.float64]

    @property
    def colour(self) -> bool:
        return self.truth.ndim == 3


def shaken(path: Path) -> Scene:
    """One of Levin's images."""
    truth, blurred, kernel = load(path)
    return Scene(path.stem, blurred.astype(np.float32), truth, kernel)


def made(sharp: Path, kernel: Path) -> Scene:
    """A photograph, blurred; the file of the kernel holds it rotated by 180 degrees."""
    image = io.read(sharp).data.astype(np.float64) / 255
    stored = io.read(kernel).data.astype(np.float64)
    taps = (stored.mean(axis=-1) if stored.ndim == 3 else stored)[::-1, ::-1]
    taps = taps / taps.sum()
    blurred = np.stack([fftconvolve(image[..., c], taps, mode="valid") for c in range(3)], axis=-1)
    noisy = blurred + NOISE * np.random.default_rng(0).standard_normal(blurred.shape)
    inner = tuple(slice((k - 1) // 2, (k - 1) // 2 + n) for k, n in zip(taps.shape, blurred.shape[:2], strict=True))
    return Scene(f"{sharp.stem} {kernel.stem}", noisy.clip(0, 1).astype(np.float32), image[inner], taps)


def scenes(options: argparse.Namespace) -> Iterator[Scene]:
    for path in options.levin:
        yield shaken(path)
    for sharp, kernel in itertools.product(options.sharp, options.kernel):
        yield made(sharp, kernel)


def measure(scene: Scene, crop: str, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one run; `crop` is none, auto or a number."""
    job = Job(
        scene.observed,
        axes="YXS" if scene.colour else "YX",
        method=options.method,
        kernel_size=options.kernel_size or (61 if scene.colour else scene.kernel.shape),
        crop=None if crop == "none" else window(crop),
        white_level=1.0,
        threads=options.threads,
    )
    busy = time.process_time()
    for _ in job.events():
        pass
    busy = time.process_time() - busy
    report = job.result.report
    found: dict[str, Any] = {"channel_axis": 2 if scene.colour else None, "border": 15}
    return {
        "scene": scene.name,
        "crop": crop,
        "window": report["planes"][0].get("window"),
        "seconds": report["seconds"],
        "processor_seconds": busy,
        "psnr_blurred": aligned_psnr(scene.observed.astype(float), scene.truth, **found),
        "psnr": aligned_psnr(job.result.image, scene.truth, **found),
        "kernel_similarity": kernel_similarity(job.result.kernel, scene.kernel),
        "warnings": report["warnings"],
    }


def line(row: dict[str, Any]) -> str:
    """The row as text."""
    where = {axis: span for axis, span in (row["window"] or {}).items() if axis != "reason"}
    return (
        f"{row['scene']} {row['crop']:5}: {row['psnr_blurred']:.2f} -> {row['psnr']:.2f} dB, kernel "
        f"{row['kernel_similarity']:.3f}, {row['seconds']:.0f} s, {row['processor_seconds']:.0f} s of the processor "
        f"{where or ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levin", type=Path, nargs="+", default=[], help=".mat files")
    parser.add_argument("--sharp", type=Path, nargs="+", default=[], help="RGB images of 8 bits")
    parser.add_argument("--kernel", type=Path, nargs="+", default=[], help="pictures of kernels")
    parser.add_argument("--crops", default="none,auto", help="none, auto and widths, separated by commas")
    parser.add_argument("--method", default="l0-gradient")
    parser.add_argument("--kernel-size", type=int, help="61 for photographs where it is not given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (options.levin or (options.sharp and options.kernel)):
        parser.error("expected --levin, or --sharp and --kernel")
    rows = []
    for scene in scenes(options):
        for crop in options.crops.split(","):
            rows.append(measure(scene, crop, options))
            print(line(rows[-1]), flush=True)
            if options.json:
                write_json(options.json, {"environment": machine(options.threads), "rows": rows})


if __name__ == "__main__":
    main()
