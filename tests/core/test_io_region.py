from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
import psutil
import pytest
import tifffile

from unblur.errors import FileError, ImageError, ParameterError, ResourceError
from unblur.image import Image
from unblur.io import read, read_header, write
from unblur.io.series import read_series
from unblur.validation import check


def stack() -> Image:
    data = np.arange(3 * 2 * 20 * 24, dtype=np.uint16).reshape(3, 2, 20, 24)
    return Image(
        data,
        "TCYX",
        {"T": 5.0, "Y": 0.1, "X": 0.1},
        {"T": "s", "Y": "µm", "X": "µm"},
        metadata={"channels": ("a", "b")},
    )


def test_a_region_keeps_axes_sizes_and_the_names_of_its_channels() -> None:
    image = stack()
    part = image.cut({"T": (1, 3), "C": (1, 2), "X": (4, 9)})
    np.testing.assert_array_equal(part.data, image.data[1:3, 1:2, :, 4:9])
    assert (part.axes, part.pixel_size, part.units) == (image.axes, image.pixel_size, image.units)
    assert part.metadata["channels"] == ("b",)
    assert part.notes == ("only a region is used: T=1:3, C=1:2, X=4:9",)
    assert image.cut({}) is image


def test_a_region_takes_alpha_along_and_colours_whole() -> None:
    data = np.random.default_rng(0).integers(0, 255, (8, 9, 4), np.uint8)
    part = Image.from_array(data, "YXS").cut({"Y": (2, 5)})
    np.testing.assert_array_equal(part.data, data[2:5, :, :3])
    np.testing.assert_array_equal(part.alpha, data[2:5, :, 3])


@pytest.mark.parametrize("region", [{"Z": (0, 1)}, {"Y": (5, 5)}, {"Y": (-1, 4)}, {"X": (0, 25)}])
def test_a_region_outside_the_image_is_refused(region: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(ImageError, match=next(iter(region))):
        stack().cut(region)


def test_a_region_of_a_file(tmp_path: Path) -> None:
    image = stack()
    write(tmp_path / "a.ome.tif", image)
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif", region={"T": (2, 3)}).data, image.data[2:3])
    with pytest.raises(FileError, match=r"a\.ome\.tif.*T=2:4"):
        read(tmp_path / "a.ome.tif", region={"T": (2, 4)})


def test_only_the_region_need_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = stack()
    write(tmp_path / "a.ome.tif", image)
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=100, total=100))
    with pytest.raises(ResourceError):
        read(tmp_path / "a.ome.tif")
    part = read(tmp_path / "a.ome.tif", region={"T": (2, 3)}).data
    assert not isinstance(part, np.memmap)
    np.testing.assert_array_equal(part, image.data[2:3])


@pytest.mark.parametrize(
    ("options", "copied"),
    [({}, False), ({"byteorder": ">"}, True), ({"compression": "zlib"}, True)],
    ids=["as it is", "other bytes", "compressed"],
)
def test_what_can_stay_in_its_file_needs_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], copied: bool
) -> None:
    data = np.arange(4 * 8 * 9, dtype=np.uint16).reshape(4, 8, 9)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", metadata={"axes": "TYX"}, **options)
    np.testing.assert_array_equal(read_series(tmp_path / "a.tif").data, data)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    if copied:
        with pytest.raises(ResourceError, match="has room for"):
            read_series(tmp_path / "a.tif")
    else:
        np.testing.assert_array_equal(read_series(tmp_path / "a.tif").data, data)


def test_what_has_to_be_rearranged_in_memory_must_fit_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.zeros((4, 8, 9, 4), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="rgb", extrasamples=["unassalpha"], metadata={"axes": "TYXS"}
    )
    assert read_series(tmp_path / "a.tif").shape == (4, 8, 9, 3)
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=100, total=100))
    with pytest.raises(ResourceError, match="memory that is free"):
        read_series(tmp_path / "a.tif")


def test_the_region_option_is_read_as_documented() -> None:
    from unblur.cli import options

    assert options.region("t=0:3, Y=100:228") == {"T": (0, 3), "Y": (100, 228)}
    assert options.region(None) is None
    for text in ("3:4", "T=3", "T=a:b", ""):
        with pytest.raises(ParameterError, match="--region"):
            options.region(text)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_a_header_says_what_reading_says(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, stack().cut({"C": (0, 1)}))
    header, image = read_header(tmp_path / name), read(tmp_path / name)
    assert (header.shape, header.dtype, header.axes) == (image.shape, image.data.dtype, image.axes)
    assert {axis: size for axis, size in header.pixel_size.items() if axis in image.axes} == image.pixel_size
    assert header.bit_depth == image.bit_depth


def test_a_header_without_axes_still_has_the_pixel_size(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        for _ in range(3):
            out.write(np.zeros((8, 9), np.uint8), resolution=(1e5, 1e5), resolutionunit="CENTIMETER", metadata=None)
    header = read_header(tmp_path / "a.tif")
    assert header.shape == (3, 8, 9)
    assert header.axes is None
    assert header.pixel_size == {"Y": pytest.approx(0.1), "X": pytest.approx(0.1)}
    assert read_header(tmp_path / "a.tif", axes="TYX").axes == "TYX"


@pytest.mark.parametrize(("mode", "shape"), [("L", (6, 7)), ("RGB", (6, 7, 3)), ("RGBA", (6, 7, 4)), ("LA", (6, 7, 2))])
def test_headers_of_photographs(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    PIL.Image.new(mode, (7, 6)).save(tmp_path / "a.png")
    header = read_header(tmp_path / "a.png")
    assert (header.shape, header.dtype, header.bit_depth) == (shape, np.uint8, 8)
    assert header.image_axes == read(tmp_path / "a.png").axes


def test_headers_of_deep_photographs(tmp_path: Path) -> None:
    for shape in ((6, 7), (6, 7, 3)):
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.zeros(shape, np.uint16)))
        header, image = read_header(tmp_path / "a.png"), read(tmp_path / "a.png")
        assert (header.shape, header.dtype, header.axes) == (shape, np.uint16, image.axes)
        assert header.bit_depth == image.bit_depth == 16


def test_the_header_of_planar_colours(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 6, 7), np.uint8), photometric="rgb", planarconfig="separate")
    header, image = read_header(tmp_path / "a.tif"), read(tmp_path / "a.tif")
    assert (header.shape, header.axes) == ((3, 6, 7), "SYX")
    assert (image.shape, image.axes) == ((6, 7, 3), header.image_axes)


def test_a_header_of_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("no image")
    with pytest.raises(FileError, match="is not a TIFF"):
        read_header(tmp_path / "a.tif")


def test_an_unnamed_channel_does_not_get_the_name_of_another(tmp_path: Path) -> None:
    image = stack()
    named = replace(image, metadata={"channels": ("", "GFP")})
    write(tmp_path / "a.ome.tif", named)
    assert read(tmp_path / "a.ome.tif").metadata["channels"] == ("", "GFP")
    assert read(tmp_path / "a.ome.tif", region={"C": (0, 1)}).metadata.get("channels", ("",)) == ("",)
    fewer = replace(image, metadata={"channels": ("GFP",)})
    assert "channels" not in fewer.cut({"C": (0, 1)}).metadata


def test_pixels_that_are_not_finite_are_named_where_they_lie_in_the_whole() -> None:
    data = np.ones((40, 50), np.float32)
    data[12, 33] = np.nan
    with pytest.raises(ImageError, match="the first at Y=12, X=33"):
        check(Image.from_array(data).cut({"Y": (10, 40), "X": (20, 50)}))
