"""Trial parts: the smallest versions of what the methods need, on small images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor, nn
from typing_extensions import Doc

from unblur.components import (
    Batch,
    Clock,
    Context,
    Draw,
    Estimate,
    ForwardModel,
    ImagePrior,
    KernelPrior,
    KernelSpec,
    Misfit,
    Penalty,
    Selector,
    Shape,
    StoppingRule,
    Transfer,
)
from unblur.operators.convolution import convolve, convolve_adjoint, kernel_adjoint
from unblur.operators.locate import cut, kernel_at, locate
from unblur.operators.windows import ssim
from unblur.params import NoParams, Schedule


@dataclass(frozen=True)
class KernelSizeParams:
    kernel_size: Annotated[int, Ge(0), Doc("Side of the kernel; 0 for half the image.")] = 5


@dataclass(frozen=True)
class WeightParams:
    weight: Annotated[Schedule, Ge(0), Doc("Factor.")] = 1.0


@dataclass(frozen=True)
class SmallWeightParams:
    weight: Annotated[Schedule, Ge(0), Doc("Factor.")] = 1e-3


@dataclass(frozen=True)
class RandomParams:
    noise: Annotated[Schedule, Ge(0), Doc("Standard deviation of the noise on the input.")] = 0.05


@dataclass(frozen=True)
class GridParams:
    kernel_size: Annotated[int, Ge(1), Doc("Side of the kernels.")] = 5
    grid: Annotated[int, Ge(1), Doc("Kernels along each axis.")] = 1


class Valid(ForwardModel[KernelSizeParams]):
    """Valid convolution; the latent image is larger."""

    def spec(self, observed: Shape, context: Context) -> KernelSpec:
        if context.psf is not None:
            return KernelSpec(tuple(context.psf.shape[1:]), len(context.psf))
        size = self.params.kernel_size
        return KernelSpec(tuple(size or n // 2 for n in observed[2:]))

    def latent_shape(self, observed: Shape, spec: KernelSpec) -> Shape:
        return (*observed[:2], *(n + k - 1 for n, k in zip(observed[2:], spec.shape, strict=True)))

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        return convolve(latent, kernel)

    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        return convolve_adjoint(residual, kernel, shape[2:])

    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: KernelSpec) -> Tensor:
        return kernel_adjoint(residual, latent, spec.shape)

    def crop(self, estimate: Estimate, batch: Batch) -> Estimate:
        starts = [(k - 1) // 2 for k in estimate.kernel.shape[1:]]
        return _window(estimate, starts, tuple(batch.observed.shape[2:]))


class Located(Valid):
    """The window of the latent image that looks most like the observed one, the kernel shifted to match."""

    def crop(self, estimate: Estimate, batch: Batch) -> Estimate:
        offset = locate(estimate.image, batch.observed).offset
        found = _window(estimate, offset, tuple(batch.observed.shape[2:]))
        found.kernel = kernel_at(estimate.kernel, offset)
        return found


class Periodic(Valid):
    """Periodic convolution; the latent image has the observed size."""

    def latent_shape(self, observed: Shape, spec: KernelSpec) -> Shape:
        return observed

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        return convolve(latent, kernel, "periodic")

    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        return convolve_adjoint(residual, kernel, shape[2:], "periodic")

    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: KernelSpec) -> Tensor:
        return kernel_adjoint(residual, latent, spec.shape, "periodic")

    def crop(self, estimate: Estimate, batch: Batch) -> Estimate:
        return estimate


class Svola(Valid):
    """Overlap-add of windowed patches, each with a kernel: sum_i k_i * (w_i x)."""

    params: Any

    def spec(self, observed: Shape, context: Context) -> KernelSpec:
        count = self.params.grid ** len(observed[2:])
        return KernelSpec((self.params.kernel_size,) * len(observed[2:]), count, "grid" if count > 1 else "single")

    def windows(self, latent: Tensor, count: int) -> Tensor:
        side = round(count ** (1 / (latent.ndim - 2)))
        masks = torch.ones(1, *latent.shape[2:])
        for axis, size in enumerate(latent.shape[2:], 1):
            centres = (torch.arange(side) + 0.5) * size / side
            hats = (1 - (torch.arange(size)[None] + 0.5 - centres[:, None]).abs() * side / size).clamp_min(0)
            hats = (hats / hats.sum(0)).view(side, *(size if a == axis else 1 for a in range(1, latent.ndim - 1)))
            masks = (masks[:, None] * hats[None]).flatten(0, 1)
        return masks

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        masks = self.windows(latent, len(kernel))
        parts = [convolve(latent * mask, k[None]) for mask, k in zip(masks, kernel, strict=True)]
        return torch.stack(parts).sum(0)


class Flow(Valid):
    """Three frames; the middle one is the mean of itself and both neighbours pulled along the flow."""

    def spec(self, observed: Shape, context: Context) -> KernelSpec:
        return KernelSpec(tuple(observed[2:]), 4, "flow")

    def latent_shape(self, observed: Shape, spec: KernelSpec) -> Shape:
        return observed

    def target(self, batch: Batch) -> Batch:
        valid = None if batch.valid is None else batch.valid[1:2]
        return Batch(batch.observed[1:2], batch.frames[1:2], valid)

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        height, width = latent.shape[2:]
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        grid = torch.stack([columns, rows], -1)[None]
        frames = [latent[1:2]]
        for frame, flow in ((latent[0:1], kernel[0:2]), (latent[2:3], kernel[2:4])):
            step = flow.movedim(0, -1)[None] * grid.new_tensor([2 / width, 2 / height])
            frames.append(nn.functional.grid_sample(frame, grid + step, align_corners=True, padding_mode="border"))
        return torch.stack(frames).mean(0)

    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        raise NotImplementedError

    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: KernelSpec) -> Tensor:
        raise NotImplementedError

    def crop(self, estimate: Estimate, batch: Batch) -> Estimate:
        return estimate


def _window(estimate: Estimate, offset: Sequence[int], shape: Shape) -> Estimate:
    spread = None if estimate.spread is None else cut(estimate.spread, offset, shape)
    return Estimate(cut(estimate.image, offset, shape), estimate.kernel, spread)


class Squares(Misfit[WeightParams]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        squares = (predicted - observed) ** 2
        return squares.mean() if weight is None else (squares * weight).sum() / weight.sum()


class Huber(Misfit[WeightParams]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        loss = nn.functional.huber_loss(predicted, observed, reduction="none", delta=0.05)
        return loss.mean() if weight is None else (loss * weight).sum() / weight.sum()


class OneMinusSsim(Misfit[WeightParams]):
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        return 1 - ssim(predicted, observed).mean()


class Tv(Penalty[SmallWeightParams]):
    def __call__(self, value: Tensor) -> Tensor:
        return sum((value.diff(dim=axis).abs().mean() for axis in range(2, value.ndim)), value.new_zeros(()))


class L1L2(Penalty[SmallWeightParams]):
    def __call__(self, value: Tensor) -> Tensor:
        slopes = torch.cat([value.diff(dim=axis).flatten() for axis in range(2, value.ndim)])
        return slopes.abs().sum() / (slopes.norm() + 1e-9)


class SmallSquares(Penalty[SmallWeightParams]):
    def __call__(self, value: Tensor) -> Tensor:
        return (value**2).mean()


class Pixels(ImagePrior[NoParams]):
    """Free pixels."""

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        self.pixels = torch.full(shape, float(batch.observed.mean())).requires_grad_()

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        self.pixels.data.copy_(latent)

    def parameters(self) -> Sequence[Tensor]:
        return [self.pixels]

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        return Draw(self.pixels)

    def state_dict(self) -> dict[str, Any]:
        return {"pixels": self.pixels.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.pixels.data.copy_(state["pixels"])


def _network(inputs: int, outputs: int, dims: int, rng: Generator) -> nn.Module:
    kind = nn.Conv2d if dims == 2 else nn.Conv3d
    first = nn.utils.skip_init(kind, inputs, 12, 3, padding=1)  # the usual one draws from the global generator
    layers = nn.Sequential(first, nn.LeakyReLU(0.1), nn.utils.skip_init(kind, 12, outputs, 3, padding=1))
    with torch.no_grad():
        for parameter in layers.parameters():
            bound = 1 / math.sqrt(max(1, parameter[0].numel()))
            parameter.copy_((torch.rand(parameter.shape, generator=rng) * 2 - 1) * bound)
    return layers


class Network(ImagePrior[Any]):
    """An untrained network on fixed noise."""

    noise: Any = 0.0

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        frames, channels, *spatial = shape
        self.network = _network(4, channels, len(spatial), context.rng)
        self.input = torch.rand((frames, 4, *spatial), generator=context.rng)

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        if isinstance(earlier, Network):
            self.network.load_state_dict(earlier.network.state_dict())
            self.input = transfer.latent(earlier.input)

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        return Draw(self.network(self.input).sigmoid())

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "input": self.input}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.input.copy_(state["input"])


class RandomNetwork(Network):
    """Noise on the input in every draw."""

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        z = self.input
        if rng is not None:
            z = z + self.params.noise * torch.randn(z.shape, generator=rng)
        return Draw(self.network(z).sigmoid())


class Replaced(Network):
    """Fed with the observation, in which pixels are replaced; only those count (dropout on the input)."""

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        self.network = _network(shape[1], shape[1], len(shape) - 2, context.rng)
        self.input = torch.zeros(0)
        self.shape = shape

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        if isinstance(earlier, Replaced):
            self.network.load_state_dict(earlier.network.state_dict())

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        observed, weight = batch.observed, None
        if rng is not None:
            weight = (torch.rand(observed.shape, generator=rng) < 0.3).float()
            around = nn.functional.avg_pool2d(observed, 3, 1, 1) if observed.ndim == 4 else observed
            observed = torch.where(weight > 0, around, observed)
        margins = [n - m for n, m in zip(self.shape[2:], observed.shape[2:], strict=True)]
        pads = [pad for n in reversed(margins) for pad in (n // 2, n - n // 2)]
        padded = nn.functional.pad(observed, pads, mode="replicate")
        return Draw(self.network(padded).sigmoid(), weight)


class Deblurrer(Network):
    """The deblurring network itself: each observed frame by itself."""

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        self.network = _network(shape[1], shape[1], len(shape) - 2, context.rng)
        self.input = torch.zeros(0)

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        if isinstance(earlier, Deblurrer):
            self.network.load_state_dict(earlier.network.state_dict())

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        return Draw(batch.observed + 0.3 * self.network(batch.observed))


class Known(KernelPrior[NoParams]):
    def init(self, spec: KernelSpec, context: Context) -> None:
        assert context.psf is not None
        self.psf = context.psf

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        return self.psf


class Logits(KernelPrior[NoParams]):
    """Softmax of free numbers; one for each kernel."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        self.spec = spec
        self.logits = (0.1 * torch.randn((spec.count, *spec.shape), generator=context.rng)).requires_grad_()

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        self.logits.data.copy_(kernel.clamp_min(1e-6).log())

    def parameters(self) -> Sequence[Tensor]:
        return [self.logits]

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        return self.logits.flatten(1).softmax(1).view_as(self.logits)

    def state_dict(self) -> dict[str, Any]:
        return {"logits": self.logits.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.logits.data.copy_(state["logits"])


class FreeKernel(Logits):
    """Free pixels that an estimator changes itself."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        self.logits = torch.full((spec.count, *spec.shape), 1 / math.prod(spec.shape)).requires_grad_()

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        self.logits.data.copy_(kernel)

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        positive = self.logits.clamp_min(1e-8)
        return positive / positive.flatten(1).sum(1).view(-1, *(1,) * (positive.ndim - 1))


class Siren(Logits):
    """A network of sines on coordinates with a sigmoid at its end."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        axes = [torch.linspace(-1, 1, size) for size in spec.shape]
        self.places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        bound = math.sqrt(6 / 16)
        sizes = [(len(axes), 16), (16, 16), (16, 1)]
        self.weights = [((torch.rand(s, generator=context.rng) * 2 - 1) * bound).requires_grad_() for s in sizes]

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        if isinstance(earlier, Siren):
            self.load_state_dict(earlier.state_dict())

    def parameters(self) -> Sequence[Tensor]:
        return self.weights

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        first, second, last = self.weights
        positive = (torch.sin(torch.sin(10 * self.places @ first) @ second) @ last)[..., 0].sigmoid()
        return (positive / positive.sum())[None]

    def state_dict(self) -> dict[str, Any]:
        return {"weights": [weight.detach() for weight in self.weights]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for weight, value in zip(self.weights, state["weights"], strict=True):
            weight.data.copy_(value)


class FlowNetwork(KernelPrior[NoParams]):
    """Flow from the middle latent frame to its neighbours."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        self.network = _network(3, 4, len(spec.shape), context.rng)

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        return self.network(latent.mean(1)[None])[0]

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])


@dataclass(frozen=True)
class SecondsParams:
    seconds: Annotated[float, Gt(0), Doc("Budget.")] = 60.0


@dataclass(frozen=True)
class AtParams:
    step: Annotated[int, Ge(1), Doc("Step, counted in its stage.")] = 3
    stage: Annotated[int, Ge(0), Doc("Stage.")] = 0


class EndsRun(StoppingRule[AtParams]):
    ends = "run"

    def update(self, info: Any, clock: Clock) -> str | None:
        here = clock.stage == self.params.stage and clock.step >= self.params.step
        return "budget used" if here else None


class EndsStage(EndsRun):
    ends = "stage"

    def update(self, info: Any, clock: Clock) -> str | None:
        here = clock.stage == self.params.stage and clock.step >= self.params.step
        return "flat" if here else None


class Last(Selector[NoParams]):
    def better(self, info: Any, clock: Clock) -> bool:
        return True


class BestMisfit(Selector[NoParams]):
    best = math.inf

    def better(self, info: Any, clock: Clock) -> bool:
        found, self.best = float(info.misfit) < self.best, min(self.best, float(info.misfit))
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


class MovingVariance(Selector[NoParams]):
    """The iterate whose last four reconstructions vary the least."""

    def init(self, problem: Any) -> None:
        self.recent: list[Tensor] = []
        self.least = math.inf

    def better(self, info: Any, clock: Clock) -> bool:
        self.recent = [*self.recent[-3:], info.draw.latent.detach().clone()]
        if len(self.recent) < 4:
            return False
        variance = float(torch.stack(self.recent).var(dim=0).mean())
        found, self.least = variance < self.least, min(self.least, variance)
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"recent": self.recent, "least": self.least}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.recent, self.least = list(state["recent"]), state["least"]
