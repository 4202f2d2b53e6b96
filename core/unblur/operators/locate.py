"""Where in a larger latent image the observed window lies, and the kernel that goes with it (bounded shift ambiguity).

Zhuang et al. 2023, section 3.1.6: with a kernel support larger than the kernel, content and kernel may be shifted
against each other; the window most like the observation by SSIM is the image.

Every offset is scored by the SSIM of whole windows, whose means and variances are running sums and whose covariances
are one FFT correlation. That is cheap but its maximum is broad on a blurred image, so the mean of the local SSIM then
climbs from the best few offsets and decides between neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.fourier import as_float, fast_length, image_of, spectrum
from unblur.operators.resample import shift
from unblur.operators.windows import SSIM_TAPS, box_mean, ssim

STARTS = 3
SEPARATION = 4


@dataclass(frozen=True)
class Location:
    """The window's first pixel in the latent image, and its SSIM with the observation (1: equal)."""

    offset: tuple[int, ...]
    similarity: float


def locate(latent: Tensor, observed: Tensor, data_range: float = 1.0) -> Location:
    """Find the window of ``latent`` most like ``observed``; one offset for all frames and channels.

    Args:
        latent: (frames, channels, *n).
        observed: (frames, channels, *m) with m <= n along each axis.

    Raises:
        ImageError: shapes that do not fit.
    """
    if latent.shape[:2] != observed.shape[:2] or latent.ndim != observed.ndim:
        raise ImageError(
            f"cannot look for {tuple(observed.shape)} in {tuple(latent.shape)}: frames and channels differ"
        )
    if any(m > n for m, n in zip(observed.shape[2:], latent.shape[2:], strict=True)):
        raise ImageError(f"cannot look for {tuple(observed.shape)} in the smaller image {tuple(latent.shape)}")
    with torch.no_grad():
        latent, observed = as_float(latent, observed)
        scores = window_similarity(latent, observed, data_range)
        starts = _peaks(scores)
        if min(observed.shape[2:]) < SSIM_TAPS:
            return Location(starts[0], float(scores[starts[0]]))
        known: dict[tuple[int, ...], float] = {}
        for start in starts:
            _climb(start, latent, observed, data_range, tuple(scores.shape), known)
    best = max(known, key=known.__getitem__)
    return Location(best, known[best])


def window_similarity(latent: Tensor, observed: Tensor, data_range: float = 1.0) -> Tensor:
    """SSIM of whole windows for every offset (n - m + 1), the mean over frames and channels."""
    shape = tuple(observed.shape[2:])
    sizes = tuple(latent.shape[2:])
    axes = tuple(range(2, observed.ndim))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean = observed.mean(axes, keepdim=True)
    centred = observed - mean
    level = latent.mean(axes, keepdim=True)
    raised = latent - level
    means = box_mean(raised, shape)
    variances = (box_mean(raised * raised, shape) - means * means).clamp(min=0)
    means = means + level
    grid = tuple(fast_length(n) for n in sizes)
    product = spectrum(raised, grid) * spectrum(centred, grid).conj()
    covariances = image_of(product, grid, means.shape[2:]) / centred[0, 0].numel()
    luminance = (2 * means * mean + c1) / (means * means + mean * mean + c1)
    structure = (2 * covariances + c2) / (variances + (centred * centred).mean(axes, keepdim=True) + c2)
    return (luminance * structure).mean((0, 1))


def cut(image: Tensor, offset: Sequence[int], shape: Sequence[int]) -> Tensor:
    """The window of ``shape`` pixels that begins at ``offset`` along the last axes: a view.

    Raises:
        ImageError: the window does not lie inside the image.
    """
    for axis, (first, size) in enumerate(zip(offset, shape, strict=True), start=-len(shape)):
        if first < 0 or first + size > image.shape[axis]:
            raise ImageError(f"window {tuple(shape)} at {tuple(offset)} does not lie inside {tuple(image.shape)}")
        image = image.narrow(axis, first, size)
    return image


def kernel_at(kernel: Tensor, offset: Sequence[int]) -> Tensor:
    """The kernel (count, *k), about its origin floor(k / 2), that blurs the window at ``offset`` into the observation.

    ``kernel`` blurs the latent image into the observation by "valid" convolution. Weight that leaves the support is
    lost and the sum restored: pad the support before if that matters.
    """
    central = [k - 1 - k // 2 for k in kernel.shape[1:]]
    moved = shift(kernel[None], [float(q - c) for q, c in zip(offset, central, strict=True)], "linear", "zero")[0]
    axes = tuple(range(1, kernel.ndim))
    total = moved.sum(axes, keepdim=True)
    if not bool((total != 0).all()):
        raise ImageError(f"offset {tuple(offset)} moves the whole kernel out of its support {tuple(kernel.shape[1:])}")
    return moved * (kernel.sum(axes, keepdim=True) / total)


def nearest_keeping(kernel: Tensor, offset: Sequence[int], lost: float = 0.005) -> tuple[int, ...]:
    """The window's offset nearest to ``offset`` at which `kernel_at` keeps the kernel (count, *k) but for ``lost``.

    On each side of each axis at most that part of the weight leaves the support.
    """
    nearest = []
    weights = kernel.detach().double().sum(0)
    for axis, wanted in enumerate(offset):
        size = kernel.shape[1 + axis]
        central = size - 1 - size // 2
        profile = weights.movedim(axis, 0).reshape(size, -1).sum(1)
        least = lost * profile.sum()
        before, after = (int((part.cumsum(0) <= least).sum()) for part in (profile, profile.flip(0)))
        nearest.append(min(max(wanted, central - before), central + after))
    return tuple(nearest)


def _peaks(scores: Tensor) -> list[tuple[int, ...]]:
    """The best offsets that are not neighbours of a better one."""
    scores = scores.clone()
    peaks: list[tuple[int, ...]] = []
    for _ in range(STARTS):
        flat = int(scores.argmax())
        peak = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), scores.shape))
        if scores[peak] == -torch.inf:
            break
        peaks.append(peak)
        near = tuple(slice(max(i - SEPARATION, 0), i + SEPARATION + 1) for i in peak)
        scores[near] = -torch.inf
    return peaks


def _climb(
    start: tuple[int, ...],
    latent: Tensor,
    observed: Tensor,
    data_range: float,
    limits: tuple[int, ...],
    known: dict[tuple[int, ...], float],
) -> None:
    """Walk to the neighbour with the highest mean local SSIM until there is none, remembering every score."""

    def score(offset: tuple[int, ...]) -> float:
        if offset not in known:
            known[offset] = float(ssim(cut(latent, offset, observed.shape[2:]), observed, data_range))
        return known[offset]

    here = start
    while True:
        neighbours = [
            tuple(i + (step if a == axis else 0) for a, i in enumerate(here))
            for axis in range(len(here))
            for step in (-1, 1)
            if 0 <= here[axis] + step < limits[axis]
        ]
        best = max([here, *neighbours], key=score)
        if best == here:
            return
        here = best
