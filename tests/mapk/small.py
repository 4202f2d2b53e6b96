"""Small compositions of MC-MAPk's parts."""

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
KERNEL = {"levels": 1, "channels": (8,), "input_channels": 4}


def composition(
    estimator: dict[str, Any] | None = None, image: dict[str, Any] | None = None, kernel: dict[str, Any] | None = None
) -> Pipeline:
    """The paper's composition with small networks; further parameters for its parts."""
    return Pipeline(
        forward_model=[("convolution", {"kernel_size": (5, 7)}), "squared"],
        image_prior=("random-unet", IMAGE | (image or {})),
        kernel_prior=[("kernel-unet", KERNEL | (kernel or {})), "l2"],
        estimator=("mc-mapk", estimator or {}),
        stages=[Stage(steps=STEPS)],
    )


def problem(pipeline: Pipeline, seed: int = 0, channels: int = 1, known: bool = False) -> Problem:
    """The problem of a pipeline's first stage on a small blurred photograph."""
    if known:
        pipeline = pipeline.replace(kernel_prior="known")
    pipeline.check()
    observation = photograph((30, 33), (5, 7), channels=channels)
    if not known:
        observation = dataclasses.replace(observation, psf=None)
    stage = pipeline.stages[0]
    return build(resolve(pipeline.in_stage(stage), default_registry()), stage, observation, CPU, seed, [])


def begun(pipeline: Pipeline, **wishes: Any) -> tuple[Problem, Any]:
    trial = problem(pipeline, **wishes)
    return trial, trial.estimator.init(trial, None)


def advance(trial: Problem, state: Any, start: int, stop: int) -> list[Info]:
    """The steps from `start` to `stop` of `STEPS`."""
    return [trial.estimator.step(trial, state, trial.batch, Clock(step, STEPS)) for step in range(start, stop)]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
