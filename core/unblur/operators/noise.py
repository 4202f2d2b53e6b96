"""The standard deviation of an image's noise, and a camera's gain and offset, from the image alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.errors import ImageError
from unblur.operators.fourier import as_float

NoiseMethod = Literal["patches", "laplacian"]
MAX_PATCHES = 100_000
FEWEST = 4
"""Patches for each of their pixels that tell the noise better than all of them do, with what was filled in."""

_SMALLEST = {2: 16, 3: 8}
"""Pixels along each axis, by the number of dimensions, from which on noise can be estimated."""

MAD_OF_NORMAL = 0.6744897501960817


@dataclass(frozen=True)
class CameraEstimate:
    """Gain (intensity per photo-electron) and offset (intensity of darkness) of variance = gain · (mean - offset).

    Read noise, which one image cannot tell from offset, lowers ``offset`` by its variance divided by the gain.
    ``confidence`` is the share of the variance's variation that the line explains, 0 to 1; at 0 both values are NaN.
    ``centre`` is the mean and the variance through which the line goes.
    """

    gain: float
    offset: float
    confidence: float
    centre: tuple[float, float] = (math.nan, math.nan)

    def gain_for(self, offset: float) -> float:
        """The gain that fits a known offset: of the line or, where read noise would be negative, through its centre."""
        above = self.centre[0] - offset
        return min(self.gain, self.centre[1] / above) if above > 0 else self.gain

    def offset_for(self, gain: float) -> float:
        """The offset that fits another gain."""
        return self.centre[0] - self.centre[1] / gain


def tells_noise(shape: Sequence[int]) -> bool:
    """Whether an image of this spatial shape is large enough to tell its noise, a thin volume by its planes."""
    return min(shape) >= _SMALLEST[len(shape)] or (len(shape) == 3 and min(shape[1:]) >= _SMALLEST[2])


def noise_std(image: Tensor, method: NoiseMethod = "patches", valid: Tensor | None = None) -> Tensor:
    """Standard deviation of additive white noise in each plane or volume of (frames, channels, *spatial).

    Args:
        image: where pixels do not count, with values like those around them.
        valid: of the image's shape, above 0 where a pixel counts; all do if None. What touches others tells nothing,
            but where hardly anything else is left.
        method: "patches" takes it from the smallest eigenvalues of the patches' covariance (Chen, Zhu, Heng 2015);
            "laplacian" from the median absolute response to a difference of Laplacians (Immerkær 1996, with Donoho's
            median), a few times faster. On blurred images both are within a few percent; fine texture in a sharp image
            raises both, "patches" more.

    Returns:
        (frames, channels), in the image's units.

    Raises:
        ImageError: an image smaller than 16 pixels along Y or X (8 in a volume of as many planes, whose fewer planes
            are looked at one by one), or an unknown method.
    """
    if _is_thin(image):
        each = noise_std(_planes(image), method, None if valid is None else _planes(valid.expand_as(image)))
        return each.reshape(len(image), -1, image.shape[1]).square().mean(1).sqrt()
    (image,) = as_float(image)
    side = _patch_side(image)
    known = None if valid is None else (valid > 0).expand_as(image)
    if method == "laplacian":
        response = _second_differences(image).abs()
        if known is not None:
            response = response.where(_surrounded(known), math.nan)
        medians: Tensor = response.flatten(2).nanmedian(-1).values
        return medians.nan_to_num() / MAD_OF_NORMAL
    if method == "patches":
        masks = [None] * math.prod(image.shape[:2]) if known is None else list(known.flatten(0, 1))
        planes = [_from_patches(plane, side, mask) for plane, mask in zip(image.flatten(0, 1), masks, strict=True)]
        return torch.stack(planes).reshape(image.shape[:2]).to(image.dtype)
    raise ImageError(f'unknown noise estimator {method!r}; choose one of: "laplacian", "patches"')


def without_outliers(image: Tensor, factor: float = 5.0, floor: float = 0.0) -> tuple[Tensor, Tensor]:
    """Impulses, hot and dead pixels replaced by the median of their neighbourhood of 3 pixels along each axis.

    A pixel is one of them if it lies farther from that median than `factor` times the robust standard deviation of such
    distances in its plane or volume, and than `floor`.

    Returns:
        the image (frames, channels, *spatial), and a mask of its shape: 0 where a pixel was replaced, 1 elsewhere.
    """
    (image,) = as_float(image)
    dims = image.ndim - 2
    windows = F.pad(image, [1] * (2 * dims), mode="replicate")
    for axis in range(2, 2 + dims):
        windows = windows.unfold(axis, 3, 1)
    median = windows.flatten(image.ndim).median(-1).values
    distance = (image - median).abs()
    spread = distance.flatten(2).median(-1).values / MAD_OF_NORMAL
    limit = (factor * spread).clamp_min(floor).reshape(*spread.shape, *(1,) * dims)
    kept = distance <= limit
    return torch.where(kept, image, median), kept.to(image.dtype)


def camera_estimate(image: Tensor, bins: int = 16, valid: Tensor | None = None) -> CameraEstimate:
    """Gain and offset of a linear camera from one image (frames, channels, *spatial), by mean-variance regression.

    The image is cut into patches, of which those count that are `valid` throughout (of the image's shape, above 0 where
    a pixel counts; all do if None). In each of ``bins`` classes of brightness the smoother half counts, smoothness
    being judged on differences between quarters of a patch, which the noise that is measured hardly enters.

    Raises:
        ImageError: an image too small to tell its noise.
    """
    if _is_thin(image):
        return camera_estimate(_planes(image), bins, None if valid is None else _planes(valid.expand_as(image)))
    (image,) = as_float(image)
    side = _patch_side(image)
    image = image.double()
    dims = image.ndim - 2
    noise = _second_differences(image)
    inner = image
    for axis in range(2, image.ndim):
        inner = inner.narrow(axis, 1, image.shape[axis] - 2)
    means = _block_means(inner, side).flatten()
    variances = _block_means(noise * noise, side).flatten()
    halves = _block_means(inner, side // 2)
    for axis in range(2, image.ndim):
        halves = halves.narrow(axis, 0, halves.shape[axis] // 2 * 2)
    structure = (_block_means(halves * halves, 2) - _block_means(halves, 2) ** 2).flatten()
    if valid is not None:
        known = _surrounded((valid > 0).expand_as(image)).double()
        whole = _block_means(known, side).flatten() > 1 - 0.5 / side**dims
        means, variances, structure = means[whole], variances[whole], structure[whole]
    order = means.argsort()
    points = []
    for group in order.tensor_split(min(bins, max(len(order) // 4, 1))) if len(order) else ():
        smooth = group[structure[group].argsort()[: max(len(group) // 2, 1)]]
        points.append((means[smooth].mean(), variances[smooth].mean()))
    if not points:
        return CameraEstimate(math.nan, math.nan, 0.0)
    x = torch.stack([p[0] for p in points])
    y = torch.stack([p[1] for p in points])
    return _line(x, y, samples=side**dims)


def _line(x: Tensor, y: Tensor, samples: int) -> CameraEstimate:
    """Weighted line through (mean, variance): the error of a variance is in proportion to itself."""
    nothing = CameraEstimate(math.nan, math.nan, 0.0)
    if len(x) < 4 or float(y.max()) <= 0:
        return nothing
    weight = torch.ones_like(y)
    slope, at_zero, fitted = 0.0, 0.0, y
    for _ in range(20):
        total = weight.sum()
        mean_x, mean_y = (weight * x).sum() / total, (weight * y).sum() / total
        spread = (weight * (x - mean_x) ** 2).sum()
        if float(spread) <= 0:
            return nothing
        slope = float((weight * (x - mean_x) * (y - mean_y)).sum() / spread)
        at_zero = float(mean_y - slope * mean_x)
        fitted = slope * x + at_zero
        floor = float(y.max()) * 1e-3
        relative = (y - fitted) / fitted.clamp(min=floor)
        huber = (2 / math.sqrt(samples) / relative.abs().clamp(min=1e-12)).clamp(max=1)
        weight = huber / fitted.clamp(min=floor) ** 2
    if slope <= 0:
        return nothing
    mean_x, mean_y = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    explained = 1 - float((weight * (y - fitted) ** 2).sum() / (weight * (y - mean_y) ** 2).sum())
    if explained <= 0:
        return nothing
    return CameraEstimate(slope, -at_zero / slope, min(explained, 1.0), (float(mean_x), float(mean_y)))


def _from_patches(plane: Tensor, side: int, known: Tensor | None) -> Tensor:
    """Chen, Zhu, Heng 2015, Algorithm 1: drop the largest eigenvalues until mean and median of the rest agree."""
    patches = _patches(plane, side).double()
    if known is not None:
        whole = _patches(known, side).all(1)
        if int(whole.sum()) >= FEWEST * side**plane.ndim:
            patches = patches[whole]
    patches = patches - patches.mean(0)
    eigenvalues = torch.linalg.eigvalsh(patches.T @ patches / len(patches)).clamp(min=0)
    kept = torch.arange(1, len(eigenvalues) + 1, device=plane.device)
    means = eigenvalues.cumsum(0) / kept
    medians = (eigenvalues[(kept - 1) // 2] + eigenvalues[kept // 2]) / 2
    last = torch.where(means <= medians, kept, torch.ones_like(kept)).max()
    std: Tensor = means[last - 1].sqrt()
    return std


def _patches(plane: Tensor, side: int) -> Tensor:
    """Windows of a plane or volume, (count, pixels); of many, some."""
    windows = plane
    for axis in range(plane.ndim):
        windows = windows.unfold(axis, side, 1)
    count = math.prod(windows.shape[: plane.ndim])
    step = max(1, math.ceil((count / MAX_PATCHES) ** (1 / plane.ndim)))
    windows = windows[(slice(None, None, step),) * plane.ndim]
    return windows.reshape(-1, side**plane.ndim)


def _second_differences(image: Tensor) -> Tensor:
    """[1, -2, 1] along every axis, scaled so that white noise keeps its standard deviation."""
    for axis in range(2, image.ndim):
        n = image.shape[axis] - 2
        image = (image.narrow(axis, 0, n) + image.narrow(axis, 2, n)).sub_(image.narrow(axis, 1, n), alpha=2)
    return image / math.sqrt(6) ** (image.ndim - 2)


def _surrounded(known: Tensor) -> Tensor:
    """Where all that a second difference looks at is known."""
    for axis in range(2, known.ndim):
        n = known.shape[axis] - 2
        known = known.narrow(axis, 0, n) & known.narrow(axis, 1, n) & known.narrow(axis, 2, n)
    return known


def _block_means(image: Tensor, side: int) -> Tensor:
    for axis in range(2, image.ndim):
        n = image.shape[axis] // side
        blocks = image.narrow(axis, 0, n * side)
        image = blocks.reshape(*image.shape[:axis], n, side, *image.shape[axis + 1 :]).mean(axis + 1)
    return image


def _is_thin(image: Tensor) -> bool:
    return image.ndim == 5 and image.shape[2] < _SMALLEST[3] and tells_noise(image.shape[2:])


def _planes(volumes: Tensor) -> Tensor:
    """(frames, channels, Z, Y, X) as (frames times Z, channels, Y, X)."""
    return volumes.transpose(1, 2).flatten(0, 1)


def _patch_side(image: Tensor) -> int:
    if image.ndim not in (4, 5):
        raise ImageError(f"an image of shape {tuple(image.shape)}: expected (frames, channels, *spatial), 2-D or 3-D")
    smallest = _SMALLEST[image.ndim - 2]
    if min(image.shape[2:]) < smallest:
        raise ImageError(
            f"noise of an image of {tuple(image.shape[2:])} pixels: expected at least {smallest} along each"
        )
    return smallest // 2
