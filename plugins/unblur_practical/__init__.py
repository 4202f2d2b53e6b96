"""Blind image deblurring with unknown kernel size and substantial noise (Zhuang et al., IJCV 2023)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from typing_extensions import Doc

from unblur import Component, Method, hookimpl
from unblur_practical.presets import PRESETS

SOURCE = "Zhuang, Li, Wang, Sun 2023, Blind Image Deblurring with Unknown Kernel Size and Substantial Noise"


@dataclass(frozen=True)
class SirenParams:
    """The kernel network."""

    hidden: Annotated[int, Ge(1), Doc("Width of the hidden layers.")] = 64
    layers: Annotated[int, Ge(1), Doc("Hidden layers.")] = 2
    frequency: Annotated[float, Gt(0), Doc("Factor omega inside the sines: higher ones fit finer kernels.")] = 30.0


@hookimpl
def unblur_kernel_priors() -> Iterable[Component]:
    yield Component(
        name="siren",
        target="unblur_practical.networks:SirenPrior",
        params=SirenParams,
        provides=frozenset({"learns", "begins-with-psf", "single"}),
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
