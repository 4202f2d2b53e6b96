"""Parameters of MC-MAPk's parts; without torch, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from unblur.networks.params import InputParams
from unblur.params import Schedule, Unit

NOISE: Schedule = ((0.0, 0.01), (0.7, 0.001))
"""sigma_0: 0.001 after 3500 of 5000 steps. It begins with 0.01 for small kernels and 0.05 for larger ones."""

DROPOUT: Schedule = ((0.0, 0.3), (0.3, 0.001))
"""p_0: 0.001 after 1500 of 5000 steps."""

_WIDTHS = "Width of the levels: one number, or one per level from the full resolution down; multiples of 16 are fast."


@dataclass(frozen=True)
class RandomUNetParams(InputParams):
    """The image network; the defaults are those of section 3.1."""

    noise: Annotated[
        Schedule,
        Ge(0),
        Doc("Standard deviation of the noise on the input, anew in every step. For large kernels 0.05 at first."),
        Unit("input"),
    ] = NOISE
    dropout: Annotated[Schedule, Ge(0), Lt(1), Doc("Dropout rate before every rescaling in the decoder.")] = DROPOUT
    levels: Annotated[int, Ge(1), Doc("How often the resolution is halved.")] = 6
    channels: Annotated[tuple[int, ...], Ge(1), Doc(_WIDTHS)] = (128,)
    upsampling: Annotated[Literal["bilinear", "nearest"], Doc("How the decoder enlarges.")] = "bilinear"
    slope: Annotated[float, Ge(0), Lt(1), Doc("Of the LeakyReLU below zero; 0 for ReLU.")] = 0.1


@dataclass(frozen=True)
class KernelUNetParams:
    """The kernel network; the defaults are those of section 3.1, where it is not random."""

    levels: Annotated[int, Ge(1), Doc("How often the resolution is halved.")] = 4
    channels: Annotated[tuple[int, ...], Ge(1), Doc(_WIDTHS)] = (64,)
    input_channels: Annotated[int, Ge(1), Doc("Channels of the fixed random input.")] = 8
    input_scale: Annotated[float, Gt(0), Doc("Amplitude of the uniform random input.")] = 0.1
    noise: Annotated[
        Schedule,
        Ge(0),
        Doc("Standard deviation of noise on the input, drawn anew in every step: a random kernel network."),
        Unit("input"),
    ] = 0.0
    dropout: Annotated[
        Schedule, Ge(0), Lt(1), Doc("Dropout rate before every rescaling in the decoder: a random kernel network.")
    ] = 0.0


@dataclass(frozen=True)
class MonteCarloParams:
    """The estimator; the defaults are those of section 3.1 and Algorithm 1."""

    samples: Annotated[int, Ge(1), Doc("Images drawn in each step, N: memory and time grow with it.")] = 1
    kernel_steps: Annotated[int, Ge(1), Doc("Updates of the kernel in each step, for the same images.")] = 1
    image_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the image's parameters.")] = ((0.0, 1e-2), (0.6, 5e-3))
    kernel_rate: Annotated[Schedule, Ge(0), Doc("Learning rate of the kernel's parameters; 0 leaves it as it is.")] = (
        (0.0, 1e-4),
        (0.6, 5e-5),
    )
    average_from: Annotated[
        float,
        Gt(0),
        Le(1),
        Doc(
            "Fraction of the planned steps from which on the images that are drawn count: the estimate is their mean, "
            "the uncertainty their standard deviation. 1 for none: the estimate draws its own."
        ),
    ] = 1.0
    draws: Annotated[
        int,
        Ge(0),
        Doc(
            "Images that an estimate draws where not as many have been kept, for their mean and standard deviation. "
            "0 or 1 for one pass without randomness and no uncertainty, where `average_from` is 1 and so none are kept."
        ),
    ] = 10
    drawn_at: Annotated[
        float,
        Ge(0),
        Le(1),
        Doc(
            "Fraction of the planned steps whose noise and dropout these images have. At 1, where both have fallen, "
            "they hardly differ."
        ),
    ] = 1.0
