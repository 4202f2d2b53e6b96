"""Whether a run fits the memory there is, asked before it starts and without timing its steps."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator

from unblur.composition import Resolved, resolve
from unblur.compute import Compute, own_modes
from unblur.errors import ResourceError
from unblur.kernel_fit import spec_on
from unblur.pipeline import Pipeline, Stage
from unblur.planning import expected_support, memory_of, refuse, stand_in
from unblur.problem import Observation, full_shape
from unblur.registry import Registry

AMPLE = 64_000
"""Bytes for each value of a latent image that no pipeline should need: three times what the largest preset takes."""

AMPLE_ALWAYS = 1_000_000_000
"""Bytes beside them, for the weights of networks."""


def refuse_too_large(pipeline: Pipeline, observation: Observation, registry: Registry, compute: Compute) -> None:
    """Count the memory of the stages that take most, on a small region, unless there is ample memory for any pipeline.

    What fails while it is counted is left to the run, which knows how to report it.

    Raises:
        ResourceError: the run would need more memory than there is; the message says what would fit.
    """
    if compute.free_memory() >= AMPLE_ALWAYS + AMPLE * _latent_values(observation):
        return
    with compute.running(), own_modes():
        for segment in pipeline.segments():
            try:
                largest = list(_largest(segment, observation, registry))
                needs = [memory_of(resolved, stage, observation, compute, shape) for resolved, stage, shape in largest]
                handed_on = _handed_on(segment, observation, registry, compute)
            except ResourceError:
                raise
            except Exception:  # of a component, or of torch: the run meets it as well, and says whose it is
                return
            refuse(max(needs), compute, observation)
            observation = handed_on


def _latent_values(observation: Observation) -> int:
    """How many values a latent image has, with margins as wide as the PSF where that is known."""
    frames, channels, *spatial = observation.pixels.shape
    kernel = (1,) * len(spatial) if observation.psf is None else observation.psf.shape[1:]
    if len(kernel) != len(spatial):  # a flow
        return observation.pixels.numel()
    return frames * channels * math.prod(n + k - 1 for n, k in zip(spatial, kernel, strict=True))


def _handed_on(segment: Pipeline, observation: Observation, registry: Registry, compute: Compute) -> Observation:
    """With kernels as large as those that a segment hands on, whatever they are."""
    last = segment.stages[-1]
    spec = spec_on(full_shape(observation, last), resolve(segment.in_stage(last), registry), observation, compute)
    return (
        observation if spec.kind == "flow" else dataclasses.replace(observation, psf=stand_in(spec.count, spec.shape))
    )


def _largest(
    segment: Pipeline, observation: Observation, registry: Registry
) -> Iterator[tuple[Resolved, Stage, tuple[int, ...] | None]]:
    """Of stages with the same parts on the same region, the one with the highest resolution."""
    found: dict[str, tuple[Resolved, Stage, tuple[int, ...] | None]] = {}
    shape: tuple[int, ...] | None = None
    for stage in segment.stages:
        resolved = resolve(segment.in_stage(stage), registry)
        shape = expected_support(observation, stage, shape)
        key = json.dumps([resolved.full(), stage.frames, stage.crop])
        if key not in found or stage.scale >= found[key][1].scale:
            found[key] = resolved, stage, shape
    return iter(found.values())
