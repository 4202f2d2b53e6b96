"""Parameters of the classical estimators; without torch, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from unblur.params import Unit

Robust = Annotated[
    bool,
    Doc("Leave out impulses, hot and dead pixels: those far from the median of their neighbours. Not for sharp stars."),
]


@dataclass(frozen=True)
class RichardsonLucyParams:
    acceleration: Annotated[bool, Doc("Extrapolate along the last two updates (Biggs & Andrews 1997).")] = False
    background: Annotated[
        float,
        Ge(0),
        Doc(
            "Constant light that the blur adds to, beside a camera's offset; it is explained and left out of the "
            "result."
        ),
        Unit("intensity of the input"),
    ] = 0.0
    edge_correction: Annotated[
        bool,
        Doc("Divide by how much each latent pixel is seen; without it, borders darken where light leaves the frame."),
    ] = True
    epsilon: Annotated[
        float, Gt(0), Lt(1), Doc("Predictions below this part of the peak count as this much, where they divide.")
    ] = 1e-6


@dataclass(frozen=True)
class BlindRichardsonLucyParams:
    image_steps: Annotated[int, Ge(1), Doc("Updates of the image in each step.")] = 10
    kernel_steps: Annotated[int, Ge(1), Doc("Updates of the kernel in each step.")] = 1
    epsilon: Annotated[
        float, Gt(0), Lt(1), Doc("Predictions below this part of the peak count as this much, where they divide.")
    ] = 1e-6


@dataclass(frozen=True)
class WienerParams:
    snr: Annotated[
        float | None,
        Ge(-20),
        Le(120),
        Doc("Signal-to-noise ratio of the observed image: variance over noise variance. Estimated if not given."),
        Unit("dB"),
    ] = None
    balance: Annotated[
        float | None,
        Gt(0),
        Doc("Weight of the squared gradients against the squared residual. By maximum likelihood if not given."),
    ] = None

    def __post_init__(self) -> None:
        if self.snr is not None and self.balance is not None:
            raise ValueError("snr and balance say the same; give one of the two")


@dataclass(frozen=True)
class UnsupervisedWienerParams:
    burn_in: Annotated[int, Ge(0), Doc("Samples left out of the mean while the chain finds its way.")] = 20


@dataclass(frozen=True)
class HyperLaplacianParams:
    alpha: Annotated[
        float, Gt(0), Le(1), Doc("Exponent of the gradients' prior: 2/3 or 1/2 for photographs, 1 for total variation.")
    ] = 2 / 3
    fidelity: Annotated[
        float | None,
        Gt(0),
        Doc(
            "Weight of the squared residual against the prior (lambda of the paper, for intensities up to 1). "
            "From the estimated noise if not given."
        ),
    ] = None
    beta_first: Annotated[float, Gt(0), Doc("Coupling of gradients and auxiliary gradients in the first step.")] = 1.0
    beta_last: Annotated[float, Gt(0), Doc("The same in the last step; it rises geometrically.")] = 256.0
    model_error: Annotated[
        float,
        Ge(0),
        Lt(1),
        Doc("Standard deviation of what an inaccurate kernel leaves unexplained; it counts like noise."),
        Unit("part of the peak"),
    ] = 0.0
    noise_model_error: Annotated[
        float,
        Ge(0),
        Doc("The same, further, for a kernel that was estimated in noise: so much for a noise as strong as the image."),
        Unit("part of the peak"),
    ] = 0.0
    image_error: Annotated[
        float | None,
        Gt(0),
        Lt(1),
        Doc(
            "Standard deviation of the error of the image that the stages before `then` hand over, to which the result "
            "is held accordingly. Their image is not used if not given."
        ),
        Unit("part of the peak"),
    ] = None
    noise_image_trust: Annotated[
        float,
        Ge(0),
        Doc(
            "Further trust in that image where there is noise, which its stages have smoothed already: so many times "
            "as much for a noise as strong as the image."
        ),
    ] = 0.0
    robust: Robust = False


@dataclass(frozen=True)
class L0GradientParams:
    weight_first: Annotated[
        float,
        Gt(0),
        Doc("What a gradient costs (lambda) in the first step."),
        Unit("variances of the observed image"),
    ] = 0.1
    weight_last: Annotated[
        float,
        Gt(0),
        Doc("The same in the last step; it falls geometrically."),
        Unit("variances of the observed image"),
    ] = 0.03
    smallest: Annotated[
        float,
        Gt(0),
        Lt(1),
        Doc("Smallest gradient that counts as an edge, or the noise, if that is more."),
        Unit("standard deviations of the observed image"),
    ] = 0.015
    splits: Annotated[int, Ge(2), Doc("Half-quadratic steps of the image in each step.")] = 16
    inertia: Annotated[
        float, Ge(0), Doc("Resistance of the kernel to change (gamma), as a part of what the image's gradients weigh.")
    ] = 0.1
    noise_inertia: Annotated[
        float, Ge(0), Doc("Further resistance where there is noise: so much for a noise as strong as the image.")
    ] = 0.0
    noise_inertia_each: Annotated[
        float, Ge(0), Doc("The same for each weight of the kernel: noise leads the more astray the more there are.")
    ] = 0.0
    coupling: Annotated[
        float,
        Ge(0),
        Doc("Resistance of neighbouring kernels of a grid to differ, as a part of the same."),
    ] = 0.1
    cutoff: Annotated[
        float, Ge(0), Lt(1), Doc("Weights below this part of the largest become zero after each step.")
    ] = 0.02
    island: Annotated[
        float, Ge(0), Lt(1), Doc("Connected weights that are less than this part of the kernel become zero as well.")
    ] = 0.1
    robust: Robust = False
