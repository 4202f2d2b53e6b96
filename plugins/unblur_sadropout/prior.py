"""The dropout network as an image prior, fed with seeds made of the observation."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from unblur.components import Batch, Clock, Context, Draw, ImagePrior, Shape, Transfer
from unblur.errors import ImageError
from unblur.networks.blocks import HEADS
from unblur.networks.initialise import child
from unblur.operators.convolution import Convolution
from unblur.problem import Problem
from unblur_sadropout.dropout import AdaptiveDropout, Variances
from unblur_sadropout.guide import Guide, classical
from unblur_sadropout.network import DropoutUNet, keep
from unblur_sadropout.noise import noise_of
from unblur_sadropout.params import DropoutNetworkParams
from unblur_sadropout.seeds import replaced

_RANGE = 0.02
"""Distance from the ends of a head's range within which a start is not believed: its inverse would be huge."""

_TIMID = 0.1
"""Factor of the last layer's weights where the output is added to a start."""


class DropoutPrior(ImagePrior[DropoutNetworkParams]):
    """x = f(ŷ; θ ⊙ b): a network of random weights b, fed with the observation whose pixels are randomly replaced ŷ.

    Chen et al. 2022, section 3.2. A draw hands over the mask of the replaced pixels, on which alone the misfit counts
    (eq. 8). Without a generator nothing is replaced or dropped. The input has the latent image's size: beyond the
    observation the value of its border.

    The dropout ratios follow the variance of the neurons (eq. 15) in draws with gradients, those of an estimator's
    steps, at multiples of `adapt_every`. Readings: a neuron's variance is that before its dropout; ratios are scaled
    within a layer, and multiply the initial ones unless `compound` says otherwise.
    """

    network: DropoutUNet
    dropout: AdaptiveDropout

    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        params = self.params
        _, channels, *spatial = shape
        head = params.output
        if head == "auto":
            head = "sigmoid" if context.bounded else "softplus"
            if not context.bounded:
                context.note("intensities without a known white level: the image may be brighter than the observation")
        self.head, self.size, self.context = head, tuple(spatial), context
        inputs = channels * (1 + len(params.filters) + bool(params.start))
        self.network = DropoutUNet(
            inputs,
            channels,
            rng=context.rng,
            widths=params.widths,
            levels=params.levels,
            ratio=params.dropout,
            early=params.early,
            dims=len(spatial),
        )
        if params.start:
            with torch.no_grad():
                self.network.output.weight.mul_(_TIMID)
        context.compute.place(self.network, len(spatial))
        self.dropout = AdaptiveDropout(self.network.ratios, child(context.rng))
        self.guide: Guide | None = None
        self.start: Tensor | None = None
        self._observed, self._filled = batch.observed, _filled(batch)

    @torch.no_grad()
    def begin(self, problem: Problem) -> None:
        """Take up what classical methods make of the observation with the problem's kernel, which must be known.

        Where they cannot (a blur that is no convolution, too small an image), which is noted, the observation stands
        for it.
        """
        params = self.params
        if not (params.start or params.filters):
            return
        kernel = problem.kernel(self._extended(self._filled), Clock(0, 1), None)
        operator = problem.forward.prepared(kernel, problem.latent_shape)
        if not isinstance(operator, Convolution):
            self.context.note("dropout-unet: the blur is no convolution, so that it begins with the observation")
            return
        if params.filters:
            self.guide = Guide(operator, self._filled, self._variance(), params.filters, self.size)
        if params.start:
            try:
                self.start = classical(problem, params.start)
            except ImageError as error:
                self.context.note(f"dropout-unet: {params.start} gives nothing to begin with ({error})")

    def _variance(self) -> float:
        """Mean squared error of a seed: noise, and what replacing changes."""
        noise = noise_of(self._filled, self.context, "sa-dropout")
        if not self.params.replaced:
            return noise**2
        kept = self._kept(self._filled, torch.Generator(self._filled.device).manual_seed(0))
        change = float((replaced(self._filled, kept) - self._filled).square().mean())
        return change + (1 - self.params.replaced) * noise**2

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        """The weights of the earlier stage's network, if it is of the same kind; ratios adapt anew."""
        if isinstance(earlier, DropoutPrior):
            self.network.load_state_dict(earlier.network.state_dict())

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        observed = self._filled if batch.observed is self._observed else _filled(batch)
        if rng is None:
            return Draw(self._image(observed, keep))
        every = self.params.adapt_every
        if every and clock.step and clock.step % every == 0 and torch.is_grad_enabled():
            self._adapt(observed, rng)
        seed, weight = self._seed(observed, rng)
        return Draw(self._image(seed, self.dropout.opened(rng)), weight)

    def _seed(self, observed: Tensor, rng: Generator) -> tuple[Tensor, Tensor | None]:
        """A seed, and which pixels of the observation the misfit counts on."""
        if not self.params.replaced:
            return observed, None
        kept = self._kept(observed, rng)
        return replaced(observed, kept), 1 - kept if self.params.masked else None

    def _kept(self, observed: Tensor, rng: Generator) -> Tensor:
        return (torch.rand(observed.shape, generator=rng, device=observed.device) >= self.params.replaced).float()

    def _image(self, seed: Tensor, drop: Any) -> Tensor:
        extended = self._extended(seed)
        inputs = [extended]
        if self.params.filters:
            count = len(self.params.filters)
            inputs.append(extended.repeat(1, count, *(1,) * len(self.size)) if self.guide is None else self.guide(seed))
        raw: Tensor | float = 0.0
        if self.params.start:
            start = extended if self.start is None else self.start
            inputs.append(start)
            raw = _inverse(self.head, start)
        return HEADS[self.head](self.network(torch.cat(inputs, 1), drop) + raw)

    def _extended(self, observed: Tensor) -> Tensor:
        """Of the latent image's size, the observation where it lies in it."""
        padding: list[int] = []
        for larger, size in zip(reversed(self.size), reversed(observed.shape[2:]), strict=True):
            before = (larger - size) // 2
            padding += [before, larger - size - before]
        return F.pad(observed, padding, mode="replicate")

    @torch.no_grad()
    def _adapt(self, observed: Tensor, rng: Generator) -> None:
        variances = Variances(len(self.network.ratios))
        for _ in range(self.params.adapt_samples):
            seed, _ = self._seed(observed, rng)
            self._image(seed, variances.watching(self.dropout.opened(rng)))
        self.dropout.adapt(variances.result(), self.params.compound)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "dropout": self.dropout.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.dropout.load_state_dict(state["dropout"])


def _filled(batch: Batch) -> Tensor:
    """The observed frames, with pixels that do not count replaced by their neighbours."""
    if batch.valid is None:
        return batch.observed
    with contextlib.suppress(ImageError):
        return replaced(batch.observed, batch.valid.expand_as(batch.observed))
    return batch.observed


def _inverse(head: str, image: Tensor) -> Tensor:
    """What a head makes an image of."""
    if head == "sigmoid":
        return torch.logit(image.clamp(_RANGE, 1 - _RANGE))
    image = image.clamp_min(_RANGE)
    return image + torch.log(-torch.expm1(-image))
