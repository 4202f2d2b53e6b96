"""Kernels that follow from a few numbers (Gaussian, disc, straight motion, microscope), and a PSF on another grid."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Generator, Tensor

from unblur.components import Clock, Context, KernelPrior, KernelSpec
from unblur.errors import ImageError, ParameterError
from unblur.operators.resample import resample_kernel
from unblur_classical.gibson_lanni import Objective, best_focus, microscope_psf
from unblur_classical.psf_params import (
    DiscPsfParams,
    GaussianPsfParams,
    MeasuredPsfParams,
    MicroscopePsfParams,
    MotionPsfParams,
)

Array = NDArray[np.float64]
P = TypeVar("P")

LOST = 0.005
"""Part of a PSF that may lie outside of the kernel without a word."""

OVERSAMPLING = 11
"""Points per pixel and axis where a pixel's share is counted; odd, so that the origin is one of them."""


class FixedPsf(KernelPrior[P]):
    """Base of the kernels without unknowns."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        weights = torch.from_numpy(np.ascontiguousarray(self.weights(spec, context))).clamp_min(0)
        total = float(weights.sum())
        if not (math.isfinite(total) and total > 0):
            raise ImageError(f"{type(self).__name__} has no weight within a kernel of {spec.shape} pixels")
        kernel = context.compute.tensor((weights / total).float())
        self._kernel = kernel.expand(spec.count, *spec.shape).contiguous()

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        return self._kernel

    def warn_lost(self, lost: float, spec: KernelSpec, context: Context) -> None:
        """Warn where a part of the weight lies outside of the kernel."""
        if lost > LOST:
            name = type(self).__name__
            context.warn(
                f"{name}: {lost:.1%} of it lies outside a kernel of {spec.shape} pixels; allow for a larger one"
            )

    @abstractmethod
    def weights(self, spec: KernelSpec, context: Context) -> Array:
        """The kernel (*spatial) up to a factor, with its origin at spec.origin."""


class GaussianPsf(FixedPsf[GaussianPsfParams]):
    """A Gaussian, integrated over each pixel."""

    def weights(self, spec: KernelSpec, context: Context) -> Array:
        dims = len(spec.shape)
        sigmas = per_axis(self.params.sigma, dims, "gaussian-psf.sigma")
        if self.params.unit == "µm":
            sizes = pixel_size_of(context, dims, "gaussian-psf with sigma in µm")
            sigmas = tuple(sigma / size for sigma, size in zip(sigmas, sizes, strict=True))
        result: Array = np.ones((1,) * dims)
        for axis, (size, sigma) in enumerate(zip(spec.shape, sigmas, strict=True)):
            edges = np.arange(size + 1) - size // 2 - 0.5
            shape = [1] * dims
            shape[axis] = size
            result = result * np.diff(ndtr(edges / (sigma * spec.scale))).reshape(shape)
        self.warn_lost(1 - float(result.sum()), spec, context)
        return result


class DiscPsf(FixedPsf[DiscPsfParams]):
    """A disc of even brightness: geometric defocus behind a round aperture. A pixel's weight is its part inside."""

    def weights(self, spec: KernelSpec, context: Context) -> Array:
        y, x = (_fine(size) for size in spec.shape)
        radius = self.params.radius * spec.scale
        inside = _binned((y[:, None] ** 2 + x[None, :] ** 2 <= radius**2).astype(np.float64))
        around = _fine(2 * math.ceil(radius) + 3)
        whole = _binned((around[:, None] ** 2 + around[None, :] ** 2 <= radius**2).astype(np.float64))
        self.warn_lost(1 - float(inside.sum()) / float(whole.sum()), spec, context)
        return inside


class MotionPsf(FixedPsf[MotionPsfParams]):
    """A straight path at constant speed, centred on the origin; each point is shared among the four nearest pixels."""

    def weights(self, spec: KernelSpec, context: Context) -> Array:
        length, angle = self.params.length * spec.scale, math.radians(self.params.angle)
        count = max(1, math.ceil(length * OVERSAMPLING)) | 1
        along = ((np.arange(count) + 0.5) / count - 0.5) * length
        y, x = spec.origin[0] - along * math.sin(angle), spec.origin[1] + along * math.cos(angle)
        result = np.zeros(spec.shape)
        lost = 0.0
        for down in (0, 1):
            for right in (0, 1):
                row, column = np.floor(y).astype(int) + down, np.floor(x).astype(int) + right
                share = (1 - np.abs(row - y)) * (1 - np.abs(column - x))
                fits = (row >= 0) & (row < spec.shape[0]) & (column >= 0) & (column < spec.shape[1])
                np.add.at(result, (row[fits], column[fits]), share[fits])
                lost += float(share[~fits].sum())
        self.warn_lost(lost / count, spec, context)
        return result


