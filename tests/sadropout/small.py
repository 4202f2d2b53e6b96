"""Small problems and networks."""

from __future__ import annotations

from typing import Any

import torch

from unblur import Pipeline, Stage, default_registry
from unblur.composition import resolve
from unblur.compute import Compute
from unblur.problem import Observation, Problem, build
from unblur.testing.worlds import photograph

CPU = Compute(torch.device("cpu"), "float32", 1)
NETWORK: dict[str, Any] = {"levels": 2, "channels": (8,), "adapt_every": 0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pipeline(network: dict[str, Any] | None = None, estimator: Any = None, **slots: Any) -> Pipeline:
    """SA-dropout with a small network."""
    parts: dict[str, Any] = {
        "forward_model": ["convolution", "squared"],
        "image_prior": ("dropout-unet", NETWORK | (network or {})),
        "kernel_prior": "known",
        "estimator": ("dropout-ensemble", {"image_rate": 1e-3, "inferences": 4} | (estimator or {})),
        "stages": [Stage(steps=10)],
    }
    return Pipeline(**(parts | slots))


def made(pipe: Pipeline, observation: Observation | None = None, seed: int = 0) -> tuple[Problem, Any]:
    """The problem of the first stage and the estimator's state."""
    observation = observation or photograph((24, 21), (5, 3))
    pipe.check(default_registry())
    stage = pipe.stages[0]
    problem = build(resolve(pipe.in_stage(stage), default_registry()), stage, observation, CPU, seed, [])
    return problem, problem.begin()
