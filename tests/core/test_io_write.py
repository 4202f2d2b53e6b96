from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unblur.errors import FileError
from unblur.image import Image
from unblur.io import atomic, read, report_path, write
from unblur.io.casting import cast


def numbers(shape: tuple[int, ...], dtype: str = "uint16", most: int = 200) -> np.ndarray:
    return np.random.default_rng(0).integers(0, most, shape).astype(dtype)


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Images with axes in any usual order, sizes on some axes, and any dtype."""
    outer = "".join(draw(st.permutations(draw(st.lists(st.sampled_from("TCZ"), unique=True, max_size=3)))))
    axes = outer + "YX" + draw(st.sampled_from(["", "S"]))
    shape = tuple(3 if axis == "S" else draw(st.integers(1 if axis == "X" else 2, 4)) for axis in axes)
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]))
    measured = [axis for axis in draw(st.lists(st.sampled_from("TZYX"), unique=True)) if axis in axes]
    sizes = {axis: draw(st.floats(1e-3, 1e3)) for axis in measured}
    units = {axis: "s" if axis == "T" else draw(st.sampled_from(["µm", "nm", "mm"])) for axis in measured}
    depth = draw(st.sampled_from([None, 12])) if dtype == "uint16" else None
    return Image(numbers(shape, dtype), axes, pixel_size=sizes, units=units, bit_depth=depth)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(image=images())
def test_everything_comes_back(tmp_path: Path, name: str, image: Image) -> None:
    write(tmp_path / name, image)
    again = read(tmp_path / name)
    assert again.axes == image.axes
    assert again.data.dtype == image.data.dtype
    np.testing.assert_array_equal(again.data, image.data)
    assert again.units == image.units
    assert again.pixel_size == pytest.approx(image.pixel_size, rel=1e-6)
    assert again.white_level == image.white_level


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"])
def test_tiff_keeps_every_dtype(tmp_path: Path, dtype: str) -> None:
    image = Image.from_array(numbers((9, 10), dtype))
    assert write(tmp_path / "a.tif", image) == ()
    again = read(tmp_path / "a.tif").data
    assert again.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(again, image.data)


def test_float_results_come_back_bit_by_bit(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(3, 9, 10)).astype(np.float32)
    data[1] = np.nan
    for name in ("a.tif", "a.ome.tif"):
        write(tmp_path / name, Image.from_array(data, "ZYX"))
        assert read(tmp_path / name).data.tobytes() == data.tobytes()


def test_imagej_reads_what_it_can_hold(tmp_path: Path) -> None:
    image = Image.from_array(numbers((2, 3, 9, 10), "float32"), "TZYX", {"T": 2.0, "Z": 0.5, "Y": 0.1, "X": 0.1}, "µm")
    assert write(tmp_path / "a.tif", image) == ()
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        meta = tif.imagej_metadata
    assert meta is not None
    assert (meta["frames"], meta["slices"], meta["unit"], meta["spacing"], meta["finterval"]) == (
        2,
        3,
        "micron",
        0.5,
        2.0,
    )


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.from_array(numbers((3, 9, 10), "float64"), "ZYX"), "no float64"),
        (Image.from_array(numbers((3, 2, 9, 10)), "CZYX"), "TZCYXS"),
        (Image(numbers((3, 9, 9)), "ZYX", {"Z": 1, "Y": 1, "X": 1}, {"Z": "µm", "Y": "nm", "X": "nm"}), "one unit"),
    ],
)
def test_what_imagej_cannot_hold_is_kept_and_said(tmp_path: Path, image: Image, reason: str) -> None:
    (note,) = write(tmp_path / "a.tif", image)
    assert reason in note
    assert read(tmp_path / "a.tif").axes == image.axes


def test_bigtiff_above_four_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unblur.io.tiff_out.BIG", 1000)
    for name in ("a.tif", "a.ome.tif"):
        write(tmp_path / name, Image.from_array(numbers((30, 30))))
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert tif.is_bigtiff
        assert read(tmp_path / name).shape == (30, 30)


def test_axes_that_ome_does_not_know_are_said(tmp_path: Path) -> None:
    image = Image.from_array(numbers((9, 10, 4)), "YXC")
    (note,) = write(tmp_path / "a.ome.tif", image)
    assert "YXC are written as CYX" in note
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif").data, image.data.transpose(2, 0, 1))


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.png"])
@pytest.mark.parametrize("samples", [2, 4])
def test_alpha_is_put_back(tmp_path: Path, name: str, samples: int) -> None:
    data = numbers((9, 10, samples), "uint8")
    write(tmp_path / name, Image.from_array(data, "YXS"))
    again = read(tmp_path / name)
    assert again.alpha is not None
    np.testing.assert_array_equal(again.alpha, data[..., -1])
    np.testing.assert_array_equal(again.data, data[..., :-1].squeeze())


def test_channel_names_come_back(tmp_path: Path) -> None:
    image = Image(numbers((2, 9, 9)), "CYX", metadata={"channels": ("DAPI", "GFP")})
    write(tmp_path / "a.ome.tif", image)
    assert read(tmp_path / "a.ome.tif").metadata["channels"] == ("DAPI", "GFP")


def test_what_is_known_of_channels_comes_back(tmp_path: Path) -> None:
    """In an order of attributes, with gaps, and where only a part of them is used."""
    dapi = {"Name": "DAPI", "Color": "65535", "EmissionWavelength": "461", "EmissionWavelengthUnit": "nm"}
    metadata = {"axes": "CYX", "Channel": [dapi, {"Fluor": "GFP & <others>", "PinholeSize": "1.5"}]}
    tifffile.imwrite(tmp_path / "a.ome.tif", numbers((2, 9, 9)), metadata=metadata)
    image = read(tmp_path / "a.ome.tif")
    write(tmp_path / "b.ome.tif", image)
    again = read(tmp_path / "b.ome.tif")
    assert again.metadata["channels"] == ("DAPI", "")
    facts = ({key: dapi[key] for key in dapi if key != "Name"}, {"Fluor": "GFP & <others>", "PinholeSize": "1.5"})
    assert again.metadata["channel_facts"] == image.metadata["channel_facts"] == facts
    write(tmp_path / "c.ome.tif", again.cut({"C": (1, 2)}))
    assert read(tmp_path / "c.ome.tif").metadata["channel_facts"] == facts[1:]
    plain = Image(numbers((2, 9, 9)), "CYX", metadata={"channel_facts": facts[1:]})
    write(tmp_path / "d.ome.tif", plain)
    assert "channel_facts" not in read(tmp_path / "d.ome.tif").metadata


def test_the_report_lies_beside_and_inside(tmp_path: Path) -> None:
    report = {"method": "méthode", "misfit": float("nan")}
    image = Image.from_array(numbers((9, 9), "float32"), pixel_size=1, unit="µm")
    for name in ("a.tif", "a.ome.tif", "b.tif"):
        write(tmp_path / name, image if name != "b.tif" else Image.from_array(numbers((9, 9), "int16")), report=report)
        assert report_path(tmp_path / name) == tmp_path / f"{name}.json"
        content = json.loads(report_path(tmp_path / name).read_text(encoding="utf-8"))
        assert content == {"method": "méthode", "misfit": "NaN"}
        with tifffile.TiffFile(tmp_path / name) as tif:
            inside = {**(tif.imagej_metadata or {}), "description": tif.pages.first.description}
        assert any("thode" in str(value) for value in inside.values())


def test_a_cast_is_counted(tmp_path: Path) -> None:
    data = np.array([[-3.0, 0.4, 0.6, 255.4], [300.0, 2.5, 3.5, 7.0]], np.float32)
    notes = write(tmp_path / "a.tif", Image.from_array(data), dtype="uint8")
    assert notes == ("2 values (25.00%) were clipped to 0…255 by the cast to uint8",)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, [[0, 0, 1, 255], [255, 2, 4, 7]])


@given(
    values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20),
    dtype=st.sampled_from(["uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float64"]),
)
def test_a_cast_never_wraps_round(values: list[float], dtype: str) -> None:
    data = np.array(values, np.float32)
    result, notes = cast(data, dtype)
    limits: Any = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    expected = (data if np.dtype(dtype).kind == "f" else np.rint(data)).astype(np.float64)
    inside = (expected >= limits.min) & (expected <= limits.max)
    np.testing.assert_allclose(result[inside], expected[inside], rtol=1e-3 if dtype == "float16" else 0, atol=1e-7)
    assert (result[(data > 0) & ~inside] == limits.max).all()
    assert (result[(data < 0) & ~inside] == limits.min).all()
    assert bool(notes) == (not inside.all())


def test_pixels_without_a_result(tmp_path: Path) -> None:
    data = np.full((2, 4), 70, np.float32)
    data[0, :3] = np.nan
    notes = write(tmp_path / "a.png", Image.from_array(data), dtype="uint8")
    assert notes == ("3 pixels without a result (NaN) are written as 0",)


@pytest.mark.parametrize("dtype", ["complex64", "bool", "int64", "nonsense"])
def test_dtypes_that_files_do_not_hold(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(FileError, match="choose one of uint8"):
        write(tmp_path / "a.tif", Image.from_array(numbers((9, 9))), dtype=dtype)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("dtype", "depth"), [("uint8", 8), ("uint16", 16)])
def test_a_photograph_goes_round_through_float(tmp_path: Path, dtype: str, depth: int) -> None:
    data = numbers((9, 10, 3), dtype, 2**depth)
    write(tmp_path / "a.png", Image.from_array(data, "YXS"))
    image = read(tmp_path / "a.png")
    notes = write(tmp_path / "b.png", image.with_data(image.data.astype(np.float32)))
    assert notes == ()
    again = read(tmp_path / "b.png")
    assert again.data.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(again.data, data)
    ome = image.with_data(image.data.astype(np.float32))
    write(tmp_path / "c.ome.tif", ome)
    np.testing.assert_array_equal(read(tmp_path / "c.ome.tif").data, data.astype(np.float32))


def test_white_stays_white_in_another_depth(tmp_path: Path) -> None:
    data = np.array([[0, 128, 255]], np.uint8)
    alpha = np.array([[255, 0, 128]], np.uint8)
    (note,) = write(tmp_path / "a.png", Image(data, "YX", alpha=alpha), dtype="uint16")
    assert "scaled by 257" in note
    again = read(tmp_path / "a.png")
    np.testing.assert_array_equal(again.data, data.astype(int) * 257)
    np.testing.assert_array_equal(again.alpha, alpha.astype(int) * 257)
    (note,) = write(tmp_path / "b.png", again, dtype="uint8")
    np.testing.assert_array_equal(read(tmp_path / "b.png").data, data)


@pytest.mark.parametrize(
    ("image", "dtype", "message"),
    [
        (Image.from_array(numbers((3, 9, 9)), "ZYX"), None, "one plane"),
        (Image.from_array(numbers((9, 9), "float32")), None, "give a dtype"),
        (Image.from_array(numbers((9, 9), "int16")), None, "give a dtype"),
        (Image.from_array(numbers((9, 9))), "float32", "uint8 or uint16"),
        (Image.from_array(numbers((9, 9), "float32") / 255), "uint8", "would be black"),
    ],
)
def test_what_png_cannot_hold(tmp_path: Path, image: Image, dtype: str | None, message: str) -> None:
    with pytest.raises(FileError, match=message):
        write(tmp_path / "a.png", image, dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_png_keeps_profile_and_resolution_and_says_what_it_loses(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "a.jpg", icc_profile=profile, dpi=(300, 300))
    image = read(tmp_path / "a.jpg", pixel_size=1)
    assert write(tmp_path / "b.png", image) == ("PNG does not keep the pixel size",)
    with PIL.Image.open(tmp_path / "b.png") as opened:
        opened.load()
        assert opened.info["icc_profile"] == profile
        assert opened.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
    write(tmp_path / "c.tif", read(tmp_path / "a.jpg"))
    with tifffile.TiffFile(tmp_path / "c.tif") as tif:
        assert not tif.is_imagej
    assert read(tmp_path / "c.tif").metadata["dpi"] == pytest.approx((300, 300))


def test_an_image_can_replace_itself(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", Image.from_array(numbers((9, 9))))
    image = read(tmp_path / "a.tif")
    write(tmp_path / "a.tif", image.with_data(image.data + 1))
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, image.data + 1)


def test_a_kernel_that_cannot_take_its_place_leaves_the_earlier_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, kernel = tmp_path / "a.tif", tmp_path / "kernel.tif"
    old, new = (Image.from_array(np.full((8, 8), value, np.float32)) for value in (1, 2))
    write(path, old, report={})
    replace = os.replace

    def failing(source: Any, target: Any) -> None:
        if Path(target).name == "kernel.tif":
            raise OSError(13, "in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(FileError, match=r"kernel\.tif: cannot be written"):
        write(path, new, report={}, others=[(kernel, new)])
    assert float(read(path).data[0, 0]) == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.tif", "a.tif.json"]


def test_a_folder_that_cannot_be_synced_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = atomic.flush

    def failing(path: Path) -> None:
        if path.is_dir():
            raise OSError(22, "Invalid argument")
        flush(path)

    monkeypatch.setattr(atomic, "flush", failing)
    write(tmp_path / "a.tif", Image.from_array(np.ones((8, 8), np.float32)))
    assert read(tmp_path / "a.tif").data.shape == (8, 8)


def test_units_that_were_left_out_are_micrometres(tmp_path: Path) -> None:
    image = Image(np.ones((3, 8, 8), np.float32), "TYX", {"T": 2.0, "Y": 0.1, "X": 0.1})
    assert dict(image.units) == {"T": "s", "Y": "µm", "X": "µm"}
    for name in ("a.tif", "a.ome.tif"):
        write(tmp_path / name, image)
        assert read(tmp_path / name).pixel_size["X"] == pytest.approx(0.1)


def test_alpha_stays_opaque_in_another_dtype_of_a_tiff(tmp_path: Path) -> None:
    alpha = np.array([[65535, 0, 32768]], np.uint16)
    write(tmp_path / "a.tif", Image(np.array([[9, 8, 7]], np.uint16), "YX", alpha=alpha), dtype="uint8")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").alpha, [[255, 0, 128]])
    write(tmp_path / "b.tif", Image(np.array([[9, 8, 7]], np.uint8), "YX", alpha=np.array([[255, 0, 9]], np.uint8)))
    np.testing.assert_array_equal(read(tmp_path / "b.tif").alpha, [[255, 0, 9]])


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_samples_are_written_together_wherever_they_were(tmp_path: Path, name: str) -> None:
    data = numbers((3, 9, 10), "uint8")
    write(tmp_path / name, Image.from_array(data, "SYX"))
    with tifffile.TiffFile(tmp_path / name) as tif:
        assert tif.pages.first.shape == (9, 10, 3)
    again = read(tmp_path / name)
    assert again.axes == "YXS"
    np.testing.assert_array_equal(again.data, np.moveaxis(data, 0, -1))


def test_numbers_that_a_cast_wipes_out_are_said(tmp_path: Path) -> None:
    image = Image.from_array(np.linspace(0, 1, 90, dtype=np.float32).reshape(9, 10))
    faint = write(tmp_path / "a.tif", image.with_white_level(1.0), dtype="uint8")
    assert any("next to nothing in uint8" in note for note in faint)
    assert any(
        "next to nothing" in note
        for note in write(tmp_path / "a.tif", image.with_data(0.3 * image.data), dtype="uint8")
    )
    assert write(tmp_path / "a.tif", image.with_data(200 * image.data), dtype="uint8") == ()


def test_white_beyond_sixteen_bits_stays_white(tmp_path: Path) -> None:
    data = np.array([[0, 2**19, 2**20 - 1]], np.uint32)
    notes = write(tmp_path / "a.png", Image(data, "YX", bit_depth=20))
    assert any("white stays white in uint16" in note for note in notes)
    np.testing.assert_array_equal(read(tmp_path / "a.png").data, [[0, 32768, 65535]])


def test_a_report_may_name_a_file_that_utf8_cannot(tmp_path: Path) -> None:
    name = os.fsdecode(b"pr\xfcfung.tif")
    for output in ("a.tif", "a.ome.tif"):
        write(tmp_path / output, Image.from_array(numbers((9, 10))), report={"source": name})
        written = json.loads(report_path(tmp_path / output).read_text(encoding="utf-8"))
        assert written["source"] == name


def test_files_that_took_their_place_go_back_when_a_later_one_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {name: tmp_path / name for name in ("a.tif", "kernel.tif", "new.tif")}
    old, new = (Image.from_array(np.full((8, 8), value, np.float32)) for value in (1, 2))
    write(paths["a.tif"], old, report={"run": 1}, others=[(paths["kernel.tif"], old)])
    replace = os.replace

    def failing(source: Any, target: Any) -> None:
        if Path(target).name == "a.tif.json" and '"run": 2' in Path(source).read_text():
            raise OSError(13, "in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(FileError, match="in use"):
        write(paths["a.tif"], new, report={"run": 2}, others=[(paths["kernel.tif"], new), (paths["new.tif"], new)])
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "a.tif.json", "kernel.tif"}
    for name in ("a.tif", "kernel.tif"):
        np.testing.assert_array_equal(read(paths[name]).data, old.data)
    assert json.loads(report_path(paths["a.tif"]).read_text()) == {"run": 1}


@pytest.mark.parametrize("name", ["b.tif", "b.ome.tif"])
def test_tiff_keeps_the_colour_profile(tmp_path: Path, name: str) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "a.jpg", icc_profile=profile)
    write(tmp_path / name, read(tmp_path / "a.jpg"), dtype="float32")
    again = read(tmp_path / name)
    assert again.metadata["icc_profile"] == profile
    write(tmp_path / "c.png", again, dtype="uint8")
    with PIL.Image.open(tmp_path / "c.png") as opened:
        assert opened.info["icc_profile"] == profile
    grey = Image.from_array(numbers((9, 9)))
    write(tmp_path / name, replace(grey, metadata={"icc_profile": profile}))
    assert "icc_profile" not in read(tmp_path / name).metadata, "a profile for colours"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_numbers_of_which_next_to_nothing_is_left_are_said(tmp_path: Path, dtype: str) -> None:
    faint = np.random.default_rng(0).random((9, 9), np.float32)
    notes = write(tmp_path / "a.tif", Image.from_array(faint), dtype=dtype)
    assert any("are next to nothing" in note for note in notes)
    assert not any("nothing" in note for note in write(tmp_path / "b.tif", Image.from_array(9 * faint), dtype=dtype))


def test_a_map_of_few_grey_levels_is_said_with_its_name(tmp_path: Path) -> None:
    image = Image(numbers((9, 9)).astype(np.uint8), "YX")
    spread = Image(np.linspace(2.6, 4.4, 81, dtype=np.float32).reshape(9, 9), "YX", bit_depth=8)
    report: dict[str, Any] = {}
    notes = write(tmp_path / "a.png", image, report=report, others=[(tmp_path / "spread.png", spread)])
    assert notes == ("spread.png: all values lie within 1 grey levels; a TIFF keeps what is between them",)
    assert json.loads((tmp_path / "a.png.json").read_text())["output"] == list(notes)


def test_pixels_too_small_for_a_tiff_s_fraction_are_kept_elsewhere(tmp_path: Path) -> None:
    image = Image(
        numbers((9, 9)).astype(np.float32), "YX", pixel_size={"Y": 2e-10, "X": 2e-10}, units={"Y": "m", "X": "m"}
    )
    write(tmp_path / "a.tif", image)
    assert read(tmp_path / "a.tif").pixel_size == {"Y": 2e-10, "X": 2e-10}


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    image = Image(numbers((9, 9)), "YX")
    with pytest.raises(FileError, match="named for two outputs"):
        write(tmp_path / "a.tif", image, others=[(tmp_path / "a.tif", image)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_a_grey_stack_keeps_its_alpha(tmp_path: Path, name: str) -> None:
    image = Image(numbers((3, 20, 24), "uint8"), "TYX", alpha=numbers((3, 20, 24), "uint8"))
    write(tmp_path / name, image)
    again = read(tmp_path / name)
    assert again.axes == "TYX"
    np.testing.assert_array_equal(again.data, image.data)
    np.testing.assert_array_equal(again.alpha, image.alpha)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_no_more_bits_than_the_numbers_have(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, Image(numbers((9, 8)), "YX", bit_depth=12), dtype="uint8")
    assert read(tmp_path / name).white_level == 255


@pytest.mark.parametrize(("white", "depth"), [(4095.0, 12), (4000.0, None)])
def test_bits_follow_from_the_white_that_was_given(tmp_path: Path, white: float, depth: int | None) -> None:
    image = Image(numbers((9, 8)), "YX", bit_depth=16).with_white_level(white)
    result = image.with_data(image.data.astype(np.float32))
    assert result.white_level == white
    write(tmp_path / "a.tif", result)
    assert read(tmp_path / "a.tif").bit_depth == depth


def test_dtypes_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot write foo"):
        write(tmp_path / "a.png", Image(numbers((9, 8), "uint8"), "YX"), dtype="foo")
