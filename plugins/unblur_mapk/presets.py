"""MC-MAPk's pipelines: the paper's settings, and coarse-to-fine ones that need minutes.

What the coarse-to-fine ones do differently, and why:

- A quarter and a half of the resolution cost almost nothing and find the kernel; the networks carry on at the next.
- After mean squares, which are the paper's Gaussian likelihood, the structural similarity sharpens the kernel in
  hundreds of steps instead of thousands.
- The first level of the image network is the narrowest, since that is where nearly all of the time goes.
- The image is the mean of the images drawn in the last tenth of the run instead of one pass at its end, and their
  standard deviation that of the weights' motion as well.
- The learning rate of the image falls late, since these runs end before they have converged.
- The two stages have a third between them: sharp edges correct the kernel (`unblur.finishing`).
- Input noise alone makes the network random; it is largest at the coarse resolutions, where the kernel is found.
  `image_prior.dropout` adds the other source of chance.
"""

from __future__ import annotations

from unblur import Pipeline, Stage
from unblur.coarse_to_fine import coarse_to_fine
from unblur.finishing import by_edges

_RATES = ((0.0, 1e-2), (0.75, 5e-3))


def quick(channels: tuple[int, ...], steps: tuple[int, int, int]) -> Pipeline:
    """A quarter, a half and the full resolution, with the network's weights and the kernel carried over."""
    return Pipeline(
        forward_model=["convolution", ("squared", {"weight": 0.0}), "ssim"],
        image_prior=(
            "random-unet",
            {
                "levels": len(channels),
                "channels": channels,
                "upsampling": "nearest",
                "noise": ((0.0, 0.01), (0.3, 0.0015)),
                "dropout": 0.0,
            },
        ),
        kernel_prior=["fully-connected", ("l2", {"weight": 1e-4})],
        estimator=(
            "mc-mapk",
            {"image_rate": _RATES, "kernel_rate": ((0.0, 5e-4), (0.8, 1e-4)), "average_from": 0.9},
        ),
        stages=coarse_to_fine(steps),
    )


def two_stage(blind: Pipeline, steps: int = 20) -> Pipeline:
    """The kernel of a blind pipeline handed to hyper-Laplacian deconvolution (section 3.2)."""
    return blind.replace(
        then=Pipeline("convolution", "pixels", "known", "hyper-laplacian", stages=[Stage(steps=steps)])
    )


PRESETS = {
    "fast": quick((16, 32, 64, 64, 64), (200, 200, 450)),
    "balanced": quick((32, 64, 64, 64, 64), (250, 250, 700)),
    "paper": Pipeline(
        forward_model=["convolution", "squared"],
        image_prior="random-unet",
        kernel_prior=["kernel-unet", ("l2", {"weight": 1e-4})],
        estimator="mc-mapk",
        stages=[Stage(steps=5000)],
    ),
}

TWO_STAGE = {
    "fast": PRESETS["fast"].replace(then=by_edges()),
    "balanced": PRESETS["balanced"].replace(then=by_edges()),
    "paper": two_stage(PRESETS["paper"]),
}
