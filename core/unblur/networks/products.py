"""Convolutions by matrix products, for processors on which those are faster than the library's own kernels.

Without AVX-512 the library takes two to six times as long for the gradient of a weight, with channels last, as for the
convolution, and ten times as long and more in bfloat16 as in float32. What a bfloat16 unit computes is made here of
float32 products: factors and results are rounded, sums are not.

Small volumes the library takes apart tap by tap, ten times as slowly as it could, on any processor: it looks at the
first three sizes behind the batch, which are channels, height and width of images alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.compute import memory_format

_BLOCK = 4096
"""Pixels whose neighbourhoods are laid out at a time, so that they stay in a processor's cache."""

_SMALL = 20480
"""Channels times depth times height up to which the library neglects a volume."""

_MANY = 32
"""Channels from which on products are faster for large volumes, without AVX-512."""

_FEW = 8
"""Channels below which the library is faster for small volumes."""


def pays(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether `convolve` is faster than the library here: on a processor with AVX2 and no more, and for volumes."""
    if groups != 1 or x.device.type != "cpu":
        return False
    without_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX2"
    if torch.is_autocast_enabled("cpu"):
        return without_avx512 and _in_bfloat16()
    if not x.dtype == weight.dtype == torch.float32:
        return False
    if x.ndim == 4:
        return without_avx512 and x.is_contiguous(memory_format=torch.channels_last)
    if x.shape[0] == 1 and x[..., 0].numel() <= _SMALL:
        return _has_onednn() and x.shape[1] >= _FEW
    return _has_onednn() and without_avx512 and x.shape[1] >= _MANY


def _in_bfloat16() -> bool:
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolution, its gradients in a fixed order for a number of threads; in bfloat16 under its autocast.

    Args:
        x: (batch, inputs, *spatial).
        weight: (outputs, inputs, *taps).
        bias: (outputs,).
        stride, padding: along every axis; the padding is zero.

    Returns:
        (batch, outputs, …), channels last in memory.
    """
    if _in_bfloat16():
        x, weight, bias = x.bfloat16(), weight.bfloat16(), None if bias is None else bias.bfloat16()
    with torch.autocast("cpu", enabled=False):
        if x.ndim == 5:
            # The library's own layers for small volumes put channels first.
            x = x.contiguous(memory_format=torch.channels_last_3d)
        if x.dtype == torch.float32 and weight[0, 0].numel() == 1 and stride == 1 and padding == 0:
            return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
        result: Tensor = _Convolution.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
        return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        bias = None if bias is None else bias.float()
        return _convolution(x.float(), weight.float(), bias, stride, padding).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        dtype = gradient.dtype
        x, weight, gradient = (part.float() for part in (*ctx.saved_tensors, gradient))
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        gradient = gradient.contiguous(memory_format=memory_format(gradient.ndim - 2))
        for_input = for_weight = for_bias = None
        if needs_input:
            for_input = _input_gradient(x, weight, gradient, ctx.stride, ctx.padding).to(dtype)
        if needs_weight:
            padded = F.pad(x, (ctx.padding,) * 2 * (x.ndim - 2))
            for_weight = weight_gradient(padded, gradient, weight.shape[2:], ctx.stride).to(dtype)
        if needs_bias:
            # The library would make the weight's gradient, too.
            for_bias = gradient.sum((0, *range(2, gradient.ndim))).to(dtype)
        return for_input, for_weight, for_bias, None, None


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """The library's, of volumes by oneDNN, which it does not take for small ones."""
    if x.ndim == 5 and _has_onednn():
        one = (1,) * 3
        made: Tensor = torch.ops.aten.mkldnn_convolution(x, weight, bias, (padding,) * 3, (stride,) * 3, one, 1)
        return made
    return (F.conv2d if x.ndim == 4 else F.conv3d)(x, weight, bias, stride, padding)


def _input_gradient(x: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: int) -> Tensor:
    """The library's, for volumes without a stride as a convolution with the turned weight."""
    dims, taps = x.ndim - 2, set(weight.shape[2:])
    margin = min(taps) - 1 - padding
    if dims == 3 and stride == 1 and len(taps) == 1 and margin >= 0:
        return _convolution(gradient, weight.flip(2, 3, 4).transpose(0, 1), None, 1, margin)
    geometry = ((stride,) * dims, (padding,) * dims, (1,) * dims, False, (0,) * dims, 1)
    made: Tensor = torch.ops.aten.convolution_backward(gradient, x, weight, None, *geometry, (True, False, False))[0]
    return made


def weight_gradient(x: Tensor, gradient: Tensor, taps: Sequence[int], stride: int) -> Tensor:
    """The gradient of a convolution's weight: what each tap saw of the input, times the gradient of the output.

    Args:
        x: (batch, inputs, *spatial), the input with its padding.
        gradient: (batch, outputs, *sizes), of the output.
        taps: of the weight along every axis.
        stride: along every axis.

    Returns:
        (outputs, inputs, *taps).
    """
    x, gradient = (part.contiguous(memory_format=memory_format(part.ndim - 2)) for part in (x, gradient))
    inputs, spatial = x.shape[1], x.shape[2:]
    outputs, sizes = gradient.shape[1], gradient.shape[2:]
    # The taps along the last axis of a neighbourhood are neighbours in memory.
    seen = (*taps[:-1], taps[-1] * inputs)
    width = math.prod(seen)
    steps = [inputs * math.prod(spatial[axis + 1 :]) for axis in range(len(spatial))]
    total = gradient.new_zeros(width, outputs)
    count = max(1, _BLOCK // sizes[-1])
    for sample, out in zip(x, gradient.movedim(1, -1), strict=True):
        shape, strides = (*sizes, *seen), (*(stride * step for step in steps), *steps[:-1], 1)
        neighbourhoods = sample.as_strided(shape, strides, sample.storage_offset())
        for plane in itertools.product(*map(range, sizes[:-2])):
            for first in range(0, sizes[-2], count):
                here = (*plane, slice(first, first + count))
                products = neighbourhoods[here].reshape(-1, width).T, out[here].reshape(-1, outputs)
                torch.addmm(total, *products, out=total)
    return total.view(*taps, inputs, outputs).movedim((-1, -2), (0, 1))
