"""Convolution with one or many kernels by real FFT, its adjoints in the image and in the kernel, 2-D and 3-D.

``predicted[p] = sum_d kernel[d] latent[p + o - d]``. The offset ``o`` is ``k - 1`` under "valid" (output of size
n - k + 1) and the kernel's origin ``floor(k / 2)`` under "same" (zero outside the latent image) and "periodic". The
kernel is stored with index ``o`` rolled to the grid's corner, so that images lie at the corner in both directions and
the adjoint is a product with the conjugate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.fourier import as_float, fast_length, image_of, spectrum

Boundary = Literal["valid", "same", "periodic"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """Sizes of one convolution along the spatial axes: latent image, kernel, output, FFT grid and offset ``o``."""

    latent: Shape
    kernel: Shape
    output: Shape
    grid: Shape
    offset: Shape


@lru_cache(maxsize=256)
def geometry(latent: Shape, kernel: Shape, boundary: Boundary) -> Geometry:
    """Sizes of the convolution of an image of ``latent`` pixels with a kernel of ``kernel`` pixels.

    Raises:
        ImageError: dimensions differ, are not 2 or 3, or the kernel does not fit the image under this boundary.
    """
    if len(latent) != len(kernel) or len(latent) not in (2, 3) or min(latent + kernel) < 1:
        raise ImageError(f"image {latent} and kernel {kernel} to convolve: both must be 2-D or both 3-D, none empty")
    if boundary != "same" and any(k > n for k, n in zip(kernel, latent, strict=True)):
        raise ImageError(f'latent image {latent} is smaller than the kernel {kernel}: boundary "{boundary}" forbids it')
    pairs = list(zip(latent, kernel, strict=True))
    origin = tuple(k // 2 for k in kernel)
    if boundary == "valid":
        grid = tuple(fast_length(n) for n in latent)
        return Geometry(latent, kernel, tuple(n - k + 1 for n, k in pairs), grid, tuple(k - 1 for k in kernel))
    if boundary == "same":
        grid = tuple(fast_length(max(n + k // 2, k)) for n, k in pairs)
        return Geometry(latent, kernel, latent, grid, origin)
    if boundary == "periodic":
        return Geometry(latent, kernel, latent, latent, origin)
    raise ImageError(f'unknown boundary {boundary!r}; choose one of: "valid", "same", "periodic"')


def convolve(latent: Tensor, kernel: Tensor, boundary: Boundary = "valid") -> Tensor:
    """Blur ``latent`` (frames, channels, *spatial) with ``kernel``; differentiable once in both.

    Args:
        kernel: (count, *k), where count is 1, the number of frames or the number of channels; or, explicitly,
            (frames or 1, channels or 1, *k).
        boundary: "valid" (output n - k + 1), "same" (output n, zero outside) or "periodic" (output n).

    Returns:
        (frames, channels, *output) in float32, or in float64 if either input is float64, under autocast too.

    Raises:
        ImageError: shapes that do not fit.
    """
    latent, kernel = as_float(latent, kernel)
    _require_images(latent, "latent image")
    kernels = per_image(kernel, latent.shape[0], latent.shape[1], latent.ndim - 2)
    geo = geometry(tuple(latent.shape[2:]), tuple(kernels.shape[2:]), boundary)
    return _Convolve.apply(latent, kernels, geo)  # type: ignore[no-untyped-call,no-any-return]


def convolve_adjoint(
    residual: Tensor, kernel: Tensor, latent_shape: Sequence[int], boundary: Boundary = "valid"
) -> Tensor:
    """Adjoint of :func:`convolve` in the latent image: residual (frames, channels, *output) to (..., *latent_shape).

    Raises:
        ImageError: shapes that do not fit.
    """
    residual, kernel = as_float(residual, kernel)
    _require_images(residual, "residual")
    kernels = per_image(kernel, residual.shape[0], residual.shape[1], residual.ndim - 2)
    geo = geometry(spatial_of(latent_shape), tuple(kernels.shape[2:]), boundary)
    _require(residual, geo.output, "residual")
    return image_of(spectrum(residual, geo.grid) * transfer(kernels, geo).conj(), geo.grid, geo.latent)


def kernel_adjoint(
    residual: Tensor, latent: Tensor, kernel_shape: Sequence[int], boundary: Boundary = "valid"
) -> Tensor:
    """Adjoint of :func:`convolve` in the kernel: residual and latent image to (count, *k).

    Args:
        kernel_shape: (*k) for one kernel, or (count, *k) or (frames or 1, channels or 1, *k) as in :func:`convolve`.

    Raises:
        ImageError: shapes that do not fit.
    """
    residual, latent = as_float(residual, latent)
    _require_images(latent, "latent image")
    dims = latent.ndim - 2
    shape = tuple(kernel_shape) if len(kernel_shape) > dims else (1, *kernel_shape)
    full = full_kernel_shape(shape, latent.shape[0], latent.shape[1], dims)
    geo = geometry(tuple(latent.shape[2:]), full[2:], boundary)
    _require(residual, geo.output, "residual")
    product = spectrum(residual, geo.grid) * spectrum(latent, geo.grid).conj()
    return _kernel_of(_sum_to(product, full[:2]), geo).reshape(shape)


class Convolution:
    """Convolution of images of one size with fixed kernels, transformed once: the inner loop of classical iterations.

    Args:
        kernel: as in :func:`convolve`; several need the full latent shape or the form (frames or 1, channels or 1, *k).
        latent_shape: (*spatial) or (frames, channels, *spatial) of the latent image.
        boundary: as in :func:`convolve`.

    Attributes:
        otf: half spectrum (frames or 1, channels or 1, *grid) that multiplies spectra; its conjugate is the adjoint.
            Under "periodic" it is the transfer function about the kernel's origin, on the image's own grid.
        geometry: the spatial sizes: ``output`` is that of :meth:`forward`, ``grid`` that of the FFT.
        kernel: (frames or 1, channels or 1, *k).

    Raises:
        ImageError: shapes that do not fit.
    """

    def __init__(self, kernel: Tensor, latent_shape: Sequence[int], boundary: Boundary = "valid") -> None:
        (kernel,) = as_float(kernel)
        self.kernel = _explicit(kernel, tuple(latent_shape))
        self.geometry = geometry(spatial_of(latent_shape), tuple(self.kernel.shape[2:]), boundary)
        self.boundary = boundary
        self.otf = transfer(self.kernel, self.geometry)
        self._adjoint = self.otf.conj().resolve_conj()

    def forward(self, latent: Tensor) -> Tensor:
        """Blur (frames, channels, *latent) to (frames, channels, *output); differentiable in the image."""
        _require(latent, self.geometry.latent, "latent image")
        return _Filter.apply(latent, self.otf, self._adjoint, self.geometry, False)  # type: ignore[no-untyped-call,no-any-return]

    def adjoint(self, residual: Tensor) -> Tensor:
        """Adjoint of :meth:`forward`: (frames, channels, *output) to (frames, channels, *latent); differentiable."""
        _require(residual, self.geometry.output, "residual")
        return _Filter.apply(residual, self._adjoint, self.otf, self.geometry, True)  # type: ignore[no-untyped-call,no-any-return]


def transfer(kernels: Tensor, geo: Geometry) -> Tensor:
    """Half spectrum of kernels (frames or 1, channels or 1, *k) on the grid, index ``offset`` rolled to its corner."""
    padding = [pad for n, k in zip(reversed(geo.grid), reversed(geo.kernel), strict=True) for pad in (0, n - k)]
    rolled = torch.roll(F.pad(kernels, padding), [-o for o in geo.offset], _axes(geo))
    return spectrum(rolled, geo.grid)


def per_image(kernel: Tensor, frames: int, channels: int, dims: int) -> Tensor:
    """Kernels as (frames or 1, channels or 1, *k), from (count, *k) or from that very form.

    Raises:
        ImageError: the count is neither 1 nor the number of frames nor that of channels, or could be both.
    """
    return kernel.reshape(full_kernel_shape(tuple(kernel.shape), frames, channels, dims))


def full_kernel_shape(shape: Shape, frames: int, channels: int, dims: int) -> Shape:
    """Shape (frames or 1, channels or 1, *k) of kernels given as (count, *k) or in that very form; see per_image."""
    if len(shape) == dims + 2:
        if shape[0] in (1, frames) and shape[1] in (1, channels):
            return shape
    elif len(shape) == dims + 1:
        count = shape[0]
        if count == 1:
            return (1, *shape)
        if count == frames == channels:
            raise ImageError(
                f"{count} kernels for {frames} frames of {channels} channels: "
                "give the kernels as (frames, 1, *k) or as (1, channels, *k)"
            )
        if count == channels:
            return (1, *shape)
        if count == frames:
            return (count, 1, *shape[1:])
    raise ImageError(
        f"kernels of shape {shape} do not fit {frames} frames of {channels} channels in {dims}-D: "
        "expected (count, *k) with one kernel, one per frame or one per channel"
    )


def spatial_of(shape: Sequence[int]) -> Shape:
    """The spatial part of (*spatial) or (frames, channels, *spatial)."""
    return tuple(shape)[2:] if len(shape) > 3 else tuple(shape)


class _Convolve(torch.autograd.Function):
    """Keeps both spectra of the forward pass, so that each gradient costs one product and one inverse transform."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, kernels: Tensor, geo: Geometry) -> Tensor:
        otf = transfer(kernels, geo)
        image = spectrum(latent, geo.grid)
        wants_latent, wants_kernel = ctx.needs_input_grad[:2]
        ctx.save_for_backward(otf if wants_latent else None, image if wants_kernel else None)
        ctx.geo, ctx.latent_lead, ctx.kernel_lead = geo, latent.shape[:2], kernels.shape[:2]
        return image_of(otf * image, geo.grid, geo.output)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        otf, image = ctx.saved_tensors
        geo: Geometry = ctx.geo
        residual = spectrum(gradient, geo.grid)
        to_latent = to_kernel = None
        if otf is not None:
            product = _sum_to(residual * otf.conj(), ctx.latent_lead)
            to_latent = image_of(product, geo.grid, geo.latent)
        if image is not None:
            to_kernel = _kernel_of(_sum_to(residual * image.conj(), ctx.kernel_lead), geo)
        return to_latent, to_kernel, None


