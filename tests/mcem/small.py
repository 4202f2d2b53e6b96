"""Small compositions of MCEM's parts."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from unblur import Pipeline, Stage
from unblur.components import Clock, Info
from unblur.composition import resolve
from unblur.compute import Compute
from unblur.problem import Problem, build
from unblur.registry import default_registry
from unblur.testing.worlds import photograph

CPU = Compute(torch.device("cpu"), "float32", 1)
STEPS = 20
IMAGE = {"levels": 2, "channels": (8,), "input_channels": 4}
KERNEL = {"levels": 1, "channels": (8,), "input_channels": 4, "head_channels": 4}


def composition(
    estimator: dict[str, Any] | None = None, forward: dict[str, Any] | None = None, **slots: Any
) -> Pipeline:
    """The paper's composition with small networks and a grid of 2 x 3; further parameters for its parts."""
    return Pipeline(
        forward_model=[("svola", {"kernel_size": (5, 7), "grid": (2, 3)} | (forward or {})), "squared"],
        image_prior=("random-unet", IMAGE | {"dropout": 0.1, "noise": 0.001}),
        kernel_prior=("multi-head-unet", KERNEL),
        estimator=("mcem", estimator or {}),
        stages=[Stage(steps=STEPS)],
    ).replace(**slots)


def problem(pipeline: Pipeline, seed: int = 0, channels: int = 1, stage: int = 0) -> Problem:
    """The problem of one of a pipeline's stages on a small blurred photograph."""
    pipeline.check()
    observation = photograph((30, 33), (5, 7), channels=channels)
    if pipeline.slots["kernel_prior"][0].name != "known":
        observation = dataclasses.replace(observation, psf=None)
    one = pipeline.stages[stage]
    return build(resolve(pipeline.in_stage(one), default_registry()), one, observation, CPU, seed, [])


def begun(pipeline: Pipeline, **wishes: Any) -> tuple[Problem, Any]:
    trial = problem(pipeline, **wishes)
    return trial, trial.estimator.init(trial, None)


def advance(trial: Problem, state: Any, start: int, stop: int) -> list[Info]:
    """The steps from `start` to `stop` of `STEPS`."""
    return [trial.estimator.step(trial, state, trial.batch, Clock(step, STEPS)) for step in range(start, stop)]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
