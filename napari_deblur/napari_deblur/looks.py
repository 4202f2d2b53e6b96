"""Where a layer lies and how it is shown, as plain values: what image files do not hold, and reports can."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deblur.facts import KEY, fitting_labels, symbol
from unblur.image import AXES

if TYPE_CHECKING:
    from napari.layers import Layer

REPORT_KEY = "viewer"
"""Where a report holds them, by the role of the layer: restored, uncertainty, kernel."""

SAME_SIZE = 0.001
PLACE = ("scale", "translate", "rotate", "shear")
SHOWN = ("contrast_limits", "gamma", "blending", "interpolation2d")


def role_of(layer: Layer) -> str:
    """What a layer is to the run that made it; nothing where none did."""
    known = layer.metadata.get(KEY, {})
    return str(known.get("role", "")) if isinstance(known, Mapping) else ""


def looks_of(layer: Any) -> dict[str, Any]:
    """Place and looks of an image layer."""
    looks = {key: np.asarray(getattr(layer, key)).tolist() for key in (*PLACE, *SHOWN)}
    looks["affine"] = np.asarray(layer.affine.affine_matrix).tolist()
    looks["units"] = [symbol(unit) for unit in layer.units]
    looks["axis_labels"] = list(layer.axis_labels)
    looks["axes"] = layer.metadata.get(KEY, {}).get("axes")
    return looks if layer.rgb else looks | {"colormap": _colormap_of(layer)}


def _colormap_of(layer: Any) -> str | dict[str, Any]:
    """The name of a colormap where napari always knows it, and else its colours, which may be those of a session."""
    from napari.utils.colormaps import ALL_COLORMAPS, INVERSE_COLORMAPS

    colours = layer.colormap
    if colours.name in {**ALL_COLORMAPS, **INVERSE_COLORMAPS}:
        return str(colours.name)
    return {
        "name": colours.name,
        "colors": np.asarray(colours.colors).tolist(),
        "controls": np.asarray(colours.controls).tolist(),
        "interpolation": str(colours.interpolation.value),
    }


def of_layers(layers: Iterable[Any]) -> dict[str, Any]:
    """Those of the layers of a run, by role."""
    return {role: looks_of(layer) for layer in layers if (role := role_of(layer)) and hasattr(layer, "colormap")}


def _held(report: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    """What a report holds of the layer of a role; nothing where that is of no use."""
    viewed = report.get(REPORT_KEY)
    found = viewed.get(role) if isinstance(viewed, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def axes_of(report: Mapping[str, Any], role: str) -> str:
    """The axes that the layer had, as far as a report says so."""
    axes = _held(report, role).get("axes")
    return axes if isinstance(axes, str) and set(axes) <= set(AXES) and len(set(axes)) == len(axes) else ""


def attributes(report: Mapping[str, Any], role: str, axes: str, placed: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a layer from what a report holds; those that do not fit the file are left out.

    Args:
        role: of the file's image to the run.
        axes: of the file's image.
        placed: scale and units that the file says; where it says others by now, it is believed.
    """
    from napari.layers import Layer

    found = _held(report, role)
    rgb = axes.endswith("S")
    wanted = {*SHOWN, *(() if rgb else ("colormap",))}
    if found.get("axes") == axes and _same_size(found.get("scale"), placed):
        wanted |= {*PLACE, "affine", "units"}
        labels = found.get("axis_labels")
        labels = [label for label in labels if isinstance(label, str)] if isinstance(labels, list) else []
        if len(labels) == len(axes.replace("S", "")):
            found = {**found, "axis_labels": fitting_labels(labels, axes)}
            wanted.add("axis_labels")
    chosen = {key: value for key, value in found.items() if key in wanted}
    pixel = np.zeros((1,) * len(placed["scale"]) + (3,) * rgb, np.uint8)
    for less in ((), ("colormap",)):
        kept = {key: value for key, value in chosen.items() if key not in less}
        try:
            Layer.create(pixel, {**kept, "rgb": rgb}, "image")
        except Exception:  # a report is a file that anyone may have written, and napari says no in many ways
            continue
        return kept
    return {}


def _same_size(scale: Any, placed: Mapping[str, Any]) -> bool:
    """Whether a layer's scale is that of the file, along the axes whose pixel size the file says."""
    said = [size if unit != "pixel" else None for size, unit in zip(placed["scale"], placed["units"], strict=True)]
    if not isinstance(scale, list) or len(scale) != len(said):
        return False
    pairs = [(one, size) for one, size in zip(scale, said, strict=True) if size is not None]
    return all(isinstance(one, float) and math.isclose(abs(one), size, rel_tol=SAME_SIZE) for one, size in pairs)
