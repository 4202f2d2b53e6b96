"""Seconds of a whole step of `selfdeblur`, and how far they are from what the machine could do.

The network has as many channels at all five levels, the misfit is the structural similarity, both networks are updated.
The floor is that of the image network in its plain form (`networks.py`), forward and backward: operations as torch
counts them over the rate of one convolution in the same run (`floors.py`). That network is timed in both forms as well;
`operators.py` has what is not network.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from floors import WIDTHS, Machine, counted
from networks import LEVELS, on_noise, own, plain

from unblur.compute import Compute, saved_bytes
from unblur.jobs import Job

OBSERVED, KERNEL = 255, 19
LATENT = OBSERVED + KERNEL - 1


def step_seconds(width: int, compute: Compute, steps: int) -> float:
    """The median step of a real run: driver, misfit, both updates."""
    image = np.random.default_rng(0).random((OBSERVED, OBSERVED))
    job = Job(
        image,
        method="selfdeblur",
        preset="paper",
        kernel_size=KERNEL,
        white_level=1.0,
        plan=[steps],
        settings={
            "image_prior.channels": (width,) * LEVELS,
            "forward_model.squared.weight": 0.0,
            "forward_model.ssim.weight": 1.0,
        },
        precision=compute.precision,
        device=str(compute.device),
        threads=compute.threads,
    )
    times = [event.event.elapsed for event in job.events()]
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(times[2:]))


def width_row(width: int, machine: Machine) -> dict[str, Any]:
    """The figures of one width."""
    forms = {
        "plain": on_noise(plain(width), LATENT, machine.compute),
        "own": on_noise(own(width), LATENT, machine.compute),
    }
    row: dict[str, Any] = {"own saved bytes": saved_bytes(forms["own"])}
    for name, run in forms.items():
        row |= {f"{name} operations": counted(run), f"{name} seconds": machine.seconds(run)}
    row["step seconds"] = step_seconds(width, machine.compute, 2 * machine.repeats + 3)
    row["floor seconds"] = row["plain operations"] / machine.convolution
    row["step over floor"] = row["step seconds"] / row["floor seconds"]
    return row


def measure(precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures in one precision."""
    compute = Compute.choose(options.device, precision, options.threads)  # type: ignore[arg-type]
    machine = Machine(compute, options.repeats)
    rows = {f"{width} channels": width_row(width, machine) for width in WIDTHS}
    return {**compute.describe(), "rate": machine.convolution, **rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", default="bfloat16,float32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = [measure(precision, options) for precision in options.precisions.split(",")]
    for result in results:
        print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
