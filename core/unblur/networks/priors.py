"""Untrained networks as priors: what the image and kernel networks of all plugins share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn

from unblur.components import (
    Batch,
    Clock,
    Context,
    Draw,
    ImagePrior,
    KernelPrior,
    KernelSpec,
    Shape,
    Transfer,
)
from unblur.given_kernel import given_kernels
from unblur.networks.blocks import HEADS, inverse_head
from unblur.networks.initialise import child
from unblur.networks.randomness import GaussianNoise
from unblur.operators.resample import extend
from unblur.params import value_at

__all__ = ["NetworkImagePrior", "NetworkKernelPrior"]

N = TypeVar("N")
K = TypeVar("K")

_FIT_STEPS = 300
_FIT_RATE = 1e-3
_FIT_NEAR = 1e-3
"""Divergence of each kernel from the wanted one, in nats, at which a fit ends before its last step."""

_TIMID = 0.1
"""Factor of an output that is added to a start, which the untrained network would otherwise drown."""


class NetworkImagePrior(ImagePrior[N]):
    """The latent image as the output of a network fed with fixed noise (Ulyanov et al. 2018).

    Subclasses say which network. The parameters are those of `unblur.networks.params.InputParams`: the channels and the
    amplitude of the input, the noise that perturbs it in every step, dropout, and the output's range.
    """

    network: nn.Module
    input: Tensor

    @abstractmethod
    def build(self, channels: int, dims: int, head: str, rng: Generator) -> nn.Module:
        """The network from `input_channels` to `channels`, called as ``network(z, rng=, dropout=)``."""

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        params: Any = self.params
        self._note = context.note
        frames, channels, *spatial = shape
        head = params.output
        if head == "auto":
            head = "sigmoid" if context.bounded else "softplus"
            if not context.bounded:
                context.note("intensities without a known white level: the image may be brighter than the observation")
        compute = context.compute
        self.start, self.head = self._start(spatial, head, context), head
        built = self.build(channels, len(spatial), head if self.start is None else "linear", context.rng)
        self.network = compute.place(built, len(spatial))
        noise = torch.rand((frames, params.input_channels, *spatial), generator=child(context.rng))
        self.input = compute.lay(noise * params.input_scale)
        self.noise = GaussianNoise(context.rng)

    def _start(self, shape: Sequence[int], head: str, context: Context) -> Tensor | None:
        """What the network's output is added to, before its head."""
        params: Any = self.params
        if params.start == "nothing":
            return None
        if context.estimate is None:
            context.note("no stages before `then` made an image to begin with: the network makes all of it")
            return None
        return inverse_head(head, extend(context.estimate, shape))

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        """The weights of the earlier stage's network if it is of the same kind, and its input on the new grid."""
        if not isinstance(earlier, type(self)):
            return
        before, now = ({name: part.shape for name, part in one.network.named_parameters()} for one in (earlier, self))
        if before != now or earlier.input.shape[1] != self.input.shape[1]:
            self._note("the image's network is another than that of the stage before: it begins anew")
            return
        self.network.load_state_dict(earlier.network.state_dict())
        self.input = torch.empty_like(self.input).copy_(transfer.latent(earlier.input))

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        params: Any = self.params
        z = self.noise(self.input, value_at(params.noise, clock.fraction), rng)
        output = self.network(z, rng=rng, dropout=value_at(params.dropout, clock.fraction))
        return Draw(output if self.start is None else HEADS[self.head](_TIMID * output + self.start))

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "input": self.input, "noise": self.noise.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.input.copy_(state["input"])
        self.noise.load_state_dict(state["noise"])


class NetworkKernelPrior(KernelPrior[K]):
    """The kernels as the output of a network, made non-negative and of sum one.

    Subclasses give the network's output as a kernel before its normalisation. They begin with the PSF, and so have the
    trait ``begins-with-psf``.
    """

    network: nn.Module
    spec: KernelSpec

    @abstractmethod
    def build(self, spec: KernelSpec, context: Context) -> nn.Module:
        """The network for kernels of a spec."""

    @abstractmethod
    def positive(self) -> Tensor:
        """Non-negative weights (count, *shape), up to scale."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        """Build the network, and fit it to the PSF if there is one: what a user gave, or what the stages before found.

        Raises:
            ImageError: its number of kernels or of dimensions is another one.
        """
        self.spec = spec
        self.network = self.build(spec, context).to(context.compute.device)
        if context.psf is not None and context.begins:
            self.fit(given_kernels(context.psf, self.spec, context))
            context.note("the kernel begins with the PSF that was given or found before, and changes from there")

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        """The earlier stage's kernel is where this one begins."""
        self.fit(kernel)

    def fit(self, kernel: Tensor) -> None:
        """Make the network give kernels (count, *shape) of sum one, by their cross entropy."""
        near = -float(torch.xlogy(kernel, kernel).sum()) + _FIT_NEAR * len(kernel)
        with torch.enable_grad():
            optimiser = torch.optim.Adam(self.network.parameters(), lr=_FIT_RATE, fused=True)
            for _ in range(_FIT_STEPS):
                optimiser.zero_grad(set_to_none=True)
                misfit = -(kernel * self._kernel().clamp_min(1e-9).log()).sum()
                if float(misfit.detach()) < near:
                    break
                misfit.backward()  # type: ignore[no-untyped-call]
                optimiser.step()

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        return self._kernel()

    def _kernel(self) -> Tensor:
        weights = self.positive()
        return weights / weights.flatten(1).sum(1).view(-1, *(1,) * len(self.spec.shape))

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
