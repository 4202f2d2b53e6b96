"""A convolution's problem on a periodic grid, where it is diagonal, although what was observed is not periodic.

The observed window is one part of a periodic image; the rest (beyond the borders, and pixels that do not count) is
missing data. It begins with a smooth continuation, and each estimate of the latent image predicts it anew:
expectation-maximisation (Dempster, Laird & Rubin 1977), which ends where the misfit on the observed pixels alone has
its optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unblur.components import Batch, Clock, Shape
from unblur.errors import CompositionError
from unblur.operators.convolution import Convolution
from unblur.operators.fourier import image_of, spectrum
from unblur.operators.missing import continued, filled
from unblur.problem import Problem


class PeriodicProblem:
    """The observation and the convolution of a problem on a periodic grid.

    Args:
        target: the frames that the convolution explains.

    Attributes:
        otf: transfer function as a half spectrum, (frames or 1, channels or 1, *half grid).
        observed: (frames, channels, *grid), completed by a smooth continuation.
        known: the same shape, true where a pixel was observed and counts; None where all are.
        holed: some pixels of the observed window do not count.
        filled: the observed frames, where pixels that do not count have the value of their nearest neighbour.
        grid: spatial sizes of the periodic grid.
    """

    def __init__(self, problem: Problem, target: Batch) -> None:
        image = problem.image.parameters()[0].detach()
        kernel = problem.kernel(image, Clock(0, 1), None).detach()
        operator = problem.forward.prepared(kernel, problem.latent_shape)
        if not isinstance(operator, Convolution):
            raise CompositionError(
                f"{type(problem.forward).__name__} calls itself stationary but prepares no convolution"
            )
        sizes = tuple(target.observed.shape[2:])
        before = tuple(k - 1 - k // 2 for k in operator.geometry.kernel)
        self._latent, self._first = problem.latent_shape[2:], (0,) * len(sizes)
        if operator.boundary == "same":
            larger = [n + k - 1 for n, k in zip(sizes, operator.geometry.kernel, strict=True)]
            self._first, operator = before, Convolution(kernel, (*image.shape[:2], *larger), "valid")
        self.otf = operator.otf
        self.grid: Shape = operator.geometry.grid
        self.known: Tensor | None = None
        if self.grid != sizes or target.valid is not None:
            counted = torch.ones_like(target.observed) if target.valid is None else target.valid
            self.known = _placed(counted, self.grid) > 0
        self.holed = target.valid is not None and bool((target.valid <= 0).any())
        self.filled = filled(target.observed, target.valid)
        self.observed = continued(self.filled, self.grid)
        self.count = self.observed.numel() if self.known is None else max(1, int(self.known.sum()))

    def spectrum(self, image: Tensor) -> Tensor:
        """Half spectrum of an image on the grid."""
        return spectrum(image, self.grid)

    def image(self, half: Tensor) -> Tensor:
        """The image (frames, channels, *grid) of a half spectrum."""
        return image_of(half, self.grid, self.grid)

    def complete(self, predicted: Tensor) -> Tensor:
        """The observation, and where there is none what was predicted."""
        return self.observed if self.known is None else torch.where(self.known, self.observed, predicted)

    def misfit(self, predicted: Tensor) -> Tensor:
        """Mean squared residual over the pixels that were observed and count."""
        error = (predicted - self.observed).square_()
        return error.mean() if self.known is None else (error * self.known).sum() / self.count

    def placed(self, image: Tensor, elsewhere: Tensor) -> Tensor:
        """An image of the observed window (frames, channels, *window) on the grid, and what is given elsewhere."""
        whole = elsewhere.clone()
        middle = zip(self._first, self._latent, image.shape[2:], strict=True)
        region = tuple(slice(first + (n - m) // 2, first + (n - m) // 2 + m) for first, n, m in middle)
        whole[(slice(None), slice(None), *region)] = image
        return whole

    def latent(self, image: Tensor) -> Tensor:
        """The part of an image on the grid that is the problem's latent image."""
        region = tuple(slice(start, start + size) for start, size in zip(self._first, self._latent, strict=True))
        return image[(slice(None), slice(None), *region)]


def power(half: Tensor, grid: Sequence[int]) -> Tensor:
    """Sum of squares of the image (frames, channels, *grid) behind a half spectrum, per frame and channel."""
    return half_sum(half.abs().square(), grid)


def half_sum(values: Tensor, grid: Sequence[int]) -> Tensor:
    """Sum over the whole spectrum of values given on its half, by frame and channel, over the number of pixels."""
    twice = torch.full((values.shape[-1],), 2.0, device=values.device)
    twice[0] = 1
    if grid[-1] % 2 == 0:
        twice[-1] = 1
    return (values * twice).sum(tuple(range(-len(grid), 0))) / math.prod(grid)


def _placed(image: Tensor, grid: Shape) -> Tensor:
    larger = image.new_zeros(*image.shape[:2], *grid)
    larger[tuple(slice(0, n) for n in image.shape)] = image
    return larger
