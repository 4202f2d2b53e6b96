"""The kernel from a window and from the whole image: seconds, aligned PSNR, the kernel's similarity to the true one.

Sharp photographs in colour are blurred by a kernel (valid convolution) and get Gaussian noise of one percent. The PSNR
is that of all colours together, aligned within ±5 pixels by quarters, inside a border of 15 pixels, for a peak of 1.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from estimates import machine
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from unblur import io
from unblur.cli.options import window
from unblur.io.atomic import write_json
from unblur.jobs import Job
from unblur.metrics import aligned_psnr, kernel_similarity

NOISE = 0.01


def observe(sharp: Path, kernel: Path) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Observed image, truth in the same window, and kernel, which the file holds rotated by 180 degrees."""
    image = io.read(sharp).data.astype(np.float64) / 255
    stored = io.read(kernel).data.astype(np.float64)
    taps = (stored.mean(axis=-1) if stored.ndim == 3 else stored)[::-1, ::-1]
    taps = taps / taps.sum()
    blurred = np.stack([fftconvolve(image[..., c], taps, mode="valid") for c in range(3)], axis=-1)
    noisy = blurred + NOISE * np.random.default_rng(0).standard_normal(blurred.shape)
    inner = tuple(slice((k - 1) // 2, (k - 1) // 2 + n) for k, n in zip(taps.shape, blurred.shape[:2], strict=True))
    return noisy.clip(0, 1).astype(np.float32), image[inner], taps


def measure(sharp: Path, kernel: Path, crop: str, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one run; `crop` is none, auto or a number."""
    observed, truth, taps = observe(sharp, kernel)
    job = Job(
        observed,
        axes="YXS",
        method=options.method,
        kernel_size=options.kernel_size,
        crop=None if crop == "none" else window(crop),
        white_level=1.0,
        threads=options.threads,
    )
    busy = time.process_time()
    for _ in job.events():
        pass
    busy = time.process_time() - busy
    report = job.result.report
    found = {"channel_axis": 2, "border": 15}
    return {
        "sharp": sharp.stem,
        "kernel": kernel.stem,
        "crop": crop,
        "window": report["planes"][0].get("window"),
        "seconds": report["seconds"],
        "processor_seconds": busy,
        "psnr_blurred": aligned_psnr(observed, truth, **found),  # type: ignore[arg-type]
        "psnr": aligned_psnr(job.result.image, truth, **found),  # type: ignore[arg-type]
        "kernel_similarity": kernel_similarity(job.result.kernel, taps),
        "warnings": report["warnings"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sharp", type=Path, nargs="+", required=True, help="RGB images of 8 bits")
    parser.add_argument("--kernel", type=Path, nargs="+", required=True, help="pictures of kernels")
    parser.add_argument("--crops", default="none,auto", help="none, auto and widths, separated by commas")
    parser.add_argument("--method", default="l0-gradient")
    parser.add_argument("--kernel-size", type=int, default=61)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for sharp in options.sharp:
        for kernel in options.kernel:
            for crop in options.crops.split(","):
                row = measure(sharp, kernel, crop, options)
                rows.append(row)
                where = {axis: span for axis, span in (row["window"] or {}).items() if axis != "reason"}
                print(
                    f"{sharp.stem} {kernel.stem} {crop:5}: {row['psnr_blurred']:.2f} -> {row['psnr']:.2f} dB, kernel "
                    f"{row['kernel_similarity']:.3f}, {row['seconds']:.0f} s, {row['processor_seconds']:.0f} s of the "
                    f"processor {where or ''}",
                    flush=True,
                )
                if options.json:
                    write_json(options.json, {"environment": machine(options.threads), "rows": rows})


if __name__ == "__main__":
    main()
