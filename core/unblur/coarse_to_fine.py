"""The stages that quick blind presets share: from coarse to fine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from unblur.params import Schedule
from unblur.pipeline import Stage

SQUARES_THEN_SSIM: Mapping[str, Any] = {
    "forward_model.squared.weight": ((0.0, 1.0), (0.5, 0.0)),
    "forward_model.ssim.weight": ((0.0, 0.0), (0.5, 1.0)),
}
"""For a forward model with both misfits: mean squares make the image, structural similarity sharpens the kernel."""

_EDGE_SCALES = (0.0625, 0.09, 0.125, 0.18, 0.25, 0.35, 0.5, 0.71, 1.0)
"""Resolutions for an estimator that goes by edges; the coarsest is where a kernel of ninety pixels has six."""

_WEAKER_EDGES: Mapping[str, Any] = {
    "estimator.l0-gradient.weight_first": 0.03,
    "estimator.l0-gradient.weight_last": 7.5e-4,
}

CHANNELS = (16, 32, 64, 64, 64)
"""Of an image network, from the full resolution down. Nearly all of the time goes to the first level, and within
minutes more steps are worth more than a wider one."""

IMAGE_RATES: Schedule = ((0.0, 1e-2), (0.4, 5e-3), (0.6, 2.5e-3), (0.8, 1.25e-3))
"""Adam's, for an image network at the full resolution: halved as it converges."""


def edge_stages(steps: int, finest: float = 1.0, weaker: int = 0) -> list[Stage]:
    """Stages for `l0-gradient`, which goes by edges.

    Args:
        steps: at each resolution.
        finest: the resolution, relative to the image's, at which they end.
        weaker: steps of one more stage at the full resolution, with weaker edges as well.
    """
    stages = [Stage(steps=steps, scale=scale) for scale in _EDGE_SCALES if scale <= finest]
    return [*stages, Stage(steps=weaker, set=_WEAKER_EDGES)] if weaker else stages


def coarse_to_fine(
    steps: Sequence[int],
    kernel_rate: Schedule = 5e-4,
    support: Literal["keep", "shrink"] = "keep",
    more: Mapping[str, Any] = SQUARES_THEN_SSIM,
) -> list[Stage]:
    """Stages at halved resolutions up to the full one, for networks that learn image and kernel.

    The coarse ones cost little; networks and kernel are carried over. Their input noise keeps the kernel out of local
    optima, in which large kernels otherwise end with some seeds.

    Args:
        steps: of each stage, the last at full resolution: (250, 250, 800) begins at a quarter, (250, 800) at a half.
        kernel_rate: of the coarse stages.
        support: ``"shrink"`` cuts the kernel to what carries weight after each coarse stage.
        more: what else is set in the coarse stages, by address.
    """
    coarse = {"image_prior.noise": 0.03, "estimator.image_rate": 1e-2, "estimator.kernel_rate": kernel_rate, **more}
    last = len(steps) - 1
    return [
        Stage(
            steps=count,
            scale=0.5 ** (last - index),
            support=support if index else "keep",
            set=coarse if index < last else {},
        )
        for index, count in enumerate(steps)
    ]
