"""What quick blind presets of networks run first."""

from __future__ import annotations

from collections.abc import Iterable

from unblur.coarse_to_fine import edge_stages
from unblur.pipeline import Pipeline, Stage

HELD_AT_FIRST: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.3, 5e-4))
"""Rates of a kernel network after `kernel_by_edges`: an image network that has yet to begin would drive it away."""


def kernel_by_edges(stages: Iterable[Stage] | None = None) -> Pipeline:
    """A kernel from sharp edges, by default up to half the resolution, in seconds and without luck.

    Networks that begin from nothing there need longer, and some seeds end in a local optimum. Finer edges are left to
    the networks: fine texture and noise lead `l0-gradient` (Xu et al. 2013, Pan et al. 2014) astray.

    Args:
        stages: others than ten steps at each resolution up to the half.
    """
    return Pipeline(
        forward_model=("convolution", {"most": 51}),  # a support that is far too large fills with specks
        image_prior="pixels",
        kernel_prior="free",
        estimator="l0-gradient",
        stages=edge_stages(10, finest=0.5) if stages is None else stages,
    )
