"""Classical deblurring, blind and with a known kernel, without networks."""

from __future__ import annotations

from collections.abc import Iterable

from unblur.hookspecs import hookimpl
from unblur.records import Component, Method
from unblur_classical import records_algorithms, records_gradient, records_parts


@hookimpl
def unblur_forward_models() -> Iterable[Component]:
    """Convolution with one kernel, camera responses and misfits."""
    return records_parts.FORWARD_MODELS


@hookimpl
def unblur_image_priors() -> Iterable[Component]:
    """Free pixels and penalties on the latent image."""
    return records_parts.IMAGE_PRIORS


@hookimpl
def unblur_kernel_priors() -> Iterable[Component]:
    """Known, free and parametric kernels, PSF models, and penalties on kernels."""
    return [*records_parts.KERNEL_PRIORS, *records_algorithms.KERNEL_PRIORS]


@hookimpl
def unblur_estimators() -> Iterable[Component]:
    """Deconvolution algorithms, and gradient steps for any priors."""
    return [*records_algorithms.ESTIMATORS, *records_gradient.ESTIMATORS]


@hookimpl
def unblur_stopping_rules() -> Iterable[Component]:
    """Stopping rules and selectors."""
    return records_parts.STOPPING_RULES


@hookimpl
def unblur_methods() -> Iterable[Method]:
    """Compositions of these parts."""
    return records_algorithms.METHODS
