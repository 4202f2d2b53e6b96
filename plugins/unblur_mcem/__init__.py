"""MCEM: self-supervised blind motion deblurring with deep expectation maximization (Li, Wang, Nan & Ji, CVPR 2023)."""

from __future__ import annotations

from collections.abc import Iterable

from unblur import GRADIENT_NEEDS, GRADIENT_TRAITS, Component, Method, hookimpl
from unblur_mcem.params import McemParams, MultiHeadParams, SvolaParams
from unblur_mcem.presets import PRESETS, UNIFORM

SOURCE = "Li, Wang, Nan, Ji 2023, Self-supervised Blind Motion Deblurring with Deep Expectation Maximization"


@hookimpl
def unblur_forward_models() -> Iterable[Component]:
    yield Component(
        name="svola",
        target="unblur_mcem.forward:SvolaModel",
        params=SvolaParams,
        provides=frozenset({"linear"}),
        requires=frozenset({"kernel_prior:grid"}),
        summary="A grid of kernels: the image under smooth windows, each part blurred with a kernel of its own.",
        source=SOURCE + ", eq. 1; Harmeling, Hirsch, Schölkopf 2010; Ha & Pearce 1989 (window)",
    )


@hookimpl
def unblur_kernel_priors() -> Iterable[Component]:
    yield Component(
        name="multi-head-unet",
        target="unblur_mcem.networks:MultiHeadPrior",
        params=MultiHeadParams,
        provides=frozenset({"learns", "begins-with-psf", "single", "grid"}),
        summary="Small U-Net that all kernels share, with a head and a softmax for each; one kernel's head starts all.",
        source=SOURCE + ", Fig. 2, section 4.2",
    )


@hookimpl
def unblur_estimators() -> Iterable[Component]:
    yield Component(
        name="mcem",
        target="unblur_mcem.estimator:Mcem",
        params=McemParams,
        provides=GRADIENT_TRAITS | {"standard-deviation"},
        requires=GRADIENT_NEEDS,
        summary="Langevin samples of the image, then Adam on the kernels for them; gives a standard deviation.",
        source=SOURCE + ", Algorithm 1; Welling & Teh 2011; Li, Chen, Carlson, Carin 2016 (preconditioning)",
    )


@hookimpl
def unblur_methods() -> Iterable[Method]:
    yield Method(
        name="mcem",
        summary="Blind, for blur that changes over the image: a grid of kernels, and samples of the image.",
        good_for=(
            "Photographs of static scenes that were blurred by a turning camera. Where one kernel serves the whole "
            "image, mcem-uniform and mc-mapk have fewer unknowns; objects that move make it fail."
        ),
        presets=PRESETS,
        reference=SOURCE,
        blind=True,
    )
    yield Method(
        name="mcem-uniform",
        summary="Blind, one kernel for the whole image: Monte-Carlo EM with one kernel, which edges then correct.",
        good_for="Photographs with uniform motion blur whose kernel size is roughly known; mc-mapk is for the same.",
        presets=UNIFORM,
        reference=SOURCE + ", section 5.2",
        blind=True,
    )
