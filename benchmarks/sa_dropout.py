"""Known kernels: sa-dropout and its untrained peers beside classical methods, on set12 with the kernels of Levin et al.

The protocol of Chen et al. 2022, section 4.2.1, on the images at hand: valid convolution with a kernel, then noise; the
PSNR (peak 1) without alignment, inside a border of half the kernel. Richardson-Lucy gets the iteration count that is
best for the truth. A method such as sa-dropout/no-masking leaves out an ingredient (`unblur_sadropout.ablations`). The
mean squared error of single inferences follows from mean and standard deviation of the ensemble: that of their mean
plus the mean variance.

The folder has `set12/*.png` and `levin/im01_ker0N.mat`, whose `f`, rotated by 180 degrees, is the kernel. Every case is
written when it is done, and found cases are skipped, so that a list may be run in parts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import fftconvolve

from unblur import default_registry
from unblur.cli.options import settings as assignments
from unblur.errors import UnblurError
from unblur.io.atomic import write_json
from unblur.jobs import Job
from unblur.metrics import psnr, ssim
from unblur_sadropout.ablations import ablations

Array = NDArray[np.float64]
CLASSICAL = ("hyper-laplacian", "wiener", "unsupervised-wiener", "richardson-lucy")
"""Methods that need no budget, no settings and no curve."""

BEST_OF = {"richardson-lucy": 200}
"""Methods that get the iteration count that is best for the truth, and the most iterations tried."""


@dataclass(frozen=True)
class Case:
    """One run."""

    image: str
    kernel: int
    noise: str
    method: str

    def observe(self, data: Path, crop: int | None) -> tuple[Array, Array, Array]:
        """Observed image, truth in the same window, and kernel."""
        sharp = np.asarray(Image.open(data / "set12" / f"{self.image}.png").convert("L"), dtype=np.float64) / 255
        if crop is not None:
            sharp = _centre(sharp, crop)
        stored = scipy.io.loadmat(data / "levin" / f"im01_ker{self.kernel:02d}.mat")["f"].astype(np.float64)
        kernel = np.ascontiguousarray(stored[::-1, ::-1]) / stored.sum()
        blurred = fftconvolve(sharp, kernel, mode="valid")
        window = tuple(slice((k - 1) // 2, (k - 1) // 2 + n) for k, n in zip(kernel.shape, blurred.shape, strict=True))
        random = np.random.default_rng([*self.image.encode(), self.kernel, *self.noise.encode()])
        return _noisy(blurred, self.noise, random), sharp[window], kernel


def _centre(image: Array, size: int) -> Array:
    first = [(n - size) // 2 for n in image.shape]
    return image[first[0] : first[0] + size, first[1] : first[1] + size]


def _noisy(image: Array, noise: str, random: np.random.Generator) -> Array:
    """``gaussian:STD`` or ``poisson:PEAK``, the photons at white."""
    kind, _, amount = noise.partition(":")
    if kind == "gaussian":
        return image + float(amount) * random.standard_normal(image.shape)
    if kind == "poisson":
        return random.poisson(np.clip(image, 0, None) * float(amount)) / float(amount)
    raise SystemExit(f"--noise {noise}: expected gaussian:STD or poisson:PEAK")


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """The row of a case."""
    observed, truth, kernel = case.observe(options.data, options.crop)
    border = max(kernel.shape) // 2
    best_of, classical = BEST_OF.get(case.method), case.method in CLASSICAL
    settings = {"stages.0.steps": best_of} if best_of else {} if classical else assignments(options.set or [])
    method, _, left_out = case.method.partition("/")
    pipeline = default_registry().method(method).pipeline("balanced" if classical else options.preset)
    if left_out:
        known = ablations(pipeline)
        if left_out not in known:
            raise SystemExit(f"{case.method}: no ingredient {left_out!r}; there are {', '.join(known)}")
        pipeline = known[left_out]
    job = Job(
        observed.astype(np.float32),
        pipeline=pipeline,
        psf=kernel,
        settings=settings,
        max_seconds=None if classical else options.max_seconds,
        white_level=1.0,
        seed=options.seed,
        threads=options.threads,
    )
    row: dict[str, Any] = {**vars(case), "psnr_blurred": psnr(observed, truth, border=border)}
    curve: list[dict[str, float]] = []
    try:
        for event in job.events():
            now = event.event
            due = not curve or now.elapsed - curve[-1]["seconds"] >= options.curve
            wanted = options.curve and not classical and (due or now.step == now.planned)
            if best_of or wanted:
                point = {"seconds": now.elapsed, "step": now.step}
                curve.append(point | _figures(now.preview(), truth, border))
    except UnblurError as error:
        return row | {"error": str(error)}
    result, record = job.result, job.result.report["planes"][-1]
    image = result.image.astype(np.float64)
    row |= {
        "psnr": psnr(image, truth, border=border),
        "ssim": ssim(_inner(image, border), _inner(truth, border)),
        "seconds": result.report["seconds"],
        "steps": sum(record.get("executed", [])),
        "stop_reason": record.get("stop_reason"),
        "residual": record.get("residual"),
        "notes": record.get("notes"),
    }
    if result.uncertainty is not None:
        spread = result.uncertainty / (result.report["uncertainty"]["factor"] or 1.0)
        row["psnr_single"] = _single(image, spread, truth, border)
    if best_of:
        best = max(curve, key=lambda point: point["psnr"])
        row |= {"psnr": best["psnr"], "steps": best["step"]}
    elif curve:
        row["curve"] = curve
    if options.panels is not None:
        options.panels.mkdir(parents=True, exist_ok=True)
        columns = [truth, observed, image]
        if result.uncertainty is not None:
            spread = result.uncertainty
            columns.append(spread / max(np.percentile(spread, 99.5), 1e-9))
        name = "_".join(map(str, vars(case).values())).replace(":", "").replace("/", "-")
        Image.fromarray((np.clip(np.hstack(columns), 0, 1) * 255).astype(np.uint8)).save(options.panels / f"{name}.png")
    return row


def _inner(image: Array, border: int) -> Array:
    return image[border:-border, border:-border]


def _figures(estimate: Any, truth: Array, border: int) -> dict[str, float]:
    image = estimate.image[0, 0].double().cpu().numpy()
    figures = {"psnr": psnr(image, truth, border=border)}
    if estimate.spread is not None:
        figures["psnr_single"] = _single(image, estimate.spread[0, 0].double().cpu().numpy(), truth, border)
    return figures


def _single(mean: Array, spread: Array, truth: Array, border: int) -> float:
    """PSNR of the mean squared error of single inferences (but for a part 1/n of their variance)."""
    errors = (mean - truth) ** 2 + np.asarray(spread, dtype=np.float64) ** 2
    return -10 * math.log10(float(_inner(errors, border).mean()))


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By noise and method, over the cases that every method of that noise has, so that they compare."""
    found = []
    good = [row for row in rows if "psnr" in row]
    for noise in dict.fromkeys(row["noise"] for row in good):
        here = [row for row in good if row["noise"] == noise]
        methods = list(dict.fromkeys(row["method"] for row in here))
        places = [{(row["image"], row["kernel"]) for row in here if row["method"] == method} for method in methods]
        shared = set.intersection(*places)
        for method in methods:
            those = [row for row in here if row["method"] == method and (row["image"], row["kernel"]) in shared]
            if not those:
                continue
            line: dict[str, Any] = {"noise": noise, "method": method, "cases": len(those)}
            for key in ("psnr_blurred", "psnr", "psnr_single", "ssim", "seconds", "steps"):
                values = [row[key] for row in those if row.get(key) is not None]
                if len(values) == len(those):
                    line[key] = float(np.mean(values))
            found.append(line)
    return found


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Mean PSNR against time for what has a curve; lines for the rest."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    noises = list(dict.fromkeys(row["noise"] for row in rows if "psnr" in row))
    figure, axes = plt.subplots(1, len(noises), figsize=(4.5 * len(noises), 3.6), squeeze=False)
    for axis, noise in zip(axes[0], noises, strict=True):
        here = [row for row in rows if row["noise"] == noise and "psnr" in row]
        for index, method in enumerate(dict.fromkeys(row["method"] for row in here)):
            those, colour = [row for row in here if row["method"] == method], f"C{index}"
            curves = [row["curve"] for row in those if "curve" in row]
            if not curves:
                level = float(np.mean([row["psnr"] for row in those]))
                axis.axhline(level, color=colour, ls="--", label=f"{method}, {level:.2f} dB")
                continue
            seconds = np.linspace(0, min(curve[-1]["seconds"] for curve in curves), 100)
            for key, style, label in (("psnr", "-", method), ("psnr_single", ":", f"{method}, one inference")):
                if all(key in point for curve in curves for point in curve):
                    each = [_at(seconds, curve, key) for curve in curves]
                    axis.plot(seconds, np.mean(each, axis=0), style, color=colour, label=label)
        axis.set(title=noise, xlabel="seconds", ylabel="PSNR / dB")
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _at(seconds: Array, curve: Sequence[dict[str, float]], key: str) -> Array:
    return np.interp(seconds, [point["seconds"] for point in curve], [point[key] for point in curve])


