"""TIFF in: plain, tifffile-shaped, ImageJ, OME, BigTIFF. Structure and claims are checked before pixels are read."""

from __future__ import annotations

import contextlib
import logging
import math
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffFrame, TiffPage, TiffPageSeries

from unblur.errors import FileError, ImageError, ResourceError, UnblurError
from unblur.image import AXES, Image, PixelSize, Status, check_axes, split_alpha
from unblur.io.header import Header
from unblur.io.limits import Room, check_claim
from unblur.io.ome import Ome, OmeImage, is_bare_name, parse_ome
from unblur.io.orientation import EXCHANGED, TURNED, upright
from unblur.io.scratch import scratch
from unblur.io.tiff_facts import Facts, facts_of

MOST_COMPRESSED = {
    COMPRESSION.NONE: 1.0,
    COMPRESSION.LZW: 4096.0,
    COMPRESSION.ADOBE_DEFLATE: 1040.0,
    COMPRESSION.DEFLATE: 1040.0,
    COMPRESSION.PACKBITS: 64.0,
}
CUT = "The file is cut or damaged"
UNREADABLE = {
    PHOTOMETRIC.PALETTE: ("holds palette indices, not intensities", "Convert it to grey or RGB"),
    PHOTOMETRIC.SEPARATED: ("holds ink values (CMYK)", "Convert it to grey or RGB"),
    PHOTOMETRIC.CFA: ("holds raw sensor values in a colour mosaic", "Develop it to grey or RGB"),
    PHOTOMETRIC.CIELAB: ("holds CIELAB colours", "Convert it to grey or RGB"),
}


def read_tiff(
    path: Path,
    axes: str | None,
    pixel_size: PixelSize | None,
    series: int | None,
    multi_file: bool,
    on_disk: bool = False,
) -> Image:
    """Read one series of a TIFF file; see :func:`unblur.io.read`.

    With ``on_disk`` its pixels stay in the file, if they are not compressed, or go page by page to a temporary one.
    """
    with _log() as log, _opened(path, log, multi_file) as (tif, ome, notes):
        image = _read(path, tif, ome, notes, axes, pixel_size, series, on_disk)
    warnings = tuple(f"the TIFF reader warns: {line[:160]}" for line in dict.fromkeys(log))
    return replace(image, notes=(*image.notes, *warnings))


def tiff_header(path: Path, axes: str | None, number: int | None) -> Header:
    """The facts of one series of a TIFF file; see :func:`unblur.io.read_header`."""
    with _log() as log, _opened(path, log, False) as (tif, ome, notes):
        number, chosen = _choose(path, tif, number)
        _check_series(path, tif, number, chosen)
        facts = facts_of(tif, number, chosen, _described(tif, ome, number, notes))
        try:
            shape, named, _ = _axes(path, chosen, axes)
        except FileError:
            if axes is not None:
                raise
            shape, named = tuple(size for size in chosen.get_shape(False) if size > 1), ""
        return Header(
            shape,
            np.dtype(chosen.dtype).newbyteorder("="),
            named or None,
            facts.pixel_size,
            facts.units,
            facts.bit_depth,
            (*notes, *facts.notes),
            facts.metadata,
        )


@contextlib.contextmanager
def _opened(path: Path, log: list[str], multi_file: bool) -> Iterator[tuple[TiffFile, Ome | None, list[str]]]:
    """The file with its checked OME-XML and notes; as if it had none where that cannot be used."""
    with _damage(path), TiffFile(path, _multifile=multi_file) as tif:
        _check_directories(path, tif, log)
        ome, notes = _ome(path, tif, multi_file)
        if ome is None and tif.is_ome:
            with TiffFile(path, is_ome=False, _multifile=multi_file) as plain:
                yield plain, None, notes
        else:
            yield tif, ome, notes


