"""The benchmark of Levin et al. 2009, with the protocol that reproduces published figures (see docs, "Measured")."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from unblur.cli.places import refuse_existing
from unblur.cli.signals import Interrupt, interruptible
from unblur.errors import FileError, ParameterError, UnblurError
from unblur.io.atomic import check_writable, write_json
from unblur.jobs import Job
from unblur.metrics import align, aligned_psnr, kernel_similarity, ssim
from unblur.registry import default_registry
from unblur.report import environment

if TYPE_CHECKING:
    from unblur.driver import CancelToken
    from unblur.jobs import JobEvent


@dataclass(frozen=True)
class Protocol:
    """What is measured: the options of `unblur bench levin`."""

    data: Path
    methods: Sequence[str]
    output: Path
    images: Sequence[str] | None
    kernel_size: str
    noise: str | None
    noise_seed: int
    known: bool
    curve: float | None
    panels: Path | None
    force: bool
    job: Mapping[str, Any]


@dataclass
class Curve:
    """PSNR and SSIM of previews, and the misfit, against time and steps.

    A preview takes time that the run's budget pays for, so that a curve is recorded only on request.
    """

    every: float
    truth: np.ndarray
    points: list[dict[str, float]] = field(default_factory=list)

    def record(self, event: JobEvent) -> None:
        last = event.event.step == event.event.planned
        if self.points and event.event.elapsed - self.points[-1]["seconds"] < self.every and not last:
            return
        image = event.event.preview().image[0, 0].float().cpu().numpy()
        if np.isfinite(image).all():
            pair = align(image, self.truth)
            self.points.append(
                {
                    "seconds": round(event.event.elapsed, 2),
                    "step": event.event.step,
                    "misfit": event.event.misfit,
                    "psnr": round(pair.psnr(), 3),
                    "ssim": round(ssim(pair.estimate, pair.truth, 1.0), 4),
                }
            )


def run_levin(protocol: Protocol) -> int:
    """Every method on every image; the exit code. The file is complete after each of them.

    Raises:
        FileError: data that are not there or not in the benchmark's form, or results that are there already.
        ParameterError: noise or kernel size in a form of their own.
    """
    check_writable(protocol.output)
    refuse_existing(protocol.output, protocol.force)
    noise_of(protocol.noise)
    if protocol.panels is not None:
        try:
            protocol.panels.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(protocol.panels, f"is no folder ({error.strerror or error})", "Name another") from error
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    with interruptible() as interrupt:
        for path in find(protocol.data, protocol.images):
            for method in protocol.methods:
                row = _row(protocol, path, method, interrupt)
                if interrupt.number is not None:
                    return interrupt.exit_code
                rows.append(row)
                write_json(protocol.output, _content(protocol, rows, time.perf_counter() - began))
                typer.echo(_line(row))
    for method, means in _means(rows).items():
        typer.echo(
            f"{method}: mean of {means['images']} images {means['psnr']} dB (blurred {means['psnr_blurred']} dB)"
        )
    return 2 if any("error" in row for row in rows) else 0


def find(folder: Path, images: Sequence[str] | None) -> list[Path]:
    """The files of a folder, or those named.

    Raises:
        FileError: none, or one that is named is not there.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.mat"))}
    if not found:
        raise FileError(folder, "holds no .mat file", "Give the folder of the benchmark")
    missing = [name for name in images or () if name not in found]
    if missing:
        raise FileError(folder, f"has no {', '.join(missing)}", f"It has {', '.join(found)}")
    return [found[name] for name in images] if images else list(found.values())


def load(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, blurred image and kernel; the kernel of the convolution is the stored one rotated by 180 degrees.

    Raises:
        FileError: not a file of the benchmark.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path)
        truth, blurred, kernel = (np.asarray(content[name], dtype=np.float64) for name in "xyf")
    except Exception as error:  # a damaged file makes the reader raise anything
        raise FileError(path, f"holds no x, y and f ({type(error).__name__}: {error})") from error
    return truth, blurred, np.ascontiguousarray(kernel[::-1, ::-1])


def noise_of(text: str | None) -> tuple[str, float] | None:
    """``gaussian:0.05`` or ``impulse:0.05``.

    Raises:
        ParameterError: something else.
    """
    if text is None:
        return None
    kind, _, amount = text.partition(":")
    try:
        number = float(amount)
    except ValueError:
        number = -1.0
    if kind not in ("gaussian", "impulse") or not 0 < number < 1:
        raise ParameterError(f"--noise {text}: expected gaussian:STD or impulse:PROBABILITY, between 0 and 1")
    return kind, number


def with_noise(image: np.ndarray, noise: tuple[str, float] | None, seed: Sequence[int]) -> np.ndarray:
    """Gaussian noise of a standard deviation, or pixels replaced by 0 or 1 with a probability."""
    if noise is None:
        return image
    kind, amount = noise
    random = np.random.default_rng(seed)
    if kind == "gaussian":
        noisy: np.ndarray = image + amount * random.standard_normal(image.shape)
        return noisy
    hit = random.random(image.shape) < amount
    return np.where(hit, random.integers(0, 2, image.shape), image)


