"""The report of a job: what went in, what was done with which parts, and what is remarkable in the result.

The schema is in docs/report.md.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unblur.composition import resolve
from unblur.forecast import all_steps
from unblur.image import Image
from unblur.io.psf import Psf
from unblur.kernel_grid import KernelGrid
from unblur.metrics import kernel_concentration
from unblur.pipeline import Pipeline
from unblur.planes import words
from unblur.registry import OWN_DISTRIBUTION, Registry

if TYPE_CHECKING:
    from unblur.compute import Compute
    from unblur.jobs import Job

SCHEMA = 1

DELTA_WEIGHT = 0.8
"""A kernel with this part of its weight within one pixel around its peak is delta-like: no blur was found."""

_SUM = 1e-3
"""How far the sum of a kernel may be from one, and its least weight below zero beside the largest."""

POOR = 0.2
"""A budget that pays for less than this part of the steps of a stage, those of `then` aside, is worth a warning."""

BLACK = 0.1
"""An image whose mean is below this part of the observed one is black: a known failure of untrained networks."""


def array_hash(array: np.ndarray) -> str:
    """SHA-256 of shape, dtype and values."""
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str} ".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def carried_hash(image: Image) -> str:
    """SHA-256 of what outputs take over from an image besides its pixels: alpha, profile, names, resolution."""
    alpha = None if image.alpha is None else array_hash(image.alpha)
    return hashlib.sha256(repr((alpha, sorted(image.metadata.items()))).encode()).hexdigest()


def parameters(pipeline: Pipeline, registry: Registry) -> list[list[dict[str, Any]]]:
    """All parameters, defaults included, for each segment and stage."""
    return [
        [resolve(segment.in_stage(stage), registry).full() for stage in segment.stages]
        for segment in pipeline.segments()
    ]


def plugins(pipelines: Sequence[Pipeline], registry: Registry) -> list[dict[str, str]]:
    """The plugins whose parts take part, with their distributions and versions."""
    used = {
        part.registered.provenance
        for pipeline in pipelines
        for segment in pipeline.segments()
        for _, part in resolve(segment, registry).parts()
    }
    return [
        {"plugin": one.plugin, "distribution": one.distribution, "version": one.version}
        for one in sorted(used, key=lambda one: one.plugin)
    ]


def learns_kernel(pipeline: Pipeline, registry: Registry) -> bool:
    """Whether any segment estimates the kernel."""
    priors = [resolve(segment, registry).base("kernel_prior") for segment in pipeline.segments()]
    return any("learns" in prior.registered.component.provides for prior in priors)


def own_version() -> str:
    """The version of the installed core."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(OWN_DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def environment(compute: Compute) -> dict[str, Any]:
    """Versions and machine, as far as they can change a result."""
    return {
        "unblur": own_version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        **compute.describe(),
    }


def fingerprint_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a result follows from."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def input_facts(image: Image, sha256: str, white_level: float | None, saturated: float) -> dict[str, Any]:
    """The report's ``input``."""
    return {
        "source": image.source,
        "sha256": sha256,
        "shape": list(image.shape),
        "dtype": image.data.dtype.name,
        "axes": image.axes,
        "pixel_size": dict(image.pixel_size),
        "units": dict(image.units),
        "status": dict(image.status),
        "white_level": white_level,
        "saturated_fraction": saturated,
    }


def psf_facts(psf: Psf) -> dict[str, Any]:
    """The report's ``psf``."""
    return {
        "sha256": array_hash(psf.kernel),
        "shape": list(psf.kernel.shape),
        "flux": list(psf.flux),
        "notes": list(psf.notes),
    }


def kernel_facts(kernels: np.ndarray, estimated: bool) -> tuple[dict[str, Any], list[str]]:
    """The report's ``kernel`` for kernels (count, *spatial), and warnings."""
    weights = [kernel_concentration(kernel) for kernel in kernels]
    delta = min(weights) >= DELTA_WEIGHT
    facts = {
        "shape": list(kernels.shape),
        "estimated": estimated,
        "central_weight": round(min(weights), 4),
        "delta_like": delta,
    }
    warnings = []
    sums, low = kernels.reshape(len(kernels), -1).sum(axis=1, dtype=np.float64), float(kernels.min())
    if not np.isfinite(sums).all() or np.abs(sums - 1).max() > _SUM or low < -_SUM * float(kernels.max()):
        warnings.append(
            f"the kernel is none: its weights sum to {sums.min():.4g} to {sums.max():.4g} and go down to {low:.3g}, "
            "where they should sum to one and not be negative"
        )
    if not (estimated and delta):
        return facts, warnings
    bound = "x".join(map(str, kernels.shape[1:]))
    return facts, [
        *warnings,
        f"the kernel is delta-like ({min(weights):.0%} of it around its peak): no blur was found; where there is one, "
        f"try another bound than {bound} pixels (--kernel-size) or another method",
    ]