def _read(
    path: Path,
    tif: TiffFile,
    ome: Ome | None,
    notes: list[str],
    axes: str | None,
    pixel_size: PixelSize | None,
    number: int | None,
    on_disk: bool,
) -> Image:
    number, chosen = _choose(path, tif, number)
    page = chosen.keyframe
    _check_series(path, tif, number, chosen, on_disk)
    facts = facts_of(tif, number, chosen, _described(tif, ome, number, notes))
    kept_shape, kept_axes, status = _axes(path, chosen, axes)
    if len(chosen.levels) > 1:
        notes.append(f"a pyramid of {len(chosen.levels)} levels: the full resolution is read")
    data = chosen.asarray(out="memmap" if on_disk else None)
    if data.size != math.prod(kept_shape):
        raise FileError(path, f"claims shape {kept_shape}, but holds {data.shape}", CUT)
    data = _native(data.reshape(kept_shape), on_disk)
    data = _light_on_dark(path, page, data, notes)
    orientation = int(page.tags.valueof("Orientation", 1))
    if orientation in TURNED:
        data = upright(data, kept_axes, orientation)
        facts = _turned(facts, orientation)
        notes.append(f"turned upright as its orientation tag ({orientation}) asks")
    if "S" in kept_axes and not kept_axes.endswith("S"):
        data = np.ascontiguousarray(np.moveaxis(data, kept_axes.index("S"), -1))
        kept_axes = kept_axes.replace("S", "") + "S"
    data, kept_axes, alpha = split_alpha(data, kept_axes)
    metadata = dict(facts.metadata)
    if alpha is not None:
        metadata["alpha"] = "assocalpha" if 1 in page.extrasamples else "unassalpha"
        if page.extrasamples == (0,):
            notes.append("the extra sample has no stated meaning: it is taken for alpha")
    try:
        image = _image(path, data, kept_axes, facts, notes)
        image = replace(image, alpha=alpha, metadata=metadata, status={**image.status, "axes": status})
        return image.with_pixel_size(pixel_size)
    except ImageError as error:
        raise FileError(path, str(error)) from None


def _turned(facts: Facts, orientation: int) -> Facts:
    """What is said of Y holds for X, and the other way round, where an orientation exchanges them."""
    if orientation not in EXCHANGED:
        return facts
    other = {"Y": "X", "X": "Y"}
    return replace(
        facts,
        pixel_size={other.get(axis, axis): size for axis, size in facts.pixel_size.items()},
        units={other.get(axis, axis): unit for axis, unit in facts.units.items()},
    )


def _native(data: np.ndarray, on_disk: bool) -> np.ndarray:
    """In this machine's order of bytes; of what lies on the disk, one frame after the other."""
    wanted = data.dtype.newbyteorder("=")
    if not on_disk or data.dtype == wanted or data.ndim < 3:
        return data.astype(wanted, copy=False)
    turned = scratch(data.shape, wanted)
    for number, frame in enumerate(data):
        turned[number] = frame
    return turned


def _described(tif: TiffFile, ome: Ome | None, number: int, notes: list[str]) -> OmeImage | None:
    if ome and len(ome.images) != len(tif.series):
        notes.append("the OME-XML describes images that are not in the file: pixel sizes are not read from it")
        return None
    return ome.images[number] if ome else None


def _image(path: Path, data: np.ndarray, axes: str, facts: Facts, notes: list[str]) -> Image:
    known = {axis: size for axis, size in facts.pixel_size.items() if axis in axes}
    return Image(
        data,
        axes,
        pixel_size=known,
        units={axis: facts.units[axis] for axis in known},
        status=dict.fromkeys(known, "read"),
        source=str(path),
        bit_depth=facts.bit_depth,
        notes=(*notes, *facts.notes),
    )


def _check_directories(path: Path, tif: TiffFile, log: list[str]) -> None:
    """Every page directory of the chain is in the file, which a file cut in half does not have."""
    count = len(tif.pages)
    if count == 0:
        raise FileError(path, "has no image in it", CUT)
    end = tif.pages.next_page_offset
    if end is not None:
        tif.filehandle.seek(end)
        following = struct.unpack(tif.tiff.offsetformat, tif.filehandle.read(tif.tiff.offsetsize))[0]
        if following:
            raise FileError(path, f"ends within its page directories: {count} page(s) can be found, not all", CUT)
    first = tif.pages.first
    if first.dtype is None:
        raise FileError(path, f"holds {first.bitspersample} bits per sample of an unknown kind", CUT)
    if math.prod(first.shape) == 0 or 0 in (first.imagewidth, first.imagelength):
        raise FileError(path, f"claims an image of {first.imagewidth} x {first.imagelength} pixels", CUT)
    if tif.is_imagej:
        _check_imagej(path, tif)
    if any("corrupted tag list" in line for line in log):
        raise FileError(path, "has damaged page directories", CUT)


