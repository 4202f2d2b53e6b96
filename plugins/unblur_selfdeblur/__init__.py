"""SelfDeblur: neural blind deconvolution using deep priors (Ren et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from unblur import GRADIENT_NEEDS, GRADIENT_TRAITS, Component, Method, hookimpl
from unblur.networks.params import InputParams
from unblur.rates import RateParams
from unblur_selfdeblur.presets import PRESETS

SOURCE = "Ren, Zhang, Wang, Hu, Zuo 2020, Neural Blind Deconvolution Using Deep Priors"


@dataclass(frozen=True)
class EncoderDecoderParams(InputParams):
    """The image network."""

    levels: Annotated[int, Ge(1), Doc("How often the resolution is halved.")] = 5
    channels: Annotated[
        tuple[int, ...],
        Ge(1),
        Doc(
            "Width of the levels: one number, or one per level from the full resolution down; multiples of 16 are fast."
        ),
    ] = (128,)
    skip_channels: Annotated[int, Ge(0), Doc("Width of the skip connections; 0 for none.")] = 16
    upsampling: Annotated[Literal["bilinear", "nearest"], Doc("How the decoder enlarges.")] = "bilinear"


@dataclass(frozen=True)
class FullyConnectedParams:
    """The kernel network."""

    inputs: Annotated[int, Ge(1), Doc("Length of the fixed random input.")] = 200
    input_scale: Annotated[float, Gt(0), Doc("Its amplitude: numbers are drawn from zero to this.")] = 1.0
    hidden: Annotated[int, Ge(1), Doc("Width of the hidden layer.")] = 1000


@hookimpl
def unblur_image_priors() -> Iterable[Component]:
    yield Component(
        name="encoder-decoder",
        target="unblur_selfdeblur.networks:EncoderDecoderPrior",
        params=EncoderDecoderParams,
        provides=frozenset({"learns", "random"}),
        summary="Untrained encoder-decoder with skips: its structure prefers natural images.",
        source=SOURCE + ", G_x",
    )


@hookimpl
def unblur_kernel_priors() -> Iterable[Component]:
    yield Component(
        name="fully-connected",
        target="unblur_selfdeblur.networks:FullyConnectedPrior",
        params=FullyConnectedParams,
        provides=frozenset({"learns", "begins-with-psf", "single"}),
        summary="Fully connected network with softmax output.",
        source=SOURCE + ", G_k",
    )


@hookimpl
def unblur_estimators() -> Iterable[Component]:
    yield Component(
        name="joint-adam",
        target="unblur_selfdeblur.estimator:JointAdam",
        params=RateParams,
        provides=GRADIENT_TRAITS,
        requires=GRADIENT_NEEDS,
        summary="Adam on image and kernel at once.",
        source=SOURCE + ", Algorithm 2",
    )


@hookimpl
def unblur_methods() -> Iterable[Method]:
    yield Method(
        name="selfdeblur",
        summary="Blind: two untrained networks, for image and kernel, fitted to the one blurred image.",
        good_for=(
            "Photographs with uniform motion blur, little noise, and a kernel size that is roughly known. With strong "
            "noise or an unknown kernel size, practical-bid is better."
        ),
        presets=PRESETS,
        reference=SOURCE,
        blind=True,
    )
