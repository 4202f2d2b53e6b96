"""Convolution of images folded in two, without gradients: the quickest form for iterations with a fixed kernel.

An image padded with zeros, ``2 N`` pixels along its first spatial axis, is folded to the complex image
``z[n] = x[n] + i x[n + N]``: as a polynomial it is taken modulo ``u^N - i``. The twist ``exp(i pi n / 2 N)`` makes
products modulo ``u^N - i`` cyclic convolutions, hence products of complex transforms of N points (the right-angle
convolution of Crandall & Fagin, "Discrete weighted transforms and large-integer arithmetic", Math. Comp. 62 (1994),
305-324). Complex transforms need no separate real axis and any fast length will do, and an iteration whose arithmetic
is by pixel stays folded, so that nothing is padded and cut in between.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from unblur.components import Operator
from unblur.errors import ImageError
from unblur.operators.convolution import Convolution


class FoldedOperator(Protocol):
    """An `Operator` between folded images, with the way there and back.

    What :meth:`forward` and :meth:`adjoint` give outside of the image is not zero but arbitrary (finite): a product
    with an image from :meth:`fold`, which is zero there, removes it.
    """

    def fold(self, image: Tensor) -> Tensor:
        """A latent or an observed image (frames, channels, *spatial) in the form for `forward` and `adjoint`."""

    def unfold(self, folded: Tensor, image: Tensor) -> None:
        """Write the folded latent or observed image to `image`."""

    def forward(self, latent: Tensor) -> Tensor: ...

    def adjoint(self, residual: Tensor) -> Tensor: ...


def folded(operator: Operator) -> FoldedOperator:
    """The same operator for folded images; one that cannot be folded works on the images as they are."""
    if isinstance(operator, Convolution) and operator.boundary != "periodic":
        return FoldedConvolution(operator)
    return _AsIs(operator)


class FoldedConvolution:
    """A :class:`Convolution` between folded images (frames, channels, N, *grid, 2), real and imaginary part last.

    Args:
        operator: gives kernels and sizes; its boundary is "valid" or "same".

    Raises:
        ImageError: the boundary is "periodic", of which folding would change the sign.
    """

    def __init__(self, operator: Convolution) -> None:
        if operator.boundary == "periodic":
            raise ImageError('a convolution with the boundary "periodic" cannot be folded')
        geo, device, dtype = operator.geometry, operator.otf.device, operator.otf.dtype
        self._grid = ((geo.grid[0] + 1) // 2, *geo.grid[1:])
        self._axes = tuple(range(-len(self._grid), 0))
        quarter = [-0.25] + [0.0] * (len(self._grid) - 1)  # the frequencies along the folded axis are k - 1 / 4

        def turns(axis: int, places: Tensor) -> Tensor:
            angle = -2 * math.pi / self._grid[axis] * places
            turned = torch.polar(torch.ones_like(angle), angle).view(-1, *(1,) * (len(self._grid) - 1 - axis))
            return turned.to(device, dtype)

        places = [torch.arange(size, dtype=torch.float64) for size in self._grid]
        self._twist = turns(0, quarter[0] * places[0])
        self._untwist = self._twist.conj().resolve_conj()
        otf = self._spectrum(self.fold(operator.kernel)) / math.prod(self._grid)
        for axis, offset in enumerate(geo.offset):
            otf *= turns(axis, -offset * (places[axis] + quarter[axis]))
        self._otf, self._adjoint = otf, otf.conj().resolve_conj()

    def fold(self, image: Tensor) -> Tensor:
        folded = image.new_zeros(*image.shape[:2], *self._grid, 2)
        for place, part in self._halves(folded, image):
            place.copy_(part)
        return folded

    def unfold(self, folded: Tensor, image: Tensor) -> None:
        for place, part in self._halves(folded, image):
            part.copy_(place)

    def forward(self, latent: Tensor) -> Tensor:
        return self._filter(latent, self._otf)

    def adjoint(self, residual: Tensor) -> Tensor:
        return self._filter(residual, self._adjoint)

    def _halves(self, folded: Tensor, image: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Where in the folded image a half of the image is, and that half."""
        halves = []
        for half, part in zip(folded.unbind(-1), torch.split(image, self._grid[0], dim=2), strict=False):
            for axis in self._axes:
                half = half.narrow(axis, 0, part.shape[axis])
            halves.append((half, part))
        return halves

    def _filter(self, folded: Tensor, factor: Tensor) -> Tensor:
        product = self._spectrum(folded).mul_(factor)
        return torch.view_as_real(torch.fft.ifftn(product, dim=self._axes, norm="forward").mul_(self._untwist))

    def _spectrum(self, folded: Tensor) -> Tensor:
        spectrum: Tensor = torch.fft.fftn(torch.view_as_complex(folded) * self._twist, dim=self._axes)
        return spectrum


class _AsIs:
    """An operator that does not fold."""

    def __init__(self, operator: Operator) -> None:
        self.forward, self.adjoint = operator.forward, operator.adjoint

    def fold(self, image: Tensor) -> Tensor:
        return image.detach().clone()

    def unfold(self, folded: Tensor, image: Tensor) -> None:
        image.copy_(folded)
