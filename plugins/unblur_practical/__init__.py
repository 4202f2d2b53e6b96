"""Blind image deblurring with unknown kernel size and substantial noise (Zhuang et al., IJCV 2023)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from unblur import Component, Method, hookimpl
from unblur.networks.params import InputParams
from unblur_practical.presets import PRESETS

SOURCE = "Zhuang, Li, Wang, Sun 2023, Blind Image Deblurring with Unknown Kernel Size and Substantial Noise"


@dataclass(frozen=True)
class DipUnetParams(InputParams):
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
class SirenParams:
    """The kernel network."""

    hidden: Annotated[int, Ge(1), Doc("Width of the hidden layers.")] = 64
    layers: Annotated[int, Ge(1), Doc("Hidden layers.")] = 2
    frequency: Annotated[float, Gt(0), Doc("Factor omega inside the sines: higher ones fit finer kernels.")] = 30.0


@hookimpl
def unblur_image_priors() -> Iterable[Component]:
    yield Component(
        name="dip-unet",
        target="unblur_practical.networks:DipUnetPrior",
        params=DipUnetParams,
        provides=frozenset({"learns", "random"}),
        summary="Untrained U-Net with skip blocks (deep image prior).",
        source=SOURCE + ", Fig. 17",
    )


@hookimpl
def unblur_kernel_priors() -> Iterable[Component]:
    yield Component(
        name="siren",
        target="unblur_practical.networks:SirenPrior",
        params=SirenParams,
        provides=frozenset({"learns", "single"}),
        summary="Continuous function of position: a perceptron with sines, sigmoid output, divided by its sum.",
        source=SOURCE + ", section 3.1.4, Fig. 18; Sitzmann et al. 2020",
    )


@hookimpl
def unblur_methods() -> Iterable[Method]:
    yield Method(
        name="practical-bid",
        summary="Blind, without knowing the kernel's size, and under strong noise of any kind.",
        good_for=(
            "Photographs with uniform blur when the kernel size is unknown, the noise is strong or has outliers, or "
            "there may be no blur at all. With little noise and a known kernel size, selfdeblur is as good."
        ),
        presets=PRESETS,
        reference=SOURCE,
        blind=True,
    )
