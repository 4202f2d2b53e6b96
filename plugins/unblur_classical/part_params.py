"""Parameters of forward model, terms, pixels, kernels and stopping rules; without torch, so that listing is cheap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from unblur.params import Schedule, Unit

MisfitWeight = Annotated[Schedule, Ge(0), Doc("Factor of this misfit in the sum; a schedule can switch it on or off.")]


@dataclass(frozen=True)
class ConvolutionParams:
    kernel_size: Annotated[
        tuple[int, ...] | None,
        Ge(1),
        Doc("Size of the kernel: one number, or one per axis. If not given, that of the PSF, or else half the image."),
        Unit("pixels"),
    ] = None
    most: Annotated[
        int | None,
        Ge(1),
        Doc(
            "At most so many pixels are allowed for along each axis where the size is unknown, besides half the image."
        ),
        Unit("pixels"),
    ] = None
    boundary: Annotated[
        Literal["valid", "periodic", "same"],
        Doc(
            "What lies beyond the borders: more of the latent image, which is larger by the kernel's size less one "
            "(valid); the opposite border (periodic); zero (same)."
        ),
    ] = "valid"
    placement: Annotated[
        Literal["centred", "located"],
        Doc(
            "Where the result lies in the larger latent image: at the kernel's origin, or where it resembles the input "
            "most as long as the kernel, which is shifted to match, stays in its support."
        ),
    ] = "centred"

    def __post_init__(self) -> None:
        if self.placement == "located" and self.boundary != "valid":
            raise ValueError(
                f"placement 'located' with boundary {self.boundary!r}, under which the latent image is not larger than "
                "the observed one; choose boundary 'valid' or placement 'centred'"
            )


@dataclass(frozen=True)
class SquaredParams:
    weight: MisfitWeight = 1.0


@dataclass(frozen=True)
class HuberParams:
    weight: MisfitWeight = 1.0
    delta: Annotated[
        float,
        Gt(0),
        Doc("Residual at which squares turn into absolute values."),
        Unit("part of the peak"),
    ] = 0.05


@dataclass(frozen=True)
class PoissonParams:
    weight: MisfitWeight = 1.0
    photons: Annotated[
        float | None,
        Gt(0),
        Doc("Photons at the peak intensity. If not given, intensities (after a camera's calibration) are photons."),
        Unit("photons"),
    ] = None
    read_noise: Annotated[float, Ge(0), Doc("Standard deviation of the noise of reading."), Unit("photons")] = 0.0


@dataclass(frozen=True)
class SsimParams:
    weight: MisfitWeight = 1.0
    robust: Annotated[
        bool, Doc("Leave impulses and hot pixels out, and correct for the noise that remains, as far as estimated.")
    ] = False


@dataclass(frozen=True)
class GammaParams:
    gamma: Annotated[
        float, Gt(0), Le(10), Doc("Exponent of the display: the camera applies z^(1/gamma) to the light z.")
    ] = 2.2


@dataclass(frozen=True)
class SaturationParams:
    level: Annotated[float, Gt(0), Doc("Intensity at which the sensor is full."), Unit("part of the peak")] = 1.0
    sharpness: Annotated[float, Gt(0), Doc("Steepness of the bend; 50 in the paper.")] = 50.0


@dataclass(frozen=True)
class CameraParams:
    gain: Annotated[
        float | None,
        Gt(0),
        Doc("Intensity per photo-electron. Estimated from the image if not given."),
        Unit("intensity of the input per photon"),
    ] = None
    offset: Annotated[
        float | None,
        Doc("Intensity without light. Estimated from the image if not given."),
        Unit("intensity of the input"),
    ] = None


@dataclass(frozen=True)
class TotalVariationParams:
    weight: Annotated[Schedule, Ge(0), Doc("Factor of the mean total variation beside the misfit.")] = 1e-3
    isotropic: Annotated[bool, Doc("The length of the gradient; otherwise the sum of its components' sizes.")] = True
    epsilon: Annotated[
        float,
        Gt(0),
        Doc("Difference between neighbours below which the penalty is quadratic."),
        Unit("part of the peak"),
    ] = 1e-3


@dataclass(frozen=True)
class L1OverL2Params:
    weight: Annotated[Schedule, Ge(0), Doc("Factor of the ratio beside the misfit.")] = 1e-5
    normalised: Annotated[
        bool,
        Doc(
            "Divide the ratio by the square root of the number of differences, so that the image's size does not count."
        ),
    ] = False


@dataclass(frozen=True)
class SquaredGradientParams:
    weight: Annotated[Schedule, Ge(0), Doc("Factor of the mean squared gradient beside the misfit.")] = 1e-2


@dataclass(frozen=True)
class KernelL2Params:
    weight: Annotated[Schedule, Ge(0), Doc("Factor of the squared norm beside the misfit.")] = 1e-4
    reduction: Annotated[
        Literal["sum", "mean"],
        Doc("Sum over the kernel's weights (the norm of the paper) or mean, which is smaller by the kernel's size."),
    ] = "sum"


@dataclass(frozen=True)
class KernelTotalVariationParams:
    weight: Annotated[Schedule, Ge(0), Doc("Factor of the kernel's total variation (a sum) beside the misfit.")] = 1e-4
    isotropic: Annotated[bool, Doc("The length of the gradient; otherwise the sum of its components' sizes.")] = True


@dataclass(frozen=True)
class PixelsParams:
    start: Annotated[
        Literal["observed", "flat"],
        Doc("The image to begin with: the observed one, its edge repeated outwards, or its mean everywhere."),
    ] = "observed"
    nonnegative: Annotated[bool, Doc("No pixel below zero; gradient steps are projected.")] = True


@dataclass(frozen=True)
class FreeKernelParams:
    start: Annotated[
        Literal["auto", "psf", "gaussian", "flat"],
        Doc("The kernel to begin with; auto is the PSF where one is given, else a Gaussian."),
    ] = "auto"
    width: Annotated[
        float, Gt(0), Le(1), Doc("Standard deviation of the Gaussian to begin with, as a part of the kernel's size.")
    ] = 0.17


@dataclass(frozen=True)
class CameraShakeParams:
    turn: Annotated[
        float | None,
        Gt(0),
        Doc("The farthest that turning the camera moves a corner of the image. Half the kernel if not given."),
        Unit("pixels"),
    ] = None
    spacing: Annotated[
        float,
        Gt(0),
        Doc("The farthest that one angle moves a kernel's place more than the next."),
        Unit("pixels at the resolution of the stage"),
    ] = 0.75
    width: Annotated[
        float, Gt(0), Le(1), Doc("Standard deviation of the shifts to begin with, as a part of the kernel's size.")
    ] = 0.17


@dataclass(frozen=True)
class GaussianKernelParams:
    sigma: Annotated[
        tuple[float, ...] | None,
        Gt(0),
        Doc(
            "Standard deviations to begin with: one number, or one per axis. If not given, those of the PSF, or else 2."
        ),
        Unit("pixels"),
    ] = None
    isotropic: Annotated[bool, Doc("One width for all axes.")] = False


@dataclass(frozen=True)
class DiscKernelParams:
    radius: Annotated[
        float | None,
        Gt(0),
        Doc("Radius to begin with. If not given, that of the PSF, or else 3."),
        Unit("pixels"),
    ] = None


@dataclass(frozen=True)
class MaxStepsParams:
    steps: Annotated[int, Ge(1), Doc("Steps after which the stage ends, if it has not been planned shorter.")] = 1000


@dataclass(frozen=True)
class MaxSecondsParams:
    seconds: Annotated[float, Gt(0), Doc("Time after which the run ends."), Unit("seconds")] = 60.0


@dataclass(frozen=True)
class NoProgressParams:
    window: Annotated[int, Ge(1), Doc("Steps over which the misfit is averaged."), Unit("steps")] = 50
    tolerance: Annotated[
        float, Ge(0), Doc("Least part by which the average must fall from one window to the next.")
    ] = 1e-3


@dataclass(frozen=True)
class NoiseLevelParams:
    noise: Annotated[
        float | None,
        Gt(0),
        Doc("Standard deviation of the noise. Estimated from the observed image if not given."),
        Unit("part of the peak"),
    ] = None
    factor: Annotated[float, Gt(0), Doc("The noise is multiplied by this.")] = 1.0
    margin: Annotated[float, Ge(0), Doc("This is added to it (5e-4 in the paper)."), Unit("part of the peak")] = 5e-4
    every: Annotated[int, Ge(1), Doc("The residual is looked at in every n-th step."), Unit("steps")] = 1


@dataclass(frozen=True)
class SmallestVarianceParams:
    window: Annotated[int, Ge(2), Doc("Steps whose images are compared."), Unit("steps")] = 100
    every: Annotated[int, Ge(1), Doc("Only every n-th of them counts."), Unit("steps")] = 1
    noise_free: Annotated[
        bool, Doc("Compare images drawn without randomness, for random networks; costs one forward pass each.")
    ] = False


@dataclass(frozen=True)
class MovingVarianceParams(SmallestVarianceParams):
    patience: Annotated[
        int,
        Ge(1),
        Doc("Steps without a new smallest variance after which the stage ends (200 with much noise, 500 with little)."),
        Unit("steps"),
    ] = 200
