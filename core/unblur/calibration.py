"""Whether the map of uncertainty of a run was measured to be as large as the errors, and by what it is multiplied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unblur.choice import BUDGET_RULE
from unblur.composition import resolve
from unblur.pipeline import Pipeline
from unblur.records import Calibration
from unblur.registry import Registry

_OF_THE_IMAGE = ("kernel_size", "grid", "orientation")
"""Parameters of forward models that follow from what was photographed, and not from the method."""

UNCALIBRATED = "a standard deviation by which places of one image compare; how large the error is, it does not say"


def calibration_of(pipeline: Pipeline, rows: Sequence[Mapping[str, Any]], registry: Registry) -> Calibration | None:
    """What was measured of maps such as those of a run; None where nothing was, or the run differs from those.

    Args:
        pipeline: of the planes. Those of a method's preset are recognised by their parameters, but for what follows
            from the image, and a budget.
        rows: of the report, of the planes that have a map.
    """
    mine = _parameters(pipeline, registry)
    for method in registry.methods().values():
        for preset, found in method.calibrations.items():
            if mine == _parameters(method.presets[preset], registry):
                return found if rows and all(_enough(row, found) for row in rows) else None
    return None


def _enough(row: Mapping[str, Any], calibration: Calibration) -> bool:
    return bool(row["status"] == "done" and sum(row["executed"]) >= calibration.steps)


def facts(calibration: Calibration | None) -> dict[str, Any]:
    """What the report says of a map."""
    if calibration is None:
        return {"status": "uncalibrated", "factor": None, "meaning": UNCALIBRATED}
    one, two = calibration.within
    meaning = (
        f"a standard deviation; on {calibration.images} {one:.0%} of the errors lay within it and {two:.0%} within "
        f"twice it, with a rank correlation of {calibration.rank:.2f}"
    )
    return {"status": "calibrated", "factor": calibration.factor, "meaning": meaning}


def _parameters(pipeline: Pipeline, registry: Registry) -> list[Any]:
    found = []
    for segment in pipeline.segments():
        for stage in segment.stages:
            slots: dict[str, Any] = resolve(segment.in_stage(stage), registry).full()
            slots["forward_model"] = {
                name: {key: value for key, value in params.items() if key not in _OF_THE_IMAGE}
                for name, params in slots["forward_model"].items()
            }
            slots["stopping"] = {name: params for name, params in slots["stopping"].items() if name != BUDGET_RULE}
            found.append(slots)
    return found