def _ome(path: Path, tif: TiffFile, multi_file: bool) -> tuple[Ome | None, list[str]]:
    """The claims of the OME-XML, checked against the number of pages; None and a note if it cannot be used."""
    text = tif.pages.first.description
    if "<OME" not in text:
        return None, []
    try:
        ome = parse_ome(text, path.name)
    except ValueError as error:
        return None, [f"the OME-XML is not used, its metadata is lost: {error}"]
    outside = [name for name in ome.others if not is_bare_name(name)]
    if outside:
        raise FileError(
            path, f"its OME-XML refers to {outside[0]!r}, outside its folder", "Only bare file names are followed"
        )
    if ome.others and not multi_file:
        raise FileError(
            path,
            f"is one part of a set of files; its OME-XML refers to {ome.others[0]!r}",
            "Save it as one file (in Python multi_file=True reads the whole set)",
        )
    pages = len(tif.pages) + sum(_pages_of(path.parent / name, path) for name in ome.others)
    if ome.planes > pages:
        raise FileError(path, f"its OME-XML claims {ome.planes} planes, but the file holds {pages}", CUT)
    if not ome.images:
        return None, ["the OME-XML describes no image, so it gives neither axes nor a pixel size"]
    return ome, []


def _pages_of(other: Path, path: Path) -> int:
    if not other.is_file():
        raise FileError(
            path, f"its OME-XML refers to {other.name!r}, which is missing", "Put the files of the set together"
        )
    with TiffFile(other, is_ome=False) as tif:
        return len(tif.pages)


def _choose(path: Path, tif: TiffFile, number: int | None) -> tuple[int, TiffPageSeries]:
    """The wanted series; the only one, leaving thumbnails aside, if none is named."""
    found = list(enumerate(tif.series))
    images = [(place, one) for place, one in found if not one.keyframe.is_reduced] or found
    if not images:
        raise FileError(path, "has no image that can be read", CUT)
    if number is None and len(images) == 1:
        return images[0]
    listed = "; ".join(f"{place}: {one.name or one.kind} {one.axes} {one.shape}" for place, one in found[:6])
    if number is None:
        raise FileError(path, f"holds {len(images)} images that differ", f"Choose one with --series N of {listed}")
    if not 0 <= number < len(found):
        raise FileError(path, f"has no series {number}", f"Choose one of {listed}")
    return found[number]


def _check_series(path: Path, tif: TiffFile, number: int, series: TiffPageSeries, on_disk: bool = False) -> None:
    """Every segment of every page is in the file, and all pages that the metadata promises are there."""
    page = series.keyframe
    photometric = PHOTOMETRIC(page.photometric)
    if photometric in UNREADABLE:
        raise FileError(path, *UNREADABLE[photometric])
    is_jpeg = "JPEG" in COMPRESSION(page.compression).name
    if photometric == PHOTOMETRIC.YCBCR and not is_jpeg:
        raise FileError(path, "holds YCbCr colours", "Convert it to RGB")
    if series.dtype is None:
        raise FileError(path, f"holds {page.bitspersample} bits per sample of an unknown kind", CUT)
    if tif.is_shaped and number == 0:
        _check_shaped(path, tif, series)
    pages = [one for one in series.pages if one is not None]
    if len(pages) < len(series.pages):
        raise FileError(path, f"{len(series.pages) - len(pages)} of its planes are missing", CUT)
    stored = 0
    offset = series.dataoffset
    if offset is not None:
        stored = series.nbytes
        if offset + stored > tif.filehandle.size:
            raise FileError(path, f"needs {offset + stored} bytes, but has {tif.filehandle.size}", CUT)
    else:
        stored = sum(_stored(path, one) for one in pages)
    packed = 8 * series.dtype.itemsize / max(page.bitspersample, 1)
    ratio = MOST_COMPRESSED.get(COMPRESSION(page.compression), math.inf)
    if page.subsampling not in (None, (1, 1)):
        ratio *= 3
    room = _room(series) if on_disk else "memory"
    check_claim(path, series.shape, series.dtype.itemsize, stored, ratio * packed, room)


def _room(series: TiffPageSeries) -> Room:
    """What the pixels of a series take that is read on the disk."""
    page, axes = series.keyframe, series.get_axes(False)
    alpha = page.samplesperpixel in (2, 4)
    planar = "S" in axes and not axes.endswith("S")
    turned = int(page.tags.valueof("Orientation", 1)) in TURNED or page.photometric == PHOTOMETRIC.MINISWHITE
    native = np.dtype(series.dtype).newbyteorder(page.parent.byteorder).isnative
    if alpha or planar or turned or (not native and series.ndim < 3):
        return "memory"
    return "nothing" if native and series.dataoffset is not None else "disk"


def _stored(path: Path, page: TiffPage | TiffFrame) -> int:
    size = page.parent.filehandle.size
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets or len(offsets) != len(counts):
        raise FileError(path, "does not say where its pixels are", CUT)
    if any(count == 0 or offset == 0 for offset, count in zip(offsets, counts, strict=True)):
        raise FileError(path, "parts of an image were never written", "Write it again without sparse tiles")
    if max(offset + count for offset, count in zip(offsets, counts, strict=True)) > size:
        raise FileError(path, f"its pixels reach beyond its end at {size} bytes", CUT)
    return int(sum(counts))


