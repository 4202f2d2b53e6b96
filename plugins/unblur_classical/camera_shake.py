"""A grid of kernels that one motion of the camera makes: how long it was shifted and turned how far.

Whyte, Sivic, Zisserman & Ponce, "Non-uniform deblurring for shaken images", CVPR 2010; Gupta, Joshi, Zitnick, Cohen &
Curless, "Single image deblurring using motion density functions", ECCV 2010; Hirsch, Schuler, Harmeling & Schölkopf,
"Fast removal of non-uniform camera shake", ICCV 2011, which restricts the kernels of overlap-add so.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from unblur.components import Context, KernelPrior, KernelSpec, Shape, Transfer
from unblur.errors import CompositionError
from unblur.given_kernel import normalised
from unblur_classical.descent import projected_descent
from unblur_classical.kernels import ProjectedWeights, bell, given
from unblur_classical.part_params import CameraShakeParams

_FIT_STEPS = 200
"""Projected gradients to the weights that make given kernels."""


class CameraShake(ProjectedWeights[CameraShakeParams]):
    """k_n(p) = sum over angles and shifts of μ(θ, s) δ(p - s - d_n(θ)), d_n(θ) = c_n - R(θ) c_n.

    The weights μ (1, angles, *shifts), ``parameters()[0]``, are the part of the exposure that the camera spent in each
    pose. c_n is the place of kernel n from the image's centre, about which the camera turns; turning about another
    point is turning and shifting. Positions between pixels are interpolated linearly. One kernel knows of no turning.
    """

    def init(self, spec: KernelSpec, context: Context) -> None:
        self.spec = spec
        turns = self._turns(spec)
        moves = _displacements(turns, _places(spec)) if len(turns) > 1 else np.zeros((spec.count, 1, 2))
        self.table = _table(moves, spec.shape, context.compute.device)
        self.shape = (1, len(turns), *spec.shape)
        if context.psf is not None:
            context.note("the given PSF is where the kernels begin, and change from there")
            weights = self._fitted(given("camera-shake", spec, context))
        else:
            weights = bell((len(turns), *spec.shape), self.params.width)[None].to(context.compute.device)
        self.weights = normalised(weights).requires_grad_()

    def _turns(self, spec: KernelSpec) -> Sequence[float]:
        """The angles in radians."""
        if spec.count == 1:
            return [0.0]
        if spec.layout is None:
            raise CompositionError("kernel_prior 'camera-shake': the forward model does not say where its kernels hold")
        largest = max(spec.shape) / 2 if self.params.turn is None else self.params.turn * spec.scale
        corner = math.hypot(*spec.image) / 2 * spec.scale
        farthest = float(np.linalg.norm(_places(spec), axis=-1).max())
        steps = math.ceil(largest / corner * farthest / self.params.spacing)
        return [index / max(1, steps) * largest / corner for index in range(-steps, steps + 1)]

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        with torch.no_grad():
            self.weights.copy_(normalised(self._fitted(kernel.clamp_min(0))))

    def _fitted(self, kernels: Tensor) -> Tensor:
        """The weights whose kernels are nearest, from the mean kernel without turning on."""
        start = kernels.new_zeros(self.shape)
        start[0, self.shape[1] // 2] = kernels.mean(0)
        most = float(self.gather(self.expand(torch.ones_like(start))).max())
        return projected_descent(
            start, lambda weights: self.gather(self.expand(weights) - kernels), 1 / most, _FIT_STEPS
        )

    def expand(self, weights: Tensor) -> Tensor:
        return _Product.apply(weights.flatten(), *self.table).view(self.spec.count, *self.spec.shape)  # type: ignore[no-untyped-call,no-any-return]

    def gather(self, kernels: Tensor) -> Tensor:
        return _Product.apply(kernels.flatten(), *reversed(self.table)).view(self.shape)  # type: ignore[no-untyped-call,no-any-return]

    def centred(self, weights: Tensor) -> Tensor:
        """About the mean angle, so that the image is not turned."""
        angles = self.shape[1]
        shares = weights[0].flatten(1).sum(1)
        middle = float((shares * torch.arange(angles).to(shares)).sum() / shares.sum().clamp_min(1e-12)) - angles // 2
        whole = math.floor(middle)
        part = middle - whole
        return (1 - part) * _moved(weights, whole) + part * _moved(weights, whole + 1)


def _moved(weights: Tensor, steps: int) -> Tensor:
    """By some angles towards the first; what leaves is lost."""
    moved = torch.zeros_like(weights)
    count = weights.shape[1] - abs(steps)
    if count > 0:
        moved.narrow(1, max(0, -steps), count).copy_(weights.narrow(1, max(0, steps), count))
    return moved


def _places(spec: KernelSpec) -> np.ndarray:
    """Where the kernels hold, (count, 2), in pixels of the stage from the image's centre."""
    assert spec.layout is not None
    centres = spec.layout.centres(spec.image).reshape(spec.count, -1)
    places: np.ndarray = (centres - (np.array(spec.image) - 1) / 2) * spec.scale
    return places


def _displacements(turns: Sequence[float], places: np.ndarray) -> np.ndarray:
    """c - R(θ) c for places c (count, 2): (count, angles, 2)."""
    cosine, sine = np.cos(turns), np.sin(turns)
    y, x = places[:, :1], places[:, 1:]
    return np.stack([y - (cosine * y - sine * x), x - (sine * y + cosine * x)], axis=-1)


class _Product(torch.autograd.Function):
    """A sparse matrix times a vector; its transpose is the gradient."""

    @staticmethod
    def forward(ctx: Any, vector: Tensor, matrix: Tensor, transpose: Tensor) -> Tensor:
        ctx.matrices = transpose, matrix
        return matrix @ vector

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(gradient, *ctx.matrices), None, None  # type: ignore[no-untyped-call]


def _table(moves: np.ndarray, shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """The sparse matrix from weights (angles, *shape) to kernels (count, *shape), and its transpose.

    Args:
        moves: (count, angles, 2).
    """
    count, angles = moves.shape[:2]
    size = math.prod(shape)
    whole = np.floor(moves).astype(np.int32)
    part = (moves - whole).astype(np.float32)
    number, angle, y, x = np.indices((count, angles, *shape), np.int32, sparse=True)
    column = np.broadcast_to(
        np.arange(angles * size, dtype=np.int32).reshape(1, angles, *shape), (count, angles, *shape)
    )
    rows, columns, values = [], [], []
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dy - part[..., 0]) * np.abs(1 - dx - part[..., 1])
            row_y = y + whole[number, angle, 0] + dy
            row_x = x + whole[number, angle, 1] + dx
            shares = np.broadcast_to(weight[:, :, None, None], column.shape)
            inside = (row_y >= 0) & (row_y < shape[0]) & (row_x >= 0) & (row_x < shape[1]) & (shares > 0)
            row = (number * shape[0] + row_y) * shape[1] + row_x
            rows.append(row[inside])
            columns.append(column[inside])
            values.append(shares[inside])
    places = np.concatenate(rows), np.concatenate(columns)
    matrix = csr_array((np.concatenate(values), places), (count * size, angles * size), dtype=np.float32)
    return _compressed(matrix, device), _compressed(matrix.T.tocsr(), device)


def _compressed(matrix: csr_array, device: torch.device) -> Tensor:
    """For torch, which calls its compressed sparse matrices unfinished; their products with vectors are not."""
    parts = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")
        return torch.sparse_csr_tensor(*parts, size=matrix.shape).to(device)
