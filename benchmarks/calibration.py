"""How far the maps of uncertainty can be trusted: their coverage of the true error, with factors fitted elsewhere.

Grey photographs of scikit-image, cut to their middle, are blurred by drawn camera shakes, with the levels of --noise in
turn, and restored by each method; of blind ones, the estimate is aligned with the truth first. On those of --fit the
factor for each level of noise is found with which one and two standard deviations hold as many of the errors as they do
of normal ones. On the others, which no default was chosen on, it is then said how many errors lie within one and two
standard deviations, and how well the map's ranks follow those of the errors. A map is calibrated if the means over
these images lie in the bounds of `BOUNDS`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from scipy.ndimage import shift
from scipy.optimize import minimize_scalar
from scipy.stats import spearmanr
from skimage.color import rgb2gray

from unblur import Job, default_registry
from unblur.cli.options import settings as assignments
from unblur.io.atomic import write_json
from unblur.metrics import align, psnr
from unblur.testing.camera_shake import shaken_scene

Array = NDArray[np.float64]
BORDER = 15
BOUNDS = {"within 1": (0.60, 0.76), "within 2": (0.90, 0.98), "rank correlation": (0.4, 1.0)}
_NORMAL = (0.683, 0.954)
"""The parts of normal errors within one and two standard deviations."""


def sharp(name: str, side: int) -> Array:
    """The middle of a photograph, grey, from 0 to 1."""
    pixels = getattr(skimage.data, name)()
    grey = rgb2gray(pixels) if pixels.ndim == 3 else pixels / 255.0
    top, left = ((n - side) // 2 for n in grey.shape)
    return np.asarray(grey[top : top + side, left : left + side], np.float64)


def restored(name: str, method: str, options: argparse.Namespace, seed: int) -> tuple[Array, Array, dict[str, Any]]:
    """Errors and standard deviations inside the border, after alignment, and figures."""
    picture = sharp(name, options.side)
    size = (options.kernel_size, options.kernel_size)
    turn = options.turn if method == "mcem" else 0.0
    grid = (3, 3) if method == "mcem" else (1, 1)
    noise = options.noise[seed % len(options.noise)]
    scene = shaken_scene(picture, grid, size, seed=seed, move=options.move, turn=turn, noise=noise)
    registered = default_registry().method(method)
    settings = assignments(options.set or [])
    if method == "mcem":
        settings |= {"forward_model.grid": list(grid)}
    job = Job(
        scene.blurred.astype(np.float32),
        method=method,
        preset=options.preset,
        settings=settings,
        psf=scene.kernels[0, 0] if registered.needs_psf else None,
        kernel_size=None if registered.needs_psf else options.kernel_size,
        white_level=1.0,
        max_seconds=options.max_seconds,
        threads=options.threads,
        seed=options.seed,
    )
    for _ in job.events():
        pass
    image, spread = (np.asarray(part, np.float64) for part in (job.result.image, job.result.uncertainty))
    spread /= job.result.report["uncertainty"]["factor"] or 1.0
    found = align(image, scene.sharp, border=BORDER)
    inside = (slice(BORDER, -BORDER),) * 2
    moved = shift(spread, [-offset for offset in found.shift], order=1, mode="nearest")[inside]
    facts = {
        "psnr": psnr(found.estimate, found.truth),
        "blurred": psnr(scene.blurred[inside], scene.sharp[inside]),
        "noise": noise,
        "seconds": job.result.report["seconds"],
        "steps": sum(job.result.report["planes"][0]["executed"]),
    }
    return found.estimate - found.truth, moved, facts


def factor(parts: Sequence[tuple[Array, Array]]) -> float:
    """The one with which the means of the parts within one and two deviations are nearest to those of normal errors."""

    def miss(logarithm: float) -> float:
        found = [[within(*part, float(np.exp(logarithm)), n) for n in (1, 2)] for part in parts]
        return float(np.square(np.mean(found, axis=0) - _NORMAL).sum())

    return float(np.exp(minimize_scalar(miss, bounds=(-2.0, 2.0), method="bounded").x))


def within(error: Array, spread: Array, scale: float, count: int) -> float:
    """The part of the errors within some scaled standard deviations."""
    return float(np.mean(np.abs(error) <= count * scale * spread))


def coverage(error: Array, spread: Array, scale: float) -> dict[str, float]:
    """Parts of the errors within one and two standard deviations, and the rank correlation with their size."""
    parts = {f"within {n}": within(error, spread, scale, n) for n in (1, 2)}
    return parts | {"rank correlation": float(spearmanr(np.abs(error).ravel(), spread.ravel()).statistic)}


def measure(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """One method: the factors from some images, coverage on the others."""
    kept: dict[str, tuple[Array, Array]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for seed, name in enumerate([*options.fit, *options.test]):
        error, spread, facts[name] = restored(name, method, options, seed)
        kept[name] = error, spread
        print(f"{method} on {name}: {json.dumps(facts[name] | coverage(error, spread, 1.0))}", flush=True)
    levels = {name: facts[name]["noise"] for name in kept}
    scales = {
        level: factor([kept[name] for name in options.fit if levels[name] == level]) for level in sorted(options.noise)
    }
    rows = {name: coverage(*kept[name], scales[levels[name]]) for name in options.test}
    means = {key: float(np.mean([row[key] for row in rows.values()])) for key in BOUNDS}
    calibrated = all(low <= means[key] <= high for key, (low, high) in BOUNDS.items())
    factors = list(scales.items())
    return {"method": method, "factors": factors, **means, "calibrated": calibrated, "images": rows, "facts": facts}


def lines(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A table."""
    yield "method | factor | within 1 | within 2 | rank correlation | "
    for row in results:
        factors = ", ".join(f"{scale:.2f} at {level:.1%}" for level, scale in row["factors"])
        figures = " | ".join(f"{row[key]:.2f}" for key in BOUNDS)
        yield f"{row['method']} | {factors} | {figures} | {'calibrated' if row['calibrated'] else 'uncalibrated'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--methods", type=names, default=["sa-dropout", "mc-mapk", "mcem"])
    fitted = ["coins", "moon", "chelsea", "immunohistochemistry"]
    parser.add_argument("--fit", type=names, default=fitted, help="images that the factor is fitted on")
    parser.add_argument("--test", type=names, default=["camera", "astronaut", "coffee", "rocket"])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--kernel-size", type=int, default=19)
    parser.add_argument("--move", type=float, default=5.0, help="largest shift of the camera, in pixels")
    parser.add_argument("--turn", type=float, default=4.0, help="of the corners, for mcem")
    parser.add_argument("--noise", type=lambda text: [float(one) for one in names(text)], default=[0.01])
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", help="slot.parameter=value, repeatable")
    parser.add_argument("--max-seconds", type=float, help="for each run")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    for method in options.methods:
        results.append(measure(method, options))
        if options.json:
            given = {key: value for key, value in vars(options).items() if key != "json"}
            write_json(options.json, {"options": given, "results": results})
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
