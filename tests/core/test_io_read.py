from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile

from unblur.errors import FileError
from unblur.io import read


def numbers(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib"}, {"bigtiff": True}])
def test_tiff_keeps_dtype_and_values(tmp_path: Path, dtype: str, byteorder: str, options: dict[str, Any]) -> None:
    data = numbers((33, 35), dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, byteorder=byteorder, **options)
    image = read(tmp_path / "a.tif")
    assert image.axes == "YX"
    assert image.status["axes"] == "read"
    assert image.source == str(tmp_path / "a.tif")
    assert image.data.dtype == np.dtype(dtype)
    assert image.data.dtype.isnative
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("compression", ["lzw", "lzma", "zstd", "packbits"])
def test_compressed_tiff(tmp_path: Path, compression: str) -> None:
    data = numbers((40, 40), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", data, compression=compression)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, data)


def test_blank_images_compress_well_and_are_not_refused(tmp_path: Path) -> None:
    for compression in ("lzw", "zlib", "zstd", "packbits"):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((1200, 1200), np.uint16), compression=compression)
        assert read(tmp_path / "a.tif").shape == (1200, 1200)
    PIL.Image.new("RGB", (1200, 1200)).save(tmp_path / "a.png", optimize=True)
    assert read(tmp_path / "a.png").shape == (1200, 1200, 3)
    PIL.Image.new("RGB", (1200, 1200)).save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").shape == (1200, 1200, 3)


@pytest.mark.parametrize(
    ("tunit", "unit"), [(None, "s"), ("sec", "s"), ("us", "µs"), ("minutes", "min"), ("hour", "hour")]
)
def test_imagej_says_the_unit_of_its_interval(tmp_path: Path, tunit: str | None, unit: str) -> None:
    metadata = {"axes": "TYX", "finterval": 5.0} | ({"tunit": tunit} if tunit else {})
    tifffile.imwrite(tmp_path / "a.tif", numbers((3, 8, 9), "uint16"), imagej=True, metadata=metadata)
    image = read(tmp_path / "a.tif")
    assert (image.pixel_size["T"], image.units["T"]) == (5.0, unit)


def test_a_negative_spacing_of_imagej_is_a_direction(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "unit": "um", "spacing": -0.5}
    tifffile.imwrite(tmp_path / "a.tif", numbers((3, 8, 9), "uint16"), imagej=True, metadata=metadata)
    image = read(tmp_path / "a.tif")
    assert (image.pixel_size["Z"], image.units["Z"]) == (0.5, "µm")
    assert any("a spacing of -0.5" in note for note in image.notes)


def test_ome_tiff(tmp_path: Path) -> None:
    data = numbers((2, 3, 4, 20, 21))
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 0.2,
        "PhysicalSizeZ": 500.0,
        "PhysicalSizeZUnit": "nm",
        "TimeIncrement": 2.5,
        "SignificantBits": 12,
        "Channel": {"Name": ["a", "b", "c"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata=metadata)
    image = read(tmp_path / "a.ome.tif")
    assert image.axes == "TCZYX"
    assert image.pixel_size == {"X": 0.1, "Y": 0.2, "Z": 500.0, "T": 2.5}
    assert image.units == {"X": "µm", "Y": "µm", "Z": "nm", "T": "s"}
    assert set(image.status.values()) == {"read"}
    assert image.metadata["channels"] == ("a", "b", "c")
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize(("axes", "shape"), [("TZCYX", (2, 3, 4, 20, 21)), ("TYX", (5, 20, 21)), ("ZYX", (5, 20, 21))])
def test_imagej_hyperstacks(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    data = numbers(shape)
    metadata = {"axes": axes, "unit": "\\u00B5m", "spacing": 0.5, "finterval": 3.0}
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, resolution=(10, 5), metadata=metadata)
    image = read(tmp_path / "a.tif")
    assert image.axes == axes
    assert image.pixel_size["X"] == pytest.approx(0.1)
    assert image.pixel_size["Y"] == pytest.approx(0.2)
    assert image.units["X"] == "µm"
    assert image.pixel_size.get("Z") == (0.5 if "Z" in axes else None)
    assert image.pixel_size.get("T") == (3.0 if "T" in axes else None)
    np.testing.assert_array_equal(image.data, data)


def test_a_pixel_is_no_unit(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers((9, 9)), imagej=True, resolution=(10, 10))
    image = read(tmp_path / "a.tif")
    assert image.pixel_size == {}
    assert image.status["X"] == "missing"


def test_resolution_tags(tmp_path: Path) -> None:
    def resolved(resolution: float, unit: str) -> tuple[dict[str, float], object]:
        tifffile.imwrite(
            tmp_path / "a.tif", numbers((9, 9)), resolution=(resolution,) * 2, resolutionunit=unit, metadata=None
        )
        image = read(tmp_path / "a.tif")
        return dict(image.pixel_size), image.metadata.get("dpi")

    assert resolved(10_000, "CENTIMETER") == ({"Y": 1.0, "X": 1.0}, None)
    assert resolved(300, "INCH") == ({}, pytest.approx((300, 300)))
    assert resolved(1, "NONE") == ({}, None)


@pytest.mark.parametrize("shape", [(13, 20, 20), (20, 4, 4)])
def test_unlabelled_stacks_ask_for_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    for metadata in ({}, None):
        tifffile.imwrite(tmp_path / "a.tif", numbers(shape), photometric="minisblack", metadata=metadata)
        with pytest.raises(FileError, match=r"a\.tif: has shape .* Name them with --axes .* such as ZYX, TYX"):
            read(tmp_path / "a.tif")
        image = read(tmp_path / "a.tif", axes="tyx")
        assert image.axes == "TYX"
        assert image.status["axes"] == "given"
        np.testing.assert_array_equal(image.data, numbers(shape))


def test_axes_override_what_the_file_says(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers((5, 9, 9)), metadata={"axes": "ZYX"})
    assert read(tmp_path / "a.tif").axes == "ZYX"
    assert read(tmp_path / "a.tif", axes="TYX").axes == "TYX"
    with pytest.raises(FileError, match="name 2 dimensions"):
        read(tmp_path / "a.tif", axes="YX")
    with pytest.raises(FileError, match="at most once"):
        read(tmp_path / "a.tif", axes="QYX")


def test_dimensions_of_one_are_left_out_or_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers((1, 9, 9)), photometric="minisblack")
    assert read(tmp_path / "a.tif").axes == "YX"
    assert read(tmp_path / "a.tif", axes="TYX").shape == (1, 9, 9)


def test_pixel_size_overrides_what_the_file_says(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", numbers((9, 9)), metadata={"PhysicalSizeX": 1, "PhysicalSizeXUnit": "nm"})
    image = read(tmp_path / "a.ome.tif", pixel_size=(3, 2))
    assert image.pixel_size == {"Y": 3, "X": 2}
    assert image.units == {"Y": "µm", "X": "µm"}
    assert image.status == {"axes": "read", "Y": "given", "X": "given"}
    assert "the pixel size was given without a unit: µm is assumed" in image.notes
    with pytest.raises(FileError, match=r"a\.ome\.tif: the pixel size along Y is -1"):
        read(tmp_path / "a.ome.tif", pixel_size=-1)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_rgb_tiff(tmp_path: Path, planar: str) -> None:
    data = numbers((9, 10, 3), "uint8")
    stored = data if planar == "contig" else data.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    image = read(tmp_path / "a.tif")
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_in_tiff(tmp_path: Path, kind: str) -> None:
    data = numbers((9, 10, 4), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=[kind])
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, data[..., :3])
    np.testing.assert_array_equal(image.alpha, data[..., 3])
    assert bool(image.notes) == (kind == "unspecified")


def test_pyramids_are_read_at_full_resolution(tmp_path: Path) -> None:
    data = numbers((64, 64))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        file.write(data, subifds=1, tile=(16, 16))
        file.write(data[::2, ::2], subfiletype=1, tile=(16, 16))
    image = read(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data, data)
    assert "pyramid of 2 levels" in image.notes[0]


def test_images_that_differ_need_a_choice(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(numbers((9, 9)), metadata=None)
        file.write(numbers((8, 7)), metadata=None)
    with pytest.raises(
        FileError, match=r"2 images that differ. Choose one with --series N of 0: .*\(9, 9\); 1: .*\(8, 7\)"
    ):
        read(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif", series=1).shape == (8, 7)
    with pytest.raises(FileError, match="no series 2"):
        read(tmp_path / "a.tif", series=2)


def test_thumbnails_are_left_aside(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(numbers((64, 48)), metadata=None)
        file.write(numbers((10, 10), "uint8"), metadata=None, subfiletype=1)
    assert read(tmp_path / "a.tif").shape == (64, 48)


@pytest.mark.parametrize("bits", [10, 12])
def test_bit_depth_of_packed_tiff(tmp_path: Path, bits: int) -> None:
    data = numbers((16, 16))
    tifffile.imwrite(tmp_path / "a.tif", data, bitspersample=bits, metadata=None)
    image = read(tmp_path / "a.tif")
    assert image.white_level == 2**bits - 1
    np.testing.assert_array_equal(image.data, data)


def test_white_is_zero(tmp_path: Path) -> None:
    data = numbers((9, 9), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="miniswhite")
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, 255 - data)
    assert "inverted" in image.notes[0]


def jpeg_with_orientation(path: Path, orientation: int) -> None:
    picture = PIL.Image.fromarray(np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((8, 8), np.uint8)))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif, quality=95)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation(tmp_path: Path, orientation: int, name: str) -> None:
    jpeg_with_orientation(tmp_path / name, orientation)
    with PIL.Image.open(tmp_path / name) as opened:
        expected = np.asarray(PIL.ImageOps.exif_transpose(opened))
    image = read(tmp_path / name)
    np.testing.assert_array_equal(image.data, expected)
    assert bool(image.notes) == (orientation != 1)


def test_tiff_orientation(tmp_path: Path) -> None:
    data = numbers((4, 9, 12))
    tifffile.imwrite(
        tmp_path / "a.tif", data, extratags=[(274, 3, 1, 6, True)], photometric="minisblack", metadata={"axes": "TYX"}
    )
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, np.rot90(data, -1, (1, 2)))
    assert "orientation tag (6)" in image.notes[0]


