"""How flow fields are laid out as kernels.

A flow belongs to the pixels of the frame that is explained, as its kernels do: at each of them, how far what it shows
has moved since the frame before, and since the one after.
"""

from __future__ import annotations

import torch
from torch import Tensor


def flow_count(frames: int) -> int:
    """Kernels of a flow field for a number of frames: four for each frame that has two neighbours, two for a pair."""
    return max(2, 4 * (frames - 2))


def flows_of(kernel: Tensor) -> Tensor:
    """Flow kernels (4 n, height, width) or (2, height, width) as (n, neighbours, 2, height, width), u before v."""
    neighbours = 2 if len(kernel) % 4 == 0 else 1
    return kernel.reshape(-1, neighbours, 2, *kernel.shape[1:])


def agreeing(kernel: Tensor, part: float) -> Tensor:
    """Where the motion since both neighbours is the same, (n, 1, height, width), 1 or 0.

    That is, up to `part` of the longer one and a pixel. The flow of a pair of frames agrees everywhere.
    """
    flow = flows_of(kernel)
    if flow.shape[1] == 1:
        return torch.ones_like(flow[:, 0, :1])
    difference, longer = flow.sum(1).norm(dim=1), flow.norm(dim=2).amax(1)
    return (difference <= part * longer + 1).to(flow.dtype)[:, None]


def pairs_of(frames: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each flow of the field, the frame that is explained and the neighbour, each (1, channels, height, width)."""
    count = len(frames)
    if count == 2:
        return [(frames[1:], frames[:1])]
    found = []
    for middle in range(1, count - 1):
        centre = frames[middle : middle + 1]
        found += [(centre, frames[middle - 1 : middle]), (centre, frames[middle + 1 : middle + 2])]
    return found
