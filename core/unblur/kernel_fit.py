"""Whether the kernel that a pipeline asks for fits into the image, asked before a run starts."""

from __future__ import annotations

from typing import Any

import torch

from unblur.components import Context, ForwardModel, KernelSpec, Shape
from unblur.composition import Resolved, resolve
from unblur.compute import Compute
from unblur.errors import ImageError
from unblur.pipeline import Pipeline
from unblur.problem import Observation, full_shape, size_text
from unblur.registry import Registry


def refuse_too_wide(pipeline: Pipeline, observation: Observation, registry: Registry, compute: Compute) -> None:
    """A kernel that is estimated must not be wider than what is observed.

    One that is known may: a microscope's reaches farther in depth than a thin stack.

    Raises:
        ImageError: it is, at full resolution; the message names the widest kernel and the smallest image that work.
    """
    stages = [(segment, stage) for segment in pipeline.segments() for stage in segment.stages]
    for segment, stage in stages:
        region = full_shape(observation, stage)
        resolved = resolve(segment.in_stage(stage), registry)
        if "fixed" in resolved.base("kernel_prior").registered.component.provides:
            continue
        spec = spec_on(region, resolved, observation, compute)
        if spec.kind == "flow" or all(size <= most for size, most in zip(spec.shape, region[2:], strict=True)):
            continue
        widest = tuple(map(min, spec.shape, region[2:]))
        smallest = tuple(map(max, spec.shape, region[2:]))
        raise ImageError(
            f"the kernel of {size_text(spec.shape)} pixels is wider than the image of {size_text(region[2:])}; "
            f"give a --kernel-size of at most {size_text(widest)}, or an image of at least {size_text(smallest)}"
        )


def spec_on(region: Shape, resolved: Resolved, observation: Observation, compute: Compute) -> KernelSpec:
    """What the forward model says of the kernels on a region (frames, channels, *spatial), at full resolution."""
    forward: ForwardModel[Any] = resolved.base("forward_model").build()
    context = Context(compute, torch.Generator().manual_seed(0), pixel_size=observation.pixel_size)
    context.psf = compute.tensor(observation.psf) if observation.psf is not None else None
    return forward.spec(region, context)
