"""Components that each break one rule, beside sound ones: what the kit must catch."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import Doc

from unblur.components import (
    Batch,
    Draw,
    Estimator,
    ForwardModel,
    ImagePrior,
    Info,
    KernelPrior,
    Misfit,
    Penalty,
    Response,
    Selector,
    StoppingRule,
)
from unblur.operators.convolution import convolve, convolve_adjoint, kernel_adjoint
from unblur.params import Schedule


@dataclass(frozen=True)
class Weight:
    weight: Annotated[Schedule, Ge(0), Doc("Factor.")] = 1.0


@dataclass(frozen=True)
class BadDefault:
    share: Annotated[float, Doc("A share.")] = "half"  # type: ignore[assignment]


@dataclass(frozen=True)
class BadDoc:
    share: Annotated[float, Doc("a share")] = 0.5


@dataclass(frozen=True)
class Forgetful:
    size: Annotated[float, Doc("Forgotten on the way.")] = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", self.size + 1)


class Model(ForwardModel[Any]):
    """A sound forward model."""

    def spec(self, observed: Any, context: Any) -> Any:
        return copy.copy(_spec(context))

    def latent_shape(self, observed: Any, spec: Any) -> Any:
        return (*observed[:2], *(n + k - 1 for n, k in zip(observed[2:], spec.shape, strict=True)))

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        return convolve(latent, kernel)

    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Any) -> Tensor:
        return convolve_adjoint(residual, kernel, shape)

    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: Any) -> Tensor:
        return kernel_adjoint(residual, latent, spec.shape)

    def crop(self, estimate: Any, batch: Any) -> Any:
        estimate = copy.copy(estimate)
        estimate.image = _window(estimate.image, batch)
        estimate.spread = None if estimate.spread is None else _window(estimate.spread, batch)
        return estimate


def _spec(context: Any) -> Any:
    from unblur.components import KernelSpec

    return KernelSpec(tuple(context.psf.shape[1:]))


def _window(image: Tensor, batch: Any, shift: int = 0) -> Tensor:
    for axis, size in enumerate(batch.observed.shape[2:], 2):
        image = image.narrow(axis, (image.shape[axis] - size) // 2 + shift, size)
    return image


class TooLarge(Model):
    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        return convolve(latent, kernel, "same")


class Squaring(Model):
    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        return convolve(latent.square(), kernel)


class Correlating(Model):
    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Any) -> Tensor:
        return convolve_adjoint(residual, kernel.flip(-1), shape)


class CorrelatingKernel(Model):
    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: Any) -> Tensor:
        return kernel_adjoint(residual, latent, spec.shape).flip(-1)


class Detached(Model):
    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        return convolve(latent, kernel.detach())


class OtherOperator(Model):
    def prepared(self, kernel: Tensor, shape: Any) -> Any:
        return super().prepared(kernel.flip(-1), shape)


class ForgetsSpread(Model):
    def crop(self, estimate: Any, batch: Any) -> Any:
        estimate = super().crop(estimate, batch)
        estimate.spread = None
        return estimate


class Shifted(Model):
    def crop(self, estimate: Any, batch: Any) -> Any:
        shifted = super().crop(estimate, batch)
        shifted.image = _window(estimate.image, batch, shift=1)
        shifted.spread = None if estimate.spread is None else shifted.image
        return shifted


class Halving(Response[Any]):
    def calibrate(self, observed: Tensor, context: Any) -> Tensor:
        return observed / 2


class Clipping(Response[Any]):
    def __call__(self, predicted: Tensor) -> Tensor:
        return (predicted * (2 - predicted)).clamp_min(0)


class Misplaced(Misfit[Any]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        return _mean((predicted - 0.9 * observed).square(), weight)


class Unmasked(Misfit[Any]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        return (predicted - observed).square().mean()


class InfiniteSlope(Misfit[Any]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        return _mean((predicted - observed).square(), weight).sqrt()


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean() if weight is None else (values * weight).sum() / weight.sum().clamp_min(1)


class Norm(Penalty[Any]):
    def __call__(self, value: Tensor) -> Tensor:
        return (value[..., 1:] - value[..., :-1]).square().sum().sqrt()


class WrongSlope(Penalty[Any]):
    def __call__(self, value: Tensor) -> Tensor:
        return value.detach().square().sum() * value.mean()


class Latent(ImagePrior[Any]):
    """A sound image prior."""

    def init(self, shape: Any, batch: Any, context: Any) -> None:
        start = batch.observed.mean() + 0.1 * torch.rand(shape, generator=context.rng).to(batch.observed)
        self.value = start.requires_grad_()

    def parameters(self) -> list[Tensor]:
        return [self.value]

    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        return Draw(self.value * 1.0)

    def start_from(self, earlier: Any, latent: Tensor, transfer: Any) -> None:
        with torch.no_grad():
            self.value.copy_(latent)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.value.copy_(state["value"])


class Transposed(Latent):
    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        return Draw(self.value.transpose(-1, -2))


class Unseeded(Latent):
    def init(self, shape: Any, batch: Any, context: Any) -> None:
        super().init(shape, batch, context)
        self.value = torch.rand(shape).requires_grad_()


class Guarded(Latent):
    """Hides that it draws from the global generator."""

    def init(self, shape: Any, batch: Any, context: Any) -> None:
        super().init(shape, batch, context)
        with torch.random.fork_rng(devices=[]):
            self.value = torch.rand(shape).requires_grad_()


class NumpySeeded(Latent):
    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        np.random.seed(0)  # noqa: NPY002
        return super().draw(batch, clock, rng)


class Drifting(Latent):
    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        with torch.no_grad():
            self.value.mul_(0.99)
        return super().draw(batch, clock, rng)


class SecretlyRandom(Latent):
    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        draw = super().draw(batch, clock, rng)
        if rng is not None:
            draw.latent = draw.latent + 0.01 * torch.randn(draw.latent.shape, generator=rng, device=rng.device)
        return draw


class Amnesiac(Latent):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Replacing(Latent):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"].clone().requires_grad_()


class Remembering(Latent):
    """Keeps what it drew last with the graph that it was drawn by."""

    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        drawn = super().draw(batch, clock, rng)
        self.last = drawn.latent
        return drawn

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value.detach(), "last": self.last}


class Backwards(Latent):
    def start_from(self, earlier: Any, latent: Tensor, transfer: Any) -> None:
        with torch.no_grad():
            self.value.copy_(1 - latent)


class Cornered(Latent):
    """Takes over pixels as they lie, whatever the resolution of the earlier stage."""

    def start_from(self, earlier: Any, latent: Tensor, transfer: Any) -> None:
        corner = tuple(slice(size) for size in earlier.value.shape)
        with torch.no_grad():
            self.value.zero_()[corner] = earlier.value


class Severed(Latent):
    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        return Draw((self.value.detach() * 1.0).requires_grad_())


class Doubled(Latent):
    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        return Draw(self.value * 2.0)


class Bare(KernelPrior[Any]):
    """A sound kernel prior."""

    def init(self, spec: Any, context: Any) -> None:
        drawn = torch.rand((spec.count, *spec.shape), generator=context.rng)
        self.logits = drawn.to(context.compute.device).requires_grad_()

    def parameters(self) -> list[Tensor]:
        return [self.logits]

    def kernel(self, latent: Tensor, clock: Any, rng: Any) -> Tensor:
        return torch.softmax(self.logits.flatten(1), 1).view(self.logits.shape)

    def state_dict(self) -> dict[str, Any]:
        return {"logits": self.logits.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.logits.copy_(state["logits"])


class Gauss(KernelPrior[Any]):
    """A Gaussian that is as wide in pixels of every resolution."""

    def init(self, spec: Any, context: Any) -> None:
        height, width = (torch.arange(size) - size // 2 for size in spec.shape)
        bump = torch.exp(-(height.square()[:, None] + width.square()) / 8).to(context.compute.device)
        self.bump = (bump / bump.sum()).expand(spec.count, *spec.shape)

    def kernel(self, latent: Tensor, clock: Any, rng: Any) -> Tensor:
        return self.bump


class OneWay(Bare):
    """Weights whose `gather` is not the adjoint of `expand`."""

    def kernel(self, latent: Tensor, clock: Any, rng: Any) -> Tensor:
        return self.logits / self.logits.flatten(1).sum(1).view(-1, 1, 1)

    def expand(self, weights: Tensor) -> Tensor:
        return weights

    def gather(self, kernels: Tensor) -> Tensor:
        return kernels.flip(-1)


class Unnormalised(Bare):
    def kernel(self, latent: Tensor, clock: Any, rng: Any) -> Tensor:
        return self.logits.abs()


class Negative(Bare):
    def kernel(self, latent: Tensor, clock: Any, rng: Any) -> Tensor:
        centred = self.logits - self.logits.mean() + 1 / self.logits[0].numel()
        return centred / centred.sum()


class Descent(Estimator[Any]):
    """A sound estimator."""

    sign = -1.0

    def init(self, problem: Any, earlier: Any) -> Any:
        return self

    def step(self, problem: Any, state: Any, batch: Any, clock: Any) -> Info:
        draw = problem.draw(batch, clock, problem.rng)
        kernel = problem.kernel(draw.latent, clock, problem.rng)
        misfit = problem.misfit(draw, kernel, batch, clock)
        leaves = self.leaves(problem)
        gradients = torch.autograd.grad(misfit, leaves, allow_unused=True)
        with torch.no_grad():
            for leaf, gradient in zip(leaves, gradients, strict=True):
                if gradient is not None:
                    leaf += self.sign * 1e-3 * gradient.sign()
        return Info(misfit.detach(), draw, kernel.detach())

    def leaves(self, problem: Any) -> list[Tensor]:
        return [*problem.image.parameters(), *problem.kernels.parameters()]


class Ascent(Descent):
    sign = 1.0


class ImageOnly(Descent):
    def leaves(self, problem: Any) -> list[Tensor]:
        return list(problem.image.parameters())


class FirstChannel(Descent):
    def step(self, problem: Any, state: Any, batch: Any, clock: Any) -> Info:
        image = problem.image.parameters()[0]
        before = image.detach().clone()
        info = super().step(problem, state, batch, clock)
        with torch.no_grad():
            image[:, 1:] = before[:, 1:]
        return info


class Trusting(Descent):
    """All pixels count."""

    def step(self, problem: Any, state: Any, batch: Any, clock: Any) -> Info:
        return super().step(problem, state, Batch(batch.observed, batch.frames), clock)


class Clinging(Descent):
    """Goes on with the parameters of the stage before."""

    def init(self, problem: Any, earlier: Any) -> Any:
        self.held = [*problem.image.parameters(), *problem.kernels.parameters()]
        return self if earlier is None else earlier

    def step(self, problem: Any, state: Any, batch: Any, clock: Any) -> Info:
        self.held = state.held
        return super().step(problem, state, batch, clock)

    def leaves(self, problem: Any) -> list[Tensor]:
        return self.held


class Touching(Descent):
    """A look moves the image."""

    def estimate(self, problem: Any, state: Any, batch: Any, clock: Any, rng: Any) -> Any:
        problem.image.parameters()[0].mul_(0.999)
        return super().estimate(problem, state, batch, clock, rng)


class Spreading(Descent):
    """Gives a standard deviation."""

    def estimate(self, problem: Any, state: Any, batch: Any, clock: Any, rng: Any) -> Any:
        estimate = super().estimate(problem, state, batch, clock, rng)
        estimate.spread = torch.ones_like(estimate.image)
        return estimate


class Hurrying(Descent):
    """Its momentum is in no state."""

    def init(self, problem: Any, earlier: Any) -> Any:
        self.steps = 0
        return self

    def step(self, problem: Any, state: Any, batch: Any, clock: Any) -> Info:
        self.steps += 1
        self.sign = -float(self.steps)
        return super().step(problem, state, batch, clock)


class Unsure(Descent):
    def soften(self, state: Any) -> Any:
        return None


class Truthful(StoppingRule[Any]):
    """A sound rule that needs its state: stops after 30 steps."""

    seen = 0

    def update(self, info: Any, clock: Any) -> Any:
        self.seen += 1
        return "seen enough" if self.seen >= 30 else None

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


class Boolean(Truthful):
    def update(self, info: Any, clock: Any) -> Any:
        return super().update(info, clock) is not None


class Restarting(Truthful):
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Numbering(Truthful):
    def state_dict(self) -> dict[str, Any]:
        return {"seen": np.int64(self.seen)}


class Meddling(Truthful):
    def update(self, info: Any, clock: Any) -> Any:
        info.draw.latent.mul_(0.5)
        return super().update(info, clock)


class Numeric(Selector[Any]):
    def better(self, info: Any, clock: Any) -> Any:
        return float(info.misfit)


class Best(Selector[Any]):
    """The least misfit, which a resumed one does not know."""

    least = float("inf")

    def better(self, info: Info, clock: Any) -> bool:
        better = float(info.misfit) < self.least
        self.least = min(self.least, float(info.misfit))
        return better


class Talking(Misfit[Any]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        counted = torch.ones_like(observed) if weight is None else weight
        value = ((predicted - observed) ** 2 * counted).sum() / counted.sum().clamp_min(1e-9)
        print(f"a misfit of {float(value)}")  # noqa: T201
        return value


class Greedy(Misfit[Any]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        weight = torch.ones_like(observed) if weight is None else weight
        weight /= weight.mean().clamp_min(1e-9)
        return ((predicted - observed) ** 2 * weight).mean()


class Clamping(Penalty[Any]):
    def __call__(self, value: Tensor) -> Tensor:
        with torch.no_grad():
            value.clamp_(min=0.4)
        return value.abs().sum()


class Laplacian(Penalty[Any]):
    """A sound one, with a filter in float32."""

    def __call__(self, value: Tensor) -> Tensor:
        weights = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=value.device)
        planes = value.flatten(0, -3)[:, None]
        return torch.nn.functional.conv2d(planes, weights[None, None], padding=1).square().mean()
