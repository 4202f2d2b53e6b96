"""A pool of generated clips, and the batches that are drawn from it for training."""

from __future__ import annotations

import hashlib

import torch
from torch import Generator, Tensor

from unblur.compute import seed_of
from unblur_reblur.clips import make_clip


class Pool:
    """The latest of a sequence of clips, each of which follows from its number; in 8 bits, their flow in 16.

    Args:
        seed: of the sequence.
        capacity: clips that are kept.
        size: side of a clip.

    Attributes:
        blurred, sharp: (clips, 3, 3, size, size).
        flow: (clips, 2, 2, size, size), from the outer frames to the middle one, at its pixels.
        count: clips that are there.
        digest: SHA-256 of the digest before and the clip, over all clips so far.
    """

    def __init__(self, seed: int, capacity: int, size: int) -> None:
        self.seed, self.capacity, self.size = seed, capacity, size
        self.blurred = torch.empty(capacity, 3, 3, size, size, dtype=torch.uint8)
        self.sharp = torch.empty_like(self.blurred)
        self.flow = torch.empty(capacity, 2, 2, size, size, dtype=torch.float16)
        self.drawn, self.digest = 0, ""

    @property
    def count(self) -> int:
        return min(self.drawn, self.capacity)

    def grow(self, drawn: int) -> None:
        """Draw the sequence up to its clip number `drawn`; the oldest make room."""
        for number in range(self.drawn, drawn):
            place, clip = number % self.capacity, make_clip(seed_of(self.seed, (number,)), self.size)
            self.blurred[place] = (clip.blurred * 255).round()
            self.sharp[place] = (clip.sharp.clamp(0, 1) * 255).round()
            self.flow[place] = clip.flow
            parts = (self.blurred[place], self.sharp[place], self.flow[place])
            content = b"".join(part.numpy().tobytes() for part in parts)
            self.digest = hashlib.sha256(self.digest.encode() + content).hexdigest()
        self.drawn = max(self.drawn, drawn)

    def restore(self, drawn: int, digest: str) -> None:
        """As `grow`, with the digest that it had, drawing only what is still kept."""
        self.drawn = max(0, drawn - self.capacity)
        self.grow(drawn)
        self.digest = digest


def pairs(pool: Pool, batch: int, patch: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Blurred and sharp patches (batch, 3, patch, patch), turned and flipped."""
    found = []
    for _ in range(batch):
        clip, frame = _below(pool.count, rng), _below(3, rng)
        both = torch.stack([pool.blurred[clip, frame], pool.sharp[clip, frame]])
        found.append(_turned(_patch(both, patch, rng), _below(8, rng)).float() / 255)
    blurred, sharp = torch.stack(found, dim=1)
    return blurred, sharp


def movements(pool: Pool, batch: int, patch: int, rng: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Two frames (batch, 3, patch, patch) and the flow from the first to the second (batch, 2, patch, patch).

    The first is the middle one of a clip. The frames are sharp, blurred or in between, as what a deblurring network
    gives.
    """
    firsts, seconds, flows = [], [], []
    for _ in range(batch):
        clip, side = _below(pool.count, rng), _below(2, rng)
        sharpness = float(torch.rand((), generator=rng).clamp(0.25, 1).sub(0.25).div(0.75))
        frames = torch.stack([pool.blurred[clip, (1, 2 * side)], pool.sharp[clip, (1, 2 * side)]]).float() / 255
        mixed = torch.lerp(frames[0], frames[1], sharpness)
        turns = _below(8, rng)
        whole = _patch(torch.cat([*mixed, -pool.flow[clip, side].float()]), patch, rng)
        turned = _turned(whole, turns)
        firsts.append(turned[:3])
        seconds.append(turned[3:6])
        flows.append(_turned_flow(turned[6:], turns))
    return torch.stack(firsts), torch.stack(seconds), torch.stack(flows)


def _patch(images: Tensor, patch: int, rng: Generator) -> Tensor:
    top, left = (_below(size - patch + 1, rng) for size in images.shape[-2:])
    return images[..., top : top + patch, left : left + patch]


def _turned(images: Tensor, number: int) -> Tensor:
    """One of the eight ways to lay a square on itself."""
    turned = images.transpose(-1, -2) if number & 1 else images
    return turned.flip([axis for axis, bit in ((-1, 2), (-2, 4)) if number & bit])


def _turned_flow(flow: Tensor, number: int) -> Tensor:
    """The components of a flow (2, …) whose pixels `_turned` has moved."""
    u, v = (flow[1], flow[0]) if number & 1 else (flow[0], flow[1])
    return torch.stack([-u if number & 2 else u, -v if number & 4 else v])


def _below(count: int, rng: Generator) -> int:
    return int(torch.randint(count, (), generator=rng))
