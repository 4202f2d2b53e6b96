"""MC-MAPk: what noise and dropout of the image network do for the kernel, and what a random kernel network does.

The compositions of `unblur_mapk.ablations` run on images of Levin et al., each with some seeds and the same steps.
Printed are the aligned PSNR, the kernel's similarity with the true one and its largest weight, and how often a
composition succeeded: the similarity is at least --similar. A kernel is a delta where 80 % of its weight lie within a
pixel of its largest. Every run is written when it is done, and found ones are skipped, so that a list may be run in
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

from unblur import Job, Stage
from unblur.cli.levin import load
from unblur.io.atomic import write_json
from unblur.metrics import aligned_psnr, kernel_concentration, kernel_similarity
from unblur.report import DELTA_WEIGHT
from unblur_mapk.ablations import ablations
from unblur_mapk.presets import NETWORKS

TABLE_5 = ("table-5-neither", "table-5-dropout", "table-5-noise", "table-5-both")
KERNEL_ALONE = ("figure-9-kernel",)


def run(path: Path, name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one composition on one image with one seed."""
    truth, blurred, kernel = load(path)
    base = NETWORKS[options.preset]
    if options.steps is not None:
        base = base.replace(forward_model=["convolution", "squared"], stages=[Stage(steps=options.steps)])
    job = Job(
        blurred.astype(np.float32),
        pipeline=ablations(base)[name],
        kernel_size=kernel.shape,
        white_level=1.0,
        threads=options.threads,
        seed=seed,
    )
    for _ in job.events():
        pass
    found = np.asarray(job.result.kernel, float)
    return {
        "psnr": aligned_psnr(np.asarray(job.result.image, float), truth),
        "blurred": aligned_psnr(blurred, truth),
        "similarity": kernel_similarity(found, kernel),
        "largest weight": float(found.max()),
        "true largest weight": float(kernel.max() / kernel.sum()),
        "delta": kernel_concentration(found) >= DELTA_WEIGHT,
        "steps": job.result.report["planes"][0]["executed"],
        "seconds": job.result.report["seconds"],
    }


def table(rows: Mapping[str, Mapping[str, Any]], similar: float) -> Iterator[str]:
    """For each composition and image: successes, deltas, means."""
    yield "composition | image | runs | succeeded | deltas | PSNR | similarity | largest weight (true)"
    places = list(dict.fromkeys(tuple(key.split("/")[:2]) for key in rows))
    for name, image in places:
        those = [row for key, row in rows.items() if key.startswith(f"{name}/{image}/")]
        means = {key: np.mean([row[key] for row in those]) for key in ("psnr", "similarity", "largest weight")}
        good = sum(row["similarity"] >= similar for row in those)
        deltas = sum(row["delta"] for row in those)
        yield (
            f"{name} | {image} | {len(those)} | {good} | {deltas} | {means['psnr']:.2f} dB | "
            f"{means['similarity']:.3f} | {means['largest weight']:.3f} ({those[0]['true largest weight']:.3f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--data", type=Path, required=True, help="folder with .mat files of x, y and f")
    parser.add_argument("--images", type=names, default=["im01_ker02", "im01_ker05"])
    parser.add_argument("--compositions", type=names, default=[*TABLE_5, *KERNEL_ALONE])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", choices=list(NETWORKS), default="fast")
    parser.add_argument("--steps", type=int, help="at the full resolution alone, by mean squares, as the paper trains")
    parser.add_argument("--similar", type=float, default=0.8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    given = {"preset": options.preset, "steps": options.steps, "similar": options.similar}
    earlier = json.loads(options.json.read_text()) if options.json.exists() else {"options": given, "rows": {}}
    if earlier["options"] != given:
        raise SystemExit(f"{options.json} was made with {earlier['options']}; these are {given}. Take another file")
    rows: dict[str, Any] = earlier["rows"]
    for name, image, seed in itertools.product(options.compositions, options.images, range(options.seeds)):
        key = f"{name}/{image}/{seed}"
        if key in rows:
            continue
        rows[key] = run(options.data / f"{image}.mat", name, seed, options)
        print(f"{key}: {json.dumps(rows[key])}", flush=True)
        write_json(options.json, {"environment": machine(options.threads), "options": given, "rows": rows})
    print("\n".join(table(rows, options.similar)))


if __name__ == "__main__":
    main()
