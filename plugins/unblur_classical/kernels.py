"""Kernels as they are: known, or with every weight free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.components import Clock, Context, KernelPrior, KernelSpec, P, Transfer, WeightedKernelPrior
from unblur.errors import CompositionError
from unblur.given_kernel import given_kernels, normalised
from unblur.params import NoParams
from unblur_classical.part_params import FreeKernelParams


def given(prior: str, spec: KernelSpec, context: Context) -> Tensor:
    """The PSF of the context for a spec: (count, *shape), each summing to one.

    Raises:
        CompositionError: no PSF was given.
        ImageError: its number of kernels or of dimensions is another one.
    """
    if context.psf is None:
        raise CompositionError(
            f"kernel_prior {prior!r} needs a PSF: give one with --psf, or choose a kernel prior that learns"
        )
    return given_kernels(context.psf, spec, context)


class Known(KernelPrior[NoParams]):
    """The PSF that was given, cut or padded to the forward model's kernel size."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        self.value = given("known", spec, context)

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        return self.value


class ProjectedWeights(WeightedKernelPrior[P]):
    """Weights of sum one, ``parameters()[0]``, which begin in `weights` and never stay below zero.

    Multiplicative updates may change them in place; what gradient steps move below zero is projected when the kernels
    are next drawn. Weights of zero stay so under multiplicative updates.
    """

    weights: Tensor

    def parameters(self) -> Sequence[Tensor]:
        return [self.weights]

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        if not bool(self.weights.min() >= 0):
            if not torch.is_grad_enabled():
                return normalised(self.expand(self.weights.clamp_min(0)))
            with torch.no_grad():
                self.weights.copy_(normalised(self.weights.clamp_min(0)))
        return normalised(self.expand(self.weights))

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.weights.copy_(state["weights"])


class Free(ProjectedWeights[FreeKernelParams]):
    """Non-negative weights (count, *spatial), divided by their sum: ``parameters()[0]`` are the kernels."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        start = self.params.start
        if start == "psf" or (start == "auto" and context.psf is not None):
            weights = given("free", spec, context)
            context.note("the kernel begins with the PSF that was given or found before, and changes from there")
        else:
            weights = torch.ones(spec.count, *spec.shape, device=context.compute.device)
            if start != "flat":
                weights = weights * bell(spec.shape, self.params.width).to(weights)
        self.weights = normalised(weights).requires_grad_()

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        with torch.no_grad():
            self.weights.copy_(normalised(kernel.clamp_min(0)))

    def expand(self, weights: Tensor) -> Tensor:
        return weights

    def gather(self, kernels: Tensor) -> Tensor:
        return kernels


def bell(shape: Sequence[int], width: float) -> Tensor:
    """A Gaussian (*shape) about floor(n / 2), its standard deviation a part `width` of each size, not normalised."""
    product = torch.ones(())
    for size in shape:
        places = torch.arange(size) - size // 2
        product = product[..., None] * torch.exp(-0.5 * (places / max(width * size, 0.5)) ** 2)
    return product
