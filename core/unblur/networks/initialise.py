"""Weights from a generator: the same seed gives the same weights on every device, and no global state is touched."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor, nn

_GLOBAL = threading.RLock()
"""Held while the global generator is another's: runs in threads must not draw from it in between."""


def child(rng: Generator) -> Generator:
    """A new CPU generator, seeded with one number of `rng`, which may live on any device."""
    return Generator().manual_seed(child_seed(rng))


def child_seed(rng: Generator) -> int:
    """One number of `rng`, to seed another generator with."""
    return int(torch.randint(2**63 - 1, (), generator=rng, device=rng.device).item())


def uniform(shape: Sequence[int], bound: float, rng: Generator) -> nn.Parameter:
    """A parameter uniform in ±bound, drawn from a CPU generator."""
    return nn.Parameter(torch.empty(tuple(shape)).uniform_(-bound, bound, generator=rng))


def fan_in_uniform(shape: Sequence[int], fan_in: int, rng: Generator) -> nn.Parameter:
    """A parameter uniform in ±1/sqrt(fan_in): what torch gives to a layer by default."""
    return uniform(shape, 1 / math.sqrt(fan_in), rng)


@contextlib.contextmanager
def seeded(rng: Generator) -> Iterator[None]:
    """A guard for modules that draw their weights from torch's global CPU generator, as those of `torch.nn` do.

    Inside, the global generator is seeded from `rng`; afterwards it is as it was. Construct on the CPU, then move:

        with seeded(rng):
            network = nn.Sequential(nn.Conv2d(8, 32, 3), nn.ReLU(), nn.Conv2d(32, 1, 3))
    """
    with _GLOBAL:
        before: Tensor = torch.random.get_rng_state()
        torch.random.set_rng_state(child(rng).get_state())
        try:
            yield
        finally:
            torch.random.set_rng_state(before)
