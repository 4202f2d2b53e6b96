"""Seconds of image networks, forward and backward, by the library's convolutions and `networks/products.py`.

Both are made to be taken, whatever the processor, in turn and in one run; the first line says which of them is taken
here otherwise. Networks in their plain form take the library's either way: their ratio is what repeats differ by.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from floors import Work, median_seconds
from networks import image_networks

from unblur.compute import Compute

FORMS = {"library": "AVX512", "products": "AVX2"}
"""What the processor is made to say of itself for each."""


def measure(work: Work, repeats: int, compute: Compute) -> dict[str, Any]:
    """Both forms in turn, the median of each."""
    seconds: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(repeats):
        for form, capability in FORMS.items():
            with mock.patch("torch.backends.cpu.get_cpu_capability", return_value=capability):
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
    print(f"{capability}, chosen: {'products' if capability == FORMS['products'] else 'library'}")
    rows = []
    for work in image_networks(options.side, compute):
        rows.append(measure(work, options.repeats, compute))
        print(
            "{name:28} {library seconds:7.3f} s, {products seconds:7.3f} s, {ratio:.2f}".format(**rows[-1]), flush=True
        )
    if options.json:
        report = {"capability": capability, "precision": options.precision, "rows": rows}
        options.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
