"""Pixel size, units, bit depth and names from the metadata of a TIFF file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tifffile import RESUNIT, TiffFile, TiffPage, TiffPageSeries

from unblur.io.ome import OmeImage

MICROMETRES = {RESUNIT.CENTIMETER: 1e4, RESUNIT.INCH: 25_400.0, RESUNIT.MILLIMETER: 1e3, RESUNIT.MICROMETER: 1.0}
PRINT_RESOLUTION = 40.0  # a "pixel" of more micrometres is a printer's dot: 600 dpi is 42 µm
IMAGEJ_LOST = {"Info", "LUTs", "Overlays", "Properties", "ROI", "Ranges"}
IMAGEJ_MICROMETRE = {"micron", "microns", "um", "µm", "μm", "\\u00b5m", "micrometer", "micrometers"}


@dataclass
class Facts:
    """Sizes and units by axis letter, and what else is worth carrying along."""

    pixel_size: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    bit_depth: int | None = None
    notes: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    def add(self, axis: str, size: object, unit: str) -> None:
        """Take a size if it is a positive number."""
        if isinstance(size, (int, float)) and math.isfinite(size) and size > 0:
            self.pixel_size[axis], self.units[axis] = float(size), unit


def facts_of(tif: TiffFile, number: int, series: TiffPageSeries, ome: OmeImage | None) -> Facts:
    """The facts about ``series``, the one with this number, from the richest metadata that the file has."""
    facts = Facts()
    page = series.keyframe
    if page.dtype is not None and page.dtype.kind == "u" and page.bitspersample < 8 * page.dtype.itemsize:
        facts.bit_depth = page.bitspersample
    if page.iccprofile:
        facts.metadata["icc_profile"] = page.iccprofile
    if ome is not None:
        facts.pixel_size, facts.units = dict(ome.pixel_size), dict(ome.units)
        # Writers fill in the width of the type when they know no better, which says nothing about a 16-bit camera.
        if ome.bit_depth is not None and page.dtype is not None and ome.bit_depth < 8 * page.dtype.itemsize:
            facts.bit_depth = ome.bit_depth
        if ome.channels:
            facts.metadata["channels"] = ome.channels
        if ome.about:
            facts.metadata["channel_facts"] = ome.about
        if ome.lost:
            facts.notes.append(f"OME metadata of these kinds is not carried over: {', '.join(ome.lost)}")
    elif series.kind == "imagej":
        _imagej(facts, tif.imagej_metadata or {}, page)
    elif series.kind == "shaped" and _shaped(facts, tif, number):
        pass
    else:
        _resolution(facts, page)
    return facts


IMAGEJ_TIMES = {
    "s": "s",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "msec": "ms",
    "minute": "min",
    "minutes": "min",
    "us": "µs",
    "usec": "µs",
    "μs": "µs",  # with the Greek letter in place of the micro sign
}
"""How ImageJ's menus and macros call units of time, and what they are called here."""


def _imagej(facts: Facts, meta: dict[str, Any], page: TiffPage) -> None:
    spacing = meta.get("spacing")
    if isinstance(spacing, (int, float)) and spacing < 0:
        facts.notes.append(f"a spacing of {spacing:g}: its sign, the direction of the planes, is not carried over")
        spacing = -spacing
    lengths = {"X": _length(page, "XResolution"), "Y": _length(page, "YResolution"), "Z": spacing}
    for axis, length in lengths.items():
        unit = str(meta.get(f"{axis.lower()}unit", meta.get("unit", "pixel")))  # of Y and Z where it is not that of X
        unit = "µm" if unit.lower() in IMAGEJ_MICROMETRE else unit
        if unit.lower() not in ("pixel", "pixels", ""):
            facts.add(axis, length, unit)
    time_unit = str(meta.get("tunit", "s")).lower()
    facts.add("T", meta.get("finterval"), IMAGEJ_TIMES.get(time_unit, time_unit))
    _depth(facts, meta.get("bit_depth"))
    lost = sorted(set(meta) & IMAGEJ_LOST)
    if lost:
        facts.notes.append(f"ImageJ's {', '.join(lost)} are not carried over")
    labels = meta.get("Labels")
    if isinstance(labels, list):
        facts.metadata["labels"] = tuple(map(str, labels))


def _shaped(facts: Facts, tif: TiffFile, number: int) -> bool:
    """What :func:`unblur.io.write` put into the description; False if it holds no size."""
    described = (tif.shaped_metadata or ())[number : number + 1]
    sizes = described[0].get("pixel_size") if described else None
    units = described[0].get("units") if described else None
    _depth(facts, described[0].get("bit_depth") if described else None)
    if not (isinstance(sizes, dict) and isinstance(units, dict)):
        return False
    for axis, size in sizes.items():
        facts.add(str(axis), size, str(units.get(axis, "µm")))
    return bool(facts.pixel_size)


def _depth(facts: Facts, depth: object) -> None:
    if isinstance(depth, int) and 1 <= depth <= 32:
        facts.bit_depth = depth


def _resolution(facts: Facts, page: TiffPage) -> None:
    scale = MICROMETRES.get(page.tags.valueof("ResolutionUnit", RESUNIT.NONE))
    lengths = {axis: _length(page, f"{axis}Resolution") for axis in "YX"}
    if scale is None or None in lengths.values():
        return
    sizes = {axis: scale * length for axis, length in lengths.items() if length is not None}
    if max(sizes.values()) > PRINT_RESOLUTION:
        facts.metadata["dpi"] = tuple(25_400.0 / sizes[axis] for axis in "XY")
        return
    for axis, size in sizes.items():
        facts.add(axis, size, "µm")


def _length(page: TiffPage, tag: str) -> float | None:
    numerator, denominator = page.tags.valueof(tag, (0, 0))
    return denominator / numerator if numerator and denominator else None
