"""Descent to the minimum of a quadratic form without negative values."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor


def projected_descent(start: Tensor, slope: Callable[[Tensor], Tensor], rate: Tensor | float, steps: int) -> Tensor:
    """Projected gradients with momentum (Beck & Teboulle, SIAM J. Imaging Sci. 2 (2009), 183-202).

    Args:
        slope: gradient of the form.
        rate: at most one over its largest curvature; by pixel, one over what bounds it there.
    """
    here = ahead = start
    pace = 1.0
    for _ in range(steps):
        found = (ahead - rate * slope(ahead)).clamp_min_(0)
        faster = (1 + math.sqrt(1 + 4 * pace**2)) / 2
        ahead = found + (pace - 1) / faster * (found - here)
        here, pace = found, faster
    return here
