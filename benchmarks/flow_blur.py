"""Flow blur: seconds and memory, forward and backward, in image and flow, on 720 x 1280 RGB.

The flow is smooth, with lengths up to ±16 pixels in both components. The fastest of several repetitions counts, which
other work on the machine disturbs least. Seconds of the processor, those of all threads together, do not count the time
that others had it. Memory is the most that the process held, beyond what it held at the start.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import Tensor

from unblur.operators.flow_blur import flow_blur, flow_warp
from unblur.operators.flow_table import table_blur


def scene(shape: tuple[int, int], reach: float = 16.0) -> tuple[Tensor, Tensor]:
    """An RGB image and the ends of two paths per pixel, both smooth and random."""
    rng = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, *shape), generator=rng)
    coarse = torch.rand((2, 2, shape[0] // 90 + 2, shape[1] // 90 + 2), generator=rng) * 2 - 1
    ends = torch.nn.functional.interpolate(coarse, shape, mode="bicubic").clamp(-1, 1) * reach
    return image, ends[None]


class Peak:
    """The most memory that this process holds while the block runs, beyond what it held at the start, in GB."""

    before = psutil.Process().memory_info().rss

    def __enter__(self) -> Peak:
        self.process, self.gigabytes, self.running = psutil.Process(), 0.0, True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.running:
            self.gigabytes = max(self.gigabytes, (self.process.memory_info().rss - self.before) / 1e9)
            time.sleep(0.002)

    def __exit__(self, *reason: object) -> None:
        self.running = False
        self.thread.join()


def measure(
    name: str, blur: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, int], repeats: int
) -> dict[str, object]:
    """One operator, forward and backward."""
    image, ends = (tensor.requires_grad_() for tensor in scene(shape))
    best, spent = [float("inf")] * 2, float("inf")
    with Peak() as peak:
        for _ in range(repeats):
            began, before = time.perf_counter(), time.process_time()
            predicted = blur(image, ends)
            middle = time.perf_counter()
            torch.autograd.grad(predicted.square().sum(), (image, ends))
            best = [min(best[0], middle - began), min(best[1], time.perf_counter() - middle)]
            spent = min(spent, time.process_time() - before)
    return {
        "operator": name,
        "shape": [3, *shape],
        "threads": torch.get_num_threads(),
        "forward s": round(best[0], 3),
        "backward s": round(best[1], 3),
        "both s": round(sum(best), 3),
        "processor s": round(spent, 3),
        "memory GB": round(peak.gigabytes, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shape", type=int, nargs=2, default=(720, 1280))
    parser.add_argument("--table", action="store_true", help="measure the reference table too: a minute")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (options.shape[0], options.shape[1])
    cases: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "flow blur (lines)": flow_blur,
        "warp, 1 sample": flow_warp,
        "warp, 4 samples": partial(flow_warp, samples=4),
    }
    results = [measure(name, blur, shape, options.repeats) for name, blur in cases.items()]
    if options.table:
        results.append(measure("flow blur (table)", table_blur, shape, 1))
    for result in results:
        print("  ".join(f"{key}: {value}" for key, value in result.items()))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
