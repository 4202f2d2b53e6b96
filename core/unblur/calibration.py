"""Whether the map of uncertainty of a run was measured to be as large as the errors, and by what it is multiplied."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np

from unblur.choice import without_clock
from unblur.pipeline import Pipeline
from unblur.records import Calibration
from unblur.registry import Registry
from unblur.report import parameters

_OF_THE_IMAGE = ("kernel_size", "grid", "orientation")
"""Parameters of forward models that follow from what was photographed, and not from the method."""

UNCALIBRATED = "a standard deviation of what the method leaves open; that errors are as large, or there, was not shown"


_WHOLE = 0.9
"""Part of the planned steps that a run must have done: maps of runs that ended before are made in another way."""


def calibration_of(
    pipeline: Pipeline,
    rows: Sequence[Mapping[str, Any]],
    registry: Registry,
    *,
    dims: int,
    colour: bool,
    white_level: float | None,
    noise: Callable[[], Iterable[float]],
) -> tuple[Calibration, float] | None:
    """What was measured of maps such as a run's, and the factor for its noise; None where it differs from those.

    Args:
        pipeline: of the planes. That of a method's preset is recognised by its stages and parameters, but for numbers
            of steps, a budget, and what follows from the image.
        rows: of the report, of the planes that have a map.
        dims: spatial dimensions of the image.
        colour: whether it has three channels that are restored together.
        white_level: of the image, where it is known.
        noise: estimates the standard deviations of the noise of the planes, as parts of the white level; only asked
            for where all else is alike.
    """
    mine = _compared(pipeline, registry)
    for method in registry.methods().values():
        for preset, found in method.calibrations.items():
            if _is_preset(mine, method.presets.get(preset), registry):
                alike = (dims, colour) == (found.dims, found.colour)
                alike = alike and (white_level is not None or not found.white_level)
                alike = alike and bool(rows) and all(_enough(row, found) for row in rows)
                return _for_noise(found, noise) if alike else None
    return None


def _for_noise(calibration: Calibration, noise: Callable[[], Iterable[float]]) -> tuple[Calibration, float] | None:
    """With the one factor for this noise; None for images that are not as noisy as those that were measured."""
    pairs = calibration.factor
    if calibration.noise is None and not isinstance(pairs, tuple):
        return calibration, pairs
    levels = list(noise())
    least, most = calibration.noise or (0.0, math.inf)
    if not levels or not all(least <= one <= most for one in levels):
        return None
    if not isinstance(pairs, tuple):
        return calibration, pairs
    mean = max(math.sqrt(fmean(one**2 for one in levels)), pairs[0][0])
    known, factors = np.log(pairs).T
    return calibration, math.exp(np.interp(math.log(mean), known, factors))


def _enough(row: Mapping[str, Any], calibration: Calibration) -> bool:
    done, (least, most) = sum(row["executed"]), calibration.steps
    return bool(row["status"] == "done" and least <= done <= most and done >= _WHOLE * sum(row["plan"]))


def uncertainty_facts(measured: tuple[Calibration, float] | None) -> dict[str, Any]:
    """What the report says of a map."""
    if measured is None:
        return {"status": "uncalibrated", "factor": None, "meaning": UNCALIBRATED}
    calibration, factor = measured
    one, two = calibration.within
    meaning = (
        f"a standard deviation; on {calibration.measured_on} {one:.0%} of the errors lay within it and {two:.0%} "
        f"within twice it, with a rank correlation of {calibration.rank_correlation:.2f}"
    )
    return {"status": "calibrated", "factor": factor, "meaning": meaning}


def _is_preset(mine: list[Any], preset: Pipeline | None, registry: Registry) -> bool:
    """Whether a run is one of a preset; one whose parts are missing or faulty, as of another plugin, is none."""
    try:
        return preset is not None and mine == _compared(preset, registry)
    except Exception:  # the preset may be of any plugin, and the run is another's
        return False


def _compared(pipeline: Pipeline, registry: Registry) -> list[Any]:
    """What must be the same: stages but for their numbers of steps, parameters but for those of the image."""
    timeless = without_clock(pipeline, registry)
    found: list[Any] = parameters(timeless, registry)
    for slots in (slots for segment in found for slots in segment):
        for params in slots["forward_model"].values():
            for name in _OF_THE_IMAGE:
                params.pop(name, None)
    stages = [replace(stage, steps=1, set={}) for segment in timeless.segments() for stage in segment.stages]
    return [found, stages]
