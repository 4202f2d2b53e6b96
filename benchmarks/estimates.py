"""Whether what is said before a run is right: seconds and memory as estimated, beside those of a run.

Every figure comes from a process of its own. The run is cut to some steps of every stage. Its pace in a stage times the
planned steps, with what comes before the stages and after the last one, is the time of the whole run. The largest
resident size, less that before the run, is its memory; a small run goes before, which loads what is loaded once.

The kernel's size is known, and for the methods of --unknown also taken as half the image. There the support shrinks
from stage to stage to what carries weight, which nobody knows before the run, and which few steps may not find: with
--steps 0 every run goes on to its end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from unblur.errors import ResourceError
from unblur.io.atomic import write_json
from unblur.jobs import Job
from unblur.planes import PLANE
from unblur.registry import default_registry
from unblur.report import environment

METHODS = ("selfdeblur", "mc-mapk", "mcem", "practical-bid", "sa-dropout")
FACTOR = 1.5
"""An estimate is right if it is within this factor of what the run takes."""

WARM = 64
"""Side of the image of the small run that goes before."""


@dataclass(frozen=True)
class Case:
    """One run: an image of rows times columns, grey or in colour, and the bound of the kernel's size."""

    method: str
    rows: int
    columns: int
    colour: bool = False
    kernel_size: int = 19
    preset: str = "balanced"
    threads: int = 2

    @property
    def pixels(self) -> int:
        return self.rows * self.columns

    def picture(self) -> NDArray[np.float32]:
        """Blobs with sharp borders, blurred."""
        random = np.random.default_rng(0)
        channels = [random.standard_normal((self.rows, self.columns)) for _ in range(3 if self.colour else 1)]
        blobs = [gaussian_filter((gaussian_filter(one, 6) > 0).astype(np.float32), 2) for one in channels]
        return np.stack(blobs, axis=-1) if self.colour else blobs[0]

    def job(self, steps: int | None = None) -> Job:
        """The job, with so many steps in every stage, or with those of the preset."""
        method = default_registry().method(self.method)
        pipeline = method.pipeline(self.preset)
        stages = sum(len(segment.stages) for segment in pipeline.segments())
        point = np.zeros((self.kernel_size, self.kernel_size))
        point[self.kernel_size // 2, self.kernel_size // 2] = 1
        return Job(
            self.picture(),
            axes=PLANE + "S" if self.colour else PLANE,
            method=self.method,
            preset=self.preset,
            psf=gaussian_filter(point, self.kernel_size / 6) if method.needs_psf else None,
            kernel_size=None if method.needs_psf else self.kernel_size,
            white_level=1.0,
            plan=None if steps is None else [steps] * stages,
            threads=self.threads,
        )


def estimate(case: Case) -> dict[str, Any]:
    """What is said before the run; the error if it is refused for want of memory."""
    try:
        cost = case.job().estimate()
    except ResourceError as error:
        return {"error": str(error)}
    return {"seconds": cost.seconds, "memory": cost.memory, "steps": list(cost.steps["plane"])}


def take(case: Case, steps: int) -> dict[str, Any]:
    """What a run takes, from one of so many steps in every stage; 0 for those of the preset."""
    import resource

    for _ in dataclasses.replace(case, rows=WARM, columns=WARM, kernel_size=9).job(1).events():
        pass
    job = case.job(steps or None)
    planned = [stage.steps for segment in job.pipeline.segments() for stage in segment.stages]
    before = psutil.Process().memory_info().rss
    times: list[list[float]] = [[] for _ in planned]
    for event in job.events():
        times[event.event.stage].append(event.event.elapsed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    last = times[-1][-1]
    seconds = [*_stages(times, planned), job.result.report["seconds"] - last]
    return {"seconds": sum(seconds), "stages": seconds, "memory": peak - before}


def _stages(times: Sequence[Sequence[float]], planned: Sequence[int]) -> list[float]:
    """Seconds that the planned steps of each stage would take; its first step as long as it took."""
    found, ended = [], 0.0
    for elapsed, steps in zip(times, planned, strict=True):
        pace = (elapsed[-1] - elapsed[0]) / max(1, len(elapsed) - 1)
        found.append(elapsed[0] - ended + pace * (steps - 1))
        ended = elapsed[-1]
    return found


def apart(what: str, case: Case, steps: int = 0) -> dict[str, Any]:
    """`estimate` or `take` in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps([what, dataclasses.asdict(case), steps])]
    threads = {"OMP_NUM_THREADS": str(case.threads)}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads}, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(case: Case, steps: int) -> dict[str, Any]:
    """The row of a case: estimated and taken seconds and bytes, and their ratios."""
    said, took = apart("estimate", case), apart("take", case, steps)
    row: dict[str, Any] = {**dataclasses.asdict(case), "estimated": said, "taken": took}
    for name in ("seconds", "memory"):
        if name in said and name in took:
            row[f"{name} ratio"] = said[name] / took[name]
    return row


def right(row: Mapping[str, Any]) -> bool:
    """Whether both estimates are there and within the factor."""
    return all(1 / FACTOR <= row.get(f"{name} ratio", 0.0) <= FACTOR for name in ("seconds", "memory"))


def line(row: Mapping[str, Any]) -> str:
    """The row as text."""
    said, took = row["estimated"], row["taken"]
    colour = " colour" if row["colour"] else ""
    head = f"{row['method']:16} {row['rows']}x{row['columns']}{colour}, kernel {row['kernel_size']}"
    for part in (said, took):
        if "error" in part:
            return f"{head}: {part['error']}"
    return (
        f"{head}: {said['seconds']:.1f} s said, {took['seconds']:.1f} s taken, {row['seconds ratio']:.2f}; "
        f"{said['memory'] / 1e6:.0f} MB said, {took['memory'] / 1e6:.0f} MB taken, {row['memory ratio']:.2f}"
        f"{'' if right(row) else '  <- wrong'}"
    )


def machine(threads: int) -> dict[str, Any]:
    """For the file of results."""
    from unblur.compute import Compute

    return environment(Compute.choose(threads=threads))


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """With a kernel of known size, then with half the image."""
    for names, kernel_size in ((options.methods, options.kernel_size), (options.unknown, options.size // 2)):
        for method in filter(None, names.split(",")):
            yield Case(method, options.size, options.size, False, kernel_size, options.preset, options.threads)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--unknown", default="practical-bid", help="methods that run with half the image as well")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--size", type=int, default=255)
    parser.add_argument("--kernel-size", type=int, default=19)
    parser.add_argument("--steps", type=int, default=60, help="of every stage of the run; 0 for all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true", help="fail where an estimate is wrong by more than the factor")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, values, steps = json.loads(options.child)
        print(json.dumps(estimate(Case(**values)) if what == "estimate" else take(Case(**values), steps)))
        return 0
    rows = []
    for case in cases(options):
        rows.append(compare(case, options.steps))
        print(line(rows[-1]), flush=True)
    if options.json:
        write_json(options.json, {"environment": machine(options.threads), "steps": options.steps, "rows": rows})
    return 1 if options.check and not all(map(right, rows)) else 0


if __name__ == "__main__":
    raise SystemExit(main())