def flow_facts(flow: np.ndarray, estimated: bool) -> dict[str, Any]:
    """The report's ``kernel`` for a flow field, (2 n, *spatial), in pixels from frame to frame."""
    lengths = np.hypot(flow[0::2], flow[1::2])
    return {
        "shape": list(flow.shape),
        "estimated": estimated,
        "mean_motion": round(float(lengths.mean()), 3),
        "largest_motion": round(float(lengths.max()), 3),
    }


def grid_facts(grid: KernelGrid, size: Sequence[int]) -> dict[str, Any]:
    """What the report's ``kernel`` has besides for a grid of kernels over an image of `size` pixels."""
    return {"grid": list(grid.shape), "centres": grid.centres(size).round(2).tolist()}


def image_facts(
    observed: np.ndarray, restored: np.ndarray, white_level: float | None
) -> tuple[dict[str, Any], list[str]]:
    """The report's ``values`` for one restored plane (channels, *spatial), and warnings."""
    warnings: list[str] = []
    finite = observed[np.isfinite(observed)]
    facts: dict[str, Any] = {
        "minimum": float(restored.min()),
        "maximum": float(restored.max()),
        "mean": float(restored.mean(dtype=np.float64)),
    }
    facts["below_zero"] = int(np.count_nonzero(restored < 0))
    if white_level is not None:
        facts["at_white"] = int(np.count_nonzero(restored >= 0.9995 * white_level))
        facts["at_white_observed"] = int(np.count_nonzero(finite >= 0.9995 * white_level))
    if not finite.size:
        return facts, warnings
    low = min(0.0, float(finite.min()))
    mean, spread = (float(part(finite, dtype=np.float64)) for part in (np.mean, np.std))  # squares leave float32
    if facts["mean"] - low < BLACK * (mean - low):
        warnings.append("the restored image is black: the run failed, try another seed or another method")
    elif float(restored.std(dtype=np.float64)) < BLACK * spread:
        warnings.append("the restored image is nearly constant: the run failed, try another seed or another method")
    return facts, warnings


def job_report(
    job: Job,
    plans: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]],
    seconds: float,
    uncertainty: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole report of a job from the rows of its tasks, and what is known of the map of uncertainty, if any."""
    statuses = {record["status"] for record in records}
    stopped = statuses & {"cancelled", "not run"}
    rows = [
        {
            "kind": task.kind,
            "index": dict(task.index),
            "steps": record.get("plan", plan["steps"]),
            "executed": record.get("executed", []),
        }
        for task, record, plan in zip(job.tasks, records, plans, strict=True)
    ]
    warnings = [
        text if len(records) == 1 else f"{words(record['index'], record['kind'])}: {text}"
        for record in records
        for text in (*record["warnings"], *([f"failed: {record['error']}"] if "error" in record else []))
    ]
    warnings += poor_budget(job, rows, records)
    if job.resumed_from is not None:
        warnings.append(
            "resumed by force from a run with another input, other settings or versions: what that had done is part of "
            "the result"
        )
    return {
        "schema": SCHEMA,
        "status": "cancelled" if stopped else "failed planes" if "failed" in statuses else "done",
        "fingerprint": job.fingerprint,
        "input": input_facts(job.image, job.input_hash, job.white_level, job.findings.saturated),
        "psf": None if job.psf is None else psf_facts(job.psf),
        "method": job.method,
        "preset": job.preset if job.method else None,
        "pipeline": job.pipeline.to_dict(),
        "parameters": {kind: parameters(pipeline, job.registry) for kind, pipeline in job.pipelines.items()},
        "planes_mode": job.mode,
        "seed": job.seed,
        "plugins": plugins(list(job.pipelines.values()), job.registry),
        "environment": environment(job.compute),
        "budget_seconds": job.budget,
        "resumed": job.resumed,
        "resumed_from": job.resumed_from,
        "seconds": round(seconds, 3),
        "plan": rows,
        "planes": list(records),
        "uncertainty": uncertainty,
        "assumptions": list(job.assumptions),
        "warnings": warnings,
    }


def poor_budget(job: Job, rows: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning where the budget paid for so few steps that the result cannot be what the method can do."""
    if job.budget is None:
        return []
    for row, record in zip(rows, records, strict=True):
        steps = row["executed"] if record.get("late") else row["steps"]
        for number, (asked, paid) in enumerate(zip(all_steps(job.pipelines[row["kind"]]), steps, strict=False), 1):
            if paid < POOR * asked and row["executed"]:
                return [
                    f"the budget of {job.budget:g} seconds paid for {paid} of {asked} steps of stage {number}: "
                    "allow more time, or take a smaller part of the image"
                ]
    return []


def same_run(report: Mapping[str, Any], fingerprint: str) -> bool:
    """Whether a report tells of a finished run that `fingerprint` stands for."""
    mixed = report.get("resumed_from") is not None
    return report.get("fingerprint") == fingerprint and report.get("status") == "done" and not mixed
