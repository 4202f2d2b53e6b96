"""The pipelines of practical BID: the paper's settings, and coarse-to-fine ones that need minutes.

What the coarse-to-fine ones do differently, and why:

- Huber's misfit leaves the kernel soft for thousands of steps, since few of its squares lie in the fine detail; the
  structural similarity finds the kernel in hundreds. In its robust form it leaves outliers out and allows for noise.
- L1/L2 is as large as Huber's misfit at the weight of the paper and, after some hundred steps at these rates, drives
  pixels to black and white. Total variation takes its place.
- The kernel is located at an eighth of the resolution, where half the image is a small support, and the support is then
  cut to what carries weight. At a quarter, faint copies far from the kernel keep the support open too often.
- The last steps (`unblur.finishing`) correct the kernel by sharp edges and fit the image to the data.

The image network of the paper (Fig. 17) is the encoder-decoder of the deep image prior, as in SelfDeblur.
"""

from __future__ import annotations

from unblur import Pipeline, Stage
from unblur.coarse_to_fine import IMAGE_RATES, coarse_to_fine
from unblur.finishing import by_edges

_KERNEL_RATES = ((0.0, 1e-3), (0.3, 3e-4), (0.8, 1e-5))


def quick(channels: tuple[int, ...], steps: tuple[int, ...]) -> Pipeline:
    """From an eighth of the resolution; the support of the kernel shrinks to what carries weight."""
    return Pipeline(
        forward_model=[
            ("convolution", {"placement": "located"}),
            ("ssim", {"robust": True}),
        ],
        image_prior=["encoder-decoder", ("tv", {"weight": 2e-4})],
        kernel_prior="siren",
        estimator=("joint-adam", {"image_rate": IMAGE_RATES, "kernel_rate": _KERNEL_RATES}),
        stopping=[("smallest-variance", {"window": 50})],
        stages=coarse_to_fine(steps, kernel_rate=1.5e-3, support="shrink", more={"image_prior.tv.weight": 0.0}),
        then=by_edges(noisy=True),
    ).set(
        {
            "image_prior.channels": channels,
            "image_prior.upsampling": "nearest",
            "image_prior.noise": 0.003,
        }
    )


PRESETS = {
    "fast": quick((16, 32, 64, 64, 64), (150, 200, 200, 400)),
    "balanced": quick((32, 64, 64, 64, 64), (200, 250, 250, 550)),
    "paper": Pipeline(
        forward_model=[("convolution", {"placement": "located"}), ("huber", {"delta": 0.05})],
        image_prior=["encoder-decoder", ("l1-l2", {"weight": 1e-5})],
        kernel_prior="siren",
        estimator=(
            "joint-adam",
            {
                "image_rate": ((0.0, 1e-2), (0.2, 5e-3), (0.3, 2.5e-3), (0.5, 1.25e-3), (0.8, 6.25e-4)),
                "kernel_rate": ((0.0, 1e-4), (0.2, 5e-5), (0.3, 2.5e-5), (0.5, 1.25e-5), (0.8, 6.25e-6)),
            },
        ),
        stopping=[("moving-variance", {"window": 100, "patience": 500}), ("smallest-variance", {"window": 100})],
        stages=[Stage(steps=10000)],
    ),
}
