"""Noise and no blur: whether a blind method says that there is none.

A sharp image with Gaussian noise is restored, and as a control the same image, blurred, with the same noise. Printed
are the share of the kernel's weight in the 3x3 pixels around its largest, aligned PSNR before and after, and warnings.

Without --levin the image is scikit-image's camera, blurred by a drawn camera shake.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from estimates import machine
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from unblur.cli.levin import load
from unblur.io.atomic import write_json
from unblur.jobs import Job
from unblur.metrics import aligned_psnr, kernel_concentration
from unblur.testing.camera_shake import drawn_shake, kernels

Array = NDArray[np.float64]
SIDE, SHAKE = 255, 19


def camera() -> tuple[Array, Array]:
    """A sharp image and the blurred one."""
    margin = SHAKE // 2
    scene = skimage.data.camera()[100 : 100 + SIDE + 2 * margin, 100 : 100 + SIDE + 2 * margin] / 255.0
    kernel = kernels(drawn_shake(0, scene.shape, turn=0.0), np.zeros(2), (SHAKE, SHAKE))
    return scene[margin:-margin, margin:-margin], fftconvolve(scene, kernel, "valid")


def restore(name: str, observed: Array, truth: Array, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one image."""
    job = Job(
        observed.astype(np.float32),
        method=options.method,
        preset=options.preset,
        kernel_size=options.kernel_size,
        max_seconds=options.max_seconds,
        white_level=1.0,
        threads=options.threads,
        seed=options.seed,
    )
    for _ in job.events():
        pass
    report = job.result.report
    return {
        "image": name,
        "concentration": kernel_concentration(job.result.kernel),
        "psnr_before": aligned_psnr(observed, truth),
        "psnr": aligned_psnr(job.result.image, truth),
        "seconds": report["seconds"],
        "warnings": report["warnings"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levin", type=Path, help="a .mat file with x (sharp) and y (blurred)")
    parser.add_argument("--noise", type=float, default=0.05, help="standard deviation, for white 1")
    parser.add_argument("--method", default="practical-bid")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--kernel-size", type=int, default=SHAKE)
    parser.add_argument("--max-seconds", type=float, help="for each run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of noise and runs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sharp, blurred = load(options.levin)[:2] if options.levin else camera()
    noise = np.random.default_rng(options.seed).normal(0, options.noise, sharp.shape)
    rows = []
    for name, image in (("no blur", sharp), ("blur", blurred)):
        row = restore(name, image + noise, sharp, options)
        rows.append(row)
        print(
            f"{name:8} concentration {row['concentration']:.2f}, {row['psnr_before']:.2f} -> {row['psnr']:.2f} dB, "
            f"{row['seconds']:.0f} s, {row['warnings']}",
            flush=True,
        )
    if options.json:
        write_json(options.json, {"environment": machine(options.threads), "noise": options.noise, "rows": rows})


if __name__ == "__main__":
    main()