def _check_imagej(path: Path, tif: TiffFile) -> None:
    """The planes that ImageJ's description promises, in pages or, above 4 GB, one after the other behind one page."""
    meta, page = tif.imagej_metadata or {}, tif.pages.first
    promised = math.prod(int(meta.get(key, 1)) for key in ("frames", "slices", "channels"))
    if page.samplesperpixel > 1 and promised % page.samplesperpixel == 0:
        promised //= page.samplesperpixel  # Bio-Formats declares samples as channels
    end = tif.pages[1].offset if len(tif.pages) > 1 else tif.filehandle.size
    behind = (end - page.dataoffsets[0]) // page.nbytes if page.is_contiguous else 0
    found = max(len(tif.pages), behind)
    if promised > found:
        raise FileError(path, f"its metadata promises {promised} planes, but it holds {found}", CUT)


def _check_shaped(path: Path, tif: TiffFile, series: TiffPageSeries) -> None:
    """The shape that tifffile's description promises, against the pages, unless one page stands for all."""
    described = (tif.shaped_metadata or ({},))[0]
    promised = tuple(int(size) for size in described.get("shape", ()))
    found = len(tif.pages) * math.prod(series.keyframe.shape)
    if math.prod(promised) > found and not (described.get("truncated") and series.dataoffset is not None):
        raise FileError(path, f"its metadata promises shape {promised}, but it holds {len(tif.pages)} page(s)", CUT)


def _axes(path: Path, series: TiffPageSeries, given: str | None) -> tuple[tuple[int, ...], str, Status]:
    """Shape, axes and status: as given, or as the file says, with dimensions of size one left out."""
    full = list(zip(series.get_axes(False), series.get_shape(False), strict=True))
    is_colour = series.keyframe.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
    has_alpha = is_colour or (len(series.keyframe.extrasamples) == 1 and series.keyframe.samplesperpixel == 2)
    left = [(axis, size) for axis, size in full if size > 1 or axis in "YX"]
    shape = tuple(size for _, size in left)
    if given is not None:
        given = given.upper()
        fits = [sizes for sizes in (shape, tuple(size for _, size in full)) if len(sizes) == len(given)]
        try:
            check_axes(given, fits[0] if fits else shape)
        except ImageError as error:
            raise FileError(path, str(error), "Give one letter per dimension") from None
        return (fits[0] if fits else shape), given, "given"
    named = "".join(axis for axis, _ in left)
    unknown = [axis for axis in named if axis not in AXES or (axis == "S" and not has_alpha)]
    if unknown or len(set(named)) != len(named):
        raise FileError(
            path,
            f"has shape {shape} and does not say what all of its dimensions are",
            f"Name them with --axes (a PSF's with --psf-axes), letters of {AXES} such as {_example(len(shape))}",
        )
    return shape, named, "read"


def _example(dimensions: int) -> str:
    return {3: "ZYX, TYX or CYX", 4: "TZYX or TCYX"}.get(dimensions, "TCZYX")


def _light_on_dark(path: Path, page: TiffPage, data: np.ndarray, notes: list[str]) -> np.ndarray:
    if page.photometric != PHOTOMETRIC.MINISWHITE or data.dtype == bool:
        return data
    if data.dtype.kind != "u":
        raise FileError(path, f"stores white as 0 in {data.dtype}", "Invert it and save it with black as 0")
    notes.append("stored with white as 0: inverted, so that black is 0")
    return np.asarray(data.dtype.type(2**page.bitspersample - 1) - data)


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """A damaged file makes the decoders raise nearly anything; the user gets one error that names the file."""
    try:
        yield
    except UnblurError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{path}: not enough memory to read it. Crop or downsample it first") from error
    except tifffile.TiffFileError as error:
        raise FileError(path, f"is not a TIFF file that can be read ({error})", CUT) from error
    except Exception as error:
        raise FileError(path, f"cannot be decoded ({type(error).__name__}: {str(error)[:120]})", CUT) from error


@contextlib.contextmanager
def _log() -> Iterator[list[str]]:
    """The warnings of tifffile in this thread while the block runs, which would otherwise be lost or printed."""
    messages: list[str] = []
    reader = threading.get_ident()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == reader:
                messages.append(record.getMessage())

    logger, keep = logging.getLogger("tifffile"), Keep(logging.WARNING)
    logger.addHandler(keep)
    try:
        yield messages
    finally:
        logger.removeHandler(keep)
