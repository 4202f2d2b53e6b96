"""TIFF out: OME-TIFF, ImageJ's TIFF, and TIFF with shape and axes in its description."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import DTypeLike

from unblur.errors import ImageError
from unblur.image import Image, bits_of
from unblur.io.casting import cast, opacities
from unblur.io.profiles import profile_of
from unblur.io.scratch import on_disk

BIG = 2**32 - 2**25
_FINEST = 2.0**31
"""Pixels in a unit of length that the fraction of a TIFF can hold."""

OME_DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
IMAGEJ_ORDER = "TZCYXS"


def write_ome(path: Path, image: Image, dtype: DTypeLike | None, report: str) -> tuple[str, ...]:
    """OME-TIFF with pixel sizes, units, what is known of channels, and the report as the description of the image."""
    image, notes = _prepared(image, dtype)
    if image.data.dtype == np.float16:
        image = replace(image, data=image.data.astype(np.float32))
        notes += ("OME-TIFF has no float16: written as float32",)
    if image.data.dtype.name not in OME_DTYPES:
        raise ImageError(f"OME-TIFF cannot hold {image.data.dtype}; ask for a dtype of {', '.join(OME_DTYPES)}")
    if not image.axes.removesuffix("S").endswith("YX"):
        order = "".join(axis for axis in image.axes if axis not in "YXS") + "YX" + ("S" if image.is_rgb else "")
        notes += (f"OME-TIFF keeps planes together: axes {image.axes} are written as {order}",)
        image = _transposed(image, order)
    data, options = _with_alpha(image)
    metadata: dict[str, Any] = {"axes": image.axes if data.ndim == image.data.ndim else image.axes + "S"}
    for axis, size in image.pixel_size.items():
        key = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        metadata |= {key: size, f"{key}Unit": image.units[axis]}
    if (depth := _depth(image)) is not None and image.data.dtype.kind == "u":
        metadata["SignificantBits"] = depth
    if channels := _channels(image):
        metadata["Channel"] = channels
    if report:
        metadata["Description"] = report
    _write(
        path,
        data,
        image.is_rgb or image.alpha is not None,
        ome=True,
        metadata=metadata,
        bigtiff=data.nbytes > BIG,
        **options,
    )
    return notes


def _channels(image: Image) -> list[dict[str, str]]:
    """What is known of every channel, as attributes of OME's; nothing where that is of another number of channels."""
    count = image.sizes.get("C", 1)
    names, about = (image.metadata.get(key, ()) for key in ("channels", "channel_facts"))
    found: list[dict[str, str]] = [{} for _ in range(count)]
    if len(about) == count:
        found = [dict(facts) for facts in about]
    if len(names) == count:
        found = [{**facts, "Name": name} for facts, name in zip(found, names, strict=True)]
    return found if any(found) else []


def write_tiff(path: Path, image: Image, dtype: DTypeLike | None, report: str) -> tuple[str, ...]:
    """TIFF for ImageJ, or where ImageJ cannot hold the image, TIFF with all facts as JSON in its description."""
    image, notes = _prepared(image, dtype)
    obstacle = _imagej_obstacle(image)
    data, options = _with_alpha(image)
    if obstacle is None:
        metadata = _imagej_metadata(image, report)
        _write(
            path,
            data,
            image.is_rgb or image.alpha is not None,
            imagej=True,
            metadata=metadata,
            **_resolution(image, 1.0, "NONE"),
            **options,
        )
        return notes
    if data.ndim > 2 and image.sizes.keys() != set("YXS"):
        notes += (f"written without ImageJ's metadata: {obstacle}",)
    axes = image.axes if data.ndim == image.data.ndim else image.axes + "S"
    metadata = {"axes": axes, "pixel_size": dict(image.pixel_size), "units": dict(image.units)}
    if (depth := _depth(image)) is not None:
        metadata["bit_depth"] = depth
    if report:
        metadata["report"] = report
    in_micrometres = all(image.units.get(axis) == "µm" for axis in "YX")
    resolution = _resolution(image, 1e4, "CENTIMETER") if in_micrometres else {}
    dpi = image.metadata.get("dpi")
    if dpi and not resolution:
        resolution = {"resolution": tuple(map(float, dpi)), "resolutionunit": "INCH"}
    _write(
        path,
        data,
        image.is_rgb or image.alpha is not None,
        metadata=metadata,
        bigtiff=data.nbytes > BIG,
        **resolution,
        **options,
    )
    return notes


def _depth(image: Image) -> int | None:
    """How many bits white has in the numbers that are written, where that can be said in bits."""
    depth = image.bit_depth if image.given_white is None else bits_of(image.given_white)
    return min(depth, 8 * image.data.dtype.itemsize) if depth is not None and image.data.dtype.kind in "iu" else depth


def _prepared(image: Image, dtype: DTypeLike | None) -> tuple[Image, tuple[str, ...]]:
    if image.data.size == 0:
        raise ImageError(f"an image of shape {image.shape} has no pixels to write")
    if image.is_rgb and not image.axes.endswith("S"):  # samples lie together, and readers look for them there
        image = _transposed(image, image.axes.replace("S", "") + "S")
    data, notes = cast(image.data, image.data.dtype if dtype is None else dtype)
    if data.dtype.kind in "iu" and image.data.dtype.kind == "f" and _faint(image, data):
        notes += (f"values up to {np.nanmax(image.data):g} are next to nothing in {data.dtype.name}, not scaled",)
    return replace(image, data=data), notes


