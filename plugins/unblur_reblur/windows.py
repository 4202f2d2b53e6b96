"""Windows of a series: consecutive frames of a region, as samples for fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from unblur.components import Batch
from unblur_reblur.flows import flow_count


@dataclass(frozen=True)
class Window:
    """Frames from `start`, and the region from (`top`, `left`) of `shape`."""

    start: int
    frames: int
    top: int
    left: int
    shape: tuple[int, int]

    def of(self, frames: Tensor) -> Tensor:
        """The window of frames (frames, channels, height, width)."""
        return self.region(frames[self.start : self.start + self.frames])

    def region(self, image: Tensor) -> Tensor:
        """The region of an image (…, height, width)."""
        height, width = self.shape
        return image[..., self.top : self.top + height, self.left : self.left + width]

    def of_kernel(self, kernel: Tensor) -> Tensor:
        """The window's part of a flow field of the whole frames."""
        return self.region(kernel[4 * self.start : 4 * self.start + flow_count(self.frames)])

    def of_batch(self, batch: Batch) -> Batch:
        """The window of a batch."""
        valid = None if batch.valid is None else self.of(batch.valid)
        numbers: Sequence[int] = tuple(batch.frames)[self.start : self.start + self.frames]
        return Batch(self.of(batch.observed), numbers, valid)


def joined(batches: Sequence[Batch]) -> Batch:
    """The frames of batches of one shape, one after the other."""
    valid = [batch.valid for batch in batches if batch.valid is not None]
    numbers = tuple(number for batch in batches for number in batch.frames)
    return Batch(torch.cat([batch.observed for batch in batches]), numbers, torch.cat(valid) if valid else None)


def middle_window(observed: Tensor, patch: int) -> Window:
    """The window in the middle of time and space."""
    frames = min(3, len(observed))
    shape = _shape(observed, patch)
    top, left = ((size - part) // 2 for size, part in zip(observed.shape[2:], shape, strict=True))
    return Window((len(observed) - frames) // 2, frames, top, left, shape)


def random_window(observed: Tensor, patch: int, rng: Generator) -> Window:
    """A window anywhere, drawn with a generator."""
    frames = min(3, len(observed))
    shape = _shape(observed, patch)
    limits = [len(observed) - frames, *(size - part for size, part in zip(observed.shape[2:], shape, strict=True))]
    start, top, left = (draw(limit + 1, rng) for limit in limits)
    return Window(start, frames, top, left, shape)


def draw(count: int, rng: Generator) -> int:
    """A whole number below `count`."""
    return int(torch.randint(count, (1,), generator=rng, device=rng.device))


def counted(shape: Sequence[int], margin: int) -> Tensor:
    """Weights (frames, channels, height, width) of a window's pixels: zero within `margin` of its border.

    A window that is small loses a quarter on each side at the most.
    """
    weight = torch.zeros(tuple(shape))
    height, width = (min(margin, size // 4) for size in shape[2:])
    weight[..., height : shape[2] - height, width : shape[3] - width] = 1
    return weight


def _shape(observed: Tensor, patch: int) -> tuple[int, int]:
    height, width = observed.shape[2:]
    return min(patch, height), min(patch, width)
