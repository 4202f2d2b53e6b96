"""What the axes and pixel sizes of a napari layer are, and how that is known. Nothing here looks at pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unblur.errors import ImageError
from unblur.image import PLANE, SECONDS, Image, Status
from unblur.io import Header

KEY = "unblur"
"""Where the metadata of a layer of ours hold what is known about it."""

SEVERAL = "several"
"""There, of a layer that shows kernels of several planes or places, which are no PSF together."""

REPEATED = "repeated"
"""There, the axes along which it is the same, so that the viewer shows it beside every plane."""

NAMES = {
    "T": {"t", "time", "frame", "frames", "timepoint", "timepoints"},
    "C": {"c", "ch", "channel", "channels"},
    "Z": {"z", "depth", "slice", "slices"},
    "Y": {"y", "row", "rows", "height"},
    "X": {"x", "col", "cols", "column", "columns", "width"},
}
GUESSED = "ZTC"
"""What the dimensions before Y and X are taken for where nothing says it: one is Z, two are T and Z."""

ORDER = "TCZYX"
LENGTHS = {"µm", "nm", "pm", "Å", "mm", "cm", "m"}
PIXEL = "pixel"
SAME_SIZE = 0.01


def facts(image: Image) -> dict[str, Any]:
    """What is known about the axes and sizes, for the metadata of a layer."""
    return {
        "axes": image.axes,
        "pixel_size": dict(image.pixel_size),
        "units": dict(image.units),
        "status": dict(image.status),
        "bit_depth": image.bit_depth,
    }


@dataclass(frozen=True)
class Evidence:
    """What a layer and its file say.

    Attributes:
        shape: of the pixels, colours included.
        rgb: the last dimension holds colours.
        labels, units, scale: of the layer, one for each dimension without colours; units are pint's.
        header: of the layer's file, if its image has this shape.
        kept: what an earlier run knew, from the metadata of the layer.
    """

    shape: tuple[int, ...]
    rgb: bool
    labels: Sequence[str]
    units: Sequence[Any]
    scale: Sequence[float]
    header: Header | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ndim(self) -> int:
        """Dimensions without colours."""
        return len(self.shape) - self.rgb


def axes_of(evidence: Evidence) -> tuple[str, Status]:
    """A letter for each dimension, and whether that was read or is a guess.

    Labels come first, then what an earlier run or the file says, then units of time, then the position.

    Raises:
        ImageError: there are more dimensions than letters.
    """
    if evidence.ndim > len(ORDER):
        raise ImageError(f"the layer has {evidence.ndim} dimensions; at most {len(ORDER)} can be used ({ORDER})")
    samples = "S" if evidence.rgb else ""
    letters = _labelled(evidence.labels)
    if None not in letters and set(PLANE) <= set(letters):
        return "".join(filter(None, letters)) + samples, "read"
    told = _told(evidence)
    if told is not None:
        return told
    if letters[-2:] == [None, None] and not set(PLANE) & set(letters):
        letters = [*letters[:-2], *PLANE]
    for place, unit in enumerate(evidence.units):
        if letters[place] is None and "T" not in letters and symbol(unit) in SECONDS:
            letters[place] = "T"
    status: Status = "assumed" if None in letters else "read"
    return _filled(letters) + samples, status


def fitting_labels(labels: Sequence[str], axes: str) -> tuple[str, ...]:
    """Labels that say nothing else than the axes do: those that would are the letters."""
    said = [_letter(label) for label in labels]
    return tuple(
        axis.lower() if letter not in (None, axis) else label
        for label, letter, axis in zip(labels, said, axes.replace("S", ""), strict=True)
    )


def _letter(label: str) -> str | None:
    return next((letter for letter, words in NAMES.items() if label.lower() in words), None)


def _labelled(labels: Sequence[str]) -> list[str | None]:
    """What each label says; nothing at all where two say the same."""
    found = [_letter(label) for label in labels]
    said = [letter for letter in found if letter]
    return found if len(set(said)) == len(said) else [None] * len(found)


def _told(evidence: Evidence) -> tuple[str, Status] | None:
    kept = evidence.kept.get("axes")
    if isinstance(kept, str) and len(kept) == len(evidence.shape) and kept.endswith("S") == evidence.rgb:
        return kept, evidence.kept.get("status", {}).get("axes", "read")
    named = evidence.header.axes if evidence.header else None
    if named is None or len(named) != len(evidence.shape):
        return None
    if not evidence.rgb:
        named = named.replace("S", "C") if "C" not in named else named
    return (named, "read") if named.endswith("S") == evidence.rgb and named.count("S") == evidence.rgb else None


def _filled(letters: Sequence[str | None]) -> str:
    """The dimensions that nothing is known about get what is left: Y and X at the end, then Z, T and C."""
    missing = letters.count(None)
    left = [letter for letter in (*reversed(PLANE), *GUESSED) if letter not in letters][:missing]
    order = iter(sorted(left, key=ORDER.index))
    return "".join(letter or next(order) for letter in letters)


@dataclass
class Sizes:
    """Pixel sizes and units by axis letter, how each is known, and sentences about what was assumed."""

    pixel_size: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    status: dict[str, Status] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, axis: str, size: float, unit: str, status: Status) -> None:
        self.pixel_size[axis], self.units[axis], self.status[axis] = size, unit, status


def sizes_of(evidence: Evidence, axes: str) -> Sizes:
    """Pixel sizes, from the layer's scale where that has a unit, else from an earlier run or the file.

    A scale other than one without a unit is taken for µm, which is noted: layers had no units in older versions of
    napari. Units that are neither lengths nor times are noted and left out.
    """
    sizes = Sizes()
    assumed: list[str] = []
    for axis, unit, scale in zip(axes, evidence.units, evidence.scale, strict=False):
        if axis == "C":
            continue
        wanted = SECONDS if axis == "T" else LENGTHS
        size, named = abs(float(scale)), symbol(unit)
        if named in wanted:
            sizes.add(axis, size, named, "read")
        elif named != PIXEL:
            converted = _micrometres(size, unit) if axis != "T" else None
            if converted is None:
                sizes.notes.append(f"the unit of axis {axis} is {unit}: its pixel size is not known")
            else:
                sizes.add(axis, converted, "µm", "read")
        elif (told := _size_told(evidence, axis)) and (size == 1 or math.isclose(size, told[0], rel_tol=SAME_SIZE)):
            sizes.add(axis, *told)
        elif size != 1 and axis != "T":
            sizes.add(axis, size, "µm", "assumed")
            assumed.append(axis)
    if assumed:
        sizes.notes.append(f"the layer's scale along {', '.join(assumed)} has no unit: µm is assumed")
    return sizes


def _size_told(evidence: Evidence, axis: str) -> tuple[float, str, Status] | None:
    kept = evidence.kept
    if axis in kept.get("pixel_size", {}):
        status = kept.get("status", {}).get(axis, "read")
        return float(kept["pixel_size"][axis]), str(kept.get("units", {}).get(axis, "µm")), status
    header = evidence.header
    if header is None or axis not in header.pixel_size:
        return None
    return header.pixel_size[axis], header.units.get(axis, "µm"), "read"


def from_file(evidence: Evidence, axes: str) -> frozenset[str]:
    """What only the file says: ``axes``, and the letters of axes whose size it gives."""
    without = replace(evidence, header=None)
    before, now = sizes_of(without, axes).status, sizes_of(evidence, axes).status
    found = {axis for axis, status in now.items() if status == "read" != before.get(axis)}
    if axes_of(evidence) == (axes, "read") != axes_of(without):
        found.add("axes")
    return frozenset(found)


def symbol(unit: Any) -> str:
    """The short name of a unit of pint, with the micro sign; `pixel` for pixels."""
    return f"{unit:~}".replace("μ", "µ")


def _micrometres(size: float, unit: Any) -> float | None:
    """A length in a unit that image files do not have."""
    if not unit.is_compatible_with("micrometer"):
        return None
    return float((size * unit).to("micrometer").magnitude)
