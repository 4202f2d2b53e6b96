"""How long the rest of a job takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class TimeLeft:
    """Seconds that a job's further tasks take: as those of their kind did, or as was measured before.

    Args:
        kinds: of each task; None where there is nothing to do.
        measured: seconds of a task of a kind, where they were measured.
    """

    def __init__(self, kinds: Sequence[str | None], measured: Mapping[str, float]) -> None:
        self._kinds, self._measured = kinds, measured
        self._taken: dict[str, list[float]] = {}

    def done(self, number: int, seconds: float) -> None:
        """A task took so long."""
        kind = self._kinds[number]
        if kind is not None:
            self._taken.setdefault(kind, []).append(seconds)

    def after(self, number: int, seconds: float) -> float:
        """Those of the tasks after one that takes so many itself."""
        further = [kind for kind in self._kinds[number + 1 :] if kind is not None]
        return sum(self._each(kind, seconds if kind == self._kinds[number] else 0.0) for kind in further)

    def _each(self, kind: str, otherwise: float) -> float:
        taken = self._taken.get(kind)
        return sum(taken) / len(taken) if taken else self._measured.get(kind, otherwise)
