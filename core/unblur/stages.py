"""From one stage to the next: what the earlier one found, on the grids of the later one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from unblur.components import Clock, Estimate, Shape, Transfer
from unblur.pipeline import Stage
from unblur.problem import Problem

_FAINT = 0.05
"""Weights below this part of the largest one do not hold the support open."""

_MARGIN = 0.25
"""Room left on each side of the support found, as a part of its size."""


def next_shape(earlier: Problem, estimate: Estimate, stage: Stage) -> tuple[Shape, tuple[float, ...]]:
    """Kernel shape for the next stage, and where its centre lies in the earlier kernel (earlier pixels from its origin)."""
    ratio = stage.scale / earlier.stage.scale
    shape, centre = earlier.spec.shape, (0.0,) * len(earlier.spec.shape)
    if stage.support == "shrink":
        shape, centre = support(estimate.kernel)
    if ratio == 1:
        return shape, centre
    return tuple(math.ceil(size * ratio) | 1 for size in shape), centre


def support(kernel: Tensor) -> tuple[Shape, tuple[float, ...]]:
    """Shape (odd) and centre (pixels from the origin) of what carries weight in kernels (count, *spatial), with a margin."""
    strong = (kernel > _FAINT * kernel.amax()).any(dim=0)
    sizes, centres = [], []
    for axis, full in enumerate(strong.shape):
        others = [other for other in range(strong.ndim) if other != axis]
        places = torch.nonzero(strong.any(dim=others) if others else strong).flatten()
        first, last = int(places[0]), int(places[-1])
        extent = last - first + 1
        sizes.append(min(full, (extent + 2 * max(1, math.ceil(_MARGIN * extent))) | 1))
        centres.append((first + last) / 2 - full // 2)
    return tuple(sizes), tuple(float(round(centre)) for centre in centres)


def transfer(earlier: Problem, later: Problem, centre: tuple[float, ...]) -> Transfer:
    """The map between the grids of two stages.

    With displacements d and positions p relative to the origins, a kernel shifted by c, k'(d) = k(d + c), needs the latent
    image x'(p) = x(p - c), so that the prediction stays what it was.
    """
    ratio = later.stage.scale / earlier.stage.scale
    old, new = earlier.spec.shape, later.spec.shape

    def latent(tensor: Tensor) -> Tensor:
        for axis, size in enumerate(later.latent_shape[2:]):
            positions = torch.arange(size, dtype=torch.float64) - _margin(later, axis)
            places = (positions + 0.5) / ratio - 0.5 - centre[axis] + _margin(earlier, axis)
            tensor = _sample(tensor, places, axis - len(new))
        return tensor

    def kernel(tensor: Tensor) -> Tensor:
        for axis, size in enumerate(new):
            displacements = torch.arange(size, dtype=torch.float64) - size // 2
            places = displacements / ratio + centre[axis] + old[axis] // 2
            tensor = _sample(tensor, places, axis - len(new), outside=0.0)
        if tensor.shape[0] != later.spec.count:
            tensor = tensor.mean(dim=0, keepdim=True).expand(later.spec.count, *tensor.shape[1:])
        return tensor / tensor.flatten(1).sum(1).clamp_min(1e-12).view(-1, *(1,) * len(new))

    same = earlier.stage.crop == later.stage.crop and earlier.stage.frames == later.stage.frames
    return Transfer(latent, kernel, same)


def _margin(problem: Problem, axis: int) -> int:
    """Index of the latent pixel that lies on observed pixel 0; 0 where the latent image is not larger."""
    larger = problem.latent_shape[2 + axis] > problem.batch.observed.shape[2 + axis]
    return (problem.spec.shape[axis] - 1) // 2 if larger else 0


def _sample(tensor: Tensor, places: Tensor, axis: int, outside: float | None = None) -> Tensor:
    """Linear interpolation along one axis at fractional indices; beyond the ends the last value, or `outside`."""
    size = tensor.shape[axis]
    places = places.to(tensor.device)
    inside = (places > -1) & (places < size)
    clamped = places.clamp(0, size - 1)
    left = clamped.floor().long().clamp(max=max(size - 2, 0))
    share = (clamped - left).to(tensor.dtype)
    shape = [1] * tensor.ndim
    shape[axis] = -1
    right = (left + 1).clamp(max=size - 1)
    values = tensor.index_select(axis, left) * (1 - share).view(shape) + tensor.index_select(axis, right) * share.view(shape)
    return values if outside is None else torch.where(inside.view(shape), values, values.new_tensor(outside))


def hand_over(earlier: Problem, later: Problem, centre: tuple[float, ...], estimate: Estimate) -> None:
    """Let the later problem's priors begin with what the earlier stage found."""
    moved = transfer(earlier, later, centre)
    later.kernels.start_from(earlier.kernels, moved.kernel(estimate.kernel), moved)
    if moved.same_region:
        later.image.start_from(earlier.image, moved.latent(estimate.image), moved)


def current(problem: Problem, state: Any, clock: Clock) -> Estimate:
    """The estimate of a running problem, drawn with a generator of its own."""
    rng = problem.context.compute.generator(clock.step)
    with torch.no_grad():
        return problem.estimator.estimate(problem, state, problem.batch, clock, rng)