class _Filter(torch.autograd.Function):
    """Product with a fixed spectrum; the one with its conjugate is the backward pass, and the other way round."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, factor: Tensor, conjugate: Tensor, geo: Geometry, adjoint: bool) -> Tensor:
        ctx.save_for_backward(factor, conjugate)
        ctx.geo, ctx.adjoint, ctx.dtype, ctx.lead = geo, adjoint, image.dtype, image.shape[:2]
        product = spectrum(image.to(factor.real.dtype), geo.grid)
        fits = all(f in (1, p) for f, p in zip(factor.shape[:2], product.shape[:2], strict=True))
        product = product.mul_(factor) if fits else product * factor
        return image_of(product, geo.grid, geo.latent if adjoint else geo.output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        factor, conjugate = ctx.saved_tensors
        result: Tensor = _Filter.apply(gradient, conjugate, factor, ctx.geo, not ctx.adjoint)  # type: ignore[no-untyped-call]
        return result.sum_to_size(*ctx.lead, *result.shape[2:]).to(ctx.dtype), None, None, None, None


def _kernel_of(product: Tensor, geo: Geometry) -> Tensor:
    full = image_of(product, geo.grid, geo.grid)
    rolled = torch.roll(full, geo.offset, _axes(geo))
    for axis, k in zip(_axes(geo), geo.kernel, strict=True):
        rolled = rolled.narrow(axis, 0, k)
    return rolled.contiguous()


def _sum_to(product: Tensor, lead: Sequence[int]) -> Tensor:
    return product.sum_to_size(*lead, *product.shape[2:])


def _axes(geo: Geometry) -> list[int]:
    return list(range(-len(geo.grid), 0))


def _explicit(kernel: Tensor, latent_shape: Shape) -> Tensor:
    dims = len(spatial_of(latent_shape))
    if len(latent_shape) > 3:
        return per_image(kernel, latent_shape[0], latent_shape[1], dims)
    frames, channels = (kernel.shape[0], kernel.shape[1]) if kernel.ndim == dims + 2 else (1, 1)
    return per_image(kernel, frames, channels, dims)


def _require(image: Tensor, spatial: Shape, what: str) -> None:
    if tuple(image.shape[2:]) != spatial:
        expected = ", ".join(map(str, spatial))
        raise ImageError(f"{what} of shape {tuple(image.shape)}: expected (frames, channels, {expected})")


def _require_images(image: Tensor, what: str) -> None:
    if image.ndim not in (4, 5):
        raise ImageError(f"{what} of shape {tuple(image.shape)}: expected (frames, channels, *spatial), 2-D or 3-D")
