"""Convolutions by matrix products, for processors on which those are faster than the library's own kernels.

Without AVX-512 the library takes two to six times as long for the gradient of a weight, with channels last, as for the
convolution, and five times as long in bfloat16 as in float32. What a bfloat16 unit computes is made here of float32
products: factors and results are rounded, sums are not.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 4096
"""Pixels whose neighbourhoods are laid out at a time, so that they stay in a processor's cache."""


def pays(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether `convolve` is faster than the library here: 2-D layers on a processor with AVX2 and no more."""
    if x.ndim != 4 or groups != 1 or x.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX2":
        return False
    if torch.is_autocast_enabled("cpu"):
        return _in_bfloat16()
    return x.dtype == weight.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)


def _in_bfloat16() -> bool:
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolution, its gradients in a fixed order for a number of threads; in bfloat16 under its autocast.

    Args:
        x: (batch, inputs, height, width), channels last in memory.
        weight: (outputs, inputs, rows, columns).
        bias: (outputs,).
        stride, padding: along both axes; the padding is zero.

    Returns:
        (batch, outputs, …), channels last in memory.
    """
    if _in_bfloat16():
        x, weight, bias = x.bfloat16(), weight.bfloat16(), None if bias is None else bias.bfloat16()
    with torch.autocast("cpu", enabled=False):
        if x.dtype == torch.float32 and weight.shape[2:] == (1, 1) and stride == 1 and padding == 0:
            return F.linear(x.movedim(1, -1), weight[:, :, 0, 0], bias).movedim(-1, 1)
        result: Tensor = _Convolution.apply(x, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
        return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        bias = None if bias is None else bias.float()
        return F.conv2d(x.float(), weight.float(), bias, stride, padding).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        dtype = gradient.dtype
        x, weight, gradient = (part.float() for part in (*ctx.saved_tensors, gradient))
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        for_input = for_weight = for_bias = None
        if needs_input:
            geometry = ((ctx.stride,) * 2, (ctx.padding,) * 2, (1, 1), False, (0, 0), 1)
            only_input = (True, False, False)
            for_input = torch.ops.aten.convolution_backward(gradient, x, weight, None, *geometry, only_input)[0]
        if needs_weight:
            for_weight = weight_gradient(F.pad(x, (ctx.padding,) * 4), gradient, weight.shape[2:], ctx.stride)
        if needs_bias:
            # The library would make the weight's gradient, too.
            for_bias = gradient.sum((0, 2, 3))
        made = (part if part is None else part.to(dtype) for part in (for_input, for_weight, for_bias))
        return (*made, None, None)  # type: ignore[return-value]


def weight_gradient(x: Tensor, gradient: Tensor, taps: tuple[int, int], stride: int) -> Tensor:
    """The gradient of a convolution's weight: what each tap saw of the input, times the gradient of the output.

    Args:
        x: (batch, inputs, height, width), the input with its padding.
        gradient: (batch, outputs, rows, columns), of the output.
        taps: of the weight along both axes.
        stride: along both axes.

    Returns:
        (outputs, inputs, *taps).
    """
    x, gradient = (part.contiguous(memory_format=torch.channels_last) for part in (x, gradient))
    inputs, width = x.shape[1], x.shape[3]
    outputs, rows, columns = gradient.shape[1:]
    # The taps of one row of a neighbourhood are neighbours in memory.
    seen = (taps[0], taps[1] * inputs)
    steps = (stride * width * inputs, stride * inputs, width * inputs, 1)
    total = gradient.new_zeros(seen[0] * seen[1], outputs)
    count = max(1, _BLOCK // columns)
    for sample, out in zip(x, gradient.movedim(1, -1), strict=True):
        neighbourhoods = sample.as_strided((rows, columns, *seen), steps, sample.storage_offset())
        for first in range(0, rows, count):
            here = slice(first, first + count)
            products = neighbourhoods[here].reshape(-1, seen[0] * seen[1]).T, out[here].reshape(-1, outputs)
            torch.addmm(total, *products, out=total)
    return total.view(*taps, inputs, outputs).permute(3, 2, 0, 1)
