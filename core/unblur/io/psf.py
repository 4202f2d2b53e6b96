"""Point spread functions in: checked, normalised, and left alone where nothing is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from unblur.errors import ImageError
from unblur.image import check_axes
from unblur.kernel_grid import KernelGrid

NORMALISED = 1e-6  # the sum of a kernel that was normalised in float32 is this close to one
TOLERATED_NEGATIVE = 0.05  # of the flux; more is not noise
TOLERATED_LOSS = 0.01  # of the flux, when a PSF is cropped to the image
NEGLIGIBLE = 1e-5  # of the flux, in margins that are cut off
BACKGROUND = 0.1  # of the flux; more at the level of the rim is said
RIM = (0.02, 0.5)  # of the peak: less may be the PSF's own, more is one that is cut off, or a box
FLAT = 0.75  # of the light along the sides of a plane, in its corners: less falls off, as the flanks of a PSF do
FAINT_SHARE = 0.3  # of the flux; less at a level below `RIM` may be flanks as well
CLEAR = 0.35  # of the peak above a background, from which on light is the PSF's
FAR = 11  # pixels along Y and X, from which on a PSF is expected to have fallen at its rim
WORTH_CUTTING = 1.1  # pixels of the latent image with the margins, over those without


class Psf(NamedTuple):
    """A kernel ready for use: float32 (count, *spatial), each summing to one, with its origin at floor(n / 2).

    ``flux`` holds the sums before normalisation; ``notes`` say what was changed or looks wrong. ``along`` are the axes
    that several of them were given along, C, T or both, and ``counts`` how many along each.
    """

    kernel: np.ndarray
    flux: tuple[float, ...]
    notes: tuple[str, ...]
    along: str = ""
    counts: tuple[int, ...] = ()

    @property
    def grid(self) -> KernelGrid | None:
        """Where several kernels hold in one image; None where each is for a whole one."""
        return None

    def noted(self, notes: Iterable[str]) -> Psf:
        """The same with other notes."""
        return self._replace(notes=tuple(notes))

    def with_kernel(self, kernel: np.ndarray) -> Psf:
        """The same with other kernels."""
        return self._replace(kernel=kernel)


class GridPsf(Psf):
    """Kernels of a grid, ready for use."""

    layout: KernelGrid

    @classmethod
    def of(cls, psf: Psf, layout: KernelGrid) -> GridPsf:
        """The kernels of a PSF on a grid, in its order."""
        made = cls(*psf)
        made.layout = layout
        return made

    @property
    def grid(self) -> KernelGrid:
        return self.layout

    def noted(self, notes: Iterable[str]) -> Psf:
        return GridPsf.of(super().noted(notes), self.layout)

    def with_kernel(self, kernel: np.ndarray) -> Psf:
        return GridPsf.of(super().with_kernel(kernel), self.layout)


def prepare_psf(
    array: np.ndarray, axes: str | None = None, *, image_shape: Sequence[int] | None = None, centre: bool = False
) -> Psf:
    """Check a PSF and normalise it to a kernel.

    ``array`` is YX, or with ``axes`` ZYX for a volume, and with C, T or both before them for several PSFs. The origin
    is at floor(n / 2) on every axis, for even sizes too. ``centre=True`` moves the centroid there by whole pixels,
    without losing any; otherwise an off-centre PSF is kept and noted, since the result is then shifted.
    ``image_shape`` is the spatial shape of the image: a PSF that is larger along Y or X is cropped if that loses at
    most 1 % of its flux; it may be deeper than a stack.

    Raises ImageError for NaN, Inf, no flux, much negative flux, a PSF larger than the image, or missing axes.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise ImageError("a PSF as a masked array would lose its mask; pass array.filled(0)")
    kernels, spatial, several = _stack(np.asarray(array), axes)
    notes: list[str] = []
    if not np.isfinite(kernels).all():
        raise ImageError(f"the PSF has {np.count_nonzero(~np.isfinite(kernels))} NaN or Inf; remove them first")
    kernels = _without_negative(kernels, notes)
    given, levels = kernels.shape[1:], _levels(kernels)
    notes.extend(_backgrounds(kernels, levels))
    if centre:
        kernels = _centred(kernels, levels, notes)
    if image_shape is not None:
        kernels = _cropped(kernels, tuple(image_shape), given, notes)
    flux = kernels.reshape(len(kernels), -1).sum(axis=1, dtype=np.float64)
    if (flux <= 0).any():
        raise ImageError(f"PSF {int(np.argmin(flux))} sums to {flux.min():g}; a PSF needs light in it")
    for number, (kernel, total, level) in enumerate(zip(kernels, flux, levels, strict=True)):
        offset = _centroid(kernel, level) - np.array(kernel.shape) // 2
        if np.abs(offset).max() > 1:
            which = f"PSF {number}" if len(kernels) > 1 else "the PSF"
            shift = ", ".join(f"{axis} {value:+.1f}" for axis, value in zip(spatial, offset, strict=True))
            notes.append(f"{which} is off centre by {shift} pixels: the result is shifted by as much")
        if abs(total - 1) > NORMALISED:
            notes.append(f"the PSF summed to {total:.6g}: divided by it")
    normal = np.abs(flux - 1) <= NORMALISED
    divisor = np.where(normal, 1.0, flux).reshape(-1, *(1 for _ in spatial))
    kernel = kernels.astype(np.float32) if normal.all() else (kernels.astype(np.float64) / divisor).astype(np.float32)
    return Psf(kernel, tuple(map(float, flux)), tuple(notes), "".join(several), tuple(several.values()))


