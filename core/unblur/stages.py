"""From one stage to the next: what the earlier one found, on the grids of the later one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from unblur.components import Clock, Estimate, Shape, Transfer
from unblur.compute import seed_of
from unblur.operators.resample import resample_kernel, resize, resize_latent, shift
from unblur.pipeline import Stage
from unblur.problem import Problem

_FAINT = 0.05
"""Weights below this part of the largest one do not hold the support open."""

_ABOVE_NOISE = 4.0
"""Standard deviations of the noise at the rim of a kernel above which a weight counts."""

_SPECK = 0.05
"""What belongs together and sums to less than this part of the heaviest does not hold the support open."""

_GAP = 0.08
"""Weights as near to each other as twice this part of the support belong together."""

_BESIDE = 1.0
"""In a narrow support, at most twice so many pixels: else what stands beside a kernel would be drawn into it."""

_GHOST = 0.6
"""In a wide support, what belongs together and sums to less than this part of the heaviest does not hold it open.

A kernel found at a coarse resolution has faint copies there, far from it. In a narrow one they would be parts of it.
"""

WIDE = 0.25
"""Of the image along each axis: a support beyond it is expected to be far larger than the kernel."""

_WORTH = 0.6
"""A support is cut along an axis if at most this part of it is left; less saves no time, and could cost weight."""

_MARGIN = 0.25
"""Room left on each side of the support found, as a part of its size."""


def next_shape(earlier: Problem, estimate: Estimate, stage: Stage) -> tuple[Shape | None, tuple[float, ...]]:
    """Kernel shape for the next stage, and its centre in the earlier kernel (earlier pixels from the origin).

    A kernel that is learned is centred, and cut to its support where the stage says so; one that is known stays as it
    is. None for a flow field, whose shape follows from the image.
    """
    ratio = stage.scale / earlier.stage.scale
    shape, centre = earlier.spec.shape, (0.0,) * len(earlier.spec.shape)
    if earlier.spec.kind == "flow":
        return None, centre
    if earlier.kernels.parameters():  # what is learned may drift: it is brought back before it is cut by the border
        wide = any(k > WIDE * n for k, n in zip(shape, earlier.batch.observed.shape[2:], strict=True))
        smaller, centre = support(estimate.kernel, wide)
        if stage.support == "shrink":
            shape = tuple(new if new <= _WORTH * size else size for new, size in zip(smaller, shape, strict=True))
    if ratio == 1:
        return shape, centre
    return tuple(math.ceil(size * ratio) | 1 for size in shape), centre


def support(kernel: Tensor, wide: bool = False) -> tuple[Shape, tuple[float, ...]]:
    """Shape (odd) and centre (pixels from the origin) of what carries weight in kernels (count, *spatial).

    There is a margin on each side. What is faint, below the noise at the rim, or a speck does not count.

    Args:
        wide: the support is far larger than the kernel, and what stands alone in it is a ghost.
    """
    weights = kernel.detach().double().cpu().amax(dim=0).numpy()
    inner = np.zeros(weights.shape, dtype=bool)
    inner[tuple(slice(1, -1) if size > 2 else slice(None) for size in weights.shape)] = True
    rim = weights[~inner] if not inner.all() else np.zeros(1)
    noise = np.median(rim) + _ABOVE_NOISE * 1.4826 * np.median(np.abs(rim - np.median(rim)))
    threshold = max(_FAINT * weights.max(), min(noise, 0.5 * weights.max()))
    if not weights.max() > 0:
        return weights.shape, (0.0,) * weights.ndim
    above = weights > threshold
    gap = _GAP * min(above.shape)
    near = ndimage.distance_transform_edt(~above) <= (gap if wide else min(gap, _BESIDE))
    labels, count = ndimage.label(near, np.ones((3,) * weights.ndim))
    sums = ndimage.sum_labels(np.where(above, weights, 0), labels, np.arange(1, count + 1))
    least = (_GHOST if wide else _SPECK) * sums.max()
    strong = above & np.isin(labels, 1 + np.flatnonzero(sums >= least))
    sizes, centres = [], []
    for places, full in zip(np.nonzero(strong), strong.shape, strict=True):
        first, last = int(places.min()), int(places.max())
        extent = last - first + 1
        size = min(full, (extent + 2 * max(1, math.ceil(_MARGIN * extent))) | 1)
        sizes.append(size)
        centres.append(0.0 if extent == full else float((first + last) // 2 - full // 2))
    return tuple(sizes), tuple(centres)


def transfer(earlier: Problem, later: Problem, centre: tuple[float, ...]) -> Transfer:
    """The map between the grids of two stages.

    With displacements d and positions p relative to the origins, a kernel shifted by c, k'(d) = k(d + c), needs the
    latent image x'(p) = x(p - c), so that the prediction stays what it was.
    """
    ratio = later.stage.scale / earlier.stage.scale
    shape, count = later.spec.shape, later.spec.count
    dims = len(shape)
    sizes = zip(later.batch.observed.shape[2:], earlier.batch.observed.shape[2:], strict=True)
    ratios = [new / old for new, old in sizes]  # of whole pixels, so that nothing drifts towards the far edges

    def latent(tensor: Tensor) -> Tensor:
        images = shift(tensor.reshape(-1, 1, *tensor.shape[-dims:]), centre, "linear")
        target = later.latent_shape[2:]
        images = resize_latent(images, target, ratios, _surplus(earlier), _surplus(later), "linear")
        return images.reshape(*tensor.shape[:-dims], *target)

    def kernel(tensor: Tensor) -> Tensor:
        if later.spec.kind == "flow":
            return resize(tensor[None], shape, "linear")[0] * ratio
        tensor = shift(tensor[None], [-offset for offset in centre], "linear", "zero")[0]
        tensor = resample_kernel(tensor, ratio, shape, "linear")
        if tensor.shape[0] != count:
            tensor = tensor.mean(dim=0, keepdim=True).expand(count, *shape)
        return tensor / tensor.flatten(1).sum(1).clamp_min(1e-12).view(-1, *(1,) * dims)

    same = earlier.stage.crop == later.stage.crop and earlier.stage.frames == later.stage.frames
    return Transfer(latent, kernel, same)


def _surplus(problem: Problem) -> Shape:
    """The kernel's shape where the latent image is larger than the observed one by its margins; 1 where it is not."""
    sizes = zip(problem.spec.shape, problem.latent_shape[2:], problem.batch.observed.shape[2:], strict=True)
    return tuple(kernel if latent > observed else 1 for kernel, latent, observed in sizes)


def hand_over(earlier: Problem, later: Problem, centre: tuple[float, ...], estimate: Estimate) -> None:
    """Let the later problem's priors begin with what the earlier stage found."""
    moved = transfer(earlier, later, centre)
    later.kernels.start_from(earlier.kernels, moved.kernel(estimate.kernel), moved)
    if moved.same_region:
        later.image.start_from(earlier.image, moved.latent(estimate.image), moved)


def current(problem: Problem, state: Any, clock: Clock) -> Estimate:
    """The estimate of a running problem, drawn with a generator of its own."""
    rng = problem.context.compute.generator(seed_of(problem.rng.initial_seed(), (clock.stage, clock.step)))
    with torch.no_grad():
        found = problem.estimator.estimate(problem, state, problem.batch, clock, rng)
    return Estimate(found.image.detach(), found.kernel.detach().clone(), found.spread)
