"""Seconds of a step of `selfdeblur` with two threads, alone and beside busy processes, by how long threads spin.

Threads that wait for one another spin for a while and sleep then. The default of GNU's OpenMP, none at all, and what
`unblur` asks for where it is imported before torch. It is read when torch is loaded: each case is a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

SIDES, KERNEL = (64, 255), 19
SPINS = {"default": {"GOMP_SPINCOUNT": "300000"}, "none": {"GOMP_SPINCOUNT": "0"}, "ours": {}}


def step_seconds(side: int, threads: int, steps: int) -> float:
    """The mean step of a run on an image of some pixels, without the first ones."""
    from unblur.jobs import Job

    image = np.random.default_rng(0).random((side, side))
    wishes = {"method": "selfdeblur", "preset": "paper", "kernel_size": KERNEL, "white_level": 1.0}
    job = Job(image, **wishes, plan=[steps], settings={"image_prior.channels": (64,) * 5}, threads=threads)
    times = [event.event.elapsed for event in job.events()]
    return statistics.mean(later - earlier for earlier, later in itertools.pairwise(times[2:]))


def beside(others: int, side: int, spins: dict[str, str], options: argparse.Namespace) -> float:
    """The same in a process of its own, beside some that are busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    case = ["--side", str(side), "--threads", str(options.threads), "--steps", str(options.steps)]
    try:
        own = [sys.executable, __file__, *case]
        done = subprocess.run(own, env={**os.environ, **spins}, capture_output=True, text=True, check=True)
    finally:
        for process in busy:
            process.kill()
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", default="0,1,3", help="Numbers of busy processes.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--side", type=int, help="Print the figure of this process alone, for an image of this side.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.side:
        print(step_seconds(options.side, options.threads, options.steps))
        return
    rows = []
    for others, side in itertools.product(map(int, options.others.split(",")), SIDES):
        seconds = {name: beside(others, side, spins, options) for name, spins in SPINS.items()}
        rows.append(
            {"others": others, "side": side, **seconds, "default over ours": seconds["default"] / seconds["ours"]}
        )
        print(json.dumps(rows[-1]))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