def _faint(image: Image, data: np.ndarray) -> bool:
    """Whether rounding to whole numbers leaves next to nothing of an image."""
    ends = int(data.min()), int(data.max())
    return max(map(abs, ends)) <= 1 or (image.white_level is not None and image.white_level <= 1)


def _transposed(image: Image, order: str) -> Image:
    def moved(array: np.ndarray, old: str, new: str) -> np.ndarray:
        return array.transpose([old.index(axis) for axis in new])

    data = moved(image.data, image.axes, order)
    alpha = image.alpha
    if alpha is not None:
        alpha = moved(alpha, image.axes.replace("S", ""), order.replace("S", ""))
    return replace(image, data=data, axes=order, alpha=alpha)


def _with_alpha(image: Image) -> tuple[np.ndarray, dict[str, Any]]:
    """The pixels, with alpha as the last sample, and the options that say so."""
    options: dict[str, Any] = {"photometric": "rgb" if image.is_rgb else "minisblack", "software": "napari-deblur"}
    profile = profile_of(image)
    if profile is not None:
        options["iccprofile"] = profile
    if image.is_rgb:
        options["planarconfig"] = "contig"
    if image.alpha is None:
        return image.data, options
    dtype = image.data.dtype
    alpha = opacities(image.alpha, dtype, image.white_level or 1.0) if dtype.kind in "iu" else image.alpha.astype(dtype)
    options |= {"extrasamples": [image.metadata.get("alpha", "unassalpha")], "planarconfig": "contig"}
    colour = image.data if image.is_rgb else image.data[..., np.newaxis]
    return np.concatenate([colour, alpha[..., np.newaxis]], axis=-1), options


def _write(path: Path, data: np.ndarray, samples: bool, **options: Any) -> None:
    """Write at once, or page by page what lies on the disk."""
    if not on_disk(data):
        tifffile.imwrite(path, data, **options)
        return
    outer = data.shape[: -3 if samples else -2]
    pages = (np.ascontiguousarray(data[place]) for place in np.ndindex(outer))
    tifffile.imwrite(path, pages, shape=data.shape, dtype=data.dtype, **options)


def _imagej_obstacle(image: Image) -> str | None:
    """Why ImageJ's TIFF cannot hold this image without losing something, or None."""
    lengths = {image.units[axis] for axis in image.pixel_size if axis != "T"}
    measured = [axis for axis in "YX" if axis in image.pixel_size]
    if image.data.dtype.name not in IMAGEJ_DTYPES or (image.is_rgb and image.data.dtype != np.uint8):
        return f"ImageJ has no {'RGB of ' if image.is_rgb else ''}{image.data.dtype.name}"
    if image.alpha is not None:
        return "ImageJ has no alpha"
    if image.sizes["X"] == 1 and image.data.ndim > 2:
        return "stacks that are one pixel wide are read as rows"
    if image.axes != "".join(axis for axis in IMAGEJ_ORDER if axis in image.axes):
        return f"ImageJ's axes are {IMAGEJ_ORDER}, these are {image.axes}"
    if image.data.nbytes > BIG:
        return "it is larger than 4 GB"
    if image.metadata.get("dpi") and not image.pixel_size:
        return "ImageJ has no print resolution"
    if (
        len(lengths) > 1
        or len(measured) == 1
        or (lengths and not measured)
        or not all(map(str.isascii, lengths - {"µm"}))
    ):
        return "ImageJ has one unit of length for all axes"
    if any(image.pixel_size.get(axis, 1) * _FINEST < 1 for axis in "YX"):
        return "its resolution holds no pixels as small as these in their unit"
    if image.units.get("T", "s") != "s":
        return "ImageJ counts time in seconds"
    return None


def _imagej_metadata(image: Image, report: str) -> dict[str, Any]:
    unit = image.units.get("X")
    metadata: dict[str, Any] = {"axes": image.axes}
    if unit is not None:
        metadata["unit"] = "micron" if unit == "µm" else unit
    if "Z" in image.pixel_size:
        metadata["spacing"] = image.pixel_size["Z"]
    if "T" in image.pixel_size:
        metadata["finterval"] = image.pixel_size["T"]
    if (depth := _depth(image)) is not None:
        metadata["bit_depth"] = depth
    labels = image.metadata.get("labels")
    if labels and len(labels) == math.prod(size for axis, size in image.sizes.items() if axis in "TZC"):
        metadata["Labels"] = list(labels)
    if report:
        metadata["Info"] = report
    return metadata


def _resolution(image: Image, scale: float, unit: str) -> dict[str, Any]:
    if not {"X", "Y"} <= image.pixel_size.keys():
        return {}
    found = tuple(scale / image.pixel_size[axis] for axis in "XY")
    return {"resolution": found, "resolutionunit": unit} if max(found) < _FINEST else {}
