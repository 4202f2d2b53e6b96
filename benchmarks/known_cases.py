"""Observations for benchmarks of a known kernel, made as Chen et al. 2022 make theirs.

Valid convolution, the response of a camera, and noise; kernels are those of Levin et al., or the six of Danielyan,
Katkovnik & Egiazarian 2012 with their noise. A kernel may also be one that a blind method has estimated from the
observation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import fftconvolve

from unblur import Job
from unblur.metrics import Aligned, align, kernel_similarity, psnr, ssim

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Protocol:
    """What holds for all cases of a run.

    Attributes:
        data: folder with `set12/*.png` and `levin/im01_ker0N.mat`, whose `f`, rotated by 180 degrees, is the kernel.
        crop: side of the central part of the sharp image that is taken.
        gamma: the observation is (k * x^gamma)^(1/gamma) plus noise, in eight bits.
        estimated: blind method whose kernel is given instead of the true one; it knows nothing of gamma.
        threads, seed: of that method.
    """

    data: Path
    crop: int | None = None
    gamma: float | None = None
    estimated: str | None = None
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Scene:
    """An observation, the truth in the same window, and the kernel that methods are given.

    `similarity` is that of an estimated kernel with the true one.
    """

    observed: Array
    truth: Array
    kernel: Array
    similarity: float | None = None

    @property
    def border(self) -> int:
        """Half the kernel, where the observation tells little."""
        return max(self.kernel.shape) // 2

    @property
    def inside(self) -> tuple[slice, slice]:
        within = slice(self.border, -self.border)
        return within, within

    def psnr(self, image: Array) -> float:
        """Inside the border, or at the best shift where the kernel is estimated, which leaves it open."""
        if self.similarity is not None:
            return self._aligned(image).psnr()
        return psnr(image[self.inside], self.truth[self.inside])

    def ssim(self, image: Array) -> float:
        """The same for the structural similarity."""
        if self.similarity is not None:
            found = self._aligned(image)
            return ssim(found.estimate, found.truth)
        return ssim(image[self.inside], self.truth[self.inside])

    def psnr_of_one(self, mean: Array, spread: Array) -> float:
        """Of one of the passes with this mean and spread, but for a part 1/n of their variance; without a shift."""
        errors = (mean - self.truth) ** 2 + np.asarray(spread, np.float64) ** 2
        return -10 * math.log10(float(errors[self.inside].mean()))

    def _aligned(self, image: Array) -> Aligned:
        return align(image, self.truth, border=max(self.border, 15))


@functools.lru_cache(maxsize=1)
def scene(image: str, kernel: str, noise: str, protocol: Protocol) -> Scene:
    """The observation of an image of Set12.

    Args:
        image: name without ending.
        kernel: one to eight of Levin et al., or ``danielyan-1`` to ``danielyan-6``.
        noise: ``gaussian:STD``, ``poisson:PEAK`` with the photons at white, or ``own``, that of a kernel of Danielyan;
            it is added behind the camera's response.

    Raises:
        UnblurError: a kernel could not be estimated.
    """
    pixels = Image.open(protocol.data / "set12" / f"{image}.png").convert("L")
    sharp = np.asarray(pixels, dtype=np.float64) / 255
    if protocol.crop is not None:
        sharp = _centre(sharp, protocol.crop)
    true = _kernel(kernel, protocol.data)
    gamma = protocol.gamma or 1.0
    blurred = np.clip(fftconvolve(sharp**gamma, true, mode="valid"), 0, None) ** (1 / gamma)
    window = tuple(slice((k - 1) // 2, (k - 1) // 2 + n) for k, n in zip(true.shape, blurred.shape, strict=True))
    random = np.random.default_rng([*image.encode(), *_key(kernel), *noise.encode()])
    observed = _noisy(blurred, _own(kernel, blurred) if noise == "own" else noise, random)
    if protocol.gamma is not None:
        observed = np.round(255 * np.clip(observed, 0, 1)) / 255
    if protocol.estimated is None:
        return Scene(observed, sharp[window], true)
    found = _estimated(observed, true.shape, protocol)
    return Scene(observed, sharp[window], found, kernel_similarity(found, true))


def _estimated(observed: Array, size: tuple[int, ...], protocol: Protocol) -> Array:
    job = Job(
        observed.astype(np.float32),
        method=protocol.estimated,
        kernel_size=size,
        white_level=1.0,
        threads=protocol.threads,
        seed=protocol.seed,
    )
    for _ in job.events():
        pass
    return np.asarray(job.result.kernel, np.float64)


def _centre(image: Array, size: int) -> Array:
    first = [(n - size) // 2 for n in image.shape]
    return image[first[0] : first[0] + size, first[1] : first[1] + size]


def _noisy(image: Array, noise: str, random: np.random.Generator) -> Array:
    kind, _, amount = noise.partition(":")
    if kind == "gaussian":
        return image + float(amount) * random.standard_normal(image.shape)
    if kind == "poisson":
        return random.poisson(np.clip(image, 0, None) * float(amount)) / float(amount)
    raise SystemExit(f"--noise {noise}: expected gaussian:STD, poisson:PEAK or own")


def _key(kernel: str) -> list[int]:
    return [int(kernel)] if kernel.isdigit() else [*kernel.encode()]


def _own(kernel: str, blurred: Array) -> str:
    if kernel not in SCENARIOS:
        raise SystemExit(f"--noise own: {kernel} has none; expected one of {', '.join(SCENARIOS)}")
    _, variance = SCENARIOS[kernel]
    return f"gaussian:{float(blurred.std()) / 100 if variance is None else variance**0.5 / 255}"


def _kernel(name: str, data: Path) -> Array:
    """A kernel of sum one."""
    if name in SCENARIOS:
        weights, _ = SCENARIOS[name]
        return weights() / weights().sum()
    path = data / "levin" / f"im01_ker{name:0>2}.mat"
    if not path.exists():
        raise SystemExit(f"--kernels {name}: expected a number with a file such as {path}, or {', '.join(SCENARIOS)}")
    stored = scipy.io.loadmat(path)["f"].astype(np.float64)
    return np.ascontiguousarray(stored[::-1, ::-1]) / stored.sum()


def _inverse_square() -> Array:
    row, column = np.mgrid[-7:8, -7:8]
    return 1.0 / (1.0 + row**2 + column**2)


def _binomial() -> Array:
    row = np.array([1.0, 4.0, 6.0, 4.0, 1.0])
    return np.outer(row, row)


def _gaussian(width: float) -> Array:
    row = np.exp(-(np.arange(-12, 13) ** 2) / (2 * width**2))
    return np.outer(row, row)


SCENARIOS: Mapping[str, tuple[Callable[[], Array], float | None]] = {
    "danielyan-1": (_inverse_square, 2.0),
    "danielyan-2": (_inverse_square, 8.0),
    "danielyan-3": (lambda: np.ones((9, 9)), None),
    "danielyan-4": (_binomial, 49.0),
    "danielyan-5": (lambda: _gaussian(1.6), 4.0),
    "danielyan-6": (lambda: _gaussian(0.4), 64.0),
}
"""Kernel, and variance of the noise where white is 255; none for noise 40 dB below the blurred image."""
