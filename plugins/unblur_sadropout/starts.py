"""What a classical method makes of the observation, for the network to begin with."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from unblur.components import Clock, Estimator, ImagePrior
from unblur.errors import ParameterError
from unblur.problem import Problem
from unblur.records import Registered
from unblur.registry import default_registry

_STEPS = 10
"""Of the classical estimator."""


def classical(problem: Problem, name: str, observed: Tensor, valid: Tensor | None, noise: float | None) -> Tensor:
    """The latent image that an estimator for free pixels finds for observed frames with the problem's kernel.

    What the camera's responses would do to the prediction is undone on the frames, so that the blur is linear.

    Args:
        valid: which pixels of the frames count; all if None.
        noise: their standard deviation; estimated from them if None.

    Raises:
        UnknownNameError: no such estimator.
        ParameterError: it is not for free pixels and a known kernel.
    """
    registry = default_registry()
    found, pixels = registry.component("estimator", name), registry.component("image_prior", "pixels")
    if not _fits(found):
        fitting = ", ".join(other for other, part in registry.components("estimator").items() if _fits(part))
        raise ParameterError(
            f"image_prior.start: {name!r} is not for free pixels and a known kernel; choose from {fitting}"
        )
    image: ImagePrior[Any] = pixels.load()(pixels.component.params())
    for response in problem.responses:
        observed = response.linearised(observed)
    if problem.responses:
        noise = None  # that of the frames as they were
    batch = dataclasses.replace(problem.batch, observed=observed, valid=valid)
    context = dataclasses.replace(problem.context, noise=noise)
    image.init(problem.latent_shape, batch, context)
    estimator: Estimator[Any] = found.load()(found.component.params())
    simple = dataclasses.replace(
        problem, batch=batch, context=context, image=image, image_penalties=(), estimator=estimator, responses=()
    )
    state = estimator.init(simple, None)
    for step in range(_STEPS):
        estimator.step(simple, state, batch, Clock(step, _STEPS))
    return estimator.estimate(simple, state, batch, Clock(_STEPS, _STEPS), simple.rng).image.detach().clone()


def _fits(estimator: Registered) -> bool:
    """Whether an estimator is for free pixels and a known kernel."""
    component = estimator.component
    return "image_prior:pixels" in component.requires and "learns-kernel" not in component.provides
