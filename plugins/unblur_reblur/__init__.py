"""Reblur2Deblur: deblurring videos via self-supervised learning (Chen et al., ICCP 2018)."""

from __future__ import annotations

from collections.abc import Iterable

from unblur import GRADIENT_NEEDS, GRADIENT_TRAITS, Component, Method, hookimpl
from unblur_reblur.params import (
    ClassicalFlowParams,
    DeblurGanParams,
    DvdParams,
    FlowBlurParams,
    FlowNetParams,
    FlowWarpParams,
    KnownFlowParams,
    ReblurParams,
)
from unblur_reblur.presets import PRESETS
from unblur_reblur.training_params import TrainingParams

SOURCE = "Chen et al. 2018, Reblur2Deblur: deblurring videos via self-supervised learning"
PLANE = frozenset({2})


@hookimpl
def unblur_forward_models() -> Iterable[Component]:
    yield Component(
        name="flow-blur",
        target="unblur_reblur.models:FlowBlur",
        params=FlowBlurParams,
        provides=frozenset({"video"}),
        requires=frozenset({"kernel_prior:flow", "image_prior:trained", "estimator:pairs"}),
        dims=PLANE,
        summary="Frames of a video blurred along the flow from their neighbours, by kernels of two straight lines.",
        source=SOURCE + ", eq. 8-9; Kim & Lee 2015",
    )
    yield Component(
        name="flow-warp",
        target="unblur_reblur.models:FlowWarp",
        params=FlowWarpParams,
        provides=frozenset({"video"}),
        requires=frozenset({"kernel_prior:flow", "image_prior:trained", "estimator:pairs"}),
        dims=PLANE,
        summary="Frames of a video as the mean of themselves warped along the flow from their neighbours; faster.",
        source=SOURCE + ", section 4.3, Table 3",
    )


@hookimpl
def unblur_image_priors() -> Iterable[Component]:
    yield Component(
        name="dvd",
        target="unblur_reblur.image_priors:DvdPrior",
        params=DvdParams,
        provides=frozenset({"learns", "fed", "trained"}),
        dims=PLANE,
        summary="A trained deblurring network fed with the observed frames: the encoder-decoder of DVD.",
        source=SOURCE + ", eq. 1; Su et al. 2017",
    )
    yield Component(
        name="deblurgan",
        target="unblur_reblur.image_priors:DeblurGanPrior",
        params=DeblurGanParams,
        provides=frozenset({"learns", "fed", "trained"}),
        dims=PLANE,
        summary="A trained deblurring network fed with the observed frames: the generator of DeblurGAN.",
        source=SOURCE + ", eq. 1; Kupyn et al. 2018",
    )


@hookimpl
def unblur_kernel_priors() -> Iterable[Component]:
    yield Component(
        name="flownet",
        target="unblur_reblur.flow_priors:FlowNetPrior",
        params=FlowNetParams,
        provides=frozenset({"learns", "flow"}),
        dims=PLANE,
        summary="Optical flow between the deblurred frames by a trained network, FlowNetS.",
        source=SOURCE + ", eq. 3-4; Dosovitskiy et al. 2015",
    )
    yield Component(
        name="classical-flow",
        target="unblur_reblur.flow_priors:ClassicalFlow",
        params=ClassicalFlowParams,
        provides=frozenset({"flow"}),
        dims=PLANE,
        summary="Optical flow between the deblurred frames by iterative Lucas-Kanade or TV-L1.",
        source="Le Besnerais & Champagnat 2005; Zach, Pock & Bischof 2007",
    )
    yield Component(
        name="known-flow",
        target="unblur_reblur.flow_priors:KnownFlow",
        params=KnownFlowParams,
        provides=frozenset({"fixed", "flow"}),
        dims=PLANE,
        summary="A flow from a file, or no motion.",
    )


@hookimpl
def unblur_estimators() -> Iterable[Component]:
    yield Component(
        name="reblur",
        target="unblur_reblur.estimator:HybridTuning",
        params=ReblurParams,
        provides=GRADIENT_TRAITS | {"pairs"},
        requires=GRADIENT_NEEDS | {"forward_model:video", "image_prior:trained"},
        dims=PLANE,
        summary="Fine-tunes both networks with pairs of known truth and frames that must blur back to themselves.",
        source=SOURCE + ", section 3.3, eq. 10",
    )


@hookimpl
def unblur_methods() -> Iterable[Method]:
    yield Method(
        name="reblur2deblur",
        summary="Video: a trained deblurring network, fine-tuned until its frames blur back to what was observed.",
        good_for=(
            "Time series and videos in which the camera or objects move by a few pixels during the exposure. It needs "
            "at least three consecutive frames, and the exposure time (forward_model.tau)."
        ),
        presets=PRESETS,
        reference=SOURCE,
        blind=True,
        trainer="unblur_reblur.training:ReblurTrainer",
        trainer_params=TrainingParams,
    )
