"""The dropout network as an image prior, fed with seeds made of the observation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.components import Batch, Clock, Context, Draw, ImagePrior, Shape, Transfer
from unblur.errors import ImageError
from unblur.networks.blocks import HEADS, inverse_head
from unblur.networks.initialise import child
from unblur.operators.convolution import Convolution
from unblur.operators.missing import counted_by_both
from unblur.operators.resample import extend
from unblur.problem import Problem
from unblur_sadropout.dropout import AdaptiveDropout, Variances
from unblur_sadropout.network import Drop, DropoutUNet, keep
from unblur_sadropout.noise import noise_in
from unblur_sadropout.params import DropoutNetworkParams
from unblur_sadropout.seeds import Seed, fixed_masks, mask
from unblur_sadropout.starts import classical

_LEAST = 0.05
"""Of the pixels are replaced at least, so that the misfit has something to count."""

_ADDED = 0.25
"""Part of the noise's variance that sparing replacement may add to a seed."""

_TIMID = 0.1
"""Factor of the last layer's weights where the output is added to a start."""


class DropoutPrior(ImagePrior[DropoutNetworkParams]):
    """x = f(ŷ; θ ⊙ b): a network of random weights b, fed with the observation whose pixels are randomly replaced ŷ.

    Chen et al. 2022, section 3.2. A draw hands over the mask of the replaced pixels, on which alone the misfit counts
    (eq. 8). Without a generator nothing is replaced or dropped. The input has the latent image's size: beyond the
    observation the value of its border.

    Classical estimates of a seed are ours: further inputs, and what the output is added to, so that the network has
    only their errors to learn. They do without the replaced pixels where these are farther from the truth than noise
    makes a pixel.

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
        self.network = DropoutUNet(
            channels * (1 + len(params.start)),
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
        self.adapted = 0
        self.batch = batch
        self.whole = Seed.of(batch)
        self.seeds: list[Seed] = []
        self.share = self._sparing() if params.sparing else params.replaced
        if params.seeds and self.share:
            count = max(params.seeds, math.ceil(1 / self.share))
            masks = fixed_masks(self.whole.image, count, self.share, child(context.rng))
            self.seeds = [self.whole.replacing(kept) for kept in masks]

    @torch.no_grad()
    def begin(self, problem: Problem) -> None:
        """Take up what classical methods make of the seeds with the problem's kernel.

        Where they cannot (a kernel that is not known, a blur that is no convolution, too small an image), which is
        noted, the seed itself stands for it.
        """
        params = self.params
        if not params.start:
            return
        if problem.kernels.parameters():
            self.context.note("dropout-unet: the kernel is not known, so that it begins with the observation")
            return
        kernel = problem.kernel(self._extended(self.whole.image), Clock(0, 1), None)
        operator = problem.forward.prepared(kernel, problem.latent_shape)
        if not isinstance(operator, Convolution):
            self.context.note("dropout-unet: the blur is no convolution, so that it begins with the observation")
            return
        noise = self._noise()
        spoilt = bool(self.seeds) and self._change(self.share) > 2 * noise**2
        try:
            for seed in (self.whole, *self.seeds):
                valid = counted_by_both(problem.batch.valid, seed.kept if spoilt else None)
                seed.starts = [
                    classical(problem, name, seed.image, valid, noise if spoilt else None) for name in params.start
                ]
        except ImageError as error:
            self.context.note(f"dropout-unet: nothing classical to begin with ({error})")

    def _sparing(self) -> float:
        """The share of replaced pixels whose change, beside the noise, adds a part of the noise's variance."""
        noise, most = self._noise(), self.params.replaced
        change = max(self._change(most) - (1 + 1 / 6) * noise**2, 1e-12)  # a mean of some six kept pixels is noisy too
        share = min(most, max(_LEAST, _ADDED * noise**2 / change))
        self.context.note(f"dropout-unet: {share:.0%} of the pixels are replaced in a seed")
        return share

    def _noise(self) -> float:
        return noise_in(self.batch, self.context, "dropout-unet")

    def _change(self, share: float) -> float:
        """Mean square of what replacing changes, over the replaced pixels that count."""
        image, valid = self.whole.image, self.whole.valid
        seed = self.whole.replacing(mask(image, share, torch.Generator(image.device).manual_seed(0)))
        assert seed.kept is not None
        changed = 1 - seed.kept if valid is None else (1 - seed.kept) * valid
        return float(((seed.image - image).square() * changed).sum() / changed.sum().clamp_min(1))

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        """The weights of the earlier stage's network, if it is of the same kind; ratios adapt anew."""
        if isinstance(earlier, DropoutPrior):
            self.network.load_state_dict(earlier.network.state_dict())

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        own = batch.observed is self.batch.observed
        whole = self.whole if own else Seed.of(batch)
        if rng is None:
            return Draw(self._image(whole, keep))
        every = self.params.adapt_every
        if every and clock.step % every == 0 and clock.step > self.adapted and torch.is_grad_enabled():
            self._adapt(whole, rng)
            self.adapted = clock.step
        seed = self._seed(whole, rng)
        counted = seed.kept is not None and self.params.masked
        return Draw(self._image(seed, self.dropout.opened(rng)), 1 - seed.kept if counted else None)

    def _seed(self, whole: Seed, rng: Generator) -> Seed:
        if not self.share:
            return whole
        if self.seeds and whole is self.whole:
            return self.seeds[int(torch.randint(len(self.seeds), (), generator=rng, device=rng.device))]
        return whole.replacing(mask(whole.image, self.share, rng))

    def _image(self, seed: Seed, drop: Drop) -> Tensor:
        extended = self._extended(seed.image)
        starts = seed.starts or [extended] * len(self.params.start)
        raw = self.network(torch.cat([extended, *starts], 1), drop)
        if starts:
            raw = raw + inverse_head(self.head, torch.stack(starts).mean(0))
        return HEADS[self.head](raw)

    def _extended(self, observed: Tensor) -> Tensor:
        """Of the latent image's size, the observation where it lies in it."""
        return extend(observed, self.size)

    @torch.no_grad()
    def _adapt(self, whole: Seed, rng: Generator) -> None:
        variances = Variances(len(self.network.ratios))
        for _ in range(self.params.adapt_samples):
            self._image(self._seed(whole, rng), variances.watching(self.dropout.opened(rng)))
        self.dropout.adapt(variances.result(), self.params.compound)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "dropout": self.dropout.state_dict(), "adapted": self.adapted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.dropout.load_state_dict(state["dropout"])
        self.adapted = state["adapted"]
