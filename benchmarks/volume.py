"""A volume with its PSF: sa-dropout against Richardson-Lucy at the iteration count that is best for the truth.

The folder is `pollen_3d`: three TIFF files, the sharp volume, the blurred one with Poisson noise, and the PSF; without
one the volume is the sample of the widget. A method may be the file of a pipeline. Figures are the PSNR after scaling
in least squares, its peak the truth's largest value, inside a border.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unblur import Job, samples
from unblur.cli.options import settings as assignments
from unblur.io.atomic import write_json
from unblur.metrics import scaled_psnr

Array = NDArray[np.float64]
_FILES = ["pollen.tif", "pollen_poisson_noise_blurred.tif", "pollen_psf.tif"]


def read(options: argparse.Namespace) -> tuple[Array, Array, Array]:
    """Truth, observation and PSF."""
    if options.data is None:
        sample = samples.volume()
        found = [sample.truth, sample.image.data, sample.psf.data]
    else:
        found = [tifffile.imread(options.data / name) for name in options.files]
    truth, observed, psf = (np.asarray(volume, np.float64) for volume in found)
    return truth, observed, psf


def restore(method: str, observed: Array, psf: Array, truth: Array, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one method; of Richardson-Lucy the best of all iterations."""
    classical = method == "richardson-lucy"
    wishes: dict[str, Any]
    if classical:
        wishes = {"method": method, "settings": {"stages.0.steps": options.iterations}}
    elif method.endswith(".toml"):
        wishes = {"pipeline": Path(method), "max_seconds": options.max_seconds}
    else:
        wishes = {"method": method, "preset": options.preset, "max_seconds": options.max_seconds}
        wishes["settings"] = assignments(options.set or [])
    job = Job(
        observed.astype(np.float32),
        axes="ZYX",
        planes="volume",
        psf=psf,
        threads=options.threads,
        seed=options.seed,
        **wishes,
    )
    curve: list[dict[str, float]] = []
    for event in job.events():
        now = event.event
        if classical or not curve or now.elapsed - curve[-1]["seconds"] >= options.curve:
            image = now.preview().image[0, 0].double().cpu().numpy()
            curve.append({"seconds": now.elapsed, "step": now.step, "psnr": figure(image, truth, options.border)})
    result = job.result
    row: dict[str, Any] = {
        "psnr": figure(np.asarray(result.image, float), truth, options.border),
        "seconds": result.report["seconds"],
        "steps": result.report["planes"][0]["executed"],
    }
    if classical:
        row |= max(curve, key=lambda point: point["psnr"])
    else:
        row["curve"] = curve
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(options.output / f"{Path(method).stem}.tif", np.asarray(result.image, np.float32), imagej=True)
    return row


def figure(image: Array, truth: Array, border: int) -> float:
    return scaled_psnr(image, truth, float(truth.max()), border)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the volume")
    parser.add_argument("--files", nargs=3, default=_FILES, help="in the folder: sharp, observed, PSF")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=["richardson-lucy", "sa-dropout"])
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", help="slot.parameter=JSON, for methods with a budget; repeatable")
    parser.add_argument("--iterations", type=int, default=200, help="of Richardson-Lucy at most")
    parser.add_argument("--max-seconds", type=float, default=1800.0)
    parser.add_argument("--curve", type=float, default=60.0, help="seconds between points")
    parser.add_argument("--border", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="folder for the restored volumes")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    truth, observed, psf = read(options)
    rows: dict[str, Any] = {"observed": {"psnr": figure(observed, truth, options.border)}}
    print(f"observed {rows['observed']['psnr']:.2f} dB", flush=True)
    for method in options.methods:
        rows[method] = restore(method, observed, psf, truth, options)
        brief = {key: value for key, value in rows[method].items() if key != "curve"}
        print(f"{method}: {json.dumps(brief)}", flush=True)
        if options.json:
            write_json(options.json, rows)


if __name__ == "__main__":
    main()
