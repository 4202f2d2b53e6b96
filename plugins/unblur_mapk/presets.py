"""MC-MAPk's pipelines: the paper's settings, and coarse-to-fine ones that need minutes.

What the coarse-to-fine ones do differently, and why:

- Sharp edges find the kernel up to half the resolution (`unblur.beginning`), in seconds; there networks begin with it,
  and carry on at the full one. Networks that begin from nothing, at a quarter, lose it with some seeds.
- After mean squares, which are the paper's Gaussian likelihood, the structural similarity sharpens the kernel in
  hundreds of steps instead of thousands.
- The image network is that of the deep image prior, with noise on its input. It takes less time than a U-Net, whose
  skips are as wide as its levels, and finds better images in as many steps.
- The image is the mean of the images drawn in the last tenth of the run instead of one pass at its end, and their
  standard deviation that of the weights' motion as well.
- Input noise alone makes the network random; it is large at the coarse resolution, where the kernel may still change,
  and small afterwards, when few steps are left for detail. `image_prior.dropout` adds the other source of chance.
- The two stages have a third between them: sharp edges correct the kernel (`unblur.finishing`).
- The direct image comes after these: the estimation goes on with their kernel, and with a narrow random network that is
  added to their image. A network alone needs thousands of steps; and with a kernel that is nearly right it fits the
  kernel's errors, from which noise and dropout that stay keep it.
"""

from __future__ import annotations

from unblur import Pipeline, Stage
from unblur.beginning import HELD_AT_FIRST, kernel_by_edges
from unblur.coarse_to_fine import CHANNELS, IMAGE_RATES, coarse_to_fine
from unblur.finishing import ADDED_NETWORK, ADDED_RATES, by_edges


def networks(steps: tuple[int, ...]) -> Pipeline:
    """The networks alone, from nothing: a quarter, a half and the full resolution, weights and kernel carried over."""
    return Pipeline(
        forward_model=["convolution", ("squared", {"weight": 0.0}), "ssim"],
        image_prior=(
            "encoder-decoder",
            {"channels": CHANNELS, "upsampling": "nearest", "noise": 0.0015},
        ),
        kernel_prior=["fully-connected", ("l2", {"weight": 1e-4})],
        estimator=(
            "mc-mapk",
            {"image_rate": IMAGE_RATES, "kernel_rate": ((0.0, 5e-4), (0.8, 1e-4)), "average_from": 0.9},
        ),
        stages=coarse_to_fine(steps),
    )


def quick(steps: tuple[int, int]) -> Pipeline:
    """A kernel from edges, then the networks at half and at full resolution."""
    stages = coarse_to_fine(steps, kernel_rate=HELD_AT_FIRST)
    return networks(steps).replace(stages=stages, first=kernel_by_edges())


def corrected(blind: Pipeline, steps: int = 60) -> Pipeline:
    """A blind pipeline, its kernel corrected by edges, and a random network that learns the errors of their image."""
    again = blind.replace(
        first=None,
        forward_model=["convolution", "ssim"],
        image_prior=ADDED_NETWORK,
        kernel_prior=["free", ("l2", {"weight": 1e-4})],
        estimator=(
            "mc-mapk",
            {
                "image_rate": ADDED_RATES,
                "kernel_rate": 3e-5,
                "average_from": 0.5,
            },
        ),
        stages=[Stage(steps=steps)],
    )
    return blind.replace(then=by_edges(then=again))


def two_stage(blind: Pipeline, steps: int = 20) -> Pipeline:
    """The kernel of a blind pipeline handed to hyper-Laplacian deconvolution (section 3.2)."""
    return blind.replace(
        then=Pipeline("convolution", "pixels", "known", "hyper-laplacian", stages=[Stage(steps=steps)])
    )


_FAST, _BALANCED = quick((150, 300)), quick((250, 700))

PRESETS = {
    "fast": corrected(_FAST),
    "balanced": corrected(_BALANCED),
    "paper": Pipeline(
        forward_model=["convolution", "squared"],
        image_prior="random-unet",
        kernel_prior=["kernel-unet", ("l2", {"weight": 1e-4})],
        estimator="mc-mapk",
        stages=[Stage(steps=5000)],
    ),
}

TWO_STAGE = {
    "fast": _FAST.replace(then=by_edges()),
    "balanced": _BALANCED.replace(then=by_edges()),
    "paper": two_stage(PRESETS["paper"]),
}

NETWORKS = {
    "fast": networks((200, 200, 450)),
    "balanced": networks((250, 250, 700)),
    "paper": PRESETS["paper"],
}
"""For the ablations, which are about networks that have to find the kernel themselves."""