def _text(line: dict[str, Any]) -> str:
    return "  ".join(
        f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}"
        for key, value in line.items()
        if key not in ("curve", "notes")
    )


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    images = options.images or sorted(path.stem for path in (options.data / "set12").glob("*.png"))
    if not images:
        raise SystemExit(f"{options.data}: no set12/*.png")
    for noise, image, kernel, method in itertools.product(options.noise, images, options.kernels, options.methods):
        yield Case(image, kernel, noise, method)


def _list(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True, help="results; cases that are in it are skipped")
    parser.add_argument("--png", type=Path, help="PSNR against time")
    parser.add_argument("--panels", type=Path, help="folder for truth, observation, result, uncertainty")
    parser.add_argument("--images", type=_list, help="01,04; all by default")
    parser.add_argument("--kernels", type=lambda text: [int(one) for one in _list(text)], default=list(range(1, 9)))
    parser.add_argument("--noise", type=_list, default=["gaussian:0.01", "gaussian:0.03", "gaussian:0.05"])
    parser.add_argument("--methods", type=_list, default=["sa-dropout", "hyper-laplacian", "wiener", "richardson-lucy"])
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", help="slot.parameter=JSON, for methods with a budget; repeatable")
    parser.add_argument("--max-seconds", type=float, default=1800.0)
    parser.add_argument("--curve", type=float, default=0.0, help="seconds between points, which the budget pays for")
    parser.add_argument("--crop", type=int, help="central part of the sharp image")
    parser.add_argument("--limit", type=int, help="do at most so many cases now")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    given = {key: value for key, value in vars(options).items() if key in _PROTOCOL}
    earlier = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    if earlier and earlier["options"] != given:
        raise SystemExit(f"{options.json} was made with {earlier['options']}; these are {given}. Take another file")
    rows: list[dict[str, Any]] = earlier.get("rows", [])
    done = {tuple(row[key] for key in ("image", "kernel", "noise", "method")) for row in rows if "error" not in row}
    left = [case for case in _cases(options) if tuple(vars(case).values()) not in done][: options.limit]
    began = time.perf_counter()
    for number, case in enumerate(left, 1):
        row = measure(case, options)
        rows = [other for other in rows if any(other[key] != value for key, value in vars(case).items())] + [row]
        write_json(options.json, {"options": given, "means": means(rows), "rows": rows})
        print(f"{number}/{len(left)}, {time.perf_counter() - began:.0f} s: {_text(row)}", flush=True)
    for line in means(rows):
        print(_text(line))
    if options.png is not None:
        plot(rows, options.png)


_PROTOCOL = ("preset", "set", "max_seconds", "curve", "crop", "threads", "seed")

if __name__ == "__main__":
    main()
