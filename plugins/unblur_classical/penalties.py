"""Penalties on latent images and on kernels."""

from __future__ import annotations

from torch import Tensor

from unblur.components import Penalty
from unblur.operators.gradient import gradient, l1_over_l2, total_variation
from unblur_classical.part_params import (
    KernelL2Params,
    KernelTotalVariationParams,
    L1OverL2Params,
    SquaredGradientParams,
    TotalVariationParams,
)


class TotalVariation(Penalty[TotalVariationParams]):
    """Mean length of the gradient, smoothed at zero: Rudin, Osher, Fatemi 1992."""

    def __call__(self, value: Tensor) -> Tensor:
        return total_variation(value, self.params.isotropic, self.params.epsilon)


class L1OverL2(Penalty[L1OverL2Params]):
    """||∇x||₁ / ||∇x||₂: Krishnan, Tay, Fergus 2011; Zhuang et al. 2023, eq. 19."""

    def __call__(self, value: Tensor) -> Tensor:
        return l1_over_l2(value, reduction="mean" if self.params.normalised else "sum")


class SquaredGradient(Penalty[SquaredGradientParams]):
    """Mean squared length of the gradient: Tikhonov and Arsenin."""

    def __call__(self, value: Tensor) -> Tensor:
        return gradient(value).square().sum(0).mean()


class KernelL2(Penalty[KernelL2Params]):
    """||k||², the mean over kernels: Li, Nan, Ji 2022, Algorithm 1, where it stands beside a mean squared misfit."""

    def __call__(self, value: Tensor) -> Tensor:
        squares = value.square()
        return squares.mean() if self.params.reduction == "mean" else squares.flatten(1).sum(1).mean()


class KernelTotalVariation(Penalty[KernelTotalVariationParams]):
    """Sum of the lengths of the kernel's gradient, the mean over kernels."""

    def __call__(self, value: Tensor) -> Tensor:
        smooth = 0.1 / value[0].numel()
        return total_variation(value[:, None], self.params.isotropic, smooth, "sum") / value.shape[0]
