"""A run as text that repeats it: a command for a shell, or a Python script.

What was chosen for the user is written out (the method, the precision, the threads), and pixels are compared with the
file that the text names, so that the same machine gives the same bits.
"""

from __future__ import annotations

import json
import pprint
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deblur.layers import LayerSource
from napari_deblur.request import Request
from napari_deblur.saving import SUFFIX
from unblur import io
from unblur.errors import FileError, ImageError
from unblur.image import SECONDS, Image, fingerprint
from unblur.planes import MICROMETRES

if TYPE_CHECKING:
    from unblur.results import Result

SAVE_FIRST = "Save it as OME-TIFF (File → Save Selected Layers), open that file and run again"
BARE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
WORDS_OF_TOML = {"true", "false", "inf", "nan"}


@dataclass(frozen=True)
class _Input:
    """A file, and what has to be said so that it is read as the run had it."""

    path: str
    axes: str | None = None
    pixel_size: dict[str, float] = field(default_factory=dict)
    region: dict[str, tuple[int, int]] = field(default_factory=dict)
    white_level: float | None = None


@dataclass(frozen=True)
class _Run:
    """The arguments that repeat a run; `plan` is there where time or the user decided how many steps were made."""

    image: _Input
    psf: _Input | None
    wishes: dict[str, Any]
    plan: list[dict[str, Any]] | None
    output: str


def command_line(source: LayerSource, request: Request, result: Result) -> str:
    """Text for a POSIX shell: `unblur run`, with files for a pipeline or a plan written first where they are needed.

    Raises:
        ImageError, FileError: image or PSF are not in a file, or the file holds something else by now.
    """
    run = _run(source, request, result)
    wishes = dict(run.wishes)
    stem = run.output.removesuffix(SUFFIX)
    before: list[str] = []
    words = ["unblur", "run", run.image.path, "-o", run.output]
    words += _reading(run.image)
    pipeline = wishes.pop("pipeline", None)
    if pipeline is not None:
        before.append(_written(f"{stem}.toml", pipeline.to_toml()))
        words += ["--pipeline", f"{stem}.toml"]
    else:
        words += ["--method", wishes.pop("method"), "--preset", wishes.pop("preset")]
    for address, value in wishes.pop("settings", {}).items():
        words += ["--set", f"{address}={_toml(value)}"]
    if run.psf is not None:
        words += ["--psf", run.psf.path]
        words += ["--psf-axes", run.psf.axes] if run.psf.axes else []
    if wishes.pop("centre_psf", False):
        words.append("--centre-psf")
    if (size := wishes.pop("kernel_size", None)) is not None:
        words += ["--kernel-size", "x".join(map(str, size if isinstance(size, tuple) else (size,)))]
    if (anchors := wishes.pop("anchors", None)) is not None:
        words += ["--anchors", ",".join(map(str, anchors))]
    for name, value in wishes.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    if run.plan is not None:
        before.append(_written(f"{stem}.plan.json", json.dumps({"plan": run.plan}, indent=1)))
        words += ["--plan", f"{stem}.plan.json"]
    return "\n".join([*before, _broken(words)]) + "\n"


def python(source: LayerSource, request: Request, result: Result) -> str:
    """A Python script that reads, restores and saves.

    Raises:
        ImageError, FileError: image or PSF are not in a file, or the file holds something else by now.
    """
    run = _run(source, request, result)
    wishes = dict(run.wishes)
    lines = ["import unblur", "from unblur import io", ""]
    reading = {"axes": run.image.axes, "pixel_size": run.image.pixel_size, "region": run.image.region}
    lines.append(_call("image = io.read", [repr(run.image.path)], {k: v for k, v in reading.items() if v}))
    arguments: dict[str, Any] = {}
    pipeline = wishes.pop("pipeline", None)
    if pipeline is not None:
        lines.append(f"pipeline = unblur.Pipeline.from_dict(\n{_indented(pprint.pformat(pipeline.to_dict(), 100))}\n)")
    arguments |= wishes
    if run.psf is not None:
        arguments["psf"] = run.psf.path
        if run.psf.axes:
            arguments["psf_axes"] = run.psf.axes
    if run.image.white_level is not None:
        arguments["white_level"] = run.image.white_level
    if run.plan is not None:
        arguments["plan"] = run.plan
    positional = ["image"] + (["pipeline=pipeline"] if pipeline is not None else [])
    lines.append(_call("result = unblur.deblur", positional, arguments))
    lines.append(f"result.save({run.output!r})")
    return "\n".join(lines) + "\n"


