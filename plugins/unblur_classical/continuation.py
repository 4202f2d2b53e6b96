"""Parameters that rise or fall from step to step, so that a hard problem follows from an easy one."""

from __future__ import annotations


def geometric(first: float, last: float, step: int, steps: int) -> float:
    """The value in one of the steps, which are counted from 0, with constant ratios between the first and the last."""
    return float(first * (last / first) ** (step / max(1, steps - 1)))
