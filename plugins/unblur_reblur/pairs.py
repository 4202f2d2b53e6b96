"""Pairs of blurred and sharp patches for the supervised half of fine-tuning: given or generated ones."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import overload

import torch
from torch import Generator, Tensor

from unblur.components import Batch
from unblur_reblur.clips import make_clip
from unblur_reblur.windows import draw


class Pairs(Sequence[Batch]):
    """Batches with their truth, each made when it is asked for."""

    @abc.abstractmethod
    def pair(self, number: int) -> Batch:
        """The pair of a number from 0."""

    @overload
    def __getitem__(self, number: int) -> Batch: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Batch]: ...
    def __getitem__(self, number: int | slice) -> Batch | Sequence[Batch]:
        if isinstance(number, slice):
            return [self.pair(one) for one in range(*number.indices(len(self)))]
        return self.pair(number)


class GeneratedPairs(Pairs):
    """The frames of generated clips, each clip made when it is first asked for.

    Args:
        count: how many there are.
        size: of a patch.
        channels: three for colours, any other number for grey images.
        rng: CPU generator that the seeds are drawn from.
        place: puts a tensor on the device.
    """

    def __init__(self, count: int, size: int, channels: int, rng: Generator, place: Callable[[Tensor], Tensor]) -> None:
        self._seeds: list[int] = torch.randint(2**62, (count,), generator=rng).tolist()
        self._size, self._channels, self._place = size, channels, place
        self._made: dict[int, Batch] = {}

    def __len__(self) -> int:
        return len(self._seeds)

    def pair(self, number: int) -> Batch:
        if number not in self._made:
            clip = make_clip(self._seeds[number], self._size)
            blurred, sharp = (self._place(self._in_channels(frames)) for frames in (clip.blurred, clip.sharp))
            self._made[number] = Batch(blurred, range(len(blurred)), truth=sharp)
        return self._made[number]

    def _in_channels(self, frames: Tensor) -> Tensor:
        if self._channels == 3:
            return frames
        return frames.mean(1, keepdim=True).expand(-1, self._channels, -1, -1).contiguous()


def sample(pairs: Sequence[Batch], count: int, patch: int, rng: Generator) -> list[tuple[Tensor, Tensor]]:
    """Blurred and sharp patches, each (1, channels, height, width), of pairs that are drawn with their frames."""
    found = []
    for _ in range(count):
        pair = pairs[draw(len(pairs), rng)]
        assert pair.truth is not None
        frame = draw(len(pair.observed), rng)
        shape = [min(patch, size) for size in pair.observed.shape[2:]]
        top, left = (draw(size - part + 1, rng) for size, part in zip(pair.observed.shape[2:], shape, strict=True))
        region = (slice(frame, frame + 1), slice(None), slice(top, top + shape[0]), slice(left, left + shape[1]))
        found.append((pair.observed[region], pair.truth[region]))
    return found


def by_shape(samples: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Samples of the same shape together, (count, channels, height, width)."""
    groups: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
    for blurred, sharp in samples:
        groups.setdefault(tuple(blurred.shape), []).append((blurred, sharp))
    return [(torch.cat([b for b, _ in group]), torch.cat([s for _, s in group])) for group in groups.values()]
