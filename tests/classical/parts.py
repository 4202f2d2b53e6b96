"""Problems to try single parts in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Context, Draw, Info
from unblur.composition import resolve
from unblur.compute import Compute
from unblur.params import validate
from unblur.pipeline import Pipeline, Stage
from unblur.problem import Observation, Problem, build
from unblur.records import Slot
from unblur.registry import default_registry

CPU = Compute(torch.device("cpu"), "float32", 1)


def context(**values: Any) -> Context:
    return Context(CPU, torch.Generator().manual_seed(0), **values)


def part(slot: Slot, name: str, **params: Any) -> Any:
    """A part by name, through its record and the checks of its parameters."""
    registered = default_registry().component(slot, name)
    return registered.load()(validate(registered.component.params, params))


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def number(scalar: Tensor) -> float:
    """The value of a scalar, whether or not gradients lead through it."""
    return scalar.detach().item()


def kernel(*shape: int, seed: int = 1) -> Tensor:
    """One kernel without any symmetry, and more weight in its middle."""
    values = rand(1, *shape, seed=seed)
    middle = tuple(n // 2 for n in shape)
    values[(0, *middle)] += 2
    return values / values.sum()


def problem(observed: Tensor, scale: float = 1.0, psf: Tensor | None = None, **slots: Any) -> Problem:
    """A problem with free pixels and, if no others are named, mean squares and the PSF or a free kernel."""
    defaults: dict[str, Any] = {
        "forward_model": [("convolution", {"kernel_size": [3]}), "squared"],
        "image_prior": "pixels",
        "kernel_prior": "free" if psf is None else "known",
        "estimator": "joint-adam",
    }
    stage = Stage(steps=100, scale=scale)
    resolved = resolve(Pipeline(**(defaults | slots), stages=[stage]), default_registry())
    return build(resolved, stage, Observation(observed, psf=psf), CPU, 0, [])


def batch(observed: Tensor, valid: Tensor | None = None) -> Batch:
    return Batch(observed, tuple(range(len(observed))), valid)


def info(misfit: float, latent: Tensor, weight: Tensor | None = None, kernel: Tensor | None = None) -> Info:
    return Info(torch.tensor(misfit), Draw(latent, weight), kernel)


def after(step: int, steps: int = 100, elapsed: float = 0.0) -> Clock:
    """The clock that rules see after a step."""
    return Clock(step, steps, elapsed=elapsed)


def fed(rule: Any, infos: Sequence[Info], steps: int = 100) -> list[Any]:
    """What a rule or selector says after each of some steps."""
    ask = rule.better if hasattr(rule, "better") else rule.update
    return [ask(item, after(number, steps)) for number, item in enumerate(infos, 1)]
