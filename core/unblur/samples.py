"""Images to try things on, drawn or from pictures that come with scikit-image; torch is not needed.

All are simulated: a sharp picture is blurred with a known kernel and gets the photon noise of a camera. `unblur demo`
has two photographs more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unblur.image import Image

STEP = 0.1
"""Pixel size of the microscopy samples in µm."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An image with what is known about it.

    Attributes:
        psf: the kernel that blurred it, with the image's pixel size.
        truth: the picture before it was blurred, in the shape and units of the image.
    """

    image: Image
    psf: Image
    truth: np.ndarray


def series(frames: int = 5, side: int = 192) -> Sample:
    """A time series (T, Y, X), uint16, 5 s a frame: threads that drift and beads that diffuse, equally out of focus."""
    from scipy.ndimage import gaussian_filter, shift

    random = np.random.default_rng(11)
    threads = _threads((side, side), 30, random, (1.0, 1.0))
    beads = random.uniform(0.1, 0.9, (15, 2)) * side
    sharp = []
    for time in range(frames):
        places = np.clip(beads + np.sqrt(time) * 3 * random.standard_normal(beads.shape), 0, side - 1).astype(int)
        empty = shift(threads, (0.8 * time, -1.6 * time), order=1, mode="nearest")
        empty[tuple(places.T)] = 5
        sharp.append(30 + 1500 * gaussian_filter(empty, 0.8))
    psf = _disc(3.0)
    sizes, units = {"T": 5.0, "Y": STEP, "X": STEP}, {"T": "s", "Y": "µm", "X": "µm"}
    blurred = np.stack([_blurred(frame, psf) for frame in sharp])
    return Sample(Image(_photons(blurred, 1), "TYX", sizes, units), _psf(psf, "YX"), np.stack(sharp))


def channels(side: int = 192) -> Sample:
    """Two stains of one tissue (C, Y, X), uint16, each with a blur of its own; the PSFs are (C, Y, X) as well.

    The stains are separated from scikit-image's `immunohistochemistry`.
    """
    import skimage.data
    from skimage.color import rgb2hed

    stained = skimage.data.immunohistochemistry()[100 : 100 + side, 120 : 120 + side]  # type: ignore[no-untyped-call]
    separated = rgb2hed(stained)
    sharp = np.stack([50 + 800 * _scaled(separated[..., stain]) for stain in (0, 2)])
    psfs = np.stack([_gaussian((1.2, 1.2), 13), _gaussian((2.0, 2.0), 13)])
    blurred = np.stack([_blurred(plane, psf) for plane, psf in zip(sharp, psfs, strict=True)])
    sizes, units = {"Y": STEP, "X": STEP}, {"Y": "µm", "X": "µm"}
    names = {"channels": ("haematoxylin", "DAB")}
    return Sample(Image(_photons(blurred, 2), "CYX", sizes, units, metadata=names), _psf(psfs, "CYX"), sharp)


def volume(depth: int = 24, side: int = 96, threads: int = 12) -> Sample:
    """Threads and beads in a volume (Z, Y, X), uint16, blurred more along Z than across, with the 3-D PSF."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(3)
    shape = (depth, side, side)
    empty = _threads(shape, threads, random, (0.3, 1.0, 1.0))
    empty[tuple((random.uniform(0.1, 0.9, (10, 3)) * shape).astype(int).T)] = 6
    sharp = 20 + 4000 * gaussian_filter(empty, (0.5, 0.7, 0.7))
    psf = _gaussian((2.5, 1.4, 1.4), 11)
    sizes = {"Z": 3 * STEP, "Y": STEP, "X": STEP}
    units = dict.fromkeys("ZYX", "µm")
    return Sample(Image(_photons(_blurred(sharp, psf), 4), "ZYX", sizes, units), _psf(psf, "ZYX"), sharp)


def colour(side: int = 240) -> Sample:
    """A photograph in colour (Y, X, S), uint8, blurred by a drawn camera shake; from scikit-image's `coffee`."""
    import skimage.data

    from unblur.cli.demo import shake

    psf = shake(15, seed=7)
    sharp = skimage.data.coffee()[60 : 60 + side, 200 : 200 + side].astype(np.float64)  # type: ignore[no-untyped-call]
    blurred = np.stack([_blurred(sharp[..., band], psf) for band in range(3)], axis=-1)
    noisy = blurred + 1.5 * np.random.default_rng(5).standard_normal(blurred.shape)
    pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return Sample(Image(pixels, "YXS", bit_depth=8), Image(psf.astype(np.float32), "YX"), sharp)


def _threads(shape: tuple[int, ...], count: int, random: np.random.Generator, bend: tuple[float, ...]) -> np.ndarray:
    """Winding lines of ones; `bend` is how freely they move along each axis."""
    drawn = np.zeros(shape)
    length = 6 * max(shape)
    for _ in range(count):
        turns = np.cumsum(0.06 * random.standard_normal((length, len(shape))), axis=0)
        steps = (random.standard_normal(len(shape)) + turns) * bend
        path = 0.25 * np.cumsum(steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
        path += random.uniform(0.1, 0.9, len(shape)) * shape
        inside = ((path >= 0) & (path <= np.array(shape) - 1)).all(axis=1)
        drawn[tuple(np.rint(path[inside]).astype(int).T)] = 1
    return drawn


def _scaled(picture: np.ndarray) -> np.ndarray:
    low, high = np.percentile(picture, (0.5, 99.8))
    scaled: np.ndarray = np.clip((picture - low) / (high - low), 0, None)
    return scaled


def _photons(expected: np.ndarray, seed: int) -> np.ndarray:
    """Counts as a camera with 2 electrons of read noise and an offset of 100 gives them."""
    random = np.random.default_rng(seed)
    counts = random.poisson(np.clip(expected, 0, None)) + 2 * random.standard_normal(expected.shape) + 100
    pixels: np.ndarray = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
    return pixels


def _blurred(sharp: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Convolved with the light beyond the border taken for a mirror image."""
    from scipy.signal import fftconvolve

    margins = [(size // 2, size // 2) for size in psf.shape]
    blurred: np.ndarray = fftconvolve(np.pad(sharp, margins, mode="symmetric"), psf, mode="valid")
    return blurred


def _grid(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(size) - size // 2 for size in shape), indexing="ij"))


def _gaussian(widths: tuple[float, ...], size: int) -> np.ndarray:
    """A normalised Gaussian of these standard deviations in pixels."""
    places = _grid((size,) * len(widths)) / np.reshape(widths, (-1, *(1 for _ in widths)))
    kernel = np.exp(-np.square(places).sum(axis=0) / 2)
    normal: np.ndarray = kernel / kernel.sum()
    return normal


def _disc(radius: float) -> np.ndarray:
    """A normalised disc with a soft edge, radius in pixels."""
    size = 2 * int(np.ceil(radius)) + 3
    kernel = np.clip(radius + 0.5 - np.hypot(*_grid((size, size))), 0, 1)
    normal: np.ndarray = kernel / kernel.sum()
    return normal


def _psf(kernel: np.ndarray, axes: str) -> Image:
    sizes = {axis: 3 * STEP if axis == "Z" else STEP for axis in axes if axis != "C"}
    return Image(kernel.astype(np.float32), axes, sizes, dict.fromkeys(sizes, "µm"))
