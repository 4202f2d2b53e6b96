"""Seconds of image networks, forward and backward, by the library's convolutions and `networks/products.py`.

Both are made to be taken, whatever the processor, in turn and in one run; the first line says which of them images take
here otherwise. Networks in their plain form take the library's either way: their ratio is what repeats differ by.
Volumes have SA-dropout's network as in its preset `fast`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from floors import Work, median_seconds
from networks import image_networks, with_dropout, work

from unblur.compute import Compute
from unblur_sadropout.network import DropoutUNet

FORMS = {
    "library": ("unblur.networks.products.pays", False),
    "products": ("torch.backends.cpu.get_cpu_capability", "AVX2"),
}
"""What is made to answer what, for each."""

VOLUMES = ((12, 64, 64), (24, 96, 96))


def volumes(compute: Compute) -> Iterator[Work]:
    """The narrow dropout network on volumes."""
    for shape in VOLUMES:
        rng = torch.Generator().manual_seed(0)
        network = DropoutUNet(1, 1, rng=rng, widths=(16, 32, 21, 10), early=True, dims=3)
        yield work("dropout U-Net, " + "x".join(map(str, shape)), network, with_dropout(network, shape, compute))


def measure(work: Work, repeats: int, compute: Compute) -> dict[str, Any]:
    """Both forms in turn, the median of each."""
    seconds: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(repeats):
        for form, (function, answer) in FORMS.items():
            with mock.patch(function, return_value=answer):
                seconds[form].append(median_seconds(work.run, 1, compute.device))
    row = {f"{form} seconds": statistics.median(times) for form, times in seconds.items()}
    return {"name": work.name, **row, "ratio": row["library seconds"] / row["products seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=273, help="of the latent image")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compute = Compute.choose("cpu", options.precision, options.threads)
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{capability}, chosen: {'products' if capability == 'AVX2' else 'library'}")
    rows = []
    for each in itertools.chain(image_networks(options.side, compute), volumes(compute)):
        rows.append(measure(each, options.repeats, compute))
        print(
            "{name:28} {library seconds:7.3f} s, {products seconds:7.3f} s, {ratio:.2f}".format(**rows[-1]), flush=True
        )
    if options.json:
        report = {"capability": capability, "precision": options.precision, "rows": rows}
        options.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
