"""Seeds: the observed image with pixels replaced, eq. 6 of Chen et al. 2022."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.errors import ImageError


def replaced(image: Tensor, kept: Tensor) -> Tensor:
    """m ⊙ y + (1 - m) ⊙ (A ∘ (m ⊙ y)): every pixel that is not kept becomes the mean of the kept ones around it.

    Reading: those among the 8 neighbours (26 in 3-D), as "non-zeros" stands for them. Where none of these was kept, the
    neighbourhood grows, to 5 pixels along each axis, to 9, and so on.

    Args:
        image: (frames, channels, *spatial).
        kept: the mask m of its shape, 1 where a pixel is kept and 0 elsewhere.

    Raises:
        ImageError: nothing is kept in a plane or volume.
    """
    dims = image.ndim - 2
    if not bool((kept.flatten(2).sum(2) > 0).all()):
        raise ImageError("pixel replacement: no pixel of a plane counts")
    mean = F.avg_pool2d if dims == 2 else F.avg_pool3d
    masked, radius = image * kept, 1
    result, missing = masked, kept == 0
    while bool(missing.any()):
        size = 2 * radius + 1
        shares = mean(kept, size, 1, radius)
        found = missing & (shares > 0.5 / size**dims)
        result = torch.where(found, mean(masked, size, 1, radius) / shares.clamp_min(1e-12), result)
        missing = missing & ~found
        radius *= 2
    return result
