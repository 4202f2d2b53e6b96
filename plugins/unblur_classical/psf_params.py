"""Parameters of the PSF models; without torch, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from unblur.params import Unit


@dataclass(frozen=True)
class GaussianPsfParams:
    sigma: Annotated[
        tuple[float, ...],
        Gt(0),
        Doc("Standard deviation along each spatial axis (z, y, x); one number serves all of them."),
        Unit("as `unit` says"),
    ] = (1.5,)
    unit: Annotated[Literal["px", "µm"], Doc("Unit of sigma: pixels, or micrometres (needs the pixel size).")] = "px"


@dataclass(frozen=True)
class DiscPsfParams:
    radius: Annotated[float, Gt(0), Doc("Radius of the disc of a lens out of focus."), Unit("px")] = 5.0


@dataclass(frozen=True)
class MotionPsfParams:
    length: Annotated[float, Ge(0), Doc("Length of the path during the exposure."), Unit("px")] = 15.0
    angle: Annotated[
        float,
        Ge(-360),
        Le(360),
        Doc("Direction: 0 is along x, 90 along y, counted counter-clockwise as the image is shown."),
        Unit("degrees"),
    ] = 0.0


@dataclass(frozen=True)
class MicroscopePsfParams:
    na: Annotated[float, Gt(0), Le(1.7), Doc("Numerical aperture of the objective.")] = 1.4
    wavelength: Annotated[float, Gt(0.1), Le(2), Doc("Wavelength of the light that is detected."), Unit("µm")] = 0.52
    immersion_index: Annotated[float, Ge(1), Le(2), Doc("Refractive index of the immersion medium.")] = 1.515
    sample_index: Annotated[float, Ge(1), Le(2), Doc("Refractive index of the specimen.")] = 1.515
    depth: Annotated[
        float,
        Ge(0),
        Le(1000),
        Doc("Depth of the object below the cover slip; matters where the indices differ."),
        Unit("µm"),
    ] = 0.0
    defocus: Annotated[
        float, Ge(-1000), Le(1000), Doc("Distance of a 2-D image's plane from focus, along `z_direction`."), Unit("µm")
    ] = 0.0
    z_direction: Annotated[
        Literal["to the cover slip", "into the specimen"],
        Doc("Where the focus goes from plane to plane of a stack; matters where depth and indices make it asymmetric."),
    ] = "to the cover slip"
    excitation: Annotated[
        float | None,
        Gt(0.1),
        Le(2),
        Doc("Wavelength of excitation in a confocal microscope with a closed pinhole; none for widefield."),
        Unit("µm"),
    ] = None


@dataclass(frozen=True)
class MeasuredPsfParams:
    pixel_size: Annotated[
        tuple[float, ...] | None,
        Gt(0),
        Doc("Pixel size of the PSF along each spatial axis (z, y, x); one number serves all of them. Must be given."),
        Unit("µm"),
    ] = None
