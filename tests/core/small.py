"""A plugin small enough for tests: pixels, softmax kernels, valid convolution, Adam that fails on demand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from annotated_types import Gt
from typing_extensions import Doc

import unblur
from unblur.components import (
    Draw,
    Estimate,
    Estimator,
    ForwardModel,
    ImagePrior,
    Info,
    KernelPrior,
    KernelSpec,
    Misfit,
    Selector,
    StoppingRule,
)
from unblur.errors import DivergedError
from unblur.optimise import AdamGroups
from unblur.params import NoParams
from unblur.records import Provenance


@dataclass(frozen=True)
class BlurParams:
    kernel_size: Annotated[tuple[int, ...] | None, Gt(0), Doc("Size of the kernel.")] = None


class Blur(ForwardModel[BlurParams]):
    """Valid convolution, as a correlation with the flipped kernel, in 2-D and 3-D."""

    def spec(self, observed: tuple[int, ...], context: Any) -> KernelSpec:
        if context.psf is not None:
            return KernelSpec(tuple(context.psf.shape[1:]))
        return KernelSpec(self.params.kernel_size or (5,) * (len(observed) - 2))

    def latent_shape(self, observed: tuple[int, ...], spec: KernelSpec) -> tuple[int, ...]:
        return (*observed[:2], *(n + k - 1 for n, k in zip(observed[2:], spec.shape, strict=True)))

    def predict(self, latent: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        convolve = F.conv2d if latent.ndim == 4 else F.conv3d
        flat = latent.reshape(-1, 1, *latent.shape[2:])
        flipped = kernel.flip(tuple(range(1, kernel.ndim)))[:, None]
        blurred = convolve(flat, flipped)
        return blurred.reshape(*latent.shape[:2], *blurred.shape[2:])

    def adjoint(self, residual: torch.Tensor, kernel: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        raise NotImplementedError

    def kernel_adjoint(self, residual: torch.Tensor, latent: torch.Tensor, spec: KernelSpec) -> torch.Tensor:
        raise NotImplementedError

    def crop(self, estimate: Estimate, batch: Any) -> Estimate:
        sizes = batch.observed.shape[2:]
        for tensor in (estimate.image,):
            starts = [(n - k) // 2 for n, k in zip(tensor.shape[2:], sizes, strict=True)]
            window = tuple(slice(s, s + k) for s, k in zip(starts, sizes, strict=True))
            estimate.image = tensor[(slice(None), slice(None), *window)]
        return estimate


@dataclass(frozen=True)
class WeightParams:
    weight: Annotated[float, Doc("Weight.")] = 1.0


class Squared(Misfit[WeightParams]):
    def __call__(self, predicted: torch.Tensor, observed: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        squares = (predicted - observed) ** 2
        return squares.mean() if weight is None else (squares * weight).sum() / weight.sum()


class Pixels(ImagePrior[NoParams]):
    def init(self, shape: tuple[int, ...], batch: Any, context: Any) -> None:
        noise = torch.rand(shape, generator=context.rng) * 0.01
        self.pixels = (float(batch.observed.mean()) + noise).requires_grad_()

    def parameters(self) -> list[torch.Tensor]:
        return [self.pixels]

    def draw(self, batch: Any, clock: Any, rng: torch.Generator | None) -> Draw:
        jitter = 0 if rng is None else 1e-3 * torch.randn(self.pixels.shape, generator=rng)
        return Draw(self.pixels + jitter)

    def state_dict(self) -> dict[str, Any]:
        return {"pixels": self.pixels.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.pixels.copy_(state["pixels"])


class Softmax(KernelPrior[NoParams]):
    def init(self, spec: KernelSpec, context: Any) -> None:
        self.shape = spec.shape
        self.logits = torch.zeros(spec.count, math.prod(spec.shape), requires_grad=True)

    def parameters(self) -> list[torch.Tensor]:
        return [self.logits]

    def kernel(self, latent: torch.Tensor, clock: Any, rng: torch.Generator | None) -> torch.Tensor:
        return self.logits.softmax(1).reshape(-1, *self.shape)

    def state_dict(self) -> dict[str, Any]:
        return {"logits": self.logits.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.logits.copy_(state["logits"])


class Known(KernelPrior[NoParams]):
    def init(self, spec: KernelSpec, context: Any) -> None:
        self.psf = context.psf

    def kernel(self, latent: torch.Tensor, clock: Any, rng: torch.Generator | None) -> torch.Tensor:
        return self.psf


@dataclass(frozen=True)
class AdamParams:
    rate: Annotated[float, Gt(0), Doc("Learning rate.")] = 0.02
    fails_above: Annotated[float | None, Doc("Diverge when the observed mean is above.")] = None
    breaks: Annotated[bool, Doc("Raise an error of Python.")] = False
    spread: Annotated[bool, Doc("Give a standard deviation.")] = False


class Adam(Estimator[AdamParams]):
    def init(self, problem: Any, earlier: Any) -> AdamGroups:
        groups = {"image": problem.image.parameters(), "kernel": problem.kernels.parameters()}
        return AdamGroups(groups, {"image": self.params.rate, "kernel": self.params.rate})

    def step(self, problem: Any, state: AdamGroups, batch: Any, clock: Any) -> Info:
        if self.params.breaks:
            raise KeyError("lost")
        if self.params.fails_above is not None and float(batch.observed.mean()) > self.params.fails_above:
            raise DivergedError("estimator 'small-adam' diverged")
        draw = problem.draw(batch, clock, problem.rng)
        kernel = problem.kernel(draw.latent, clock, problem.rng)
        loss = problem.misfit(draw, kernel, batch, clock)
        state.step(loss, clock.fraction)
        return Info(loss.detach(), draw, kernel)

    def estimate(self, problem: Any, state: Any, batch: Any, clock: Any, rng: torch.Generator) -> Estimate:
        estimate = super().estimate(problem, state, batch, clock, rng)
        if self.params.spread:
            estimate.spread = torch.full_like(batch.observed, 0.1)
        return estimate


class Last(Selector[NoParams]):
    def better(self, info: Info, clock: Any) -> bool:
        return False


@dataclass(frozen=True)
class SecondsParams:
    seconds: Annotated[float, Gt(0), Doc("Budget.")] = 60.0


class MaxSeconds(StoppingRule[SecondsParams]):
    ends = "run"

    def __init__(self, params: SecondsParams) -> None:
        super().__init__(params)
        self.budget = params.seconds

    def update(self, info: Info, clock: Any) -> str | None:
        return "seconds used" if clock.elapsed >= self.params.seconds else None


BLIND = unblur.Pipeline(
    forward_model=["blur", "squares"],
    image_prior="pixels",
    kernel_prior="softmax",
    estimator="small-adam",
    stages=[unblur.Stage(steps=12)],
)
KNOWN = BLIND.replace(kernel_prior="known", stages=[unblur.Stage(steps=10)])


TAKEN = frozenset({"fixed", "single", "takes-psf"})


class Plugin:
    """The hooks as an object, as pluggy takes them."""

    @staticmethod
    @unblur.hookimpl
    def unblur_forward_models() -> Iterator[unblur.Component]:
        yield unblur.Component("blur", f"{__name__}:Blur", "Valid convolution.", BlurParams)
        for name in ("squares", "squares2"):
            yield unblur.Component(name, f"{__name__}:Squared", "Squares.", WeightParams, role="misfit")

    @staticmethod
    @unblur.hookimpl
    def unblur_image_priors() -> Iterator[unblur.Component]:
        yield unblur.Component("pixels", f"{__name__}:Pixels", "Pixels.", provides=frozenset({"learns"}))

    @staticmethod
    @unblur.hookimpl
    def unblur_kernel_priors() -> Iterator[unblur.Component]:
        yield unblur.Component("softmax", f"{__name__}:Softmax", "Free.", provides=frozenset({"learns", "single"}))
        yield unblur.Component("known", f"{__name__}:Known", "Known.", provides=TAKEN)

    @staticmethod
    @unblur.hookimpl
    def unblur_estimators() -> Iterator[unblur.Component]:
        traits = frozenset({"uses-misfit", "learns-kernel"})
        yield unblur.Component("small-adam", f"{__name__}:Adam", "Adam.", AdamParams, provides=traits)

    @staticmethod
    @unblur.hookimpl
    def unblur_stopping_rules() -> Iterator[unblur.Component]:
        yield unblur.Component("last", f"{__name__}:Last", "The last.", role="selector")
        yield unblur.Component("max-seconds", f"{__name__}:MaxSeconds", "A budget.", SecondsParams)

    @staticmethod
    @unblur.hookimpl
    def unblur_methods() -> Iterator[unblur.Method]:
        for name in ("practical-bid", "selfdeblur", "l0-gradient"):
            yield unblur.Method(name, "Blind.", "Tests.", {"balanced": BLIND}, blind=True)
        for name in ("richardson-lucy", "hyper-laplacian"):
            yield unblur.Method(name, "Known kernel.", "Tests.", {"balanced": KNOWN}, needs_psf=True)
        then = BLIND.replace(then=KNOWN)
        yield unblur.Method("two-step", "Blind, then not.", "Tests.", {"balanced": then}, blind=True)


def small_registry() -> unblur.Registry:
    """A registry with this plugin only."""
    registry = unblur.Registry()
    registry.register(Plugin(), Provenance("small", "tests", "1"))
    assert not registry.failures, registry.failures
    return registry
