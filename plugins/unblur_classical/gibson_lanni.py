"""The scalar model of a microscope's PSF of Gibson & Lanni, by quadrature of Kirchhoff's diffraction integral.

Gibson & Lanni, "Experimental test of an analytical model of aberration in an oil-immersion objective lens used in
three-dimensional light microscopy", JOSA A 8 (1991), 1601-1613; Li, Xue & Blu, "Fast and accurate three-dimensional
point spread function computation for fluorescence microscopy", JOSA A 34 (2017), 1029-1034.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import j0

Array = NDArray[np.float64]

_RADIAL_OVERSAMPLING = 8
"""Radial samples per quarter wavelength of the finest detail, lambda / (2 NA)."""

_PIXEL_SAMPLES = 5
"""Points per pixel and lateral axis over which the intensity is averaged."""


@dataclass(frozen=True)
class Objective:
    """An objective used at its design conditions but for the specimen. Lengths in micrometres.

    Args:
        na: numerical aperture.
        wavelength: in vacuum.
        immersion_index: refractive index of the immersion medium.
        sample_index: refractive index of the specimen.
        depth: of the point below the cover slip.
    """

    na: float
    wavelength: float
    immersion_index: float
    sample_index: float
    depth: float = 0.0

    def path(self, rho: Array, z: Array) -> NDArray[np.complex128]:
        """Optical path difference (z, rho), eq. 1 of Li et al. with cover slip and immersion index as designed.

        `z` is the distance of the stage from the plane in which the point is sharpest by paraxial rays. Beyond the
        critical angle the path is imaginary: the wave decays.
        """
        immersion = np.sqrt(self.immersion_index**2 - (self.na * rho) ** 2)
        sample = np.sqrt((self.sample_index**2 - (self.na * rho) ** 2).astype(np.complex128))
        nominal: Array = z - self.depth * self.immersion_index / self.sample_index
        return np.asarray(self.depth * sample[None, :] + nominal[:, None] * immersion[None, :], dtype=np.complex128)


def microscope_psf(
    objective: Objective, z: Array, shape: Sequence[int], pixel_size: Sequence[float], focus: float | None = None
) -> Array:
    """Intensity (z, y, x), averaged over the area of each pixel, with the brightest plane at z = 0.

    Args:
        z: distances of the stage from the plane of best focus in micrometres; larger ones bring the focus nearer to the
            cover slip.
        focus: where z is zero, if not in this objective's own `best_focus`.
        shape: (y, x); the axis lies at floor(n / 2).
        pixel_size: (y, x) in micrometres.
    """
    y, x = (_fine(size, step) for size, step in zip(shape, pixel_size, strict=True))
    radius = np.hypot(y[:, None], x[None, :])
    step = objective.wavelength / (8 * objective.na * _RADIAL_OVERSAMPLING)
    radii = np.arange(0, float(radius.max()) + 2 * step, step)
    focus = best_focus(objective) if focus is None else focus
    result = np.empty((len(z), *shape))
    for index, profile in enumerate(radial_intensity(objective, radii, z + focus)):
        fine = np.interp(radius, radii, profile)
        result[index] = fine.reshape(shape[0], _PIXEL_SAMPLES, shape[1], _PIXEL_SAMPLES).mean((1, 3))
    return result


def radial_intensity(objective: Objective, radii: Array, z: Array) -> Array:
    """Intensity (z, radii): the square of ∫₀¹ exp(i k OPD) J₀(k NA r rho) rho d rho, by Gauss-Legendre quadrature."""
    wavenumber = 2 * math.pi / objective.wavelength
    ends = objective.path(np.array([0.0, 0.5, 0.9, 1.0]), z).real
    turns = (
        float(np.ptp(ends, axis=1).max()) / objective.wavelength
        + float(radii.max()) * objective.na / objective.wavelength
    )
    nodes, weights = np.polynomial.legendre.leggauss(min(2000, 64 + 8 * math.ceil(turns)))
    rho, weights = (nodes + 1) / 2, weights / 2
    bessel = j0(wavenumber * objective.na * radii[None, :] * rho[:, None]) * (rho * weights)[:, None]
    pupil = np.exp(1j * wavenumber * objective.path(rho, z))
    intensity: Array = np.abs(pupil @ bessel) ** 2
    return intensity


def best_focus(objective: Objective) -> float:
    """Distance of the brightest plane from the paraxial focus, which spherical aberration moves."""
    if objective.depth == 0 or objective.sample_index == objective.immersion_index:
        return 0.0
    reach = objective.depth * abs(objective.immersion_index / objective.sample_index - 1) * 4 + objective.wavelength
    planes = np.linspace(-reach, reach, 801)
    axis = np.zeros(1)
    start = float(planes[np.argmax(radial_intensity(objective, axis, planes)[:, 0])])
    width = 2 * reach / 800
    found = minimize_scalar(
        lambda z: -float(radial_intensity(objective, axis, np.array([z]))[0, 0]),
        bounds=(start - width, start + width),
        method="bounded",
    )
    return float(found.x)


def _fine(size: int, step: float) -> Array:
    points = (np.arange(size * _PIXEL_SAMPLES) - _PIXEL_SAMPLES // 2) / _PIXEL_SAMPLES
    return np.asarray((points - size // 2) * step, dtype=np.float64)
