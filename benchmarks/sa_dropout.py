"""Known kernels: sa-dropout and its untrained peers beside classical methods, on set12 with the kernels of Levin et al.

The protocol of Chen et al. 2022, section 4.2.1, on the images at hand: valid convolution with a kernel, then noise; the
PSNR (peak 1) without alignment, inside a border of half the kernel. Richardson-Lucy gets the iteration count that is
best for the truth. A method such as sa-dropout/no-masking leaves out an ingredient (`unblur_sadropout.ablations`). The
mean squared error of single inferences follows from mean and standard deviation of the ensemble: that of their mean
plus the mean variance.

The folder has `set12/*.png` and `levin/im01_ker0N.mat`. Every case is written when it is done, and found cases are
skipped, so that a list may be run in parts.

With --gamma the observation is that of a camera whose response is known: to the networks' misfit, but for those with
/no-response, and to classical methods, whose input is linear light and whose result is shown as the camera would. With
--estimated the kernel is that of a blind method, and figures are taken at the best shift.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import known_cases
import numpy as np
from known_cases import Protocol
from numpy.typing import NDArray
from PIL import Image

from unblur import Pipeline, default_registry
from unblur.cli.options import settings as assignments
from unblur.errors import UnblurError
from unblur.io.atomic import write_json
from unblur.jobs import Job
from unblur_sadropout.ablations import ablations

Array = NDArray[np.float64]
CLASSICAL = ("hyper-laplacian", "wiener", "unsupervised-wiener", "richardson-lucy")
"""Methods that need no budget, no settings and no curve."""

BEST_OF = {"richardson-lucy": 200}
"""Methods that get the iteration count that is best for the truth, and the most iterations tried."""

NO_RESPONSE = "no-response"
"""With --gamma, a network that takes the observation for linear."""


@dataclass(frozen=True)
class Case:
    """One run."""

    image: str
    kernel: str
    noise: str
    method: str


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """The row of a case, with the error where there is one."""
    try:
        return _measured(case, options)
    except UnblurError as error:
        return {**vars(case), "error": str(error)}


def _measured(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    scene = known_cases.scene(case.image, case.kernel, case.noise, protocol(options))
    best_of, classical = BEST_OF.get(case.method), case.method in CLASSICAL
    linear = classical and options.gamma is not None

    def shown(image: Any) -> Array:
        values = np.asarray(image, np.float64)
        return np.clip(values, 0, None) ** (1 / options.gamma) if linear else values

    def figures(image: Any, spread: Any) -> dict[str, float]:
        found = {"psnr": scene.psnr(shown(image))}
        if spread is not None and not linear and scene.similarity is None:
            found["psnr_single"] = scene.psnr_of_one(shown(image), spread)
        return found

    job = Job(
        (np.clip(scene.observed, 0, None) ** options.gamma if linear else scene.observed).astype(np.float32),
        pipeline=_pipeline(case.method, options),
        psf=scene.kernel,
        settings={"stages.0.steps": best_of} if best_of else {} if classical else assignments(options.set or []),
        max_seconds=None if classical else options.max_seconds,
        white_level=1.0,
        seed=options.seed,
        threads=options.threads,
    )
    curve: list[dict[str, float]] = []
    for event in job.events():
        now = event.event
        due = not curve or now.elapsed - curve[-1]["seconds"] >= options.curve
        wanted = options.curve and not classical and (due or now.step == now.planned)
        if best_of or wanted:
            found = now.preview()
            spread = None if found.spread is None else found.spread[0, 0].cpu().numpy()
            curve.append({"seconds": now.elapsed, "step": now.step} | figures(found.image[0, 0].cpu(), spread))
    result, record = job.result, job.result.report["planes"][-1]
    spread = result.uncertainty
    if spread is not None:
        spread = spread / (result.report["uncertainty"]["factor"] or 1.0)
    row: dict[str, Any] = {
        **vars(case),
        "psnr_blurred": scene.psnr(scene.observed),
        **figures(result.image, spread),
        "ssim": scene.ssim(shown(result.image)),
        "seconds": result.report["seconds"],
        "steps": sum(record.get("executed", [])),
        "stop_reason": record.get("stop_reason"),
        "residual": record.get("residual"),
        "notes": record.get("notes"),
    }
    if scene.similarity is not None:
        row["similarity"] = scene.similarity
    if best_of:
        best = max(curve, key=lambda point: point["psnr"])
        row |= {"psnr": best["psnr"], "steps": best["step"]}
        del row["ssim"]  # that of the last iteration
    elif curve:
        row["curve"] = curve
    if options.panels is not None:
        _draw(options.panels, case, [scene.truth, scene.observed, shown(result.image)], spread)
    return row


def _draw(folder: Path, case: Case, images: Sequence[Array], spread: Array | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = [*images] if spread is None else [*images, spread / max(np.percentile(spread, 99.5), 1e-9)]
    name = "_".join(map(str, vars(case).values())).replace(":", "").replace("/", "-")
    Image.fromarray((np.clip(np.hstack(columns), 0, 1) * 255).astype(np.uint8)).save(folder / f"{name}.png")


def _pipeline(method: str, options: argparse.Namespace) -> Pipeline:
    """A method's, or one of its ablations, which knows the camera's response unless it is classical."""
    name, _, left_out = method.partition("/")
    pipeline = default_registry().method(name).pipeline("balanced" if name in CLASSICAL else options.preset)
    if left_out:
        known = ablations(pipeline) | {NO_RESPONSE: pipeline}
        if left_out not in known:
            raise SystemExit(f"{method}: nothing to leave out as {left_out!r}; there are {', '.join(known)}")
        pipeline = known[left_out]
    if options.gamma is None or name in CLASSICAL or left_out == NO_RESPONSE:
        return pipeline
    parts = [*pipeline.slots["forward_model"], ("gamma", {"gamma": options.gamma})]
    return pipeline.replace(forward_model=parts)


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
            for key in ("psnr_blurred", "psnr", "psnr_single", "ssim", "similarity", "seconds", "steps"):
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


def protocol(options: argparse.Namespace) -> Protocol:
    return Protocol(options.data, options.crop, options.gamma, options.estimated, options.threads, options.seed)


def _list(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True, help="results; cases that are in it are skipped")
    parser.add_argument("--png", type=Path, help="PSNR against time")
    parser.add_argument("--panels", type=Path, help="folder for truth, observation, result, uncertainty")
    parser.add_argument("--images", type=_list, help="01,04; all by default")
    parser.add_argument("--kernels", type=_list, default=list("12345678"), help="1 to 8, danielyan-1 to danielyan-6")
    parser.add_argument(
        "--noise",
        type=_list,
        default=["gaussian:0.01", "gaussian:0.03", "gaussian:0.05"],
        help="gaussian:STD, poisson:PEAK, or own, that of a kernel of Danielyan",
    )
    parser.add_argument("--methods", type=_list, default=["sa-dropout", "hyper-laplacian", "wiener", "richardson-lucy"])
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", help="slot.parameter=JSON, for methods with a budget; repeatable")
    parser.add_argument("--max-seconds", type=float, default=1800.0)
    parser.add_argument("--curve", type=float, default=0.0, help="seconds between points, which the budget pays for")
    parser.add_argument("--crop", type=int, help="central part of the sharp image")
    parser.add_argument("--gamma", type=float, help="of a camera with eight bits, such as 2.2")
    parser.add_argument("--estimated", help="blind method whose kernel is given in place of the true one")
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


_PROTOCOL = ("preset", "set", "max_seconds", "curve", "crop", "gamma", "estimated", "threads", "seed")

if __name__ == "__main__":
    main()
