"""What runs first in a pipeline, held against the image, the PSF and the kernel prior of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from unblur.params import has_field
from unblur.pipeline import Pipeline
from unblur.registry import Registry

_IN_IMAGE = 5
"""It looks for a kernel of one this-many-th of the image at the most, where it has a bound of its own."""


def with_fitting_first(
    pipeline: Pipeline, psf: bool, refilled: bool, sizes: Sequence[int], registry: Registry, said: list[str]
) -> Pipeline:
    """The pipeline without its `first` where that serves nothing, which is said; else that with a bound of its kernel.

    Args:
        psf: one is given.
        refilled: the kernel prior of a method's preset is another one.
        sizes: of the image along the spatial axes, in pixels.
        said: what is assumed; added to.
    """
    if pipeline.first is None:
        return pipeline
    if needless := _needless(pipeline, pipeline.first, psf, refilled, sizes, registry):
        said.append(f"{needless}: what finds a kernel first is left out")
        return pipeline.replace(first=None)
    return _bounded(pipeline, pipeline.first, sizes, registry)


def _needless(
    pipeline: Pipeline, first: Pipeline, psf: bool, refilled: bool, sizes: Sequence[int], registry: Registry
) -> str | None:
    """Why a kernel need not be found first, or cannot."""
    if psf:
        return "a PSF is given"
    name = pipeline.slots["kernel_prior"][0].name
    traits = registry.component("kernel_prior", name).component.provides
    if refilled and "fixed" in traits:
        return f"the kernel of {name} does not change"
    if refilled and "begins-with-psf" not in traits:
        return f"{name} begins with no kernel of others"
    if not any(stage.fits(sizes) for segment in first.segments() for stage in segment.stages):
        return "the image is too small"
    return None


def _bounded(pipeline: Pipeline, first: Pipeline, sizes: Sequence[int], registry: Registry) -> Pipeline:
    """`first` looks for as large a kernel as the pipeline itself, where it has no size of its own.

    But for none that is far larger than what it allows for by itself, unless the image is large as well.
    """
    size, base = pipeline.slots["forward_model"][0].params.get("kernel_size"), first.slots["forward_model"][0]
    takes_one = has_field(registry.component("forward_model", base.name).component.params, "kernel_size")
    most = base.params.get("most")
    if (
        not takes_one
        or not _are_sizes(size)
        or not _are_sizes([] if most is None else [most])
        or "kernel_size" in base.params
    ):
        return pipeline
    bounded = size if most is None else tuple(min(n, max(most, min(sizes) // _IN_IMAGE)) for n in size)
    return pipeline.set({"first.forward_model.kernel_size": bounded})


def _are_sizes(values: object) -> TypeGuard[Sequence[int]]:
    """What is none is refused with the pipeline, which is not checked yet."""
    return isinstance(values, list | tuple) and all(isinstance(value, int) for value in values)
