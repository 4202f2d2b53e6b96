"""A problem: the parts of one stage, set up for the data. Estimators work on it; the driver builds and saves it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.components import (
    Batch,
    Clock,
    Component,
    Context,
    Draw,
    Estimate,
    Estimator,
    ForwardModel,
    ImagePrior,
    KernelPrior,
    KernelSpec,
    Misfit,
    Penalty,
    Response,
    Shape,
)
from unblur.composition import Resolved, ResolvedPart, refuse_dims, resamples_psf
from unblur.compute import Compute, seed_of
from unblur.errors import ImageError, PluginError
from unblur.operators.missing import counted_by_both
from unblur.operators.resample import resample_kernel, resize
from unblur.params import value_at
from unblur.pipeline import LEAST_SIDE, Stage


@dataclass
class Observation:
    """What was observed, in the input's own units.

    Args:
        pixels: (frames, channels, *spatial), float32.
        valid: the same shape, 1 where a pixel counts; all count if None.
        psf: known kernel (count, *spatial), origin at floor(n / 2), sum 1.
        estimate: image of the stages before `then`, in the shape and units of `pixels`.
        spread: its standard deviation, if they gave one.
        white_level: the largest value that the format can hold, for photographs; None for science data.
        levels: the smallest and the largest value that set the intensity map, where the pixels are a part of what has
            them; None where they set it themselves.
        pixel_size: micrometres along each spatial axis, if known.
        camera: gain (counts per photo-electron) and offset (counts in darkness), where they were told from more pixels.
        pairs: blurred and sharp frames, each (frames, channels, *spatial), that a fine-tuning estimator may mix in.
    """

    pixels: Tensor
    valid: Tensor | None = None
    psf: Tensor | None = None
    estimate: Tensor | None = None
    spread: Tensor | None = None
    white_level: float | None = None
    levels: tuple[float, float] | None = None
    pixel_size: tuple[float, ...] | None = None
    camera: tuple[float, float] | None = None
    pairs: Sequence[tuple[Tensor, Tensor]] = ()


@dataclass
class Intensity:
    """The affine map between the calibrated data's units and the problem's, in which the observation ends near 1."""

    offset: float
    peak: float
    responses: Sequence[Response[Any]] = ()

    def scaled(self, difference: float, context: Context, like: Tensor) -> float:
        """A difference of intensities of the input, in the problem's units; `like`: any frames of the problem."""
        black, white = (_calibrated(level, self.responses, context, like) for level in (0.0, difference))
        return (white - black) / self.peak

    def restore(self, image: Tensor) -> Tensor:
        """A latent image in the input's units."""
        image = image * self.peak + self.offset
        for response in reversed(self.responses):
            image = response.restore(image)
        return image

    def restore_spread(self, spread: Tensor, image: Tensor) -> Tensor:
        """A standard deviation in the input's units, of the latent `image` in the problem's."""
        spread, image = spread * self.peak, image * self.peak + self.offset
        for response in reversed(self.responses):
            spread, image = response.spread(spread, image), response.restore(image)
        return spread


