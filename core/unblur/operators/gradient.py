"""Forward differences with their adjoint, and the gradient penalties of deblurring: total variation and L1/L2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.fourier import as_float

Reduction = Literal["sum", "mean"]


def gradient(image: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Forward differences of (frames, channels, *spatial) as (dims, frames, channels, *spatial), zero at the far edge.

    Args:
        spacing: pixel size along each spatial axis, in any one unit; default 1.

    Raises:
        ImageError: a spacing that does not fit the image.
    """
    (image,) = as_float(image)
    return _Gradient.apply(image, _spacing(image.ndim - 2, spacing))  # type: ignore[no-untyped-call,no-any-return]


def gradient_adjoint(field: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Adjoint of :func:`gradient`, minus the divergence: (dims, frames, channels, *spatial) to an image."""
    (field,) = as_float(field)
    steps = _spacing(field.ndim - 3, spacing)
    return _GradientAdjoint.apply(field, steps)  # type: ignore[no-untyped-call,no-any-return]


def total_variation(
    image: Tensor,
    isotropic: bool = True,
    epsilon: float = 1e-3,
    reduction: Reduction = "mean",
    spacing: Sequence[float] | None = None,
) -> Tensor:
    """Total variation smoothed at zero, a scalar: sqrt(g² + epsilon²) - epsilon, g the gradient (or each difference).

    Args:
        isotropic: the Euclidean norm of the gradient (Rudin, Osher, Fatemi 1992), else the sum over the axes.
        epsilon: the difference, in intensity per spacing, below which the penalty turns quadratic.
        reduction: "sum" over pixels as in the papers, or "mean", whose weight does not depend on the image's size.
    """
    differences = gradient(image, spacing)
    squares = (differences * differences).sum(0) if isotropic else differences * differences
    norms = (squares + epsilon**2).sqrt().sub(epsilon)
    if reduction == "sum":
        return norms.sum()
    return norms.sum() / image.numel()


def l1_over_l2(
    image: Tensor, epsilon: float = 1e-8, reduction: Reduction = "mean", spacing: Sequence[float] | None = None
) -> Tensor:
    """Ratio of the L1 to the L2 norm of all differences (Krishnan, Tay, Fergus 2011), a scalar that ignores contrast.

    Args:
        epsilon: added to the mean square, so that a constant image has ratio zero and a finite gradient.
        reduction: "sum" is the ratio of the papers, which grows with the square root of the number of pixels; "mean" is
            mean over root mean square, from 0 (sparse) to 1, whatever the size.
    """
    differences = gradient(image, spacing)
    ratio = differences.abs().mean() / ((differences * differences).mean() + epsilon).sqrt()
    return ratio if reduction == "mean" else ratio * differences.numel() ** 0.5


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, spacing: tuple[float, ...]) -> Tensor:
        ctx.spacing = spacing
        dims = len(spacing)
        field = image.new_empty((dims, *image.shape))
        for part, axis, step in zip(field, range(-dims, 0), spacing, strict=True):
            n = image.shape[axis]
            inner = part.narrow(axis, 0, n - 1)
            torch.sub(image.narrow(axis, 1, n - 1), image.narrow(axis, 0, n - 1), out=inner)
            if step != 1:
                inner.div_(step)
            part.narrow(axis, n - 1, 1).zero_()
        return field

    @staticmethod
    def backward(ctx: Any, field: Tensor) -> tuple[Tensor, None]:
        return _GradientAdjoint.apply(field, ctx.spacing), None  # type: ignore[no-untyped-call]


class _GradientAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: Tensor, spacing: tuple[float, ...]) -> Tensor:
        ctx.spacing = spacing
        image = torch.zeros_like(field[0], memory_format=torch.contiguous_format)
        for part, axis, step in zip(field, range(-len(spacing), 0), spacing, strict=True):
            n = image.shape[axis]
            inner = part.narrow(axis, 0, n - 1)
            image.narrow(axis, 1, n - 1).add_(inner, alpha=1 / step)
            image.narrow(axis, 0, n - 1).sub_(inner, alpha=1 / step)
        return image

    @staticmethod
    def backward(ctx: Any, image: Tensor) -> tuple[Tensor, None]:
        return _Gradient.apply(image, ctx.spacing), None  # type: ignore[no-untyped-call]


def _spacing(dims: int, spacing: Sequence[float] | None) -> tuple[float, ...]:
    steps = (1.0,) * dims if spacing is None else tuple(float(s) for s in spacing)
    if dims not in (2, 3) or len(steps) != dims or not all(s > 0 for s in steps):
        raise ImageError(f"gradient in {dims}-D, spacing {spacing}: expected 2-D or 3-D and a positive size per axis")
    return steps
