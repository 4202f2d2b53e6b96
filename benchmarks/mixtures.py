"""Pipelines made of several methods' parts, beside the methods: images of Levin et al., aligned PSNR.

- MCEM's estimator with practical BID's SIREN for the kernel.
- The kernel of MC-MAPk, corrected by edges, for SA-dropout's ensemble, beside hyper-Laplacian deconvolution with it.
- Stopping by the moving variance, with the iterate at which it was least, in methods that run a number of steps.

Every run has the same budget. It is written when it is done, and found ones are skipped, so that a list may be run in
parts.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from estimates import machine

from unblur import Job, Pipeline, default_registry
from unblur.cli.levin import load
from unblur.errors import UnblurError
from unblur.io.atomic import write_json
from unblur.metrics import aligned_psnr, kernel_similarity

ENSEMBLE_STEPS = 250
"""Few enough that a budget of two minutes leaves the stages before them their time."""

MOVING = {"stopping": ["moving-variance", "smallest-variance"]}


def compositions() -> dict[str, Pipeline]:
    """By name; those that compare stand beside each other."""
    method = default_registry().method
    mcem, two_stage = method("mcem-uniform").pipeline(), method("mc-mapk-two-stage").pipeline()
    ensemble = method("sa-dropout").pipeline("fast")
    found = {
        "mcem-uniform": mcem,
        "mcem-uniform, siren": mcem.set({"kernel_prior": "siren"}),
        "mc-mapk-two-stage": two_stage,
        "mc-mapk's kernel, sa-dropout": _ending_in(two_stage, ensemble.with_steps((ENSEMBLE_STEPS,))),
    }
    for name in ("selfdeblur", "mc-mapk", "mcem-uniform"):
        found[f"{name}, moving variance"] = method(name).pipeline().set(MOVING)
    for name in ("selfdeblur", "mc-mapk"):
        found[name] = method(name).pipeline()
    return found


def _ending_in(pipeline: Pipeline, last: Pipeline) -> Pipeline:
    """With another last segment, which is handed the kernel."""
    then = pipeline.then
    if then is None:
        return last
    return pipeline.replace(then=_ending_in(then, last))


def run(path: Path, pipeline: Pipeline, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one composition on one image."""
    truth, blurred, kernel = load(path)
    job = Job(
        blurred.astype(np.float32),
        pipeline=pipeline,
        kernel_size=kernel.shape,
        white_level=1.0,
        max_seconds=options.max_seconds,
        threads=options.threads,
        seed=options.seed,
    )
    try:
        for _ in job.events():
            pass
    except UnblurError as error:
        return {"error": str(error)}
    return {
        "psnr": aligned_psnr(np.asarray(job.result.image, float), truth),
        "blurred": aligned_psnr(blurred, truth),
        "similarity": kernel_similarity(np.asarray(job.result.kernel, float), kernel),
        "steps": job.result.report["planes"][0]["executed"],
        "seconds": job.result.report["seconds"],
        "warnings": job.result.report["warnings"],
    }


def table(rows: Mapping[str, Mapping[str, Any]], images: list[str]) -> Iterator[str]:
    """For each composition the PSNR of the images and their mean."""
    yield " | ".join(["composition", *images, "mean", "seconds"])
    for name in dict.fromkeys(key.rsplit("/", 1)[0] for key in rows):
        those = [rows.get(f"{name}/{image}", {}) for image in images]
        found = [row["psnr"] for row in those if "psnr" in row]
        cells = [f"{row['psnr']:.2f}" if "psnr" in row else "-" for row in those]
        seconds = np.mean([row["seconds"] for row in those if "psnr" in row]) if found else np.nan
        mean = np.mean(found) if len(found) == len(images) else np.nan
        yield " | ".join([name, *cells, f"{mean:.2f}", f"{seconds:.0f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--data", type=Path, required=True, help="folder with .mat files of x, y and f")
    parser.add_argument("--images", type=names, default=["im01_ker01", "im01_ker05", "im02_ker07"])
    parser.add_argument("--only", type=lambda text: text.split(";"), help="names of compositions, between semicolons")
    parser.add_argument("--max-seconds", type=float, default=180.0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    given = {"max_seconds": options.max_seconds, "seed": options.seed}
    earlier = json.loads(options.json.read_text()) if options.json.exists() else {"options": given, "rows": {}}
    if earlier["options"] != given:
        raise SystemExit(f"{options.json} was made with {earlier['options']}; these are {given}. Take another file")
    rows: dict[str, Any] = {key: row for key, row in earlier["rows"].items() if "psnr" in row}
    made = compositions()
    for name, image in itertools.product(options.only or made, options.images):
        key = f"{name}/{image}"
        if key in rows:
            continue
        rows[key] = run(options.data / f"{image}.mat", made[name], options)
        print(f"{key}: {json.dumps(rows[key])}", flush=True)
        write_json(options.json, {"environment": machine(options.threads), "options": given, "rows": rows})
    print("\n".join(table(rows, options.images)))


if __name__ == "__main__":
    main()
