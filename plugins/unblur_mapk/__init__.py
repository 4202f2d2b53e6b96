"""MC-MAPk: deep-network-based Monte-Carlo estimation of the blur kernel (Li, Nan & Ji, Inverse Problems 2022)."""

from __future__ import annotations

from collections.abc import Iterable

from unblur import GRADIENT_NEEDS, GRADIENT_TRAITS, Component, Method, hookimpl
from unblur_mapk.params import KernelUNetParams, MonteCarloParams, RandomUNetParams
from unblur_mapk.presets import PRESETS, TWO_STAGE

SOURCE = "Li, Nan, Ji 2022, Un-supervised learning for blind image deconvolution via Monte-Carlo sampling"


@hookimpl
def unblur_image_priors() -> Iterable[Component]:
    yield Component(
        name="random-unet",
        target="unblur_mapk.networks:RandomUNetPrior",
        params=RandomUNetParams,
        provides=frozenset({"learns", "random"}),
        summary="Untrained U-Net with input noise and dropout: a distribution of images, sampled in every step.",
        source=SOURCE + ", G_x, eq. 19, section 3.1",
    )


@hookimpl
def unblur_kernel_priors() -> Iterable[Component]:
    yield Component(
        name="kernel-unet",
        target="unblur_mapk.networks:KernelUNetPrior",
        params=KernelUNetParams,
        provides=frozenset({"learns", "begins-with-psf", "random", "single", "grid"}),
        summary="Small U-Net with softmax output; random where it has noise or dropout, which are zero by default.",
        source=SOURCE + ", G_k, section 3.1; Fig. 9 (random)",
    )


@hookimpl
def unblur_estimators() -> Iterable[Component]:
    yield Component(
        name="mc-mapk",
        target="unblur_mapk.estimator:MonteCarloMap",
        params=MonteCarloParams,
        provides=GRADIENT_TRAITS | {"standard-deviation"},
        requires=GRADIENT_NEEDS,
        summary="Adam on kernel and image in turn, for images drawn from the prior; gives mean and standard deviation.",
        source=SOURCE + ", Algorithm 1",
    )


@hookimpl
def unblur_methods() -> Iterable[Method]:
    yield Method(
        name="mc-mapk",
        summary="Blind: the kernel that fits many images drawn from a random network, with their standard deviation.",
        good_for=(
            "Photographs with uniform motion blur, when the kernel size is roughly known: randomness keeps the kernel "
            "from collapsing into a point. With strong noise or an unknown kernel size, practical-bid is better."
        ),
        presets=PRESETS,
        reference=SOURCE,
        blind=True,
    )
    yield Method(
        name="mc-mapk-two-stage",
        summary="The kernel of mc-mapk, then a non-blind method with it: hyper-laplacian, or another in its place.",
        good_for=(
            "When the image must follow from the kernel by a method that is understood, or the network's image is too "
            "smooth. mc-mapk's own image has the better figures in the paper."
        ),
        presets=TWO_STAGE,
        reference=SOURCE + ", section 3.2",
        blind=True,
    )
