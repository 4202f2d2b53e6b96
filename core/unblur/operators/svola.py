"""Space-variant overlap-add (SVOLA): windowed patches of the latent image, each blurred with a kernel of its own.

``predicted = sum_i kernel_i * (window_i latent)``: window first, then blur (Harmeling, Hirsch, Schölkopf 2010). The
windows lie on a grid over the observed image and sum to one on every latent pixel, so that equal kernels give the
convolution. Only the support of a window is transformed, all patches and channels in one batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.convolution import Shape, spatial_of
from unblur.operators.fourier import as_float, fast_length, image_of, spectrum

SvolaBoundary = Literal["valid", "same"]

_NEGLIGIBLE = 1e-6
"""Window values below this count as zero."""


def bartlett_hann(position: Tensor) -> Tensor:
    """Modified Bartlett-Hann window of width one about zero (Ha & Pearce 1989): one at the centre, zero at ±1/2."""
    window = 0.62 - 0.48 * position.abs() + 0.38 * torch.cos(2 * math.pi * position)
    return torch.where(position.abs() < 0.5, window, torch.zeros_like(window))


def grid_centres(size: int, count: int) -> list[float]:
    """Centres of `count` equal cells of an axis of `size` pixels, in pixels from the centre of the first."""
    return [(index + 0.5) * size / count - 0.5 for index in range(count)]


@dataclass(frozen=True)
class Tiling:
    """Sizes of one space-variant blur along the spatial axes.

    Attributes:
        latent, kernel, output: spatial shapes of the latent image, of each kernel and of the prediction.
        grid: kernels along each axis.
        offset: a patch that begins at latent pixel s predicts from pixel s - offset on.
        origin: latent pixel on which observed pixel 0 lies.
        starts: for each axis, the first latent pixel of every window's patch.
        patch: size of the patches, of the widest window along each axis.
        transform: size of the FFTs.
    """

    latent: Shape
    kernel: Shape
    output: Shape
    grid: Shape
    offset: Shape
    origin: Shape
    starts: tuple[tuple[int, ...], ...]
    patch: Shape
    transform: Shape

    @property
    def count(self) -> int:
        return math.prod(self.grid)

    @property
    def blurred(self) -> Shape:
        """Size of a blurred patch."""
        return tuple(n + k - 1 for n, k in zip(self.patch, self.kernel, strict=True))

    def corners(self) -> Iterator[tuple[int, ...]]:
        """The first latent pixel of every patch, the last axis of the grid running fastest, as the kernels do."""
        return itertools.product(*self.starts)

    def inside(self, corner: Sequence[int]) -> tuple[slice, ...]:
        """Where a patch lies in the latent image."""
        return tuple(slice(first, first + n) for first, n in zip(corner, self.patch, strict=True))

    def lands(self, corner: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where a blurred patch lies in the prediction, and which part of it does."""
        where, part = [], []
        for first, size, offset, n in zip(corner, self.blurred, self.offset, self.output, strict=True):
            start, stop = max(first - offset, 0), min(first - offset + size, n)
            where.append(slice(start, max(start, stop)))
            part.append(slice(start - first + offset, max(start, stop) - first + offset))
        return tuple(where), tuple(part)