@pytest.mark.parametrize(("orientation", "sizes"), [(3, (0.2, 0.1)), (6, (0.1, 0.2)), (0, (0.2, 0.1))])
def test_pixel_sizes_turn_with_the_image(tmp_path: Path, orientation: int, sizes: tuple[float, float]) -> None:
    """0 is no orientation, and nothing is turned."""
    tifffile.imwrite(
        tmp_path / "a.tif",
        numbers((9, 12)),
        resolution=(1e5, 5e4),
        resolutionunit="CENTIMETER",
        extratags=[(274, 3, 1, orientation, True)],
        metadata=None,
    )
    image = read(tmp_path / "a.tif")
    assert (image.pixel_size["Y"], image.pixel_size["X"]) == pytest.approx(sizes)
    assert any("turned" in note for note in image.notes) == bool(orientation)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_png(tmp_path: Path, dtype: str, samples: int) -> None:
    data = (numbers((9, 10, samples)) * 257).astype(dtype) if dtype == "uint16" else numbers((9, 10, samples), dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data.squeeze()))
    image = read(tmp_path / "a.png")
    assert image.axes == ("YX" if samples < 3 else "YXS")
    assert image.white_level == np.iinfo(dtype).max
    np.testing.assert_array_equal(image.data, data[..., : 3 if samples > 2 else 1].squeeze())
    if samples in (2, 4):
        np.testing.assert_array_equal(image.alpha, data[..., -1])
    else:
        assert image.alpha is None


