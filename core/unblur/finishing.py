"""The last steps that quick blind presets share."""

from __future__ import annotations

from typing import Any

from unblur.params import Schedule
from unblur.pipeline import Pipeline, Stage

ADDED_NETWORK: tuple[str, dict[str, Any]] = (
    "random-unet",
    {
        "levels": 5,
        "channels": (16, 64, 64, 64, 64),
        "upsampling": "nearest",
        "noise": 0.03,
        "dropout": 0.1,
        "start": "estimate",
    },
)
"""A narrow random network that is added to the image of the stages before, for which few steps are enough."""

ADDED_RATES: Schedule = ((0.0, 3e-3), (0.5, 1.5e-3), (0.75, 7.5e-4))
"""Its learning rates."""


def by_edges(noisy: bool = False, then: Pipeline | None = None) -> Pipeline:
    """What a preset of networks goes on with (`then`): sharp edges correct the kernel, then the image fits the data.

    Networks that have run for minutes leave the kernel too concentrated, and an image that misses the data, for which
    they need thousands of steps. Six steps of `l0-gradient` begin with their kernel and hardly let it go; then
    `hyper-laplacian` allows for what is still wrong with it, and is held to the networks' image where the blur has
    left nothing.

    Args:
        noisy: leave impulses and hot pixels out, and the stronger the noise is, change the kernel less,
            trust it less, and keep more of the networks' image.
        then: what goes on with the kernel and the image.
    """
    return Pipeline(
        forward_model="convolution",
        image_prior="pixels",
        kernel_prior="free",
        estimator=(
            "l0-gradient",
            {
                "weight_first": 7.5e-3,
                "weight_last": 7.5e-4,
                "inertia": 0.01,
                "cutoff": 0.01,
                "island": 0.05,
                "noise_inertia": 100.0 if noisy else 0.0,
                "robust": noisy,
            },
        ),
        stages=[Stage(steps=6)],
        then=Pipeline(
            forward_model="convolution",
            image_prior="pixels",
            kernel_prior="known",
            estimator=(
                "hyper-laplacian",
                {
                    "model_error": 0.003,
                    "noise_model_error": 2.5 if noisy else 0.0,
                    "image_error": 0.045,
                    "noise_image_trust": 250.0 if noisy else 0.0,
                    "robust": noisy,
                },
            ),
            stages=[Stage(steps=20)],
            then=then,
        ),
    )
