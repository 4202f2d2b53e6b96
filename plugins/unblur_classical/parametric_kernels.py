"""Kernels of a known form whose few numbers are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.components import Clock, Context, KernelPrior, KernelSpec, P, Transfer
from unblur.errors import ParameterError
from unblur.given_kernel import normalised
from unblur_classical.part_params import DiscKernelParams, GaussianKernelParams

_PACE = 30.0
"""Rates are for weights of networks: Adam changes a parameter by about one, and a length by so many times that part."""

_STEEP = 4.0
"""How steep the logistic edge of a disc is: from 0.88 to 0.12 within a pixel."""


class Parametric(KernelPrior[P]):
    """A kernel made from a few lengths in pixels; ``parameters()[0]`` are their logarithms over `_PACE`."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        self.shape, self.count = spec.shape, spec.count
        device = context.compute.device
        self.places = [torch.arange(size, device=device) - size // 2 for size in spec.shape]
        lengths = self.given(len(spec.shape))
        start = self.default(len(spec.shape)) if lengths is None else lengths
        start = [length * spec.scale for length in start]
        if lengths is None and context.psf is not None:
            start = self.fitted(context.psf.mean(0))
        self.paces = (torch.tensor(start, device=device).log() / _PACE).requires_grad_()

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        with torch.no_grad():
            self.paces.copy_(torch.tensor(self.fitted(kernel.mean(0))).log() / _PACE)

    def lengths(self) -> Tensor:
        """In pixels of the stage."""
        return (_PACE * self.paces).exp()

    def given(self, dims: int) -> list[float] | None:
        """The lengths that the parameters say, at full resolution; None where they say none."""
        raise NotImplementedError

    def default(self, dims: int) -> list[float]:
        """The lengths to begin with where nothing is known."""
        raise NotImplementedError

    def fitted(self, kernel: Tensor) -> list[float]:
        """The lengths that describe a kernel (*spatial)."""
        raise NotImplementedError

    def form(self) -> Tensor:
        """The kernel (*spatial), not yet normalised."""
        raise NotImplementedError

    def parameters(self) -> Sequence[Tensor]:
        return [self.paces]

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        return normalised(self.form()[None]).expand(self.count, *self.shape)

    def state_dict(self) -> dict[str, Any]:
        return {"paces": self.paces.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.paces.copy_(state["paces"])


class Gaussian(Parametric[GaussianKernelParams]):
    """A Gaussian about the origin, integrated over each pixel, with one width per axis or one for all."""

    def given(self, dims: int) -> list[float] | None:
        sigma = self.params.sigma
        if sigma is None:
            return None
        if len(sigma) not in (1, dims):
            raise ParameterError(
                f"kernel_prior.sigma = {list(sigma)}: expected one number or {dims}, one per spatial axis"
            )
        return self._shared([*sigma] if len(sigma) == dims else [*sigma] * dims)

    def default(self, dims: int) -> list[float]:
        return self._shared([2.0] * dims)

    def fitted(self, kernel: Tensor) -> list[float]:
        variances = [max(v - 1 / 12, 0.01) for v in second_moments(kernel)]
        return self._shared([math.sqrt(v) for v in variances])

    def form(self) -> Tensor:
        sigmas = self.lengths().expand(len(self.shape))
        kernel = torch.ones((), device=self.paces.device)
        for places, sigma in zip(self.places, sigmas, strict=True):
            scale = sigma * math.sqrt(2)
            kernel = kernel[..., None] * (torch.erf((places + 0.5) / scale) - torch.erf((places - 0.5) / scale))
        return kernel

    def _shared(self, sigmas: list[float]) -> list[float]:
        return [math.sqrt(sum(s * s for s in sigmas) / len(sigmas))] if self.params.isotropic else sigmas


class Disc(Parametric[DiscKernelParams]):
    """A disc (a ball in 3-D) about the origin, whose edge is about one pixel wide.

    Its weights change with the radius everywhere, so that one of less than half a pixel can grow.
    """

    def given(self, dims: int) -> list[float] | None:
        return None if self.params.radius is None else [self.params.radius]

    def default(self, dims: int) -> list[float]:
        return [3.0]

    def fitted(self, kernel: Tensor) -> list[float]:
        return [max(math.sqrt((kernel.ndim + 2) / kernel.ndim * sum(second_moments(kernel))), 0.5)]

    def form(self) -> Tensor:
        squares = torch.zeros((), device=self.paces.device)
        for places in self.places:
            squares = squares[..., None] + places**2
        return torch.sigmoid(_STEEP * (self.lengths() - squares.sqrt()))


def second_moments(kernel: Tensor) -> list[float]:
    """Variance of a kernel (*spatial) along each axis, about its mean, in pixels²."""
    moments = []
    for axis in range(kernel.ndim):
        profile = kernel.sum([other for other in range(kernel.ndim) if other != axis]).double()
        profile = profile / profile.sum()
        places = torch.arange(len(profile), device=profile.device, dtype=profile.dtype)
        mean = (profile * places).sum()
        moments.append(float((profile * (places - mean) ** 2).sum()))
    return moments
