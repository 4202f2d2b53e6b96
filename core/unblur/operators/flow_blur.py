"""Blur along a flow: every pixel gathers the image along straight paths that begin at the pixel.

``predicted[p] = 1/P sum_i integral_0^1 image[p + s end_i(p)] ds`` for P paths with ends ``end_i(p)``. A path of length
zero gathers the pixel itself. The image is interpolated bilinearly, and goes on with its border values outside.

The integral is a sum over points in the middles of equal parts, one more than a path is long in pixels. The pixels are
sorted by that number, so that the work is proportional to the total length of all paths. Nothing is kept for the
backward pass but image and ends: memory is linear in the pixels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.fourier import as_float

__all__ = ["flow_blur", "flow_warp"]


def flow_blur(image: Tensor, ends: Tensor, density: float = 1.0) -> Tensor:
    """Mean of an image along the paths of every pixel; differentiable once in both.

    Args:
        image: (frames, channels, height, width).
        ends: (frames, paths, 2, height, width), in pixels: where each path ends, relative to its pixel, along x and y.
        density: points per pixel of a path's extent along its longer axis.

    Returns:
        (frames, channels, height, width) in float32, or in float64 if either input is float64.

    Raises:
        ImageError: shapes that do not fit.
    """
    image, ends = as_float(image, ends)
    _require(image, ends)
    return _gathered(image, ends, density, 0)


def flow_warp(image: Tensor, ends: Tensor, samples: int = 1) -> Tensor:
    """Mean of the image warped to a fixed number of points along each path; differentiable once in both.

    Args:
        image: (frames, channels, height, width).
        ends: (frames, paths, 2, height, width), in pixels, along x and y.
        samples: points on each path: 1 for its end, more for the middles of as many equal parts.

    Returns:
        (frames, channels, height, width) in float32, or in float64 if either input is float64.

    Raises:
        ImageError: shapes that do not fit.
    """
    image, ends = as_float(image, ends)
    _require(image, ends)
    return _gathered(image, ends, 0.0, samples)


def _gathered(image: Tensor, ends: Tensor, density: float, samples: int) -> Tensor:
    if not bool(torch.isfinite(ends).all()):  # paths to nowhere: NaN, from which a run goes back
        return image * math.nan + 0 * ends.sum()
    return _Gather.apply(image, ends, density, samples)  # type: ignore[no-untyped-call,no-any-return]


def _require(image: Tensor, ends: Tensor) -> None:
    frames, _, height, width = image.shape if image.ndim == 4 else (0, 0, 0, 0)
    fits = ends.ndim == 5 and ends.shape[0] == frames and ends.shape[2:] == (2, height, width)
    if not fits or min(height, width) < 2:
        raise ImageError(
            f"image of shape {tuple(image.shape)} and ends of paths of shape {tuple(ends.shape)}: expected "
            "(frames, channels, height, width), at least 2 x 2 pixels, and (frames, paths, 2, height, width)"
        )


class _Paths:
    """The points of all paths, pixels sorted by their number of points, most first."""

    def __init__(self, ends: Tensor, density: float, samples: int) -> None:
        frames, paths, _, height, width = ends.shape
        flat = ends.reshape(frames * paths, 2, height * width)
        self.samples = samples
        self.order: Tensor | None = None
        places = torch.arange(height * width, device=ends.device).expand(len(flat), -1)
        if samples:
            self.counts = flat.new_full((1, 1), samples)
            self.lengths = [height * width] * samples
        else:
            counts = 1 + (flat.abs().amax(1) * density - 1e-4).ceil().clamp_min(0)
            self.counts, self.order = counts.sort(dim=1, descending=True, stable=True)
            places = self.order
            most = int(self.counts[:, 0].max())
            more = torch.stack([torch.bincount(row.long(), minlength=most + 1) for row in self.counts]).amax(0)
            self.lengths = [min(height * width, int(n)) for n in more.flip(0).cumsum(0).flip(0)[1:]]
        self.ends = self.sorted(flat).transpose(1, 2).contiguous()
        self.starts = torch.stack([places % width, places // width], dim=-1).to(ends.dtype)
        self.scale = ends.new_tensor([2 / (width - 1), 2 / (height - 1)])

    def sorted(self, rows: Tensor) -> Tensor:
        """(rows, channels, pixels) in the order of the paths."""
        if self.order is None:
            return rows
        return rows.gather(2, self.order[:, None].expand(-1, rows.shape[1], -1))

    def unsorted(self, rows: Tensor) -> Tensor:
        """The inverse of `sorted`."""
        if self.order is None:
            return rows
        return torch.empty_like(rows).scatter_(2, self.order[:, None].expand(-1, rows.shape[1], -1), rows)

    def point(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of the pixels with more than `number` points: the grid to sample, the fraction of the path, the weight."""
        length = self.lengths[number]
        counts = self.counts[:, :length]
        fraction = torch.ones_like(counts) if self.samples == 1 else (number + 0.5) / counts
        weight = torch.where(counts > number, 1 / counts, 0.0)
        at = torch.addcmul(self.starts[:, :length], self.ends[:, :length], fraction[..., None])
        return (at * self.scale - 1)[:, None], fraction, weight


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, ends: Tensor, density: float, samples: int) -> Tensor:
        ctx.save_for_backward(image, ends)
        ctx.settings = density, samples
        paths = _Paths(ends, density, samples)
        source = _rows(image, ends.shape[1])
        gathered = image.new_zeros(len(source), image.shape[1], math.prod(image.shape[2:]))
        for number, length in enumerate(paths.lengths):
            grid, _, weight = paths.point(number)
            values = torch.ops.aten.grid_sampler_2d(source, grid, *_BILINEAR)
            gathered[..., :length].addcmul_(values[:, :, 0], weight[:, None])
        gathered = paths.unsorted(gathered).view(*ends.shape[:2], *image.shape[1:])
        return gathered.mean(1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        image, ends = ctx.saved_tensors
        wants_image, wants_ends = ctx.needs_input_grad[:2]
        paths = _Paths(ends, *ctx.settings)
        count = ends.shape[1]
        source = _rows(image, count)
        coming = paths.sorted(_rows(gradient / count, count).flatten(2))
        to_image = image.new_zeros(source.shape) if wants_image else None
        to_ends = torch.zeros_like(paths.ends) if wants_ends else None
        for number, length in enumerate(paths.lengths):
            grid, fraction, weight = paths.point(number)
            weighted = (coming[..., :length] * weight[:, None])[:, :, None]
            into, along = torch.ops.aten.grid_sampler_2d_backward(
                weighted, source, grid, *_BILINEAR, [wants_image, wants_ends]
            )
            if to_image is not None:
                to_image += into
            if to_ends is not None:
                to_ends[:, :length].addcmul_(along[:, 0] * paths.scale, fraction[..., None])
        back = None if to_image is None else to_image.view(*ends.shape[:2], *image.shape[1:]).sum(1)
        if to_ends is None:
            return back, None, None, None
        return back, paths.unsorted(to_ends.transpose(1, 2).contiguous()).view(ends.shape), None, None


_BILINEAR = (0, 1, True)
"""Bilinear, border values outside, grid from centre to centre of the corner pixels."""


def _rows(image: Tensor, count: int) -> Tensor:
    """Frames repeated for each of their paths, (frames * count, channels, height, width)."""
    frames = image.contiguous(memory_format=torch.channels_last)
    if len(frames) == 1:
        return frames.expand(count, -1, -1, -1)
    return frames.repeat_interleave(count, dim=0)
