"""What quick blind presets of networks run first."""

from __future__ import annotations

from unblur.coarse_to_fine import edge_stages
from unblur.pipeline import Pipeline

HELD: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.3, 5e-4))
"""Rates after `by_coarse_edges`, whose kernel a fresh image network would drive away."""


def by_coarse_edges(steps: int = 10) -> Pipeline:
    """A kernel from sharp edges, up to half the resolution, in seconds and without luck.

    Networks that begin from nothing there need longer, and some seeds end in a local optimum. Finer edges are left to
    the networks: fine texture and noise lead `l0-gradient` astray.

    Args:
        steps: at each resolution.
    """
    return Pipeline(
        forward_model=("convolution", {"most": 51}),  # a support that is far too large fills with specks
        image_prior="pixels",
        kernel_prior="free",
        estimator="l0-gradient",
        stages=edge_stages(steps, finest=0.5),
    )
