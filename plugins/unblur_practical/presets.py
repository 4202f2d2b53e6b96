"""The pipelines of practical BID: the paper's settings, and coarse-to-fine ones that reach them in minutes."""

from __future__ import annotations

from unblur import Pipeline, Stage

PAPER = Pipeline(
    forward_model=[("convolution", {"placement": "located"}), ("huber", {"delta": 0.05})],
    image_prior=["dip-unet", ("l1-l2", {"weight": 1e-5})],
    kernel_prior="siren",
    estimator=(
        "joint-adam",
        {
            "image_rate": ((0.0, 1e-2), (0.2, 5e-3), (0.3, 2.5e-3), (0.5, 1.25e-3), (0.8, 6.25e-4)),
            "kernel_rate": ((0.0, 1e-4), (0.2, 5e-5), (0.3, 2.5e-5), (0.5, 1.25e-5), (0.8, 6.25e-6)),
        },
    ),
    stopping=[("moving-variance", {"window": 100, "patience": 500}), "smallest-variance"],
    stages=[Stage(steps=10000)],
)
PRESETS = {"balanced": PAPER, "paper": PAPER}
