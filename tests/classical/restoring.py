"""Small blurred images with a known truth, and runs on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unblur import Pipeline, Stage
from unblur.components import Clock
from unblur.composition import resolve
from unblur.compute import Compute
from unblur.driver import Outcome, Run, finish
from unblur.operators.convolution import convolve
from unblur.problem import Observation, Problem, build
from unblur.registry import default_registry


def blocks(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """A piecewise constant image (1, 1, *shape) in [0.1, 0.9]: boxes that lie on one another, some at the borders."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.full(shape, 0.3)
    for _ in range(12):
        region = []
        for size in shape:
            start = int(torch.randint(-size // 6, size - size // 6, (), generator=rng))
            region.append(slice(max(0, start), start + int(torch.randint(size // 6, size // 2, (), generator=rng))))
        image[tuple(region)] = 0.1 + 0.8 * float(torch.rand((), generator=rng))
    return image[None, None]


def gaussian(shape: tuple[int, ...], sigma: float) -> Tensor:
    """A Gaussian kernel (1, *shape) about floor(n / 2)."""
    kernel = torch.ones(())
    for size in shape:
        kernel = kernel[..., None] * torch.exp(-0.5 * ((torch.arange(size) - size // 2) / sigma) ** 2)
    return (kernel / kernel.sum())[None]


def streak() -> Tensor:
    """An asymmetric kernel (1, 7, 9)."""
    kernel = torch.zeros(7, 9)
    for column, row, weight in (
        (1, 5, 1.0),
        (2, 4, 2.0),
        (3, 3, 3.0),
        (4, 3, 2.0),
        (5, 3, 1.0),
        (6, 2, 1.0),
        (7, 1, 1.0),
    ):
        kernel[row, column] = weight
    return (kernel / kernel.sum())[None]


def observe(sharp: Tensor, kernel: Tensor, noise: float = 0.0, seed: int = 1) -> tuple[Tensor, Tensor]:
    """(blurred and noisy, sharp), both cut to the window of the valid convolution."""
    blurred = convolve(sharp, kernel, "valid")
    grain = torch.randn(blurred.shape, generator=torch.Generator().manual_seed(seed))
    window = tuple(
        slice((k - 1) // 2, (k - 1) // 2 + n) for k, n in zip(kernel.shape[1:], blurred.shape[2:], strict=True)
    )
    return (blurred + noise * grain).clamp_min(0), sharp[(slice(None), slice(None), *window)]


def pipeline(estimator: str, steps: int, boundary: str = "valid", **params: Any) -> Pipeline:
    """A pipeline with a known kernel."""
    return Pipeline(
        forward_model=("convolution", {"boundary": boundary}),
        image_prior="pixels",
        kernel_prior="known",
        estimator=(estimator, params),
        stages=[Stage(steps=steps)],
    )


def problem_of(composed: Pipeline, observed: Tensor, psf: Tensor | None, valid: Tensor | None = None) -> Problem:
    """The problem of a pipeline's only stage."""
    composed.check()
    observation = Observation(observed, valid=valid, psf=psf)
    resolved = resolve(composed, default_registry())
    return build(resolved, composed.stages[0], observation, Compute.choose("cpu"), 0, [])


def misfits(problem: Problem, steps: int) -> list[float]:
    """The misfits of some steps."""
    state = problem.estimator.init(problem, None)
    return [
        float(problem.estimator.step(problem, state, problem.batch, Clock(step, steps)).misfit) for step in range(steps)
    ]


def restore(
    composed: Pipeline,
    observed: Tensor,
    psf: Tensor | None,
    valid: Tensor | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Outcome:
    """Run a pipeline to its end."""
    composed = composed.set(settings or {})
    composed.check()
    run = Run(
        composed, Observation(observed, valid=valid, psf=psf), default_registry(), Compute.choose("cpu"), seed=seed
    )
    return finish(run.events())


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak 1."""
    return -10 * math.log10(float((image - truth).square().mean()))