def in_order(array: np.ndarray, axes: str) -> tuple[np.ndarray, str]:
    """An array with its spatial axes last, in the order ZYX."""
    order = "".join(sorted(axes, key=lambda axis: "ZYX".find(axis)))
    return np.transpose(array, [axes.index(axis) for axis in order]), order


def _stack(array: np.ndarray, axes: str | None) -> tuple[np.ndarray, str, dict[str, int]]:
    """The PSFs as (count, *spatial), the letters of the spatial axes, and how many there are along the others."""
    if array.dtype.kind not in "iuf" or array.size == 0:
        raise ImageError(f"a PSF of shape {array.shape} and dtype {array.dtype}; real numbers are expected")
    if axes is None:
        if array.ndim != 2:
            raise ImageError(f"a PSF of shape {array.shape} needs axes: ZYX for a volume, CYX for one PSF per channel")
        axes = "YX"
    axes = axes.upper()
    check_axes(axes, array.shape)
    spatial = "ZYX" if "Z" in axes else "YX"
    array, axes = in_order(array, axes)
    outer = axes.removesuffix(spatial)
    if not set(outer) <= {"C", "T"} or not axes.endswith(spatial):
        raise ImageError(
            f"a PSF with axes {axes!r}; expected YX, ZYX, or with C, T or both before them for several PSFs"
        )
    kernels = array.reshape(-1, *array.shape[len(outer) :])
    several = dict(zip(outer, array.shape, strict=False))
    return kernels if kernels.dtype.kind == "f" else kernels.astype(np.float64), spatial, several


def _levels(kernels: np.ndarray) -> np.ndarray:
    """For each PSF the level that looks like a background; 0 where none does.

    It is at the rim of every plane, dark beside the peak and much in all; where it is very dark, it is also as bright
    in the corners as along the sides, where the flanks of a PSF are not.
    """
    if min(kernels.shape[-2:]) < FAR:
        return np.zeros(len(kernels))  # it may well end before it has fallen
    rim = np.ones(kernels.shape[-2:], bool)
    rim[1:-1, 1:-1] = False
    planes = np.median(kernels[..., rim], axis=-1).reshape(len(kernels), -1)
    least = planes.min(axis=1).astype(np.float64)
    share, part = _shares(kernels, least)
    darkest = kernels.reshape(*planes.shape, *kernels.shape[-2:])[np.arange(len(kernels)), planes.argmin(axis=1)]
    found = (share > BACKGROUND) & (share < 1) & (part < RIM[1])
    found &= (part >= RIM[0]) | ((share > FAINT_SHARE) & np.array([_is_flat(plane) for plane in darkest]))
    return np.where(found, least, 0.0)