def test_grey_png_of_fewer_bits_spans_all_levels(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + bytes([0x1B]) for _ in range(4))  # 2 bits each: 0, 1, 2, 3

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 4, 4, 2, 0, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(read(tmp_path / "a.png").data, np.tile([0, 85, 170, 255], (4, 1)))


def test_jpeg(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.full((16, 24, 3), (200, 100, 50), np.uint8))
    picture.save(tmp_path / "a.jpg", quality=95, dpi=(300, 300))
    image = read(tmp_path / "a.jpg")
    assert image.axes == "YXS"
    assert image.metadata["dpi"] == (300, 300)
    assert np.abs(image.data.astype(int) - (200, 100, 50)).max() <= 3
    picture.convert("L").save(tmp_path / "grey.jpg")
    assert read(tmp_path / "grey.jpg").axes == "YX"
    with pytest.raises(FileError, match="axes YXS, not ZYX"):
        read(tmp_path / "a.jpg", axes="ZYX")


def test_lost_exif_is_said(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x010F] = "a camera"
    PIL.Image.new("L", (16, 16)).save(tmp_path / "a.jpg", exif=exif)
    assert "not carried over" in read(tmp_path / "a.jpg").notes[0]


def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (16, 16)).save(tmp_path / "a.tif", format="PNG")
    assert read(tmp_path / "a.tif").axes == "YXS"


