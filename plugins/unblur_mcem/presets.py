"""MCEM's pipelines: the paper's settings, and coarse-to-fine ones that need minutes.

A grid of kernels that has to be found in minutes comes from sharp edges, and from one motion of the camera for all of
them: networks for image and kernels have not left the blurred image and point kernels by then. With these kernels
hyper-Laplacian deconvolution makes the image, about which the Monte-Carlo EM then samples.

What the coarse-to-fine networks do differently from the paper, and why:

- A quarter and a half of the resolution cost little and find the kernels; the networks carry on at the next.
- After mean squares, which are the paper's Gaussian likelihood, the structural similarity sharpens the kernel in
  hundreds of steps instead of thousands.
- The first level of the image network is the narrowest, since that is where nearly all of the time goes.
- The M-step sees the images of the E-step's own passes, and the image is the mean of the last samples.
- One kernel comes from the network of SelfDeblur: heads on a shared trunk have nothing to share then. Sharp edges
  find it at low resolutions (`unblur.beginning`), and correct it at the end (`unblur.finishing`). Samples are drawn at
  the full resolution alone: the noise of the dynamics at lower ones led kernels to local optima.
"""

from __future__ import annotations

import dataclasses

from unblur import Pipeline, Stage
from unblur.beginning import HELD_AT_FIRST, kernel_by_edges
from unblur.coarse_to_fine import CHANNELS, IMAGE_RATES, SQUARES_THEN_SSIM, coarse_to_fine, edge_stages
from unblur.finishing import ADDED_NETWORK, ADDED_RATES, by_edges
from unblur.params import Schedule

GRID = (5, 10)
"""Section 5: the grid of kernels."""

MOST = 51
"""Pixels allowed for: the poses of a camera are a table that grows as the kernels' pixels and angles."""

DROPOUT: Schedule = 0.1
"""Reading: the paper trains the decoder with dropout and gives no rate."""

_RATES = ((0.0, 1e-2), (0.75, 5e-3))

_SEVERAL = 0.3
"""The resolution below which one kernel is enough."""


def networks(channels: tuple[int, ...], grid: tuple[int, ...], steps: tuple[int, ...]) -> Pipeline:
    """The networks alone: a quarter and a half of the resolution with one kernel, then the grid at full resolution."""
    return Pipeline(
        forward_model=[("svola", {"grid": grid}), ("squared", {"weight": 0.0}), "ssim"],
        image_prior=("encoder-decoder", {"channels": channels, "upsampling": "nearest", "noise": 0.0015}),
        kernel_prior=("multi-head-unet", {"slope": 0.1}),
        estimator=(
            "mcem",
            {
                "image_rate": _RATES,
                "kernel_rate": ((0.0, 5e-4), (0.8, 1e-4)),
                "momentum": 0.9,
                "redraw": False,
                "burn_in": 0.9,
                "output": "mean",
            },
        ),
        stages=coarse_to_fine(steps, more={"forward_model.grid": (1,), **SQUARES_THEN_SSIM}),
    )


def shaken(grid: tuple[int, ...], steps: int, last: int, samples: int) -> Pipeline:
    """Edges from coarse to fine, with one kernel at first; then the image; then samples about it, and of the kernels.

    Args:
        steps: at each resolution.
        last: with weaker edges, at the full one.
        samples: of the Monte-Carlo EM.
    """
    field = ("svola", {"grid": grid, "most": MOST})
    stages = [
        dataclasses.replace(stage, set={"forward_model.grid": (1,)}) if stage.scale < _SEVERAL else stage
        for stage in edge_stages(steps, weaker=last)
    ]
    sampled = Pipeline(
        forward_model=[field, ("ssim", {"robust": True})],
        image_prior=ADDED_NETWORK,
        kernel_prior="free",
        estimator=(
            "mcem",
            {
                "image_rate": ADDED_RATES,
                "kernel_rate": 3e-5,
                "momentum": 0.9,
                "redraw": False,
                "burn_in": 0.5,
                "output": "mean",
            },
        ),
        stages=[Stage(steps=samples)],
    )
    image = Pipeline(
        forward_model=field,
        image_prior="pixels",
        kernel_prior="known",
        estimator=("hyper-laplacian", {"model_error": 0.003}),
        stages=[Stage(steps=20)],
        then=sampled,
    )
    return Pipeline(
        forward_model=field,
        image_prior="pixels",
        kernel_prior="camera-shake",
        estimator=("l0-gradient", {"inertia": 0.03, "coupling": 0.0}),
        stages=stages,
        then=image,
    )


