"""Blur along a flow by a table of kernels: the reference for `unblur.operators.flow_blur`.

Chen et al. 2018 (Reblur2Deblur), eq. 9: kernels of straight lines are drawn once for ends on whole pixels, and the
kernel of a pixel is interpolated bilinearly between those of the four ends around its own, which makes it
differentiable in the flow. A line is drawn by the weights that bilinear interpolation along it gives to the pixels, so
that at ends on whole pixels the table and `flow_blur` agree.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.fourier import as_float

__all__ = ["line_kernels", "table_blur"]

_POINTS = 32
"""Points per pixel with which the longest lines are drawn; shorter ones have as many."""

_CHUNK = 4096
"""Pixels whose kernels exist at the same time."""


@lru_cache(maxsize=4)
def line_kernels(reach: int = 16) -> Tensor:
    """The table: kernels ((2 reach + 1)**2, 2 reach + 1, 2 reach + 1) of lines from the origin to every whole pixel.

    Row (v + reach) (2 reach + 1) + (u + reach) is the line that ends at (u, v); the origin is at [reach, reach]. Each
    sums to one; the line to (0, 0) is a point. In float64. To be read as a gather, not a convolution: the weight at
    [reach + y, reach + x] is that of the image at p + (x, y).
    """
    side = 2 * reach + 1
    grid = torch.arange(-reach, reach + 1, dtype=torch.float64)
    v, u = torch.meshgrid(grid, grid, indexing="ij")
    s = (torch.arange(_POINTS * reach, dtype=torch.float64) + 0.5) / (_POINTS * reach)
    columns, rows = u.reshape(-1, 1) * s + reach, v.reshape(-1, 1) * s + reach
    table = torch.zeros(side * side, side * side, dtype=torch.float64)
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = (columns.floor() + dx).clamp(max=2 * reach), (rows.floor() + dy).clamp(max=2 * reach)
            weight = (1 - (columns - column).abs()) * (1 - (rows - row).abs()) / len(s)
            table.scatter_add_(1, (row * side + column).long(), weight)
    return table.view(side * side, side, side)


def table_blur(image: Tensor, ends: Tensor, reach: int = 16) -> Tensor:
    """The image under the mean of the table's kernels of each pixel's paths; differentiable in both.

    Args:
        image: (frames, channels, height, width); outside it goes on with its border values.
        ends: (frames, paths, 2, height, width), in pixels, along x and y; cut off at ±reach.
        reach: half the side of the kernels, less a half.

    Returns:
        (frames, channels, height, width) in float32, or in float64 if either input is float64.

    Raises:
        ImageError: shapes that do not fit.
    """
    image, ends = as_float(image, ends)
    if image.ndim != 4 or ends.ndim != 5 or ends.shape != (len(image), ends.shape[1], 2, *image.shape[2:]):
        raise ImageError(
            f"image of shape {tuple(image.shape)} and ends of paths of shape {tuple(ends.shape)}: expected "
            "(frames, channels, height, width) and (frames, paths, 2, height, width)"
        )
    table = line_kernels(reach).to(image).flatten(1)
    bordered = F.pad(image, (reach,) * 4, mode="replicate")
    rows = max(1, _CHUNK // image.shape[-1])
    frames = []
    for frame, paths in zip(bordered, ends, strict=True):
        bands = [
            _Band.apply(frame[:, top : top + rows + 2 * reach], paths[:, :, top : top + rows], table, reach)  # type: ignore[no-untyped-call]
            for top in range(0, image.shape[2], rows)
        ]
        frames.append(torch.cat(bands, dim=1))
    return torch.stack(frames)


class _Band(torch.autograd.Function):
    """`_band`, computed again for the backward pass, so that kernels are never kept."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, ends: Tensor, table: Tensor, reach: int) -> Tensor:
        ctx.save_for_backward(image, ends, table)
        ctx.reach = reach
        return _band(image, ends, table, reach)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, ends, table = ctx.saved_tensors
        with torch.enable_grad():
            leaves = image.detach().requires_grad_(), ends.detach().requires_grad_()
            predicted = _band(*leaves, table, ctx.reach)
        return (*torch.autograd.grad(predicted, leaves, gradient), None, None)


def _band(image: Tensor, ends: Tensor, table: Tensor, reach: int) -> Tensor:
    """A band of rows of one frame: image (channels, rows + 2 reach, width + 2 reach), ends (paths, 2, rows, width)."""
    side = 2 * reach + 1
    paths, _, rows, width = ends.shape
    at = ends.clamp(-reach, reach) + reach
    low = at.detach().floor().clamp(max=2 * reach - 1)
    over = at - low
    places, weights = [], []
    for dy in (0, 1):
        for dx in (0, 1):
            places.append((low[:, 1] + dy) * side + low[:, 0] + dx)
            weights.append((over[:, 0] if dx else 1 - over[:, 0]) * (over[:, 1] if dy else 1 - over[:, 1]))
    place = torch.cat(places).flatten(1).T.long().contiguous()
    weight = torch.cat(weights).flatten(1).T.contiguous() / paths
    kernels = F.embedding_bag(place, table, mode="sum", per_sample_weights=weight)
    patches = F.unfold(image[None], side)[0].view(len(image), side * side, rows * width)
    return torch.einsum("cdp,pd->cp", patches, kernels).view(len(image), rows, width)
