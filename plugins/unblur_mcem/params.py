"""Parameters of MCEM's parts; without torch, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from unblur.params import Schedule, Unit


@dataclass(frozen=True)
class SvolaParams:
    """The space-variant forward model."""

    kernel_size: Annotated[
        tuple[int, ...] | None,
        Ge(1),
        Doc("Size of every kernel: one number, or one per spatial axis. If not given, the PSF's, or a window's."),
        Unit("pixels"),
    ] = None
    most: Annotated[
        int | None,
        Ge(1),
        Doc("At most so many pixels are allowed for along each axis where the size is unknown, besides a window's."),
        Unit("pixels"),
    ] = None
    grid: Annotated[
        tuple[int, ...],
        Ge(1),
        Doc(
            "Kernels along Y and X, or along Z, Y and X; one number for every axis, 1 for a single kernel. "
            "Of two numbers for a volume, both are of its planes."
        ),
    ] = (5, 10)
    orientation: Annotated[
        Literal["turned", "fixed"],
        Doc("turned: the larger of the numbers for Y and X goes to the longer of these axes; fixed: as they stand."),
    ] = "turned"
    boundary: Annotated[
        Literal["valid", "same"],
        Doc("valid: the latent image is larger by the kernel's size; same: dark outside of the frame."),
    ] = "valid"


@dataclass(frozen=True)
class MultiHeadParams:
    """The kernel network; the defaults are those of section 5."""

    levels: Annotated[int, Ge(1), Doc("How often the resolution is halved.")] = 4
    channels: Annotated[
        tuple[int, ...],
        Ge(1),
        Doc("Width of the trunk's levels: one number, or one per level from the full resolution down."),
    ] = (32, 32, 64, 64)
    head_channels: Annotated[int, Ge(1), Doc("Features of each kernel's own layers.")] = 16
    input_channels: Annotated[int, Ge(1), Doc("Channels of the fixed random input.")] = 8
    input_scale: Annotated[float, Gt(0), Doc("Amplitude of the uniform random input.")] = 0.1
    slope: Annotated[float, Ge(0), Lt(1), Doc("Of the trunk's LeakyReLU below zero; 0 for ReLU.")] = 0.0


@dataclass(frozen=True)
class McemParams:
    """The estimator; the defaults are those of section 5 and Algorithm 1."""

    samples: Annotated[int, Ge(1), Doc("Langevin samples of the image in each E-step, n_s.")] = 1
    kernel_steps: Annotated[int, Ge(1), Doc("Adam updates of the kernels in each M-step, n_l.")] = 1
    image_rate: Annotated[Schedule, Gt(0), Doc("Step size of the Langevin dynamics on the image's parameters.")] = (
        (0.0, 1e-2),
        (0.4, 5e-3),
        (0.6, 2.5e-3),
    )
    kernel_rate: Annotated[
        Schedule, Ge(0), Doc("Learning rate of the kernels' parameters; 0 leaves them as they are.")
    ] = (
        (0.0, 1e-4),
        (0.4, 5e-5),
        (0.6, 2.5e-5),
    )
    dynamics: Annotated[
        Literal["preconditioned", "plain"],
        Doc(
            "preconditioned: steps and noise of each parameter are scaled by the root mean square of its gradients; "
            "plain: all alike, as eq. 9 has it, with step sizes that are larger by orders of magnitude."
        ),
    ] = "preconditioned"
    temperature: Annotated[
        Schedule,
        Ge(0),
        Doc("Factor of the variance that is sampled: 1 for the posterior, 0 for plain descent without noise."),
    ] = 1.0
    noise: Annotated[
        float | None,
        Gt(0),
        Doc("Standard deviation of the observation's noise, white at 1; estimated from the image if not given."),
        Unit("intensity"),
    ] = None
    memory: Annotated[
        float, Ge(0), Lt(1), Doc("Decay of the mean squared gradients that precondition, for each step.")
    ] = 0.999
    momentum: Annotated[
        float,
        Ge(0),
        Lt(1),
        Doc("Decay of the mean gradient that is followed; 0 for Langevin dynamics without inertia, as in eq. 9."),
    ] = 0.0
    redraw: Annotated[
        bool,
        Doc(
            "Draw the image of every sample anew for the M-step. Without, the M-step sees the images of the E-step's "
            "own passes, each one Langevin step older, which saves a third of the time."
        ),
    ] = True
    burn_in: Annotated[
        float,
        Ge(0),
        Le(1),
        Doc("Fraction of the planned steps from which on samples count for mean and standard deviation; 1 for none."),
    ] = 0.8
    output: Annotated[
        Literal["last", "mean"],
        Doc(
            "last: the image of the last sample, without dropout, as in Algorithm 1; mean: that of the samples counted."
        ),
    ] = "last"
