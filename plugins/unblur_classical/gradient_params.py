"""Parameters of the estimators that follow gradients; without torch, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from typing_extensions import Doc

from unblur.params import Schedule


@dataclass(frozen=True)
class AlternatingAdamParams:
    kernel_steps: Annotated[int, Ge(1), Doc("Updates of the kernel in each step.")] = 1
    image_steps: Annotated[int, Ge(1), Doc("Updates of the image in each step.")] = 1
    image_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the image's parameters.")] = (
        (0.0, 1e-2),
        (0.4, 5e-3),
        (0.6, 2.5e-3),
        (0.8, 1.25e-3),
    )
    kernel_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the kernel's parameters.")] = (
        (0.0, 1e-4),
        (0.4, 5e-5),
        (0.6, 2.5e-5),
        (0.8, 1.25e-5),
    )


@dataclass(frozen=True)
class LbfgsParams:
    iterations: Annotated[
        int, Ge(2), Doc("Line searches in each step. Where priors draw at random, all of a step see the same numbers.")
    ] = 5
    history: Annotated[
        int,
        Ge(1),
        Doc("Updates that the curvature is estimated from; each takes twice the memory of the parameters."),
    ] = 10