def paper(grid: tuple[int, ...] = GRID, warm_up: int = 500, steps: int = 5000) -> Pipeline:
    """Section 5: networks, rates and steps; the warm-up with one kernel has the first of them (Algorithm 1)."""
    rest = steps - warm_up
    later = [(2000 - warm_up) / rest, (3000 - warm_up) / rest]
    image = ((0.0, 1e-2), (later[0], 5e-3), (later[1], 2.5e-3))
    kernel = ((0.0, 1e-4), (later[0], 5e-5), (later[1], 2.5e-5))
    first = {"forward_model.grid": (1,), "estimator.image_rate": 1e-2, "estimator.kernel_rate": 1e-4}
    return Pipeline(
        forward_model=[("svola", {"grid": grid}), "squared"],
        image_prior=("random-unet", {"levels": 5, "channels": (64,), "noise": 0.001, "dropout": DROPOUT, "slope": 0.0}),
        kernel_prior="multi-head-unet",
        estimator=("mcem", {"image_rate": image, "kernel_rate": kernel}),
        stages=[Stage(steps=warm_up, set=first), Stage(steps=rest)],
    )


def without_warm_up(pipeline: Pipeline) -> Pipeline:
    """A pipeline whose stages have the forward model's grid of kernels from the first step on."""
    stages = [
        dataclasses.replace(stage, set={key: value for key, value in stage.set.items() if key != "forward_model.grid"})
        for stage in pipeline.stages
    ]
    return pipeline.replace(stages=stages)


def uniform(pipeline: Pipeline) -> Pipeline:
    """A pipeline with one kernel in all of its stages: P = 1."""
    return pipeline.set({"forward_model.grid": (1,)})


def quick_uniform(steps: tuple[int, int]) -> Pipeline:
    """Networks at half and at full resolution; edges find their one kernel and correct it, as they cannot a grid's."""
    one = without_warm_up(networks(CHANNELS, (1,), steps)).set({"estimator.image_rate": IMAGE_RATES})
    forward = ["convolution", *one.slots["forward_model"][1:]]
    half, last = one.stages
    still = {"estimator.temperature": 0.0, "estimator.kernel_rate": HELD_AT_FIRST}
    return one.replace(
        forward_model=forward,
        kernel_prior="fully-connected",
        stages=[dataclasses.replace(half, set={**half.set, **still}), last],
        first=kernel_by_edges(),
        then=by_edges(),
    )


def paper_uniform(steps: int = 5000) -> Pipeline:
    """Section 5.2: one kernel needs no warm-up, so that one stage has all steps, at the rates of section 5."""
    return uniform(paper()).replace(estimator="mcem", stages=[Stage(steps=steps)])


NETWORKS = {
    "fast": networks(CHANNELS, (3, 5), (200, 200, 450)),
    "balanced": networks((32, 64, 64, 64, 64), GRID, (250, 250, 700)),
    "paper": paper(),
}
"""For the ablations, which are about the networks."""

PRESETS = {
    "fast": shaken((3, 5), 3, 5, 30),
    "balanced": shaken(GRID, 8, 12, 60),
    "paper": NETWORKS["paper"],
}

UNIFORM = {
    "fast": quick_uniform((150, 300)),
    "balanced": quick_uniform((250, 700)),
    "paper": paper_uniform(),
}
