"""Space-variant blur: seconds for a prediction and its gradients in the latent image and in all kernels.

A grid of 5 x 10 kernels of 31 x 31 pixels, all channels at once. Two ways to compute the same take turns, and the
fastest repeat of each counts, which other work on the machine disturbs least. Processor seconds are those of all
threads together; on an idle machine the seconds are these divided by the threads, or little more.

- the operator `unblur.operators.svola`, which transforms only the windows' supports;
- the definition: every window times the whole image, convolved with its kernel, one after the other (--definition).

Their largest relative difference is printed as well.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from unblur.operators.convolution import convolve
from unblur.operators.svola import svola, tiling, windows

GRID, KERNEL = (5, 10), (31, 31)
CASES = (("256x256 grey", (1, 256, 256)), ("384x512 RGB", (3, 384, 512)))
Predict = Callable[[Tensor, Tensor], Tensor]


def by_definition(latent: Tensor, kernels: Tensor) -> Tensor:
    """The sum of whole convolved images."""
    masks = windows(tiling(tuple(latent.shape[2:]), KERNEL, GRID))
    total = None
    for mask, kernel in zip(masks, kernels, strict=True):
        part = convolve(latent * mask, kernel[None])
        total = part if total is None else total + part
    assert total is not None
    return total


def timed(predict: Predict, latent: Tensor, kernels: Tensor) -> tuple[dict[str, float], list[Tensor]]:
    """Seconds, and prediction and gradients."""
    latent, kernels = latent.clone().requires_grad_(), kernels.clone().requires_grad_()
    worked, began = time.process_time(), time.perf_counter()
    predicted = predict(latent, kernels)
    between = time.perf_counter()
    gradients = torch.autograd.grad(predicted, (latent, kernels), predicted.detach())
    ended = time.perf_counter()
    seconds = {"forward": between - began, "backward": ended - between, "seconds": ended - began}
    return seconds | {"processor seconds": time.process_time() - worked}, [predicted.detach(), *gradients]


def compare(name: str, shape: tuple[int, int, int], repeats: int, definition: bool) -> dict[str, object]:
    """The fastest repeats on random images and kernels."""
    rng = torch.Generator().manual_seed(0)
    size = [n + k - 1 for n, k in zip(shape[1:], KERNEL, strict=True)]
    latent = torch.rand((1, shape[0], *size), generator=rng)
    kernels = torch.rand((GRID[0] * GRID[1], *KERNEL), generator=rng)
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    ways: dict[str, Predict] = {"svola": lambda x, k: svola(x, k, GRID)}
    if definition:
        ways["definition"] = by_definition
    rows: dict[str, object] = {"case": name, "kernels": KERNEL, "grid": GRID, "threads": torch.get_num_threads()}
    found: dict[str, list[Tensor]] = {}
    best: dict[str, float] = {}
    for repeat in range(repeats):
        for way, predict in ways.items():
            if way == "definition" and repeat >= 3:
                continue
            seconds, found[way] = timed(predict, latent, kernels)
            for what, value in seconds.items():
                best[f"{way} {what}"] = min(value, best.get(f"{way} {what}", value))
    rows |= best
    if definition:
        pairs = zip(found["svola"], found["definition"], strict=True)
        rows["largest relative difference"] = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--definition", action="store_true", help="time the definition, too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = [compare(*case, options.repeats, options.definition) for case in CASES]
    for result in results:
        words = (
            f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}" for key, value in result.items()
        )
        print("  ".join(words))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