class MicroscopePsf(FixedPsf[MicroscopePsfParams]):
    """The image of a point in a widefield or confocal microscope (`unblur_classical.gibson_lanni`)."""

    def weights(self, spec: KernelSpec, context: Context) -> Array:
        dims = len(spec.shape)
        sizes = [size / spec.scale for size in pixel_size_of(context, dims, "microscope-psf")]
        params = self.params
        if params.na >= params.immersion_index:
            raise ParameterError(
                f"microscope-psf: na = {params.na:g} must lie below the immersion index {params.immersion_index:g}"
            )
        if sizes[-1] != sizes[-2]:
            context.note(f"microscope-psf: pixels of {sizes[-2]:g} x {sizes[-1]:g} µm are not square")
        planes = (np.arange(spec.shape[0], dtype=np.float64) - spec.origin[0]) * sizes[0]
        z = planes if dims == 3 else np.array([params.defocus], dtype=np.float64)
        detected = self._objective(params.wavelength)
        focus = best_focus(detected)  # the stage has one place for both wavelengths
        if focus != 0 and dims == 3:
            context.note(f"microscope-psf: from plane to plane the focus is taken to go {params.z_direction}")
        if params.z_direction == "into the specimen":
            z = -z
        result = microscope_psf(detected, z, spec.shape[-2:], sizes[-2:], focus)
        if params.excitation is not None:
            result *= microscope_psf(self._objective(params.excitation), z, spec.shape[-2:], sizes[-2:], focus)
        return result if dims == 3 else result[0]

    def _objective(self, wavelength: float) -> Objective:
        params = self.params
        return Objective(params.na, wavelength, params.immersion_index, params.sample_index, params.depth)


class MeasuredPsf(FixedPsf[MeasuredPsfParams]):
    """The PSF that was given, measured with another pixel size, on the image's pixels."""

    def weights(self, spec: KernelSpec, context: Context) -> Array:
        if context.psf is None:
            raise ParameterError("measured-psf: no PSF was given; give --psf FILE")
        dims = len(spec.shape)
        if context.psf.ndim != dims + 1 or context.psf.shape[0] != 1:
            raise ImageError(f"measured-psf: expected one {dims}-D PSF, got {tuple(context.psf.shape)}")
        if self.params.pixel_size is None:
            raise ParameterError(
                "measured-psf needs the PSF's own pixel size in µm: set kernel_prior.pixel_size; "
                "where the PSF has the image's pixels, kernel_prior=known"
            )
        sizes = pixel_size_of(context, dims, "measured-psf")
        own = per_axis(self.params.pixel_size, dims, "measured-psf.pixel_size")
        scale = [mine / size for mine, size in zip(own, sizes, strict=True)]
        psf = context.psf.double().cpu()
        resampled: Array = resample_kernel(psf, scale, spec.shape)[0].numpy()
        whole = tuple(math.ceil(size * factor) | 1 for size, factor in zip(psf.shape[1:], scale, strict=True))
        if any(size > mine for size, mine in zip(whole, spec.shape, strict=True)):
            inside = resample_kernel(psf, scale, whole)[0]
            for axis, (size, mine) in enumerate(zip(whole, spec.shape, strict=True)):
                kept = min(size, mine)
                inside = inside.narrow(axis, size // 2 - kept // 2, kept)
            self.warn_lost(1 - float(inside.sum()) / float(psf.sum()), spec, context)
        return resampled


def per_axis(values: tuple[float, ...], dims: int, what: str) -> tuple[float, ...]:
    """One number per spatial axis, or one for all of them.

    Raises:
        ParameterError: another number of values.
    """
    if len(values) not in (1, dims):
        raise ParameterError(
            f"{what} = {list(values)}: expected one number, or one for each of the {dims} spatial axes"
        )
    return values if len(values) == dims else values * dims


def pixel_size_of(context: Context, dims: int, who: str) -> tuple[float, ...]:
    """Pixel size of the image in micrometres.

    Raises:
        ParameterError: it is not known.
    """
    if context.pixel_size is None or len(context.pixel_size) != dims:
        example = ",".join(f"{axis}=0.1" for axis in "ZYX"[-dims:])
        raise ParameterError(f"{who} needs the image's pixel size in µm; give it, such as --pixel-size {example}")
    if min(context.pixel_size) <= 0:
        raise ParameterError(f"{who}: pixel size {context.pixel_size}; expected positive numbers of µm")
    return context.pixel_size


def _fine(size: int) -> Array:
    """Positions of the sampling points of an axis, in pixels from the origin."""
    points = (np.arange(size * OVERSAMPLING) - OVERSAMPLING // 2) / OVERSAMPLING
    return np.asarray(points - size // 2, dtype=np.float64)


def _binned(fine: Array) -> Array:
    rows, columns = (size // OVERSAMPLING for size in fine.shape)
    return np.asarray(fine.reshape(rows, OVERSAMPLING, columns, OVERSAMPLING).mean((1, 3)))