@lru_cache(maxsize=64)
def tiling(latent: Shape, kernel: Shape, grid: Shape, boundary: SvolaBoundary = "valid") -> Tiling:
    """Sizes of the blur of a latent image with a grid of kernels.

    Raises:
        ImageError: dimensions differ, a kernel does not fit, or there are more kernels than pixels along an axis.
    """
    dims = len(latent)
    if not dims == len(kernel) == len(grid) or dims not in (2, 3) or min((*latent, *kernel, *grid)) < 1:
        raise ImageError(f"image {latent}, kernels {kernel} on a grid {grid}: expected 2 or 3 dimensions each")
    if boundary not in ("valid", "same"):
        raise ImageError(f'unknown boundary {boundary!r}; choose one of: "valid", "same"')
    valid = boundary == "valid"
    output = tuple(n - k + 1 if valid else n for n, k in zip(latent, kernel, strict=True))
    if min(output) < 1:
        raise ImageError(f'latent image {latent} is smaller than the kernel {kernel}: boundary "valid" forbids it')
    if any(count > n for count, n in zip(grid, output, strict=True)):
        raise ImageError(
            f"a grid of {_words(grid)} kernels for an image of {_words(output)} pixels: take a coarser one"
        )
    origin = tuple((k - 1) // 2 if valid else 0 for k in kernel)
    starts, patch = [], []
    for axis in zip(latent, output, grid, origin, strict=True):
        spans = [window.nonzero().flatten()[[0, -1]].tolist() for window in _profile(*axis)]
        widest = max(last - first + 1 for first, last in spans)
        starts.append(tuple(min(first, axis[0] - widest) for first, _ in spans))
        patch.append(widest)
    return Tiling(
        latent=latent,
        kernel=kernel,
        output=output,
        grid=grid,
        offset=tuple(k - 1 if valid else k // 2 for k in kernel),
        origin=origin,
        starts=tuple(starts),
        patch=tuple(patch),
        transform=tuple(fast_length(n + k - 1) for n, k in zip(patch, kernel, strict=True)),
    )


def windows(tiles: Tiling, like: Tensor | None = None) -> Tensor:
    """All windows on the whole latent image, (count, *latent), of sum one; `like` gives dtype and device."""
    like = torch.empty(0) if like is None else like
    whole = torch.ones((1, *(1,) * len(tiles.latent)), dtype=torch.float64)
    for axis, sizes in enumerate(_axes(tiles)):
        profile = _profile(*sizes)
        view = [1] * len(tiles.latent)
        view[axis] = profile.shape[1]
        whole = (whole[:, None] * profile.view(1, -1, *view)).flatten(0, 1)
    return whole.to(like)


def svola(latent: Tensor, kernels: Tensor, grid: Sequence[int], boundary: SvolaBoundary = "valid") -> Tensor:
    """Blur ``latent`` (frames, channels, *spatial) with a grid of kernels; differentiable once in both.

    Args:
        kernels: (count, *k), the last axis of the grid running fastest; the same for all frames and channels.
        grid: kernels along each spatial axis.
        boundary: "valid" (output n - k + 1) or "same" (output n, zero outside).

    Returns:
        (frames, channels, *output) in float32, or in float64 if either input is float64, under autocast too.

    Raises:
        ImageError: shapes that do not fit.
    """
    latent, kernels = as_float(latent, kernels)
    tiles = _tiles(tuple(latent.shape), tuple(kernels.shape), tuple(grid), boundary)
    return _Svola.apply(latent, kernels, tiles)  # type: ignore[no-untyped-call,no-any-return]


def svola_adjoint(
    residual: Tensor,
    kernels: Tensor,
    latent_shape: Sequence[int],
    grid: Sequence[int],
    boundary: SvolaBoundary = "valid",
) -> Tensor:
    """Adjoint of :func:`svola` in the latent image: residual (frames, channels, *output) to (..., *latent_shape).

    Raises:
        ImageError: shapes that do not fit.
    """
    residual, kernels = as_float(residual, kernels)
    lead = tuple(residual.shape[:2])
    tiles = _tiles((*lead, *spatial_of(latent_shape)), tuple(kernels.shape), tuple(grid), boundary)
    _require(residual, tiles)
    return _to_latent(spectrum(_spread(residual, tiles), tiles.transform) * _transfer(kernels, tiles).conj(), tiles)


def svola_kernel_adjoint(
    residual: Tensor,
    latent: Tensor,
    kernel_shape: Sequence[int],
    grid: Sequence[int],
    boundary: SvolaBoundary = "valid",
) -> Tensor:
    """Adjoint of :func:`svola` in the kernels: residual and latent image to (count, *kernel_shape).

    Raises:
        ImageError: shapes that do not fit.
    """
    residual, latent = as_float(residual, latent)
    shape = (math.prod(grid), *kernel_shape)
    tiles = _tiles(tuple(latent.shape), shape, tuple(grid), boundary)
    _require(residual, tiles)
    image = spectrum(_cut(latent, tiles), tiles.transform)
    return _to_kernels(spectrum(_spread(residual, tiles), tiles.transform), image, tiles)


class Svola:
    """Space-variant blur of images of one size with fixed kernels, transformed once.

    Args:
        kernels, grid, boundary: as in :func:`svola`.
        latent_shape: (frames, channels, *spatial) of the latent image.

    Raises:
        ImageError: shapes that do not fit.
    """

    def __init__(
        self, kernels: Tensor, latent_shape: Sequence[int], grid: Sequence[int], boundary: SvolaBoundary = "valid"
    ) -> None:
        (kernels,) = as_float(kernels)
        self.tiles = _tiles(tuple(latent_shape), tuple(kernels.shape), tuple(grid), boundary)
        self.otf = _transfer(kernels, self.tiles)

    def forward(self, latent: Tensor) -> Tensor:
        """Blur (frames, channels, *latent) to (frames, channels, *output)."""
        return _blur(spectrum(_cut(latent, self.tiles), self.tiles.transform), self.otf, self.tiles)

    def adjoint(self, residual: Tensor) -> Tensor:
        """Adjoint of :meth:`forward`: (frames, channels, *output) to (frames, channels, *latent)."""
        _require(residual, self.tiles)
        product = spectrum(_spread(residual, self.tiles), self.tiles.transform) * self.otf.conj()
        return _to_latent(product, self.tiles)


class _Svola(torch.autograd.Function):
    """Keeps both spectra of the forward pass, so that each gradient costs one product and one inverse transform."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, kernels: Tensor, tiles: Tiling) -> Tensor:
        otf = _transfer(kernels, tiles)
        image = spectrum(_cut(latent, tiles), tiles.transform)
        wants_latent, wants_kernels = ctx.needs_input_grad[:2]
        ctx.save_for_backward(otf if wants_latent else None, image if wants_kernels else None)
        ctx.tiles = tiles
        return _blur(image, otf, tiles)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        otf, image = ctx.saved_tensors
        tiles: Tiling = ctx.tiles
        residual = spectrum(_spread(gradient, tiles), tiles.transform)
        to_kernels = None if image is None else _to_kernels(residual, image, tiles)
        to_latent = None if otf is None else _to_latent(residual.mul_(otf.conj()), tiles)
        return to_latent, to_kernels, None


def _transfer(kernels: Tensor, tiles: Tiling) -> Tensor:
    return spectrum(kernels, tiles.transform)


def _cut(latent: Tensor, tiles: Tiling) -> Tensor:
    """The windowed patches (frames, channels, count, *transform), each at the corner of its grid."""
    patches = latent.new_zeros((*latent.shape[:2], tiles.count, *tiles.transform))
    at_corner = tuple(slice(0, n) for n in tiles.patch)
    shapes = _patch_windows(tiles, latent.dtype, latent.device)
    for index, corner in enumerate(tiles.corners()):
        place = patches[:, :, index][_at(at_corner)]
        torch.mul(latent[_at(tiles.inside(corner))], shapes[index], out=place)
    return patches


def _spread(residual: Tensor, tiles: Tiling) -> Tensor:
    """For every patch the residuals that it has a part in (frames, channels, count, *transform)."""
    patches = residual.new_zeros((*residual.shape[:2], tiles.count, *tiles.transform))
    for index, corner in enumerate(tiles.corners()):
        where, part = tiles.lands(corner)
        patches[:, :, index][_at(part)] = residual[_at(where)]
    return patches


def _blur(image: Tensor, otf: Tensor, tiles: Tiling) -> Tensor:
    patches = image_of(image * otf, tiles.transform, tiles.blurred)
    predicted = patches.new_zeros((*patches.shape[:2], *tiles.output))
    for index, corner in enumerate(tiles.corners()):
        where, part = tiles.lands(corner)
        predicted[_at(where)] += patches[:, :, index][_at(part)]
    return predicted


def _to_latent(product: Tensor, tiles: Tiling) -> Tensor:
    patches = image_of(product, tiles.transform, tiles.patch)
    shapes = _patch_windows(tiles, patches.dtype, patches.device)
    latent = patches.new_zeros((*patches.shape[:2], *tiles.latent))
    for index, corner in enumerate(tiles.corners()):
        latent[_at(tiles.inside(corner))].addcmul_(patches[:, :, index], shapes[index])
    return latent


def _to_kernels(residual: Tensor, image: Tensor, tiles: Tiling) -> Tensor:
    product = (residual * image.conj()).sum((0, 1))
    return image_of(product, tiles.transform, tiles.kernel)


@lru_cache(maxsize=16)
def _patch_windows(tiles: Tiling, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Every window on its patch, (count, *patch)."""
    with torch.inference_mode(False):  # what is kept from inference could not be used in training
        whole = torch.ones((1, *(1,) * len(tiles.patch)), dtype=torch.float64)
        for axis, sizes in enumerate(_axes(tiles)):
            profile = _profile(*sizes)
            pieces = [
                row[first : first + tiles.patch[axis]] for row, first in zip(profile, tiles.starts[axis], strict=True)
            ]
            view = [1] * len(tiles.patch)
            view[axis] = tiles.patch[axis]
            whole = (whole[:, None] * torch.stack(pieces).view(1, -1, *view)).flatten(0, 1)
        return whole.to(dtype=dtype, device=device)


def _profile(latent: int, output: int, count: int, origin: int) -> Tensor:
    """The windows along one axis, (count, latent), of sum one: twice as wide as their distance.

    Beyond the first and the last centre theirs is the only window.
    """
    centres = torch.tensor(grid_centres(output, count), dtype=torch.float64) + origin
    places = torch.arange(latent, dtype=torch.float64).clamp(float(centres[0]), float(centres[-1]))
    raw = bartlett_hann((places - centres[:, None]) * count / (2 * output))
    raw = torch.where(raw > _NEGLIGIBLE, raw, torch.zeros_like(raw))
    return raw / raw.sum(0)


def _at(region: Sequence[slice]) -> Any:
    """An index of the last axes."""
    return (..., *region)


def _axes(tiles: Tiling) -> Iterator[tuple[int, int, int, int]]:
    return zip(tiles.latent, tiles.output, tiles.grid, tiles.origin, strict=True)


def _tiles(latent: Shape, kernels: Shape, grid: Shape, boundary: SvolaBoundary) -> Tiling:
    if len(latent) not in (4, 5):
        raise ImageError(f"latent image of shape {latent}: expected (frames, channels, *spatial), 2-D or 3-D")
    if len(kernels) != len(latent) - 1 or kernels[0] != math.prod(grid):
        raise ImageError(f"kernels of shape {kernels} on a grid {grid}: expected ({math.prod(grid)}, *spatial)")
    return tiling(latent[2:], kernels[1:], grid, boundary)


def _require(residual: Tensor, tiles: Tiling) -> None:
    if tuple(residual.shape[2:]) != tiles.output:
        expected = ", ".join(map(str, tiles.output))
        raise ImageError(f"residual of shape {tuple(residual.shape)}: expected (frames, channels, {expected})")


def _words(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