def _shares(kernels: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels as parts of the PSFs' means and of their peaks."""
    pixels = kernels.reshape(len(kernels), -1).astype(np.float64)
    return tuple(levels / np.maximum(value, 1e-300) for value in (pixels.mean(axis=1), pixels.max(axis=1)))


def _is_flat(plane: np.ndarray) -> bool:
    """Whether the corners of a plane are about as bright as the middles of its sides."""
    height, width = plane.shape
    tall, wide = max(height // 5, 2), max(width // 5, 2)
    rows, columns = ([0, (size - part) // 2, size - part] for size, part in ((height, tall), (width, wide)))
    blocks = np.array([[plane[r : r + tall, c : c + wide].mean(dtype=np.float64) for c in columns] for r in rows])
    sides = np.array([blocks[0, 1], blocks[1, 0], blocks[1, 2], blocks[2, 1]])
    return bool(blocks[::2, ::2].mean() > FLAT * sides.mean())


def _backgrounds(kernels: np.ndarray, levels: np.ndarray) -> Iterator[str]:
    if not levels.any():
        return
    share, part = _shares(kernels, levels)
    worst = int(np.argmax(share))
    count = np.count_nonzero(levels)
    which = "the PSF has" if len(kernels) == 1 else f"{count} of {len(kernels)} PSFs have light at the rim, up to"
    yield (
        f"{which} {part[worst]:.1%} of the peak at the rim: if that is a background, which would be "
        f"{share[worst]:.0%} of its light and counts as blur, subtract it first"
    )


def _without_negative(kernels: np.ndarray, notes: list[str]) -> np.ndarray:
    negative = float(-kernels[kernels < 0].sum(dtype=np.float64))
    if negative == 0:
        return kernels
    positive = float(kernels[kernels > 0].sum(dtype=np.float64))
    if negative > TOLERATED_NEGATIVE * positive:
        raise ImageError(
            f"the PSF is negative in {np.count_nonzero(kernels < 0)} pixels, {negative / max(positive, 1e-300):.1%} "
            "of its flux; subtract its background or clip it first"
        )
    notes.append(f"{np.count_nonzero(kernels < 0)} negative pixels of the PSF ({negative / positive:.2%}) set to 0")
    clipped: np.ndarray = np.maximum(kernels, 0)
    return clipped


def _cropped(kernels: np.ndarray, image_shape: tuple[int, ...], given: tuple[int, ...], notes: list[str]) -> np.ndarray:
    """Cut to the image along Y and X, where the PSF as it was given, before it was centred, is larger."""
    shape = kernels.shape[1:]
    if len(image_shape) != len(shape):
        raise ImageError(f"a PSF of shape {shape} for an image of shape {image_shape}; both need the same dimensions")
    along_axes = list(zip(shape, given, image_shape, strict=True))
    plane = tuple(min(size, most) if before > most else size for size, before, most in along_axes[-2:])
    target = (*shape[:-2], *plane)
    if target == shape:
        return kernels
    window = tuple(
        slice(size // 2 - new // 2, size // 2 - new // 2 + new) for size, new in zip(shape, target, strict=True)
    )
    kept = kernels[(slice(None), *window)]
    sizes = " x ".join(map(str, shape)), " x ".join(map(str, image_shape))
    loss = 1 - float(kept.sum(dtype=np.float64)) / max(float(kernels.sum(dtype=np.float64)), 1e-300)
    if loss > TOLERATED_LOSS:
        raise ImageError(
            f"the PSF of {sizes[0]} is larger than the image of {sizes[1]}, "
            f"and {loss:.1%} of it would be cut off; use a smaller PSF or a larger image"
        )
    notes.append(f"the PSF was cropped from {shape} to {target}, which loses {loss:.2%} of its flux")
    return kept


def without_margins(psf: Psf, image_shape: Sequence[int]) -> Psf:
    """A PSF cut around its origin to what carries weight, where the latent image would be much larger otherwise.

    Simulated PSFs often come as large as the image, and are mostly empty. What is cut off carries less than 1e-5.
    """
    shape = psf.kernel.shape[1:]
    halves = [max(_half(kernel, axis) for kernel in psf.kernel) for axis in range(len(shape))]
    window = tuple(
        slice(max(size // 2 - half, 0), size // 2 + half + 1) for size, half in zip(shape, halves, strict=True)
    )
    kept = psf.kernel[(slice(None), *window)]
    before, after = (
        math.prod(n + k - 1 for n, k in zip(image_shape, sizes, strict=True)) for sizes in (shape, kept.shape[1:])
    )
    if before < WORTH_CUTTING * after:
        return psf
    sums = kept.sum(axis=tuple(range(1, kept.ndim)), keepdims=True, dtype=np.float64)
    note = f"the PSF was cut from {shape} to {kept.shape[1:]}: beyond is less than {NEGLIGIBLE:.3%} of its flux"
    return psf.noted((*psf.notes, note)).with_kernel((kept / sums).astype(np.float32))


def _half(kernel: np.ndarray, axis: int) -> int:
    """Pixels from the origin on either side of an axis, beyond which there is next to nothing."""
    marginal = kernel.sum(axis=tuple(other for other in range(kernel.ndim) if other != axis), dtype=np.float64)
    origin = len(marginal) // 2
    by_distance = np.bincount(np.abs(np.arange(len(marginal)) - origin), weights=marginal)
    beyond = by_distance.sum() - np.cumsum(by_distance)
    return int(np.argmax(beyond <= NEGLIGIBLE / kernel.ndim * by_distance.sum()))


def _centred(kernels: np.ndarray, levels: np.ndarray, notes: list[str]) -> np.ndarray:
    """Moved by whole pixels within a frame that grows by twice the move, so that nothing is cut off or wraps round."""
    centroids = [_centroid(one, level) for one, level in zip(kernels, levels, strict=True)]
    moves = [np.rint(np.array(kernels.shape[1:]) // 2 - centroid).astype(int) for centroid in centroids]
    margin = np.abs(moves).max(axis=0)
    if not margin.any():
        return kernels
    padded = np.pad(kernels, [(0, 0), *((int(size), int(size)) for size in margin)])
    dimensions = tuple(range(kernels.ndim - 1))
    moved = np.stack([np.roll(one, tuple(move), dimensions) for one, move in zip(padded, moves, strict=True)])
    notes.append(f"the PSF was centred by a move of {', '.join(str(tuple(map(int, move))) for move in moves)} pixels")
    return moved


def _centroid(kernel: np.ndarray, level: float) -> np.ndarray:
    """On a background, of what stands clearly above it: its noise and its slope may weigh as much as a bead."""
    if level:
        clear = kernel > level + CLEAR * (kernel.max() - level)
        kernel = np.where(clear, kernel - level, 0.0)
    total = max(float(kernel.sum(dtype=np.float64)), 1e-300)
    places = [np.arange(size) for size in kernel.shape]
    marginals = [
        kernel.sum(axis=tuple(other for other in range(kernel.ndim) if other != axis), dtype=np.float64)
        for axis in range(kernel.ndim)
    ]
    return np.array([float(place @ marginal) / total for place, marginal in zip(places, marginals, strict=True)])
