"""Peak memory against pixels: whether it grows linearly, and whether the estimate before a run is right.

For every method and size, in grey or in colour, a process of its own runs a few steps of every stage; its largest
resident size, less that before the run, stands beside the estimate. A line through the two largest sizes, one for grey
images and one for those in colour, leads to the size that `--extrapolate` names.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from estimates import METHODS, Case, apart, machine

from unblur.compute import human_bytes
from unblur.io.atomic import write_json

STEPS = 3


def measured(case: Case) -> dict[str, Any]:
    """The row of a case, in bytes; an error where it was refused or failed."""
    said, took = apart("estimate", case), apart("take", case, STEPS)
    row: dict[str, Any] = {**dataclasses.asdict(case), "pixels": case.pixels}
    for name, found in (("estimated", said), ("peak", took)):
        row |= {name: found["memory"]} if "memory" in found else {f"{name} error": found["error"]}
    if "peak" in row:
        row["bytes per pixel"] = row["peak"] / case.pixels
    if {"peak", "estimated"} <= row.keys():
        row["ratio"] = row["estimated"] / row["peak"]
    return row


def growth(rows: Sequence[dict[str, Any]], pixels: int, name: str) -> dict[str, float]:
    """Of peak or estimate: the exponent between the two largest sizes (1 is linear), and the line through them."""
    known = sorted((row["pixels"], row[name]) for row in rows if name in row)[-2:]
    if len(known) < 2:
        return {}
    (less, low), (more, high) = known
    slope = (high - low) / (more - less)
    exponent = math.log(high / low) / math.log(more / less)
    return {"exponent": exponent, "bytes per pixel": slope, "extrapolated": high + slope * (pixels - more)}


def line(row: dict[str, Any]) -> str:
    """The row as text."""
    head = f"{row['method']:16} {row['rows']}x{row['columns']} {'rgb' if row['colour'] else 'grey'}"
    if "ratio" not in row:
        return f"{head}: {row.get('peak error', '')} {row.get('estimated error', '')}"
    return (
        f"{head}: {human_bytes(row['estimated'])} said, {human_bytes(row['peak'])} taken, {row['ratio']:.2f}, "
        f"{row['bytes per pixel'] / 1000:.1f} kB a pixel"
    )


def series(method: str, colours: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one method over all sizes, printed as they come."""
    rows = []
    for side in map(int, options.sizes.split(",")):
        case = Case(method, side, side, colours == "rgb", options.kernel_size, options.preset, options.threads)
        rows.append(measured(case))
        print(line(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join((*METHODS, "l0-gradient")))
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--sizes", default="128,256,384,512", help="of the image's sides")
    parser.add_argument("--images", default="rgb", help="grey, rgb or grey,rgb")
    parser.add_argument("--kernel-size", type=int, default=31)
    parser.add_argument("--extrapolate", type=int, default=2048, help="the side that the memory is extrapolated to")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    for method, colours in itertools.product(options.methods.split(","), options.images.split(",")):
        mine = series(method, colours, options)
        rows += mine
        grown = {name: growth(mine, options.extrapolate**2, name) for name in ("peak", "estimated")}
        summary[f"{method} {colours}"] = grown
        for name, found in grown.items():
            if found:
                print(
                    f"{method:16} {colours} {name}: exponent {found['exponent']:.2f}, "
                    f"{human_bytes(found['extrapolated'])} at {options.extrapolate}x{options.extrapolate}",
                    flush=True,
                )
    if options.json:
        write_json(options.json, {"environment": machine(options.threads), "summary": summary, "rows": rows})


if __name__ == "__main__":
    main()
