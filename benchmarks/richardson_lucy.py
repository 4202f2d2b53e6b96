"""Richardson-Lucy: time per iteration and largest difference against scikit-image, 2-D and 3-D, float32.

Same conventions on both sides: boundary "same" (zero outside), no division by A^T 1, a flat start. The two take turns,
and the fastest single iteration of each counts, which other work on the machine disturbs least. scikit-image puts the
origin of even kernels elsewhere, and elsewhere again in the correlation, so that it gets them with a plane of zeros at
the end.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import richardson_lucy

from unblur import Pipeline, Stage
from unblur.components import Clock
from unblur.composition import resolve
from unblur.compute import Compute
from unblur.problem import Observation, build
from unblur.registry import default_registry

Array = NDArray[np.float32]
CASES = (((512, 512), (31, 31), 30), ((32, 256, 256), (16, 31, 31), 6))


def blurred(shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A positive image of smooth blobs, blurred, and an off-centre Gaussian kernel."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.arange(n) - n // 2 for n in kernel_shape), indexing="ij")
    kernel = np.exp(-sum(((a - 0.7) / (0.12 * n)) ** 2 for a, n in zip(axes, kernel_shape, strict=True)) / 2)
    kernel /= kernel.sum()
    sharp = 0.1 + 0.4 * (rng.random(shape) > 0.98)
    spectrum = np.fft.rfftn(sharp) * np.fft.rfftn(kernel, shape, axes=range(len(shape)))
    image = np.fft.irfftn(spectrum, shape, axes=range(len(shape)))
    return (image / image.max()).astype(np.float32), kernel.astype(np.float32)


def ours(image: Array, kernel: Array, steps: int) -> tuple[float, Array]:
    """Seconds per iteration and the result, through pipeline, problem and estimator."""
    pipeline = Pipeline(
        forward_model=("convolution", {"boundary": "same"}),
        image_prior=("pixels", {"start": "flat"}),
        kernel_prior="known",
        estimator=("richardson-lucy", {"edge_correction": False}),
        stages=[Stage(steps=steps)],
    )
    observation = Observation(torch.from_numpy(image)[None, None], psf=torch.from_numpy(kernel)[None])
    resolved = resolve(pipeline, default_registry())
    problem = build(resolved, pipeline.stages[0], observation, Compute.choose("cpu"), 0, [])
    state = problem.estimator.init(problem, None)
    seconds = []
    for step in range(steps):
        began = time.perf_counter()
        float(problem.estimator.step(problem, state, problem.batch, Clock(step, steps)).misfit)
        seconds.append(time.perf_counter() - began)
    found = problem.intensity.restore(problem.image.parameters()[0].detach())
    return min(seconds), found[0, 0].numpy()


def theirs(image: Array, kernel: Array, steps: int) -> tuple[float, Array]:
    """The same with scikit-image."""
    odd = np.pad(kernel, [(0, 1 - n % 2) for n in kernel.shape])
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        richardson_lucy(image, odd, num_iter=1, clip=False, filter_epsilon=1e-6)
        seconds.append(time.perf_counter() - began)
    return min(seconds), richardson_lucy(image, odd, num_iter=steps, clip=False, filter_epsilon=1e-6)


def compare(shape: tuple[int, ...], kernel_shape: tuple[int, ...], steps: int, repeats: int) -> dict[str, object]:
    """Both in turn, `repeats` times."""
    image, kernel = blurred(shape, kernel_shape)
    results: dict[str, Array] = {}
    times: dict[str, list[float]] = {"ours": [], "scikit-image": []}
    runs: dict[str, Callable[[Array, Array, int], tuple[float, Array]]] = {"ours": ours, "scikit-image": theirs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds, results[name] = run(image, kernel, steps)
            times[name].append(seconds)
    mine, other = min(times["ours"]), min(times["scikit-image"])
    difference = float(np.abs(results["ours"] / results["scikit-image"] - 1).max())
    return {
        "image": shape,
        "kernel": kernel_shape,
        "iterations": steps,
        "seconds per iteration": mine,
        "seconds per iteration of scikit-image": other,
        "ratio": other / mine,
        "largest relative difference": difference,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = [compare(*case, options.repeats) for case in CASES]
    for result in results:
        print(
            "  ".join(
                f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}"
                for key, value in result.items()
            )
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
