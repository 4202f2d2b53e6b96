"""Quality against time: curves of the aligned PSNR of several methods on images of Levin et al. 2009.

The runs are those of `unblur bench levin --curve`, whose previews take a part of the time. A method's line is the mean
over its images of the latest PSNR at every time: of the blurred image before the first preview, of the result after the
end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unblur.cli.levin import Protocol, run_levin
from unblur.cli.options import names
from unblur.errors import UnblurError
from unblur.io.atomic import atomic_path

Array = NDArray[np.float64]


def course(row: Mapping[str, Any]) -> tuple[Array, Array]:
    """Seconds and PSNR of one run, from the blurred image to the result."""
    points = row.get("curve", [])
    last = max([row["seconds"], *(point["seconds"] for point in points)])
    seconds = [0.0, *(point["seconds"] for point in points), last]
    return np.array(seconds), np.array([row["psnr_blurred"], *(point["psnr"] for point in points), row["psnr"]])


def mean_course(rows: Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
    """The mean over runs, at all times at which one of them has a new value."""
    courses = [course(row) for row in rows]
    times = np.unique(np.concatenate([seconds for seconds, _ in courses]))
    values = [psnr[np.searchsorted(seconds, times, side="right") - 1] for seconds, psnr in courses]
    return times, np.mean(values, axis=0)


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A line for every method, and thin ones for its images."""
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    for number, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        mine = [row for row in rows if row["method"] == method]
        for row in mine:
            axis.step(*course(row), where="post", color=f"C{number}", linewidth=0.5, alpha=0.5)
        label = f"{Path(method).stem} ({len(mine)} image{'s' if len(mine) > 1 else ''})"
        axis.step(*mean_course(mine), where="post", color=f"C{number}", linewidth=2, label=label)
    axis.set_xlabel("seconds")
    axis.set_ylabel("aligned PSNR, dB")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of .mat files")
    parser.add_argument("--methods", required=True, help="methods or pipeline files, separated by commas")
    parser.add_argument("--images", help="only these, separated by commas")
    parser.add_argument("--max-seconds", type=float, help="budget for each image")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between the points of a curve")
    parser.add_argument("--kernel-size", default="exact", help="exact, half or a number")
    parser.add_argument("--noise", help="gaussian:STD or impulse:PROBABILITY")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("quality.json"))
    parser.add_argument("--png", type=Path, default=Path("quality.png"))
    parser.add_argument("--draw-only", action="store_true", help="draw what the file holds already")
    options = parser.parse_args()
    code = 0
    try:
        if not options.draw_only:
            job = {name: getattr(options, name) for name in ("max_seconds", "preset", "seed", "threads")}
            code = run_levin(
                Protocol(
                    data=options.data,
                    methods=names(options.methods, "--methods"),
                    output=options.json,
                    images=names(options.images, "--images") if options.images else None,
                    kernel_size=options.kernel_size,
                    noise=options.noise,
                    noise_seed=0,
                    known=False,
                    curve=options.every,
                    panels=None,
                    job={**job, "device": "auto", "precision": "auto", "white_level": 1.0, "settings": {}},
                )
            )
    except UnblurError as error:
        parser.error(str(error))
    if code and not options.json.exists():  # stopped before there was a result
        return code
    rows = [row for row in json.loads(options.json.read_text(encoding="utf-8"))["rows"] if "psnr" in row]
    if rows:
        draw(options.png, rows)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