def _run(source: LayerSource, request: Request, result: Result) -> _Run:
    report = result.report
    environment = report.get("environment", {})
    wishes: dict[str, Any] = {}
    if request.pipeline is not None:
        wishes["pipeline"] = request.pipeline
    else:
        wishes |= {"method": request.method or report["method"], "preset": request.preset}
    if request.settings:
        wishes["settings"] = dict(request.settings)
    if request.centre_psf and request.psf is not None:
        wishes["centre_psf"] = True
    wishes |= {
        name: value
        for name in ("kernel_size", "anchors", "crop", "tile", "clip_frames", "offset", "gain")
        if (value := getattr(request, name)) is not None
    }
    if request.nan != "refuse":
        wishes["nan"] = request.nan
    if request.planes != "auto":
        wishes["planes"] = request.planes
    wishes["seed"] = request.seed
    if request.device != "auto":
        wishes["device"] = request.device
    wishes["precision"] = environment.get("precision", request.precision)
    if (threads := environment.get("threads", request.threads)) is not None:
        wishes["threads"] = threads
    timed = report.get("budget_seconds") is not None or report.get("status") == "cancelled"
    image = _input(source, result)
    return _Run(
        image=image if request.white_level is None else replace(image, white_level=request.white_level),
        psf=None if request.psf is None else _psf(request, result.source),
        wishes=wishes,
        plan=[{key: row[key] for key in ("steps", "executed")} for row in report["plan"]] if timed else None,
        output=f"{_stem(image.path)}-deblurred{SUFFIX}",
    )


def _input(source: LayerSource, result: Result) -> _Input:
    """The file of the image, with everything that it does not say itself."""
    given = result.source
    path = _file(given, f"The layer {source.name!r}")
    axes = _axes_to_say(path, given)
    read = _read(path, axes, source.region)
    if fingerprint(read) != result.report["input"]["sha256"]:
        raise ImageError(f"The layer {source.name!r} does not show what {path} holds. {SAVE_FIRST}")
    white = given.white_level
    return _Input(
        path=path,
        axes=axes,
        pixel_size=_sizes_to_say(read, given, source.name),
        region=dict(source.region),
        white_level=white if white != read.white_level else None,
    )


def _psf(request: Request, image: Image) -> _Input:
    psf = request.psf
    if not isinstance(psf, Image):
        return _Input(str(Path(psf).resolve()), request.psf_axes)
    path = _file(psf, "The PSF")
    axes = _axes_to_say(path, psf)
    read = _read(path, axes, {})
    same_size = not _sizes_to_say(read, psf, "PSF") or not image.pixel_size
    if not (read.shape == psf.shape and np.array_equal(read.data, psf.data) and same_size):
        raise ImageError(f"The PSF is not what {path} holds. {SAVE_FIRST}")
    return _Input(path, axes)


def _file(image: Image, what: str) -> str:
    path = Path(image.source or "")
    if not image.source or not path.is_file():
        raise ImageError(f"{what} is not in a file. {SAVE_FIRST}")
    return str(path.resolve())


def _read(path: str, axes: str | None, region: Mapping[str, tuple[int, int]]) -> Image:
    try:
        return io.read(path, axes=axes, region=region or None)
    except FileError as error:
        raise FileError(path, f"cannot be read again ({error})", SAVE_FIRST) from error


def _axes_to_say(path: str, image: Image) -> str | None:
    return None if io.read_header(path).image_axes == image.axes else image.axes


def _sizes_to_say(read: Image, given: Image, name: str) -> dict[str, float]:
    """Pixel sizes in µm and seconds that the file does not say or says otherwise."""
    said: dict[str, float] = {}
    for axis in given.pixel_size:
        wanted, found = _absolute(given, axis), _absolute(read, axis)
        if wanted is None:
            raise ImageError(f"{name}: a pixel size in {given.units.get(axis)} along {axis} cannot be written down")
        if found is None or not np.isclose(wanted, found, rtol=1e-9, atol=0):
            said[axis] = wanted
    return said


def _absolute(image: Image, axis: str) -> float | None:
    """A size in µm, or seconds for T."""
    if axis not in image.pixel_size:
        return None
    factor = (SECONDS if axis == "T" else MICROMETRES).get(image.units.get(axis, "µm"))
    return None if factor is None else float(image.pixel_size[axis] * factor)


def _stem(path: str) -> str:
    name = Path(path).name
    for ending in (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".png", ".jpg", ".jpeg"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _reading(image: _Input) -> list[str]:
    words: list[str] = []
    if image.axes:
        words += ["--axes", image.axes]
    if image.pixel_size:
        words += ["--pixel-size", ",".join(f"{axis}={size!r}" for axis, size in image.pixel_size.items())]
    if image.region:
        words += ["--region", ",".join(f"{axis}={start}:{stop}" for axis, (start, stop) in image.region.items())]
    if image.white_level is not None:
        words += ["--white-level", repr(image.white_level)]
    return words


def _toml(value: Any) -> str:
    """One value as `--set` reads it, without line breaks."""
    if isinstance(value, str) and BARE.fullmatch(value) and value not in WORDS_OF_TOML:
        return value
    return _toml_value(value)


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _written(name: str, text: str) -> str:
    """A command that writes a file as it is."""
    end = "END"
    while end in text:
        end += "_"
    return f"cat > {shlex.quote(name)} <<'{end}'\n{text.rstrip()}\n{end}"


def _broken(words: Sequence[str]) -> str:
    """A command with an option on every line."""
    quoted = [shlex.quote(word) for word in words]
    lines = [" ".join(quoted[:5])]
    for word in quoted[5:]:
        if word.startswith("--"):
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return " \\\n  ".join(lines)


def _call(function: str, positional: Sequence[str], named: Mapping[str, Any]) -> str:
    arguments = [*positional, *(f"{name}={pprint.pformat(value, width=90)}" for name, value in named.items())]
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= 100 and "\n" not in line:
        return line
    return f"{function}(\n" + "".join(f"{_indented(argument)},\n" for argument in arguments) + ")"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
