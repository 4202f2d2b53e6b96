"""Small clips and pipelines for the tests of Reblur2Deblur."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unblur import Pipeline, Stage
from unblur.compute import Compute
from unblur.driver import Outcome, Run, finish
from unblur.problem import Observation
from unblur.registry import default_registry
from unblur_reblur.clips import Clip, make_clip

SIZE = 32
CPU = Compute(torch.device("cpu"), "float32", threads=1)

DVD = ("dvd", {"width": 4, "norm": "none", "weights": "none"})
DEBLURGAN = ("deblurgan", {"width": 4, "blocks": 2, "weights": "none"})
FLOWNET = ("flownet", {"width": 2, "weights": "none"})
REBLUR: dict[str, Any] = {"batch": 4, "patch": 24, "generated": 4, "image_rate": 1e-3, "kernel_rate": 1e-3}


def clip(seed: int = 1, size: int = SIZE) -> Clip:
    return make_clip(seed, size)


def observation(seed: int = 1, size: int = SIZE) -> Observation:
    return Observation(clip(seed, size).blurred, white_level=1.0)


def pipeline(
    forward: Any = "flow-blur", image: Any = DVD, kernel: Any = FLOWNET, steps: int = 5, **params: Any
) -> Pipeline:
    """A pipeline of narrow networks."""
    return Pipeline([forward, "squared"], image, kernel, ("reblur", REBLUR | params), stages=[Stage(steps=steps)])


def run(pipe: Pipeline, seen: Observation, seed: int = 0) -> Run:
    return Run(pipe, seen, default_registry(), CPU, seed=seed)


def outcome(pipe: Pipeline, seen: Observation, seed: int = 0) -> Outcome:
    return finish(run(pipe, seen, seed).events())


def moving(shift: tuple[float, float] = (6.0, 2.0), size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Three frames of a smooth pattern that moves by `shift` from frame to frame, and its flow as a kernel."""
    axis = torch.arange(size, dtype=torch.float32)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    frames = [
        0.5 + 0.2 * torch.sin((x - t * shift[0]) / 3) + 0.2 * torch.cos((y - t * shift[1]) / 4) for t in (-1, 0, 1)
    ]
    u, v = shift
    flow = torch.tensor([u, v, -u, -v])[:, None, None].expand(4, size, size).clone()
    return torch.stack(frames)[:, None], flow
