"""How long the rest of a job takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


class TimeLeft:
    """Seconds that a job's further tasks take: as those of their kind did, or as was measured before.

    Args:
        kinds: of each task; None where there is nothing to do.
        measured: seconds of a task of a kind, where they were measured.
    """

    def __init__(self, kinds: Sequence[str | None], measured: Mapping[str, float]) -> None:
        self._kinds, self._measured = kinds, measured
        self._taken: dict[str, tuple[float, int]] = {}
        self._further = Counter(kind for kind in kinds if kind is not None)
        self._counted = -1

    def done(self, number: int, seconds: float) -> None:
        """A task took so long."""
        kind = self._kinds[number]
        if kind is not None:
            total, count = self._taken.get(kind, (0.0, 0))
            self._taken[kind] = total + seconds, count + 1

    def after(self, number: int, seconds: float) -> float:
        """Those of the tasks after one that takes so many itself; numbers only rise."""
        while self._counted < number:
            self._counted += 1
            kind = self._kinds[self._counted]
            if kind is not None:
                self._further[kind] -= 1
        own = self._kinds[number]
        return sum(
            count * self._each(kind, seconds if kind == own else 0.0) for kind, count in self._further.items() if count
        )

    def _each(self, kind: str, otherwise: float) -> float:
        total, count = self._taken.get(kind, (0.0, 0))
        return total / count if count else self._measured.get(kind, otherwise)
