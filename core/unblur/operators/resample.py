"""Images and kernels on another pixel grid, and shifts by parts of a pixel; separable, in 2-D and 3-D, differentiable.

A pixel's value stands at its centre. Every resampling is a product with one small matrix per axis, whose rows are the
weights of the input pixels; when the grid gets coarser the weights widen, so that nothing is aliased.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.fourier import as_float

Method = Literal["area", "linear", "cubic"]
Edge = Literal["replicate", "zero"]

_KEPT = 2**18
"""Numbers in a matrix that is kept for the next time, a megabyte; shifts by parts of a pixel hardly come again."""


def resize(image: Tensor, shape: Sequence[int], method: Method = "area") -> Tensor:
    """Resample (frames, channels, *spatial) to ``shape`` pixels over the same field of view, without aliasing.

    Args:
        method: "area" averages what a new pixel covers, "linear" and "cubic" interpolate (and are widened to shrink).

    Raises:
        ImageError: a shape that does not fit.
    """
    (image,) = as_float(image)
    sizes = image.shape[2:]
    shape = _axes(shape, len(sizes), "shape")
    scales = [new / old for new, old in zip(shape, sizes, strict=True)]
    centres = [(new - 1) / 2 - s * (old - 1) / 2 for new, old, s in zip(shape, sizes, scales, strict=True)]
    return _resample(image, shape, scales, centres, method, "replicate")


def resize_latent(
    latent: Tensor,
    shape: Sequence[int],
    scale: float | Sequence[float],
    kernel_shape: Sequence[int],
    new_kernel_shape: Sequence[int],
    method: Method = "area",
) -> Tensor:
    """Resample a latent image so that it still lines up with its observation under "valid" convolution.

    The observation is resized to ``scale`` times its pixels and the kernel from ``kernel_shape`` to
    ``new_kernel_shape``; the latent image is larger than both observations, by margins that do not scale. Beyond the
    margin that it has, its edge is repeated.

    Args:
        shape: spatial shape of the new latent image: the new observation's + new_kernel_shape - 1.
        scale: new pixels per old pixel, one number or one per axis.
    """
    (latent,) = as_float(latent)
    dims = latent.ndim - 2
    scales = _scales(scale, dims)
    starts = [k - 1 - k // 2 for k in _axes(kernel_shape, dims, "kernel shape")]
    new_starts = [k - 1 - k // 2 for k in _axes(new_kernel_shape, dims, "kernel shape")]
    # Pixel p of the observation goes to s p + (s - 1) / 2, and lies at p + start in the latent image.
    zeros = [new - s * old + (s - 1) / 2 for s, old, new in zip(scales, starts, new_starts, strict=True)]
    return _resample(latent, _axes(shape, dims, "shape"), scales, zeros, method, "replicate")


def resample_kernel(
    kernel: Tensor,
    scale: float | Sequence[float],
    shape: Sequence[int],
    method: Method = "cubic",
    nonnegative: bool = True,
) -> Tensor:
    """A kernel (count, *k) on a grid with ``scale`` new pixels per old one; its sum and origin floor(n / 2) are kept.

    What falls outside ``shape`` is cut, and the sum restored.

    Args:
        nonnegative: set the small negative lobes of "cubic" to zero.

    Raises:
        ImageError: a shape or scale that does not fit.
    """
    (kernel,) = as_float(kernel)
    dims = kernel.ndim - 1
    shape, scales = _axes(shape, dims, "shape"), _scales(scale, dims)
    zeros = [new // 2 - s * (old // 2) for new, old, s in zip(shape, kernel.shape[1:], scales, strict=True)]
    result = _resample(kernel[None], shape, scales, zeros, method, "zero")[0]
    return _restore_sum(result.clamp(min=0) if nonnegative else result, kernel)


def fit_kernel(kernel: Tensor, shape: Sequence[int]) -> Tensor:
    """Crop or zero-pad a kernel (count, *k) about its origin floor(n / 2); a cropped kernel keeps its sum.

    Raises:
        ImageError: a shape that does not fit.
    """
    (kernel,) = as_float(kernel)
    shape = _axes(shape, kernel.ndim - 1, "shape")
    padding: list[int] = []
    for new, old in zip(reversed(shape), reversed(kernel.shape[1:]), strict=True):
        before = new // 2 - old // 2
        padding += [before, new - old - before]
    return _restore_sum(F.pad(kernel, padding), kernel)


def extend(image: Tensor, shape: Sequence[int]) -> Tensor:
    """An observed image (frames, channels, *spatial) within a latent one's spatial shape, its edges repeated."""
    padding: list[int] = []
    for larger, size in zip(reversed(shape), reversed(image.shape[2:]), strict=True):
        before = (larger - size) // 2
        padding += [before, larger - size - before]
    return F.pad(image, padding, mode="replicate")


