"""SelfDeblur's pipelines: the authors' released settings, and coarse-to-fine ones that come near them in minutes.

The released code takes squares for 1000 steps and then the structural similarity, and has no TV; it is better than the
figures of the paper, so the preset `paper` follows it. The loss of the paper is `squared` with the penalty `tv`::

    --set forward_model=convolution,squared --set image_prior=encoder-decoder,tv
"""

from __future__ import annotations

from unblur import Pipeline, Stage
from unblur.beginning import HELD_AT_FIRST, kernel_by_edges
from unblur.coarse_to_fine import CHANNELS, IMAGE_RATES, coarse_to_fine
from unblur.finishing import by_edges


def quick(steps: tuple[int, int]) -> Pipeline:
    """A kernel from edges, then networks at half and at full resolution."""
    return Pipeline(
        forward_model=["convolution", ("squared", {"weight": 0.0}), "ssim"],
        image_prior=("encoder-decoder", {"channels": CHANNELS, "upsampling": "nearest", "noise": 0.0015}),
        kernel_prior="fully-connected",
        estimator=("joint-adam", {"image_rate": IMAGE_RATES, "kernel_rate": ((0.0, 5e-4), (0.8, 1e-4))}),
        stages=coarse_to_fine(steps, kernel_rate=HELD_AT_FIRST),
        first=kernel_by_edges(),
        then=by_edges(),
    )


PRESETS = {
    "fast": quick((150, 300)),
    "balanced": quick((250, 800)),
    "paper": Pipeline(
        forward_model=[
            "convolution",
            ("squared", {"weight": ((0.0, 1.0), (0.2, 0.0))}),
            ("ssim", {"weight": ((0.0, 0.0), (0.2, 1.0))}),
        ],
        image_prior="encoder-decoder",
        kernel_prior=("fully-connected", {"input_scale": 0.1}),
        estimator="joint-adam",
        stages=[Stage(steps=5000)],
    ),
}
