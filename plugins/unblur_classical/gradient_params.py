"""Parameters of the estimators that follow gradients; without torch, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from typing_extensions import Doc

from unblur.rates import RateParams


@dataclass(frozen=True)
class AlternatingAdamParams(RateParams):
    kernel_steps: Annotated[int, Ge(1), Doc("Updates of the kernel in each step.")] = 1
    image_steps: Annotated[int, Ge(1), Doc("Updates of the image in each step.")] = 1


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
