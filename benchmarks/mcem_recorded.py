"""MCEM on blur that was not drawn here: a photograph with gyroscope blur and a star cluster, a grid against one kernel.

The photograph is Lai et al. 2016's `natural_05_gyro_01`; shift and a small turn between estimate and truth are searched
first, as its camera moved. The stars are `star_cluster.mat` (x_true, b and a grid of PSFs); its intensities have no
white, so that the peak of the PSNR is the truth's largest value, and the similarity of the kernels is given.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.ndimage import rotate
from scipy.optimize import minimize_scalar
from skimage.io import imread, imsave

from unblur import Job, default_registry
from unblur.cli.options import settings as assignments
from unblur.io.atomic import write_json
from unblur.metrics import aligned_psnr, kernel_similarity
from unblur_mcem.ablations import ablations

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recorded:
    """A blurred image with its truth, the peak of both, and its PSFs (Py, Px, kh, kw) where they are known.

    `white` is the level of white, where there is one; `turn` the largest angle to the truth that is searched, in
    degrees.
    """

    blurred: Array
    sharp: Array
    peak: float
    white: float | None
    grid: tuple[int, int]
    kernel_size: int
    turn: float
    kernels: Array | None = None

    def psnr(self, image: Array) -> float:
        """At the best shift and the best turn."""

        def figure(angle: float) -> float:
            turned = image if angle == 0 else rotate(image, angle, order=3, reshape=False, mode="nearest")
            return aligned_psnr(turned, self.sharp, 10, 25, self.peak, channel_axis=2 if image.ndim == 3 else None)

        if self.turn == 0:
            return figure(0.0)
        found = minimize_scalar(
            lambda angle: -figure(angle),
            bounds=(-self.turn, self.turn),
            method="bounded",
            options={"maxiter": 14},
        )
        return max(-float(found.fun), figure(0.0))


def load(name: str, data: Path) -> Recorded:
    if name == "stars":
        content = scipy.io.loadmat(data / "astro" / "star_cluster.mat")
        kernels = np.array([[np.asarray(one, float) for one in row] for row in content["PSF25"]])
        sharp, blurred = (content[key].astype(float) for key in ("x_true", "b"))
        return Recorded(blurred, sharp, float(sharp.max()), None, (5, 5), 31, 0.0, kernels)
    folder = data / "lai" / "nonuniform"
    blurred, sharp = (imread(folder / f"natural_05_{kind}.png")[..., :3] / 255.0 for kind in ("gyro_01", "sharp"))
    return Recorded(blurred, sharp, 1.0, 1.0, (5, 10), 31, 1.5)


def restore(name: str, case: Recorded, variant: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one variant, its picture written."""
    base = default_registry().method("mcem").pipeline(options.preset)
    base = base.set({"forward_model.grid": options.grid or case.grid})
    job = Job(
        case.blurred.astype(np.float32),
        axes="YXS" if case.blurred.ndim == 3 else "YX",
        pipeline=ablations(base)[variant].set_throughout(assignments(options.set)),
        kernel_size=options.kernel_size or case.kernel_size,
        white_level=case.white,
        max_seconds=options.max_seconds,
        threads=options.threads,
        seed=options.seed,
    )
    for _ in job.events():
        pass
    result = job.result
    image = np.asarray(result.image, float)
    facts = {
        "psnr": case.psnr(image),
        "steps": result.report["planes"][0]["executed"],
        "seconds": result.report["seconds"],
        "warnings": result.report["warnings"],
    }
    if case.kernels is not None:
        found = np.asarray(result.kernel, float)
        field = np.broadcast_to(found.reshape(-1, *found.shape[-2:]), (case.kernels[..., 0, 0].size, *found.shape[-2:]))
        true = case.kernels.reshape(-1, *case.kernels.shape[-2:])
        facts["kernel similarity"] = float(
            np.mean([kernel_similarity(*pair) for pair in zip(field, true, strict=True)])
        )
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        shown = np.clip(np.hstack([case.blurred, image, case.sharp]) / case.peak, 0, 1)
        stretched = shown if case.white else shown ** (1 / 3)
        imsave(options.output / f"{name}-{variant}.png", (stretched * 255).astype(np.uint8), check_contrast=False)
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--data", type=Path, required=True, help="folder with lai/nonuniform and astro")
    parser.add_argument("--cases", type=names, default=["gyro", "stars"])
    parser.add_argument("--variants", type=names, default=["uniform", "mcem"])
    parser.add_argument("--grid", type=int, nargs=2, help="another one than the case's")
    parser.add_argument("--kernel-size", type=int, help="another one than the case's")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", default=[], help="address=value, repeatable; of all variants")
    parser.add_argument("--max-seconds", type=float, help="for each run")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="folder for pictures: blurred, restored, sharp")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for name in options.cases:
        case = load(name, options.data)
        rows: dict[str, Any] = {"blurred": {"psnr": case.psnr(case.blurred)}}
        print(f"{name}: blurred {rows['blurred']['psnr']:.2f} dB", flush=True)
        for variant in options.variants:
            rows[variant] = restore(name, case, variant, options)
            print(f"{name}: {variant} {rows[variant]}", flush=True)
            results[name] = rows
            if options.json:
                write_json(options.json, results)


if __name__ == "__main__":
    main()
