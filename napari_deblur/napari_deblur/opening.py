"""The reader in the manifest: OME-TIFF with axes, pixel size and units, which napari's own reader drops; and videos."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_deblur import looks
from napari_deblur.facts import KEY, facts
from napari_deblur.results import DEPTHS, one_a_pixel
from unblur import io
from unblur.errors import UnblurError
from unblur.image import Image
from unblur.io.casting import cast
from unblur.io.video import VIDEO

Reader = Callable[[Any], list[tuple[Any, dict[str, Any], str]]]
RESTORED, UNCERTAINTY = "restored", "uncertainty"
WHITES = {255.0: "uint8", 65535.0: "uint16"}
"""The depth in which colours in floating point are shown whose white this is."""

_PART = re.compile(r"(?<=.)\.(kernel|uncertainty)\.ome\.tiff?$", re.IGNORECASE)
"""How the file of a kernel or an uncertainty ends, behind the name of its image."""


def get_reader(path: Any) -> Reader | None:
    """A reader for one file that unblur can read; None leaves it to others."""
    if not isinstance(path, str):
        return None
    if path.lower().endswith(VIDEO):
        return read_frames
    try:
        header = io.read_header(path)
    except UnblurError:
        return None
    return read_layers if header.axes is not None else None


def read_layers(path: str) -> list[tuple[Any, dict[str, Any], str]]:
    """The image of a file, and the report that lies beside it, or beside the image whose kernel this is.

    What was saved from the viewer comes back where it lay and as it looked.

    Colours in floating point are rounded to the bits that the report says they came from: napari shows colours in no
    other way.

    Raises:
        UnblurError: it cannot be read.
    """
    image = io.read(path)
    report, role = _report_of(Path(path))
    if image.is_rgb and role == UNCERTAINTY:
        image = replace(image, data=one_a_pixel(image.data), axes=image.axes.replace("S", ""))
    image = _as_it_was(image, looks.axes_of(report, role))
    data = image.data
    if image.is_rgb:
        known = report.get("input", {})
        depth = known.get("dtype") if known.get("dtype") in DEPTHS else WHITES.get(known.get("white_level"))
        if data.dtype.kind == "f" and depth in DEPTHS:
            data, _ = cast(data, depth)
        if image.alpha is not None:
            data = np.concatenate([data, image.alpha[..., np.newaxis].astype(data.dtype)], axis=-1)
    known = {
        **facts(image),
        **({"report": report} if report and role == RESTORED else {}),
        **({"role": role} if report else {}),
    }
    found = placed(image)
    found |= looks.attributes(report, role, image.axes, found)
    if role == UNCERTAINTY:
        found["name"] = f"{_PART.sub('', Path(path).name)} uncertainty, {_status(report)}"
    return [(data, {**found, "rgb": image.is_rgb, "metadata": {KEY: known}}, "image")]


def _as_it_was(image: Image, axes: str) -> Image:
    """With the dimensions of size one that its layer had, which its file has not."""
    if "".join(axis for axis in axes if axis in image.axes) != image.axes:
        return image
    place = tuple(slice(None) if axis in image.axes else np.newaxis for axis in axes)
    flat = tuple(part for axis, part in zip(axes, place, strict=True) if axis != "S")
    return replace(image, data=image.data[place], axes=axes, alpha=None if image.alpha is None else image.alpha[flat])


def read_frames(path: str) -> list[tuple[Any, dict[str, Any], str]]:
    """The frames of a video, which lie in a temporary file.

    Raises:
        UnblurError: it cannot be read.
    """
    image = io.read_series(path)
    return [(image.data, {**placed(image), "rgb": image.is_rgb, "metadata": {KEY: facts(image)}}, "image")]


def placed(image: Image) -> dict[str, Any]:
    """Scale, units and labels of a layer; axes whose size is not known have a scale of one pixel."""
    axes = image.axes.replace("S", "")
    units = [_unit(image.units.get(axis, "pixel")) for axis in axes]
    return {
        "scale": [image.pixel_size.get(axis, 1.0) for axis in axes],
        "units": units,
        "axis_labels": [axis.lower() for axis in axes],
    }


def _unit(name: str) -> str:
    """A unit that napari knows; files may name others."""
    import pint

    try:
        pint.get_application_registry().Unit(name)
    except (pint.UndefinedUnitError, ValueError, TypeError, AttributeError):
        return "pixel"
    return name


def _report_of(path: Path) -> tuple[Mapping[str, Any], str]:
    """The report that tells about a file, and what the file is to the run: its image, kernel or uncertainty."""
    part = _PART.search(path.name)
    if part is not None:
        for ending in (".ome.tif", ".ome.tiff", ".tif", ".tiff"):
            if report := _report(path.with_name(path.name[: part.start()] + ending)):
                return report, part[1].lower()
    return _report(path), RESTORED


def _status(report: Mapping[str, Any]) -> str:
    """How far the uncertainty is to be trusted, as the report says it."""
    known = report.get("uncertainty")
    return str(known.get("status", "uncalibrated")) if isinstance(known, Mapping) else "uncalibrated"


def _report(path: Path) -> Mapping[str, Any]:
    try:
        report = json.loads(io.report_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}
