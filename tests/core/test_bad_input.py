"""Files that are broken, lie, or hold something else: one error that names the file, and no traceback of a decoder."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unblur.errors import FileError, ResourceError, UnblurError
from unblur.image import Image
from unblur.io import read
from unblur.psfs import take_psf

OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{root}>'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="9" '
    'SizeZ="{z}" SizeC="1" SizeT="{t}" PhysicalSizeX="0.5">{data}</Pixels></Image></OME>'
)


def numbers(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def refused(path: Path, message: str, **options: Any) -> str:
    with pytest.raises((FileError, ResourceError), match=message) as caught:
        read(path, **options)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.count("\n") <= 1
    return text


def tiff(tags: dict[int, tuple[int, int, int]], following: int = 0, pixels: bytes = b"") -> bytes:
    """A TIFF of one page with these tags: number -> (type, count, value)."""
    entries = b"".join(struct.pack("<HHII", number, *value) for number, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following) + pixels


def page(width: int, height: int, *, bits: int = 8, samples: int = 1, compression: int = 1) -> dict[int, Any]:
    return {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, bits),
        259: (3, 1, compression),
        262: (3, 1, 1),
        273: (4, 1, 8 + 2 + 9 * 12 + 4),
        277: (3, 1, samples),
        278: (4, 1, height),
        279: (4, 1, 16),
    }


def test_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "a.tif", "does not exist")
    refused(tmp_path, "is a folder")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not an image\n", "is not a TIFF, PNG, JPEG or video file"),
        (b"GIF89a" + bytes(20), "is not a TIFF, PNG, JPEG or video file"),
        (b"II*\0", "cannot be decoded|not a TIFF"),
        (b"II*\0\0\0\0\0", "has no image"),
        (b"II*\0\xff\xff\0\0", "has no image"),
        (b"II+\0\x08\0\0\0", "cannot be decoded|not a TIFF"),
        (tiff(page(0, 5)), "claims an image of 0 x 5"),
        (tiff(page(4, 4, bits=3000), pixels=bytes(16)), "3000 bits"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
        (b"\xff\xd8\xff\xe0", "cannot be decoded"),
    ],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, message: str) -> None:
    for name in ("a.tif", "a.png"):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, message)


def test_a_well_formed_page_is_read(tmp_path: Path) -> None:
    """The helper above makes readable files, so that the refusals below have the reason they name."""
    (tmp_path / "a.tif").write_bytes(tiff(page(4, 4), pixels=bytes(range(16))))
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, np.arange(16).reshape(4, 4))


@pytest.mark.parametrize(
    "tags",
    [
        page(200_000, 200_000),
        page(200_000, 200_000, compression=5),
        page(200_000, 200_000, compression=8),
        page(474, 474, samples=65535),
        page(200_000, 200_000, compression=50000),
    ],
)
def test_claims_are_refused_from_the_header(tmp_path: Path, tags: dict[int, Any]) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(tags, pixels=bytes(16)))
    refused(tmp_path / "a.tif", "claims|holds an image|do not|can be read")


def test_a_photograph_that_claims_too_much(tmp_path: Path) -> None:
    PIL.Image.new("L", (8, 8)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    for size, message in [(10_000, "claims an image of 10000 x 10000"), (100_000, "more pixels than a photograph")]:
        content[16:24] = struct.pack(">II", size, size)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        (tmp_path / "a.png").write_bytes(content)
        refused(tmp_path / "a.png", message)


def test_a_true_claim_beyond_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers((64, 64)))
    PIL.Image.fromarray(numbers((64, 64), "uint8")).save(tmp_path / "a.png")
    monkeypatch.setattr("unblur.io.limits.SHARE_OF_FREE_MEMORY", 1e-9)
    for name in ("a.tif", "a.png"):
        with pytest.raises(ResourceError, match="Give a region of it, or downsample"):
            read(tmp_path / name)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "lzma", "zstd"])
def test_cut_anywhere(tmp_path: Path, compression: str | None) -> None:
    metadata = {"axes": "ZYX"}
    tifffile.imwrite(tmp_path / "whole.tif", numbers((10, 16, 17)), compression=compression, metadata=metadata)
    content = (tmp_path / "whole.tif").read_bytes()
    assert read(tmp_path / "whole.tif").shape == (10, 16, 17)
    for part in range(8, len(content) - 8, len(content) // 40):
        (tmp_path / "cut.tif").write_bytes(content[:part])
        refused(tmp_path / "cut.tif", "cut")


@pytest.mark.parametrize("kind", ["plain", "imagej", "ome", "shaped"])
def test_a_stack_cut_in_half(tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = {
        "plain": {"metadata": None},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
        "shaped": {"metadata": {"axes": "ZYX"}},
    }[kind]
    with tifffile.TiffWriter(
        tmp_path / "a.tif", **{k: v for k, v in options.items() if k in ("imagej", "ome")}
    ) as file:
        file.write(numbers((10, 30, 30)), photometric="minisblack", contiguous=False, metadata=options["metadata"])
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "a.tif", "cut", axes="ZYX")


def test_fewer_pages_than_promised(tmp_path: Path) -> None:
    """The chain of pages ends as it should, but the description promises more."""
    for description in ("ImageJ=1.53\nimages=10\nslices=10\n", '{"shape": [10, 9, 9], "axes": "ZYX"}'):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for number in range(5):
                file.write(numbers((9, 9)), metadata=None, description=description if number == 0 else None)
        refused(tmp_path / "a.tif", r"promises 10 planes|promises shape \(10, 9, 9\)", axes="ZYX")


@pytest.mark.parametrize("compression", ["lzw", "zlib", "lzma", "zstd"])
def test_corrupt_compressed_data(tmp_path: Path, compression: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers((64, 64), "uint8"), compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        start, count = tif.pages.first.dataoffsets[0], tif.pages.first.databytecounts[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[start : start + count] = b"\xff" * count
    (tmp_path / "a.tif").write_bytes(content)
    refused(tmp_path / "a.tif", "cannot be decoded")


def test_pages_that_point_at_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(page(4, 4), following=8, pixels=bytes(16)))
    refused(tmp_path / "a.tif", "cut or damaged")


def ome_file(path: Path, *, z: int = 1, t: int = 1, data: str = "<TiffData/>", root: str = "", pages: int = 1) -> None:
    with tifffile.TiffWriter(path) as file:
        for number in range(pages):
            xml = OME.format(z=z, t=t, data=data, root=root) if number == 0 else None
            file.write(numbers((9, 9)), description=xml, metadata=None)


def test_ome_that_is_right_is_read(tmp_path: Path) -> None:
    ome_file(tmp_path / "a.ome.tif", z=3, pages=3)
    image = read(tmp_path / "a.ome.tif")
    assert image.axes == "ZYX"
    assert image.pixel_size == {"X": 0.5}


@pytest.mark.parametrize(("z", "t"), [(10, 1), (10_000, 10_000), (1, 2), (2**40, 2**40)])
def test_ome_that_claims_more_planes_than_pages(tmp_path: Path, z: int, t: int) -> None:
    ome_file(tmp_path / "a.ome.tif", z=z, t=t)
    refused(tmp_path / "a.ome.tif", f"claims {z * t} planes, but the file holds 1")


def test_ome_that_leaves_planes_out(tmp_path: Path) -> None:
    ome_file(tmp_path / "a.ome.tif", z=3, pages=3, data='<TiffData IFD="0" PlaneCount="1"/>')
    refused(tmp_path / "a.ome.tif", "2 of its planes are missing")


@pytest.mark.parametrize("name", ["../other.ome.tif", "/etc/passwd", "sub/other.ome.tif", "..", "..\\other.ome.tif"])
@pytest.mark.parametrize("multi_file", [False, True])
def test_ome_that_refers_outside_its_folder(tmp_path: Path, name: str, multi_file: bool) -> None:
    (tmp_path / "sub").mkdir()
    tifffile.imwrite(tmp_path / "other.ome.tif", numbers((9, 9)))
    data = f'<TiffData><UUID FileName="{name}">urn:uuid:2</UUID></TiffData>'
    ome_file(tmp_path / "sub" / "a.ome.tif", data=data, root=' UUID="urn:uuid:1"')
    refused(tmp_path / "sub" / "a.ome.tif", "outside its folder", multi_file=multi_file)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "xml",
    [
        OME.format(z=1, t=1, data="", root="")[:-20],
        OME.format(z=1, t=1, data="", root="").replace("<OME", BOMB + "<OME"),
        OME.format(z=0, t=1, data="", root=""),
        OME.format(z="many", t=1, data="", root=""),
        OME.format(z=1, t=1, data="", root="").replace("SizeX", "Size"),
        OME.format(z=1, t=1, data="&b;", root=""),
    ],
)
def test_ome_that_is_broken_or_hostile_costs_the_metadata_only(tmp_path: Path, xml: str) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", numbers((9, 9)), description=xml, metadata=None)
    image = read(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data, numbers((9, 9)))
    assert image.pixel_size == {}
    assert "metadata is lost" in image.notes[0]


@pytest.mark.parametrize("size", ["nan", "inf", "0", "-1", "wide"])
def test_sizes_in_ome_that_are_no_sizes(tmp_path: Path, size: str) -> None:
    xml = OME.format(z=1, t=1, data="<TiffData/>", root="").replace("0.5", size)
    tifffile.imwrite(tmp_path / "a.ome.tif", numbers((9, 9)), description=xml, metadata=None)
    image = read(tmp_path / "a.ome.tif")
    assert image.status["X"] == "missing"


def test_palettes_are_refused(tmp_path: Path) -> None:
    indices = numbers((9, 9), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    refused(tmp_path / "a.tif", "palette indices")
    PIL.Image.fromarray(indices).convert("P").save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "palette indices")


def test_other_colours_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers((9, 9, 4), "uint8"), photometric="separated")
    refused(tmp_path / "a.tif", "CMYK")
    PIL.Image.new("CMYK", (16, 16)).save(tmp_path / "a.jpg")
    refused(tmp_path / "a.jpg", "CMYK")
    PIL.Image.new("1", (16, 16)).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "black and white")


def test_animations_are_refused(tmp_path: Path) -> None:
    frames = [PIL.Image.new("L", (16, 16), value) for value in (0, 100, 200)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    refused(tmp_path / "a.png", "animation of 3 frames")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_photographs_cut_anywhere(tmp_path: Path, name: str) -> None:
    PIL.Image.fromarray(numbers((40, 40, 3), "uint8")).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for part in range(10, len(content) - 60, len(content) // 20):
        (tmp_path / f"cut-{name}").write_bytes(content[:part])
        refused(tmp_path / f"cut-{name}", "cannot be decoded|claims")


def samples() -> list[bytes]:
    kinds: list[bytes] = []
    for options in ({}, {"compression": "lzw"}, {"tile": (16, 16)}, {"imagej": True}, {"ome": True}, {"bigtiff": True}):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, numbers((3, 17, 18)), photometric="minisblack", metadata={"axes": "ZYX"}, **options)
        kinds.append(buffer.getvalue())
    for kind in ("PNG", "JPEG"):
        buffer = io.BytesIO()
        PIL.Image.fromarray(numbers((17, 18, 3), "uint8")).save(buffer, format=kind)
        kinds.append(buffer.getvalue())
    return kinds


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.sampled_from(samples()),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    header_only=st.booleans(),
)
def test_damaged_bytes_give_an_image_or_one_error(
    tmp_path: Path, content: bytes, changes: list[tuple[float, int]], header_only: bool
) -> None:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[int(place * min(len(damaged), 400 if header_only else len(damaged)))] = value
    (tmp_path / "a.bin").write_bytes(damaged)
    with contextlib.suppress(UnblurError):
        assert read(tmp_path / "a.bin").data.size > 0


def test_a_psf_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "psf.tif").write_bytes(b"")
    with pytest.raises(FileError, match=r"psf\.tif: is empty"):
        take_psf(tmp_path / "psf.tif", Image.from_array(np.zeros((8, 8))), None, False)
