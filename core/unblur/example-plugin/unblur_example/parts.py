"""The components of the example plugin."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.components import Draw, Estimator, ImagePrior, Info, KernelPrior, Misfit, StoppingRule
from unblur.params import value_at


class LogCosh(Misfit[Any]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        size: Tensor = (predicted - observed).abs() / self.params.scale
        value = size + F.softplus(-2 * size) - math.log(2)  # log cosh without overflow
        counted = torch.ones_like(value) if weight is None else weight.expand_as(value)
        return (value * counted).sum() / counted.sum().clamp_min(1e-9)


class Learned:
    """What both priors share: one tensor that is learned and saved."""

    value: Tensor

    def parameters(self) -> list[Tensor]:
        return [self.value]

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.value.copy_(state["value"])


class PositivePixels(Learned, ImagePrior[Any]):
    def init(self, shape: Any, batch: Any, context: Any) -> None:
        mean = batch.observed.mean(dim=tuple(range(2, len(shape))), keepdim=True).clamp_min(1e-3)
        self.value = mean.expand(shape).expm1().log().requires_grad_()

    def start_from(self, earlier: Any, latent: Tensor, transfer: Any) -> None:
        self.value.data = latent.clamp_min(1e-3).expm1().log()  # of the stage before, on this stage's grid

    def draw(self, batch: Any, clock: Any, rng: Any) -> Draw:
        return Draw(F.softplus(self.value))


class LearnedGaussian(Learned, KernelPrior[Any]):
    def init(self, spec: Any, context: Any) -> None:
        self.shape, self.scale = spec.shape, spec.scale
        start = math.log(self.params.sigma * spec.scale)
        self.value = torch.tensor(start, device=context.compute.device, requires_grad=True)

    def start_from(self, earlier: Any, kernel: Tensor, transfer: Any) -> None:
        if isinstance(earlier, LearnedGaussian):
            self.value.data = earlier.value.detach() + math.log(self.scale / earlier.scale)

    def kernel(self, latent: Tensor, clock: Any, rng: Any) -> Tensor:
        kernel = torch.ones_like(self.value)[None]
        for size in self.shape:
            places = torch.arange(size, device=kernel.device) - size // 2
            kernel = kernel[..., None] * torch.exp(-0.5 * (places / self.value.exp()) ** 2)
        return kernel / kernel.sum()


class SignDescent(Estimator[Any]):
    def init(self, problem: Any, earlier: Any) -> Any:
        return self  # whatever changes besides the priors: nothing, here

    def step(self, problem: Any, state: Any, batch: Any, clock: Any) -> Info:
        draw = problem.draw(batch, clock, problem.rng)
        kernel = problem.kernel(draw.latent, clock, problem.rng)
        misfit = problem.misfit(draw, kernel, batch, clock)
        leaves = [*problem.image.parameters(), *problem.kernels.parameters()]
        gradients = torch.autograd.grad(misfit + problem.penalty(draw.latent, kernel, clock), leaves)
        with torch.no_grad():
            for leaf, gradient in zip(leaves, gradients, strict=True):
                leaf -= value_at(self.params.rate, clock.fraction) * gradient.sign()
        return Info(misfit.detach(), draw, kernel.detach())


class SmallMisfit(StoppingRule[Any]):
    def update(self, info: Info, clock: Any) -> str | None:
        return f"misfit below {self.params.level:g}" if float(info.misfit) < self.params.level else None