def shift(image: Tensor, offset: Sequence[float], method: Method = "cubic", edge: Edge = "replicate") -> Tensor:
    """Move the content of (frames, channels, *spatial) by ``offset`` pixels towards higher indices.

    Args:
        offset: one number per spatial axis, in pixels; fractions are interpolated.
        edge: what flows in: the "replicate"d edge or "zero".
    """
    (image,) = as_float(image)
    dims = image.ndim - 2
    if len(offset) != dims:
        raise ImageError(f"shift by {tuple(offset)} of an image in {dims}-D: expected one number per spatial axis")
    return _resample(image, tuple(image.shape[2:]), [1.0] * dims, list(offset), method, edge)


def _resample(
    image: Tensor, shape: Sequence[int], scales: Sequence[float], zeros: Sequence[float], method: Method, edge: Edge
) -> Tensor:
    """New pixel j takes its value at the old coordinate (j - zero) / scale, axis by axis."""
    with torch.autocast(image.device.type, enabled=False):
        for axis, (new, scale, zero) in enumerate(zip(shape, scales, zeros, strict=True), start=2):
            old = image.shape[axis]
            if (new, scale, zero) == (old, 1, 0):
                continue
            made = _kept if old * new <= _KEPT else _matrix
            matrix = made(old, new, float(scale), float(zero), method, edge, image.dtype, image.device)
            if axis == image.ndim - 1:
                image = image @ matrix.T
            else:
                image = (matrix @ image.flatten(axis + 1)).reshape(*image.shape[:axis], new, *image.shape[axis + 1 :])
    return image


def _matrix(
    old: int, new: int, scale: float, zero: float, method: Method, edge: Edge, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Weights (new, old); rows sum to one before zeros beyond the edge are dropped."""
    widening = max(1.0, 1 / scale)
    reach = {"area": 0.5 * widening + 0.5, "linear": widening, "cubic": 2 * widening}.get(method)
    if reach is None:
        raise ImageError(f'unknown resampling method {method!r}; choose one of: "area", "cubic", "linear"')
    centres = (torch.arange(new, dtype=torch.float64) - zero) / scale
    taps = int(2 * reach) + 2
    columns = torch.floor(centres - reach)[:, None] + torch.arange(taps + 1, dtype=torch.float64)
    weights = _weights(columns - centres[:, None], method, widening)
    weights = weights / weights.sum(1, keepdim=True)
    if edge == "zero":
        weights = weights * ((columns >= 0) & (columns < old))
    with torch.inference_mode(False):  # a matrix kept from inference could not be used in training
        matrix = torch.zeros(new, old, dtype=torch.float64)
        matrix.scatter_add_(1, columns.long().clamp(0, old - 1), weights.clone())
        return matrix.to(dtype=dtype, device=device)


_kept = lru_cache(maxsize=64)(_matrix)


def _weights(distance: Tensor, method: Method, widening: float) -> Tensor:
    if method == "area":
        half = widening / 2
        return ((distance + 0.5).clamp(max=half) - (distance - 0.5).clamp(min=-half)).clamp(min=0)
    x = (distance / widening).abs()
    if method == "linear":
        return (1 - x).clamp(min=0)
    near = (1.5 * x - 2.5) * x * x + 1  # Keys 1981, a = -1/2
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _restore_sum(kernel: Tensor, former: Tensor) -> Tensor:
    axes = tuple(range(1, kernel.ndim))
    total = kernel.sum(axes, keepdim=True)
    factor = former.sum(axes, keepdim=True) / total
    return kernel * torch.where(total == 0, torch.ones_like(total), factor)


def _axes(shape: Sequence[int], dims: int, what: str) -> tuple[int, ...]:
    if len(shape) != dims or min(shape) < 1:
        raise ImageError(f"{what} {tuple(shape)} in {dims}-D: expected one positive number per spatial axis")
    return tuple(int(n) for n in shape)


def _scales(scale: float | Sequence[float], dims: int) -> list[float]:
    scales = [float(s) for s in scale] if isinstance(scale, Sequence) else [float(scale)] * dims
    if len(scales) != dims or not all(s > 0 for s in scales):
        raise ImageError(f"scale {scale} in {dims}-D: expected one positive number, or one per spatial axis")
    return scales
