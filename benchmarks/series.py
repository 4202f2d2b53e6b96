"""A time series with one kernel: all frames with a shared kernel, against single frames by themselves.

The frames are windows that drift over a larger scene (scikit-image's camera), blurred by one drawn camera shake, each
with fresh noise of 1 %. The series is restored with one kernel (`planes="shared-kernel"`), that of the middle frame or,
with --anchors, of several frames, evenly spread; some frames also by themselves with the same method. Printed are the
seconds of the series over the mean of those frames, and the aligned PSNR of the same frames both ways.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from unblur import Job
from unblur.metrics import aligned_psnr
from unblur.testing.camera_shake import drawn_shake, kernels

Array = NDArray[np.float64]
NOISE = 0.01


def series(frames: int, side: int, kernel: Array, seed: int) -> tuple[Array, NDArray[np.float32]]:
    """Sharp frames (frames, side, side), and blurred ones of the same shape."""
    scene = skimage.data.camera() / 255.0
    rng = np.random.default_rng(seed)
    blurred = fftconvolve(scene, kernel, "valid")
    room = np.array(blurred.shape) - side
    rim = kernel.shape[0] // 2
    sharp, seen = [], []
    for share in np.linspace(0, 1, frames):
        y, x = (share * room).astype(int)
        sharp.append(scene[y + rim : y + rim + side, x + rim : x + rim + side])
        seen.append(blurred[y : y + side, x : x + side] + rng.normal(0, NOISE, (side, side)))
    return np.stack(sharp), np.stack(seen).astype(np.float32)


def restored(frames: NDArray[np.float32], options: argparse.Namespace, **more: Any) -> tuple[Array, float]:
    """Restored frames in the shape of those given, and seconds."""
    began = time.perf_counter()
    job = Job(
        frames,
        method=options.method,
        preset=options.preset,
        kernel_size=options.kernel_size,
        white_level=1.0,
        threads=options.threads,
        **more,
    )
    for _ in job.events():
        pass
    return np.asarray(job.result.image, dtype=float), time.perf_counter() - began


def anchors(frames: int, count: int) -> list[int]:
    """The middle one of each of so many equal parts."""
    return [int((number + 0.5) * frames / count) for number in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="selfdeblur")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--anchors", type=int, default=1, help="frames that the shared kernel is estimated from")
    parser.add_argument("--compared", type=int, default=5, help="frames that are restored by themselves too")
    parser.add_argument("--side", type=int, default=255, help="pixels of a frame along each axis")
    parser.add_argument("--kernel-size", type=int, default=19)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of kernel and noise")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    shake = drawn_shake(options.seed, (options.side, options.side), turn=0.0)
    kernel = kernels(shake, np.zeros(2), (options.kernel_size - 4,) * 2)
    sharp, seen = series(options.frames, options.side, kernel, options.seed)
    chosen = anchors(options.frames, options.anchors)
    together, seconds = restored(seen, options, axes="TYX", planes="shared-kernel", anchors=chosen)
    rows = []
    for frame in np.linspace(0, options.frames - 1, options.compared).round().astype(int):
        alone, needed = restored(seen[frame], options, axes="YX")
        rows.append(
            {
                "frame": int(frame),
                "seconds alone": needed,
                "blurred": aligned_psnr(seen[frame].astype(float), sharp[frame]),
                "alone": aligned_psnr(alone, sharp[frame]),
                "shared": aligned_psnr(together[frame], sharp[frame]),
            }
        )
        print("  ".join(f"{name}: {value:.4g}" for name, value in rows[-1].items()), flush=True)
    one = float(np.mean([row["seconds alone"] for row in rows]))
    facts = {
        "frames": options.frames,
        "anchors": options.anchors,
        "seconds": seconds,
        "times one frame": seconds / one,
        "mean PSNR alone": float(np.mean([row["alone"] for row in rows])),
        "mean PSNR shared": float(np.mean([row["shared"] for row in rows])),
    }
    print("  ".join(f"{name}: {value:.4g}" for name, value in facts.items()))
    if options.json:
        options.json.write_text(json.dumps({"method": options.method, "preset": options.preset, **facts, "of": rows}))


if __name__ == "__main__":
    main()