@dataclass
class Problem:
    """One stage's parts, set up.

    Attributes:
        batch: the observed frames in the problem's units, at the stage's resolution.
        spec: what the forward model wants of the kernels.
        latent_shape: (frames, channels, *spatial) of the latent image.
        pairs: batches with their truth, in the problem's units at full resolution, to be drawn from with `rng`.
    """

    batch: Batch
    forward: ForwardModel[Any]
    responses: Sequence[Response[Any]]
    misfits: Sequence[Misfit[Any]]
    image: ImagePrior[Any]
    image_penalties: Sequence[Penalty[Any]]
    kernels: KernelPrior[Any]
    kernel_penalties: Sequence[Penalty[Any]]
    estimator: Estimator[Any]
    spec: KernelSpec
    latent_shape: Shape
    intensity: Intensity
    context: Context
    stage: Stage
    rng: Generator = field(repr=False)
    pairs: Sequence[Batch] = ()

    def begin(self, earlier: Any = None) -> Any:
        """The estimator's first state, once the image prior has seen the problem; `earlier`: that of a stage before."""
        self.image.begin(self)
        return self.estimator.init(self, earlier)

    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        """One latent image from the image prior, in float32 whatever the network's precision."""
        with self.context.compute.autocast():
            draw = self.image.draw(batch, clock, rng)
        if not isinstance(draw, Draw):
            raise PluginError(f"{name_of(self.image)}: draw gave {type(draw).__name__}; expected a Draw")
        if batch is self.batch:
            _expect(self.image, "a latent image", draw.latent, self.latent_shape)
        draw.latent = draw.latent.float()
        return draw

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        """The kernels (count, *spatial) from the kernel prior."""
        kernel = self.kernels.kernel(latent, clock, rng)
        if self.spec.kind != "flow":
            _expect(self.kernels, "kernels", kernel, (self.spec.count, *self.spec.shape))
        return kernel

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        """The observation that follows, through the camera's response."""
        predicted = self.forward.predict(latent, kernel)
        _expect(self.forward, "a prediction", predicted)
        for response in self.responses:
            seen = response(predicted)
            _expect(response, "a prediction", seen, predicted.shape)
            predicted = seen
        return predicted

    def counted(self, draw: Draw, target: Batch) -> Tensor | None:
        """Which pixels of the target count for a draw, as weights of its shape; None where all do."""
        return counted_by_both(draw.weight, target.valid)

    def misfit(self, draw: Draw, kernel: Tensor, batch: Batch, clock: Clock) -> Tensor:
        """The weighted sum of the misfits: a scalar.

        Where `draw` or `batch` say which pixels count, only those do.
        """
        target = self.forward.target(batch)
        _expect_weight(self.image, draw.weight, target.observed.shape)
        weight = self.counted(draw, target)
        predicted = self.predict(draw.latent, kernel)
        _expect(self.forward, "a prediction", predicted, target.observed.shape)
        terms = []
        for misfit in self.misfits:
            if factor := value_at(misfit.params.weight, clock.fraction):
                terms.append(factor * _scalar(misfit, misfit(predicted, target.observed, weight)))
        return torch.stack(terms).sum() if terms else predicted.new_zeros(())

    def penalty(self, latent: Tensor, kernel: Tensor, clock: Clock) -> Tensor:
        """The weighted sum of the penalties on image and kernel: a scalar."""
        terms = []
        for penalties, value in ((self.image_penalties, latent), (self.kernel_penalties, kernel)):
            for penalty in penalties:
                if factor := value_at(penalty.params.weight, clock.fraction):
                    terms.append(factor * _scalar(penalty, penalty(value)))
        return torch.stack(terms).sum() if terms else latent.new_zeros(())

    def state_dict(self) -> dict[str, Any]:
        others = [part.state_dict() for part in self._others()]
        return {
            "image": self.image.state_dict(),
            "kernels": self.kernels.state_dict(),
            "others": others,
            "rng": self.rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.image.load_state_dict(state["image"])
        self.kernels.load_state_dict(state["kernels"])
        for part, known in zip(self._others(), state["others"], strict=True):
            part.load_state_dict(known)
        self.rng.set_state(state["rng"].cpu())

    def _others(self) -> list[Component[Any]]:
        """What is no prior, and has a state only where it says so."""
        return [self.forward, *self.responses, *self.misfits, *self.image_penalties, *self.kernel_penalties]

    @property
    def full_support(self) -> Shape:
        """Spatial shape of the kernels at full resolution."""
        if self.stage.scale == 1:
            return self.spec.shape
        return tuple(math.ceil(size / self.stage.scale) | 1 for size in self.spec.shape)

    def finish(self, estimate: Estimate, full: Shape) -> Estimate:
        """The estimate in the observed window, at full resolution (spatial shape `full`) and in the input's units."""
        estimate = self.forward.crop(estimate, self.batch)
        if not isinstance(estimate, Estimate):
            raise PluginError(f"{name_of(self.forward)}: crop gave {type(estimate).__name__}; expected an Estimate")
        window = (*estimate.image.shape[:2], *self.batch.observed.shape[2:])
        _expect(self.forward, "a cropped image", estimate.image, window)
        if estimate.spread is not None:
            _expect(self.forward, "a cropped standard deviation", estimate.spread, window)
        if estimate.image.shape[2:] != full:
            estimate.image = resize(estimate.image, full)
            if estimate.spread is not None:
                estimate.spread = resize(estimate.spread, full)
        if self.spec.kind == "flow" and self.stage.scale != 1:
            estimate.kernel = resize(estimate.kernel[None], full, "linear")[0] / self.stage.scale
        elif self.stage.scale != 1:
            estimate.kernel = resample_kernel(estimate.kernel, 1 / self.stage.scale, self.full_support)
        if estimate.spread is not None:
            estimate.spread = self.intensity.restore_spread(estimate.spread, estimate.image)
        estimate.image = self.intensity.restore(estimate.image)
        return estimate


def build(
    resolved: Resolved,
    stage: Stage,
    observation: Observation,
    compute: Compute,
    seed: int,
    notes: list[str],
    shape: Shape | None = None,
    begins: bool = True,
    warnings: list[str] | None = None,
) -> Problem:
    """Set up the parts of one stage.

    Args:
        shape: spatial shape of the kernels, where an earlier stage has fixed it; else the forward model says.
        begins: no earlier stage's image and kernel are handed over to this one.
        notes, warnings: what the parts say goes there.

    Raises:
        CompositionError: a part does not work in this number of dimensions.
        ImageError: the image is smaller than what the parts need.
    """
    refuse_dims(resolved, observation.pixels.ndim - 2)
    _check_region(observation, stage)
    rng = compute.generator(seed_of(seed, (1,)))  # not the numbers that the parts are set up with
    setup = torch.Generator().manual_seed(seed)
    context = Context(
        compute,
        setup,
        pixel_size=observation.pixel_size,
        camera=observation.camera,
        scale=stage.scale,
        begins=begins,
        notes=notes,
        warnings=[] if warnings is None else warnings,
    )
    responses = [part.build() for part in resolved.having("forward_model", "response")]
    batch, intensity = _prepare(observation, stage, responses, context)
    forward: ForwardModel[Any] = resolved.base("forward_model").build()
    context.psf = compute.tensor(observation.psf) if observation.psf is not None else None
    context.estimate = _estimate(observation, stage, intensity, batch, context)
    spec = forward.spec(full_shape(observation, stage), context)
    if spec.kind == "flow":
        spec = replace(forward.spec(tuple(batch.observed.shape), context), scale=stage.scale)
    elif stage.scale != 1:
        scaled = tuple(math.ceil(size * stage.scale) | 1 for size in spec.shape)
        spec = replace(spec, shape=scaled, scale=stage.scale)
        if context.psf is not None:
            # Who resamples the PSF itself wants all of it: its pixels are not those of the kernels.
            whole = tuple(math.ceil(size * stage.scale) | 1 for size in context.psf.shape[1:])
            own = resamples_psf(resolved.base("kernel_prior").registered)
            context.psf = resample_kernel(context.psf, stage.scale, whole if own else scaled)
    if shape is not None and spec.kind != "flow":
        spec = replace(spec, shape=tuple(map(min, shape, spec.shape)), scale=stage.scale)
    latent_shape = forward.latent_shape(tuple(batch.observed.shape), spec)
    _check_size(full_shape(observation, stage)[2:], tuple(batch.observed.shape[2:]), latent_shape[2:], spec)
    image: ImagePrior[Any] = resolved.base("image_prior").build()
    kernels: KernelPrior[Any] = resolved.base("kernel_prior").build()
    for response in responses:  # before the image: a saturated camera lets it be brighter than what was observed
        response.init(batch, context)
    image.init(latent_shape, batch, context)
    kernels.init(spec, context)
    misfits = [part.build() for part in resolved.having("forward_model", "misfit")]
    for misfit in misfits:
        misfit.init(batch, context)
    return Problem(
        batch=batch,
        forward=forward,
        responses=responses,
        misfits=misfits,
        image=image,
        image_penalties=_penalties(resolved.having("image_prior", "penalty"), context),
        kernels=kernels,
        kernel_penalties=_penalties(resolved.having("kernel_prior", "penalty"), context),
        estimator=resolved.base("estimator").build(),
        spec=spec,
        latent_shape=latent_shape,
        intensity=intensity,
        context=context,
        stage=stage,
        rng=rng,
        pairs=_pairs(observation, intensity, context),
    )


def _penalties(parts: Sequence[ResolvedPart], context: Context) -> list[Penalty[Any]]:
    penalties = [part.build() for part in parts]
    for penalty in penalties:
        penalty.init(context)
    return penalties


def size_text(shape: Sequence[int]) -> str:
    """A shape as messages give it: 255x255."""
    return "x".join(map(str, shape))


def full_shape(observation: Observation, stage: Stage) -> Shape:
    """(frames, channels, *spatial) of what a stage looks at, at full resolution."""
    frames, channels, *spatial = observation.pixels.shape
    if stage.crop is not None:
        spatial = [stop - start for start, stop in stage.crop]
    return (len(stage.frames) if stage.frames is not None else frames, channels, *spatial)


def _check_size(full: Shape, observed: Shape, latent: Shape, spec: KernelSpec) -> None:
    """There must be some pixels, and the latent image must hold the kernel, at the resolution of the stage."""
    here = f"the image is {size_text(full)} pixels"
    if spec.scale != 1:
        here += f", and {size_text(observed)} at {spec.scale:g} of its resolution"
    if min(observed) < LEAST_SIDE:
        smallest = size_text(_enlarged((LEAST_SIDE,) * len(full), spec.scale))
        raise ImageError(f"{here}; the smallest that works here is {smallest}")
    if any(size < kernel for size, kernel in zip(latent, spec.shape, strict=True)):
        odd = (size - 1 + size % 2 for size in latent)  # as kernels are made at a lower resolution
        widest = latent if spec.scale == 1 else tuple(math.floor(size / spec.scale) for size in odd)
        raise ImageError(
            f"{here}, smaller than the kernel of {size_text(spec.shape)}; give a --kernel-size of at most "
            f"{size_text(widest)}, or an image of at least {size_text(_enlarged(spec.shape, spec.scale))}"
        )


def _enlarged(shape: Shape, scale: float) -> Shape:
    """The smallest sizes at full resolution that are at least `shape` at another one."""
    return tuple(next(n for n in itertools.count(size) if round(n * scale) >= size) for size in shape)


def _calibrated(level: float, responses: Sequence[Response[Any]], context: Context, like: Tensor) -> float:
    """What responses make of an intensity; the mean of the channels, where they have gains of their own."""
    image = like.new_full((1, like.shape[1], *(1 for _ in like.shape[2:])), level)
    for response in responses:
        image = response.calibrate(image, context)
    return float(image.mean())


def _pairs(observation: Observation, intensity: Intensity, context: Context) -> list[Batch]:
    def scaled(frames: Tensor) -> Tensor:
        frames = context.compute.tensor(frames)
        for response in intensity.responses:
            frames = response.calibrate(frames, context)
        return (frames - intensity.offset) / intensity.peak

    return [
        Batch(scaled(blurred), tuple(range(blurred.shape[0])), truth=scaled(sharp))
        for blurred, sharp in observation.pairs
    ]


def _estimate(
    observation: Observation, stage: Stage, intensity: Intensity, batch: Batch, context: Context
) -> Tensor | None:
    """The image of the stages before, in the problem's units at the stage's resolution."""
    if observation.estimate is None:
        return None
    image = context.compute.tensor(observation.estimate)
    for response in intensity.responses:
        image = response.unrestored(image, context)
    image = _chosen((image - intensity.offset) / intensity.peak, stage)
    return image if stage.scale == 1 else resize(image, tuple(batch.observed.shape[2:]))


def _check_region(observation: Observation, stage: Stage) -> None:
    frames, _, *spatial = observation.pixels.shape
    if stage.frames is not None and max(stage.frames) >= frames:
        raise ImageError(f"a stage uses the frames {', '.join(map(str, stage.frames))}; the image has {frames}")
    if stage.crop is not None and (
        len(stage.crop) != len(spatial) or any(stop > size for (_, stop), size in zip(stage.crop, spatial, strict=True))
    ):
        spans = ",".join(f"{start}:{stop}" for start, stop in stage.crop)
        raise ImageError(f"a stage uses the region {spans}; the image has {size_text(spatial)} pixels")


def _chosen(tensor: Tensor, stage: Stage) -> Tensor:
    if stage.frames is not None:
        tensor = tensor[list(stage.frames)]
    if stage.crop is not None:
        region = tuple(slice(start, stop) for start, stop in stage.crop)
        tensor = tensor[(slice(None), slice(None), *region)]
    return tensor


_KNOWN = 0.24
"""A pixel at a lower resolution counts if so much of it is known: one in four of a mosaic is enough."""


def _prepare(
    observation: Observation, stage: Stage, responses: Sequence[Response[Any]], context: Context
) -> tuple[Batch, Intensity]:
    pixels = context.compute.tensor(observation.pixels).clone()  # a response may change what it is handed
    context.valid = None if observation.valid is None else context.compute.tensor(observation.valid)
    for response in responses:
        calibrated = response.calibrate(pixels, context)
        _expect(response, "calibrated frames", calibrated, pixels.shape)
        pixels = calibrated
    counted = pixels if observation.valid is None else pixels[observation.valid.to(pixels.device) > 0]
    if observation.levels is not None:
        levels = [_calibrated(level, responses, context, pixels) for level in observation.levels]
        counted = pixels.new_tensor(levels)
    lowest = min(0.0, float(counted.min()))
    context.bounded = observation.white_level is not None
    dark = context.bounded or any(response.zero_is_dark for response in responses)
    offset = 0.0 if dark else lowest
    if lowest < 0 and dark:
        context.note(f"black is taken as zero, and intensities below it (down to {lowest:g}) as noise")
    elif lowest < 0:
        context.note(f"intensities below zero: {-offset:g} was added before and subtracted after")
    if observation.white_level is not None:
        peak = _calibrated(observation.white_level, responses, context, pixels)
    else:
        peak = float(counted.max()) - offset
    context.photons = peak = peak if peak > 0 else 1.0
    intensity = Intensity(offset, peak, responses)
    pixels = _chosen((pixels - offset) / peak, stage)
    valid = None if context.valid is None else _chosen(context.valid, stage)
    if stage.scale != 1:
        shape = tuple(max(1, round(size * stage.scale)) for size in pixels.shape[2:])
        if valid is None:
            pixels = resize(pixels, shape)
        else:
            share = resize(valid, shape)
            usual = float((pixels * valid).sum() / valid.expand_as(pixels).sum().clamp_min(1))
            pixels = resize((pixels - usual) * valid, shape) / share.clamp_min(_KNOWN) + usual
            valid = (share >= _KNOWN).float()
    frames = stage.frames or tuple(range(pixels.shape[0]))
    return Batch(pixels, frames, valid), intensity


def name_of(part: Component[Any]) -> str:
    """A part in messages: its kind, name and plugin."""
    return type(part).__qualname__ if part.registered is None else part.registered.named


def _expect(part: Component[Any], what: str, tensor: Any, shape: Sequence[int] | None = None) -> None:
    """Raise a PluginError unless a component gave what its kind gives: a wrong shape would be broadcast later on."""
    if not isinstance(tensor, Tensor) or (shape is not None and tuple(tensor.shape) != tuple(shape)):
        wanted = "a tensor" if shape is None else tuple(shape)
        raise PluginError(f"{name_of(part)} gave {what} of {_form(tensor)}; expected {wanted}")


def _expect_weight(part: Component[Any], weight: Any, shape: Sequence[int]) -> None:
    """Raise a PluginError unless the weight of a draw, if there is one, can multiply what the observed frames have."""
    if weight is None:
        return
    alike = isinstance(weight, Tensor) and weight.ndim == len(shape)
    if not alike or any(size not in (1, whole) for size, whole in zip(weight.shape, shape, strict=True)):
        raise PluginError(f"{name_of(part)} gave a weight of {_form(weight)}; expected {tuple(shape)}")


def _scalar(part: Component[Any], value: Any) -> Tensor:
    """What a misfit or penalty gave: a scalar tensor."""
    if not isinstance(value, Tensor) or value.ndim:
        raise PluginError(f"{name_of(part)} gave a value of {_form(value)}; expected a scalar tensor")
    return value


def _form(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