def write_set(folder: Path) -> np.ndarray:
    """An OME-TIFF set: two time points, one file each."""
    data = numbers((2, 9, 10))
    uuids = [f"urn:uuid:0000000{number}-0000-0000-0000-000000000000" for number in range(2)]
    for number in range(2):
        blocks = "".join(
            f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="t{t}.ome.tif">{uuids[t]}</UUID></TiffData>'
            for t in range(2)
        )
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuids[number]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            f'SizeX="10" SizeY="9" SizeZ="1" SizeC="1" SizeT="2">{blocks}</Pixels></Image></OME>'
        )
        tifffile.imwrite(folder / f"t{number}.ome.tif", data[number], description=xml, metadata=None)
    return data


def test_a_set_of_files_is_read_on_request_only(tmp_path: Path) -> None:
    data = write_set(tmp_path)
    with pytest.raises(FileError, match="one part of a set"):
        read(tmp_path / "t0.ome.tif")
    image = read(tmp_path / "t0.ome.tif", multi_file=True)
    assert image.axes == "TYX"
    np.testing.assert_array_equal(image.data, data)
    (tmp_path / "t1.ome.tif").unlink()
    with pytest.raises(FileError, match=r"'t1\.ome\.tif', which is missing"):
        read(tmp_path / "t0.ome.tif", multi_file=True)


def test_a_renamed_ome_tiff_still_belongs_to_itself(tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="9" SizeZ="1" '
        'SizeC="1" SizeT="1"><TiffData><UUID FileName="old.ome.tif">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "new.ome.tif", numbers((9, 9)), description=xml, metadata=None)
    assert read(tmp_path / "new.ome.tif").axes == "YX"


def test_lost_metadata_is_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", numbers((9, 9)), metadata={"Description": "my cells"})
    assert read(tmp_path / "a.ome.tif").notes == ("OME metadata of these kinds is not carried over: Description",)
    tifffile.imwrite(tmp_path / "a.tif", numbers((9, 9)), imagej=True, metadata={"Info": "my cells"})
    assert read(tmp_path / "a.tif").notes == ("ImageJ's Info are not carried over",)


@pytest.mark.parametrize("imagej", [False, True])
def test_stacks_behind_one_page(tmp_path: Path, imagej: bool) -> None:
    """As ImageJ and tifffile write them above 4 GB."""
    data = numbers((6, 20, 21))
    with tifffile.TiffWriter(tmp_path / "a.tif", imagej=imagej) as file:
        file.write(data, photometric="minisblack", metadata={"axes": "ZYX"}, truncate=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert len(tif.pages) == 1
    image = read(tmp_path / "a.tif")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, data)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-2000])
    with pytest.raises(FileError, match="cut"):
        read(tmp_path / "a.tif")


def test_warnings_of_the_reader_are_kept(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers((9, 9)), extratags=[(42113, "s", 0, "nothing", True)])
    (note,) = read(tmp_path / "a.tif").notes
    assert "GDAL_NODATA" in note


def test_each_ome_image_has_its_own_facts(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for size in (1.0, 2.0):
            file.write(numbers((9, 9 + int(size))), metadata={"PhysicalSizeX": size, "Name": f"size {size}"})
    with pytest.raises(FileError, match=r"0: size 1\.0 .*; 1: size 2\.0"):
        read(tmp_path / "a.ome.tif")
    assert [read(tmp_path / "a.ome.tif", series=number).pixel_size["X"] for number in (0, 1)] == [1, 2]


def test_an_ome_image_without_planes_costs_the_sizes_only(tmp_path: Path) -> None:
    image = (
        '<Image ID="Image:{n}"><Pixels ID="Pixels:{n}" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="9" '
        'SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="0.5">{data}</Pixels></Image>'
    )
    images = image.format(n=0, data="") + image.format(n=1, data='<TiffData IFD="0" PlaneCount="1"/>')
    xml = f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{images}</OME>'
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        file.write(numbers((9, 9)), description=xml, metadata=None)
        file.write(numbers((9, 9)), metadata=None)
    found = read(tmp_path / "a.ome.tif")
    assert found.status["X"] == "missing"
    assert "not in the file" in found.notes[0]


def test_imagej_has_a_unit_for_each_axis(tmp_path: Path) -> None:
    facts = {"axes": "ZYX", "unit": "micron", "zunit": "nm", "yunit": "pixel", "spacing": 300.0}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint8), imagej=True, resolution=(5, 5), metadata=facts)
    image = read(tmp_path / "a.tif")
    assert image.pixel_size == {"X": pytest.approx(0.2), "Z": 300.0}
    assert image.units["Z"] == "nm"
    assert image.units["X"] == "µm"
