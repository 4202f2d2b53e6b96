"""The ablations of Li, Nan & Ji 2022 (section 3.5) as compositions.

Each is a pipeline of the method with a part, or the noise and dropout of one, changed. Schedules are fractions of 5000
steps, as in the paper, and hold in every stage. Figure 10 follows the runs of Figure 9 over their steps.
"""

from __future__ import annotations

import dataclasses

from unblur import Pipeline
from unblur.params import Schedule
from unblur_mapk.params import DROPOUT, NOISE

KERNEL_DROPOUT: Schedule = ((0.0, 0.1), (0.3, 0.001))
"""Of the random kernel networks in Figure 9."""


REN_INPUT_SCALE = 0.1
"""Of the fixed input of their kernel network, in the code that they released."""

_LEVELS = 5
"""Of the encoder-decoder, where a pipeline does not say."""


def ablations(base: Pipeline) -> dict[str, Pipeline]:
    """The compositions by name.

    Args:
        base: a pipeline of `unblur_mapk.presets.NETWORKS`. The faster ones get the paper's kind of network for the
            image; the kernel's network stays what it is there, fully connected, but in those of Figure 9.
    """
    base = _network_of_the_paper(base)
    ours = randomised(base, NOISE, DROPOUT)
    return {
        "table-5-neither": randomised(base, 0.0, 0.0),
        "table-5-dropout": randomised(base, 0.0, DROPOUT),
        "table-5-noise": randomised(base, NOISE, 0.0),
        "table-5-both": ours,
        "table-6-ren": _joint(_networks_of_ren(base, 0.001, 0.0)),
        "table-6-ren-mc": _networks_of_ren(base, NOISE, DROPOUT),
        "table-6-ours": ours,
        "figure-8-s1": randomised(base, 0.0, 0.5),
        "figure-8-s2": randomised(base, 0.0, 0.001),
        "figure-8-s3": randomised(base, 0.0, DROPOUT),
        "figure-8-s4": randomised(base, 0.05, 0.0),
        "figure-8-s5": randomised(base, 0.001, 0.0),
        "figure-8-s6": randomised(base, ((0.0, 0.01), (0.7, 0.0001)), 0.0),
        "figure-8-ours": ours,
        "figure-9-image": _kernel_unet(ours, 0.0, 0.0),
        "figure-9-both": _kernel_unet(ours, NOISE, KERNEL_DROPOUT),
        "figure-9-kernel": _kernel_unet(randomised(base, 0.0, 0.0), NOISE, KERNEL_DROPOUT),
    }


def randomised(base: Pipeline, noise: Schedule, dropout: Schedule) -> Pipeline:
    """A pipeline whose image network has this input noise and this dropout, in all of its stages."""
    return base.set_throughout({"image_prior.noise": noise, "image_prior.dropout": dropout})


def _network_of_the_paper(base: Pipeline) -> Pipeline:
    """The U-Net for the image, as deep and wide as the network of the base."""
    image, *penalties = base.slots["image_prior"]
    if image.name == "random-unet":
        return base
    levels = image.params.get("levels", _LEVELS)
    network = dataclasses.replace(image, name="random-unet", params={**image.params, "levels": levels})
    return base.replace(image_prior=[network, *penalties])


def _networks_of_ren(base: Pipeline, noise: Schedule, dropout: Schedule) -> Pipeline:
    """The encoder-decoder and the fully connected network of Ren et al. 2020, as wide as those of the base."""
    image, *penalties = base.slots["image_prior"]
    _, *kernel_penalties = base.slots["kernel_prior"]
    swapped = base.replace(
        image_prior=[dataclasses.replace(image, name="encoder-decoder"), *penalties],
        kernel_prior=[("fully-connected", {"input_scale": REN_INPUT_SCALE}), *kernel_penalties],
    )
    return randomised(swapped, noise, dropout)


def _joint(base: Pipeline) -> Pipeline:
    """The training of Ren et al. 2020: both networks at once, with total variation and no penalty on the kernel."""
    params = base.slots["estimator"][0].params
    rates = {name: params[name] for name in ("image_rate", "kernel_rate") if name in params}
    return base.replace(
        image_prior=[*base.slots["image_prior"], "tv"],
        kernel_prior=base.slots["kernel_prior"][:1],
        estimator=("joint-adam", rates),
    )


def _kernel_unet(base: Pipeline, noise: Schedule, dropout: Schedule) -> Pipeline:
    """The U-Net for the kernel, random where noise or dropout are not zero."""
    _, *penalties = base.slots["kernel_prior"]
    return base.replace(kernel_prior=[("kernel-unet", {"noise": noise, "dropout": dropout}), *penalties])
