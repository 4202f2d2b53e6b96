"""Seeds: the observed image with pixels replaced, eq. 6 of Chen et al. 2022."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from unblur.components import Batch
from unblur.errors import ImageError
from unblur.operators.missing import filled


@dataclass
class Seed:
    """A seed ŷ (frames, channels, *observed), the mask of the pixels that it kept, and classical estimates from it.

    Attributes:
        kept: of the image's shape; None where nothing was replaced.
        starts: latent images (frames, channels, *latent); empty where there are none.
        valid: of the observation, of the image's shape: 1 where a pixel counts; all do if None.
    """

    image: Tensor
    kept: Tensor | None = None
    starts: Sequence[Tensor] = field(default_factory=list)
    valid: Tensor | None = None

    @classmethod
    def of(cls, batch: Batch) -> Seed:
        """The observation itself, pixels that do not count replaced by the nearest that do."""
        valid = None if batch.valid is None else batch.valid.expand_as(batch.observed)
        return cls(filled(batch.observed, valid), valid=valid)

    def replacing(self, kept: Tensor) -> Seed:
        """This one with the pixels replaced that a mask does not keep; what does not count is never kept.

        Where that would leave nothing of a plane or volume, all that counts in it is kept.
        """
        if self.valid is not None:
            known = _unless_empty(self.valid, torch.ones_like(self.valid))
            kept = _unless_empty(kept * known, known)
        return Seed(replaced(self.image, kept), kept, self.starts)


def _unless_empty(mask: Tensor, other: Tensor) -> Tensor:
    """A mask, but for planes or volumes in which it is zero, which are those of another one."""
    some = mask.flatten(2).sum(2) > 0
    return torch.where(some.view(*some.shape, *(1,) * (mask.ndim - 2)), mask, other)


def mask(image: Tensor, replacing: float, rng: Generator) -> Tensor:
    """m: 0 with the probability `replacing`, otherwise 1, for every pixel by itself; `rng` of the image's device."""
    return (torch.rand(image.shape, generator=rng, device=image.device) >= replacing).float()


def fixed_masks(image: Tensor, count: int, replacing: float, rng: Generator) -> list[Tensor]:
    """Masks of kept pixels for a number of seeds: in each, pixels are independent; over all, each has its share.

    Args:
        replacing: probability that a pixel is replaced.
        rng: CPU generator.
    """
    turn = (torch.rand(image.shape, generator=rng) * count).to(image.device)
    return [((index - turn) % count >= replacing * count).float() for index in range(count)]


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
    masked, radius = image * kept, 1
    result, missing = masked, kept == 0
    while bool(missing.any()):
        shares = _box_mean(kept, radius)
        found = missing & (shares > 0.5 / (2 * radius + 1) ** dims)
        result = torch.where(found, _box_mean(masked, radius) / shares.clamp_min(1e-12), result)
        missing = missing & ~found
        radius *= 2
    return result


def _box_mean(image: Tensor, radius: int) -> Tensor:
    """Means over boxes about every pixel, with zeros outside."""
    mean = F.avg_pool2d if image.ndim == 4 else F.avg_pool3d
    return mean(F.pad(image, (radius,) * 2 * (image.ndim - 2)), 2 * radius + 1, 1)
