"""What OME-XML claims about a file, read without trusting it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

UNIT_OF = {"X": "µm", "Y": "µm", "Z": "µm", "T": "s"}  # the schema's defaults
KEPT = {"Image", "Pixels", "Channel", "TiffData", "AcquisitionDate"}
OF_CHANNEL = (
    "Color",
    "Fluor",
    "EmissionWavelength",
    "EmissionWavelengthUnit",
    "ExcitationWavelength",
    "ExcitationWavelengthUnit",
    "AcquisitionMode",
    "ContrastMethod",
    "IlluminationType",
    "NDFilter",
    "PinholeSize",
    "PinholeSizeUnit",
)
"""What is carried over of a channel besides its name."""
SIZE_ATTRIBUTE = {"X": "PhysicalSizeX", "Y": "PhysicalSizeY", "Z": "PhysicalSizeZ", "T": "TimeIncrement"}


@dataclass(frozen=True)
class OmeImage:
    """One Image element: how many planes it claims, and the facts that belong to its pixels.

    ``about`` are the attributes of each channel besides its name, as they stand; ``lost`` are the kinds of elements
    that hold other facts.
    """

    name: str
    planes: int
    pixel_size: dict[str, float]
    units: dict[str, str]
    bit_depth: int | None
    channels: tuple[str, ...]
    about: tuple[dict[str, str], ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Ome:
    """The images of an OME-XML block, and the names of the other files that it refers to."""

    images: tuple[OmeImage, ...]
    others: tuple[str, ...]

    @property
    def planes(self) -> int:
        return sum(image.planes for image in self.images)


def parse_ome(xml: str, name: str) -> Ome:
    """The claims of ``xml``, found in the file called ``name``.

    Raises ValueError with the reason if it is broken, or has a document type: OME-XML has none, entity bombs do.
    """
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ValueError("it declares a document type or entities")
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not well-formed: {error}") from error
    lost = tuple(
        sorted({_local(element) for element in (*root, *root.iterfind("*/*"), *root.iterfind("*/*/*"))} - KEPT)
    )
    try:
        images = tuple(
            _image(image.attrib.get("Name", ""), pixels, lost)
            for image in _children(root, "Image")
            for pixels in _children(image, "Pixels")
        )
    except KeyError as error:
        raise ValueError(f"attribute {error} is missing") from error
    return Ome(images, tuple(sorted(set(_other_files(root, name)))))


def is_bare_name(name: str) -> bool:
    """Whether a referenced file name stays in the folder of the file that refers to it."""
    return bool(name) and name not in (".", "..") and "\\" not in name and Path(name).name == name and "\0" not in name


def _image(name: str, pixels: ElementTree.Element, lost: tuple[str, ...]) -> OmeImage:
    sizes = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "XYZCT"}
    if min(sizes.values()) < 1:
        raise ValueError(f"sizes {sizes} are not positive")
    channels = list(_children(pixels, "Channel"))
    samples = int(channels[0].attrib.get("SamplesPerPixel", 1)) if channels else 1
    if samples < 1 or sizes["C"] % samples:
        raise ValueError(f"{samples} samples per pixel do not divide SizeC {sizes['C']}")
    pixel_size: dict[str, float] = {}
    for axis, attribute in SIZE_ATTRIBUTE.items():
        size = _positive(pixels.attrib.get(attribute, ""))
        if size is not None:
            pixel_size[axis] = size
    bits = pixels.attrib.get("SignificantBits", "")
    return OmeImage(
        name,
        sizes["Z"] * sizes["T"] * sizes["C"] // samples,
        pixel_size,
        {axis: pixels.attrib.get(f"{SIZE_ATTRIBUTE[axis]}Unit", UNIT_OF[axis]) for axis in pixel_size},
        int(bits) if bits.isdecimal() and 1 <= int(bits) <= 32 else None,
        _names(channels),
        _about(channels),
        lost,
    )


def _names(channels: list[ElementTree.Element]) -> tuple[str, ...]:
    """The name of every channel, empty where it has none; nothing where none has one."""
    names = tuple(channel.attrib.get("Name", "") for channel in channels)
    return names if any(names) else ()


def _about(channels: list[ElementTree.Element]) -> tuple[dict[str, str], ...]:
    """What is known of every channel; nothing where that is nothing of each."""
    about = tuple({key: channel.attrib[key] for key in OF_CHANNEL if key in channel.attrib} for channel in channels)
    return about if any(about) else ()


def _other_files(root: ElementTree.Element, name: str) -> Iterator[str]:
    own = root.attrib.get("UUID")
    for element in root.iter():
        kind = _local(element)
        if kind == "UUID" and "FileName" in element.attrib:
            is_own = element.text == own if own is not None else element.attrib["FileName"].lower() == name.lower()
            if not is_own:
                yield element.attrib["FileName"]
        elif kind == "BinaryOnly":
            yield element.attrib.get("MetadataFile", "an unnamed file")


def _children(parent: ElementTree.Element, kind: str) -> Iterator[ElementTree.Element]:
    return (child for child in parent if _local(child) == kind)


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
