"""Learning rates that estimators of image and kernel share; torch-free, for plugins' declarations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from typing_extensions import Doc

from unblur.params import Schedule


@dataclass(frozen=True)
class RateParams:
    """Rates that fall along the run; the defaults suit networks."""

    image_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the image's parameters.")] = (
        (0.0, 1e-2),
        (0.4, 5e-3),
        (0.6, 2.5e-3),
        (0.8, 1.25e-3),
    )
    kernel_rate: Annotated[Schedule, Ge(0), Doc("Learning rate of the kernel's parameters; 0 leaves it as it is.")] = (
        (0.0, 1e-4),
        (0.4, 5e-5),
        (0.6, 2.5e-5),
        (0.8, 1.25e-5),
    )