def _size(protocol: Protocol, blurred: np.ndarray, kernel: np.ndarray) -> tuple[int, ...]:
    if protocol.kernel_size == "exact":
        return kernel.shape
    if protocol.kernel_size == "half":
        return tuple(size // 2 for size in blurred.shape)
    if protocol.kernel_size.isdecimal():
        return (int(protocol.kernel_size),) * 2
    raise ParameterError(f"--kernel-size {protocol.kernel_size}: expected exact, half or a number")


def _row(protocol: Protocol, path: Path, method: str, interrupt: Interrupt) -> dict[str, Any]:
    from unblur.driver import CancelToken

    truth, blurred, kernel = load(path)
    noise = noise_of(protocol.noise)
    observed = with_noise(blurred, noise, (protocol.noise_seed, *path.stem.encode())).astype(np.float32)
    size = None if protocol.known else _size(protocol, blurred, kernel)
    token: CancelToken = CancelToken()
    interrupt.watch(token)
    row: dict[str, Any] = {"image": path.stem, "method": method, "kernel_size": size or list(kernel.shape)}
    row["psnr_blurred"] = round(aligned_psnr(observed, truth), 3)
    own = method.endswith(".toml")
    try:
        job = Job(
            observed,
            method=None if own else method,
            pipeline=method if own else None,
            psf=kernel if protocol.known else None,
            kernel_size=size,
            cancel=token,
            **protocol.job,
        )
        curve = Curve(protocol.curve, truth) if protocol.curve is not None else None
        for event in job.events():
            if curve is not None:
                curve.record(event)
    except UnblurError as error:
        return row | {"error": str(error)}
    result, record = job.result, job.result.report["planes"][-1]
    if record["status"] == "not run":
        return row | {"error": "stopped before its first step"}
    several = result.kernel.ndim != kernel.ndim  # a grid, which no single kernel is like
    pair = align(result.image, truth)
    row |= {
        "psnr": round(pair.psnr(), 3),
        "ssim": round(ssim(pair.estimate, pair.truth, 1.0), 4),
        "kernel_similarity": None if several else round(kernel_similarity(result.kernel, kernel), 4),
        "shift": list(pair.shift),
        "seconds": result.report["seconds"],
        "steps": sum(record.get("executed", [])),
        "plan": record.get("plan"),
        "executed": record.get("executed"),
        "selected_step": record.get("selected_step"),
        "stop_reason": record.get("stop_reason"),
        "warnings": result.report["warnings"],
    }
    if curve is not None and curve.points:
        row |= {"psnr_last": curve.points[-1]["psnr"], "psnr_best": max(point["psnr"] for point in curve.points)}
        row["curve"] = curve.points
    if protocol.panels is not None:
        _panel(protocol.panels / f"{path.stem}_{Path(method).stem}.png", truth, observed, job, row)
    return row


def _panel(path: Path, truth: np.ndarray, observed: np.ndarray, job: Job, row: Mapping[str, Any]) -> None:
    from unblur.cli.panels import Column, write_panel

    result = job.result
    kernel = result.kernel if result.kernel_grid is None else result.kernel_picture()
    columns = [
        Column(f"observed, {row['psnr_blurred']:.2f} dB", observed),
        Column(f"{row['method']}, {row['psnr']:.2f} dB", job.result.image, kernel),
        Column("truth", truth),
    ]
    write_panel(path, columns, (0.0, 1.0))


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    means: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        good = [row for row in rows if row["method"] == method and "psnr" in row]
        if not good:
            continue
        keys = ("psnr", "psnr_blurred", "ssim", "kernel_similarity", "seconds", "steps")
        known = {key: [row[key] for row in good if row[key] is not None] for key in keys}
        means[method] = {"images": len(good)}
        means[method] |= {key: round(float(np.mean(values)), 3) for key, values in known.items() if values}
        means[method]["smallest_gain"] = round(min(row["psnr"] - row["psnr_blurred"] for row in good), 3)
    return means


def _content(protocol: Protocol, rows: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    from unblur.compute import Compute

    compute = Compute.choose(protocol.job["device"], protocol.job["precision"], protocol.job["threads"])
    return {
        "benchmark": "levin",
        "protocol": "aligned PSNR: whole pixels within ±5, quarter pixels (bilinear), border 15, peak 1",
        "kernel_size": "known" if protocol.known else protocol.kernel_size,
        "noise": protocol.noise,
        "noise_seed": protocol.noise_seed,
        "options": dict(protocol.job),
        "environment": environment(compute),
        "plugins": [vars(one) for one in default_registry().plugins],
        "seconds": round(seconds, 1),
        "mean": _means(rows),
        "rows": list(rows),
    }


def _line(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return f"{row['image']} {row['method']}: failed: {row['error']}"
    alike = "a grid" if row["kernel_similarity"] is None else f"{row['kernel_similarity']:.3f}"
    return (
        f"{row['image']} {row['method']}: {row['psnr_blurred']:.2f} -> {row['psnr']:.2f} dB, kernel "
        f"{alike}, {row['steps']} steps, {row['seconds']:.0f} s, {row['stop_reason']}"
    )
