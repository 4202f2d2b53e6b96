from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unblur.errors import ImageError
from unblur.image import Image, fingerprint, sizes_by_axis
from unblur.psfs import take_psf
from unblur.validation import check


@st.composite
def labelled(draw: st.DrawFn) -> Image:
    """An image with any axes in any order."""
    extra = draw(st.lists(st.sampled_from("TCZS"), unique=True, max_size=4))
    axes = "".join(draw(st.permutations(["Y", "X", *extra])))
    shape = tuple(3 if axis == "S" else draw(st.integers(1, 3)) for axis in axes)
    data = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    return Image.from_array(data, axes)


@given(labelled(), st.sampled_from(["YX", "ZYX"]))
def test_planes_and_assemble_are_inverse(image: Image, spatial: str) -> None:
    if not set(spatial) <= set(image.axes):
        with pytest.raises(ImageError, match="cannot be taken"):
            list(image.planes(spatial))
        return
    planes = list(image.planes(spatial))
    channels = 3 if image.is_rgb else 1
    assert {plane.shape for _, plane in planes} == {(channels, *(image.sizes[axis] for axis in spatial))}
    assert all(plane.dtype == np.float32 for _, plane in planes)
    assembled = image.assemble(reversed(planes), spatial)
    assert assembled.dtype == np.float32
    np.testing.assert_array_equal(assembled, image.data)


def test_a_plane_is_what_its_index_says() -> None:
    data = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 5, 6), dtype=np.uint8)
    image = Image.from_array(data, "TCZYX")
    planes = {tuple(index.items()): plane for index, plane in image.planes()}
    assert len(planes) == 2 * 3 * 4
    np.testing.assert_array_equal(planes[("T", 1), ("C", 2), ("Z", 3)][0], data[1, 2, 3])
    volumes = {(index["T"], index["C"]): volume for index, volume in image.planes("ZYX")}
    np.testing.assert_array_equal(volumes[0, 1][0], data[0, 1])


def test_rgb_samples_stay_together() -> None:
    data = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    ((index, plane),) = Image.from_array(data, "YXS").planes()
    assert index == {}
    np.testing.assert_array_equal(plane, data.transpose(2, 0, 1))


def test_planes_left_out_are_nan() -> None:
    image = Image.from_array(np.ones((3, 4, 5)), "TYX")
    result = image.assemble(plane for plane in image.planes() if plane[0]["T"] != 1)
    assert np.isnan(result[1]).all()
    assert (result[[0, 2]] == 1).all()


def test_planes_are_copies() -> None:
    image = Image.from_array(np.ones((4, 5), np.float32))
    next(image.planes())[1][:] = 7
    assert (image.data == 1).all()


def test_assemble_refuses_another_shape() -> None:
    image = Image.from_array(np.ones((3, 4, 5)), "TYX")
    with pytest.raises(ImageError, match=r"shape \(1, 5, 4\), expected \(1, 4, 5\)"):
        image.assemble([({"T": 0}, np.ones((1, 5, 4)))])
    with pytest.raises(ImageError, match="should name its place along T"):
        image.assemble([({}, np.ones((1, 4, 5)))])


@pytest.mark.parametrize("shape", [(13, 512, 512), (5000, 4, 4), (64, 64, 3), (2, 3, 4, 5)])
def test_more_than_two_dimensions_are_never_guessed(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="needs axes"):
        Image.from_array(np.broadcast_to(np.uint8(0), shape))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("YY", "at most once"),
        ("QYX", "at most once"),
        ("TZ", "Y and X always"),
        ("ZYX", "name 3 dimensions"),
        ("", "Y"),
    ],
)
def test_wrong_axes_are_refused(axes: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Image.from_array(np.zeros((4, 5)), axes)


def test_samples_are_three() -> None:
    with pytest.raises(ImageError, match="use C"):
        Image.from_array(np.zeros((4, 5, 7)), "YXS")


def test_alpha_is_kept_aside() -> None:
    rgba = np.random.default_rng(0).integers(0, 255, (2, 4, 5, 4), dtype=np.uint8)
    image = Image.from_array(rgba, "TYXS")
    assert image.axes == "TYXS"
    np.testing.assert_array_equal(image.data, rgba[..., :3])
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha, rgba[..., 3])
    grey = Image.from_array(rgba[..., :2], "TYXS")
    assert grey.axes == "TYX"
    assert not grey.is_rgb


def test_masked_arrays_do_not_lose_their_mask() -> None:
    with pytest.raises(ImageError, match="mask"):
        Image.from_array(np.ma.masked_less(np.ones((4, 5)), 0))


def test_arrays_of_others_are_taken() -> None:
    wanted = np.arange(12, dtype=np.float32).reshape(3, 4)
    learned = torch.tensor(wanted, requires_grad=True) * 1.0
    for other in (learned, learned.detach().bfloat16(), wanted.tolist(), wanted):
        np.testing.assert_array_equal(Image.from_array(other).data, wanted)  # type: ignore[arg-type]
    psf = torch.ones(3, 3, requires_grad=True)
    assert take_psf(psf, Image.from_array(np.zeros((16, 16))), None, False).kernel.shape == (1, 3, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("photo.tif", "'photo.tif': expected its pixels; `unblur.io.read` reads a file"),
        (Path("photo.tif"), "expected its pixels"),
        ([[1, 2], [3]], "of type list is no array of numbers"),
        (np.array([[None, 1]]), "holds Python objects"),
    ],
)
def test_what_is_no_array_is_said(given: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Image.from_array(given)


def test_a_region_may_be_numbers_of_numpy() -> None:
    assert Image.from_array(np.zeros((16, 16))).cut({"Y": np.array([2, 10])}).shape == (8, 16)  # type: ignore[dict-item]


@pytest.mark.parametrize("span", [3, (1,), (0, 1.5), None, "13", {0: 1, 3: 1}])
def test_a_region_without_start_and_stop_is_said(span: Any) -> None:
    with pytest.raises(ImageError, match="expected start and stop, such as"):
        Image.from_array(np.zeros((16, 16))).cut({"Y": span})


def test_pixel_size_status_and_units() -> None:
    bare = Image.from_array(np.zeros((2, 3, 4, 5)), "TZYX")
    assert bare.status == {"axes": "given", "T": "missing", "Z": "missing", "Y": "missing", "X": "missing"}
    assert Image.from_array(np.zeros((4, 5))).status["axes"] == "assumed"
    one = bare.with_pixel_size(0.1)
    assert one.pixel_size == {"Y": 0.1, "X": 0.1}
    assert one.units == {"Y": "µm", "X": "µm"}
    assert one.status["Z"] == "missing"
    assert one.status["X"] == "given"
    assert "µm is assumed" in one.notes[0]
    each = bare.with_pixel_size((0.3, 0.1, 0.2), "nm")
    assert each.pixel_size == {"Z": 0.3, "Y": 0.1, "X": 0.2}
    assert set(each.units.values()) == {"nm"}
    assert not each.notes
    timed = bare.with_pixel_size({"T": 2.0}, "nm")
    assert timed.units == {"T": "s"}


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf"), (1, 2, 3), {"Z": 1.0}, {"C": 1.0}])
def test_wrong_pixel_sizes_are_refused(size: object) -> None:
    with pytest.raises(ImageError, match="pixel size"):
        Image.from_array(np.zeros((4, 5)), pixel_size=size)  # type: ignore[arg-type]


def test_white_level() -> None:
    def white(dtype: str, axes: str = "YX", bit_depth: int | None = None) -> float | None:
        return Image(np.zeros((4, 5, 3)[: len(axes)], dtype), axes, bit_depth=bit_depth).white_level

    assert white("uint8") == 255
    assert white("uint16") is None
    assert white("uint16", "YXS") == 65535
    assert white("uint16", bit_depth=12) == 4095
    assert white("float32") is None
    assert white("float32", bit_depth=8) == 255


@pytest.mark.parametrize(("dtype", "axes"), [("uint8", "YX"), ("uint16", "YXS"), ("uint16", "YX")])
def test_new_pixels_keep_the_white_level(dtype: str, axes: str) -> None:
    image = Image(np.zeros((4, 5, 3)[: len(axes)], dtype), axes)
    assert image.with_data(image.data.astype(np.float32)).white_level == image.white_level
    with pytest.raises(ImageError, match="new pixels"):
        image.with_data(np.zeros((9, 9)))


def test_fingerprint_depends_on_shape_dtype_and_pixels_only() -> None:
    data = np.random.default_rng(0).integers(0, 255, (4, 6), dtype=np.uint16)
    reference = fingerprint(Image.from_array(data))
    assert reference == fingerprint(Image.from_array(data.astype(">u2"), pixel_size=1, unit="nm"))
    assert reference == fingerprint(Image.from_array(np.asfortranarray(data)))
    changed = data.copy()
    changed[3, 5] ^= 1
    others = [changed, data.reshape(6, 4), data.astype(np.int16), data.astype(np.uint32)]
    assert len({reference, *(fingerprint(Image.from_array(other)) for other in others)}) == 5


def noise(shape: tuple[int, ...] = (16, 17), dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"])
def test_check_accepts_real_numbers(dtype: str) -> None:
    findings = check(Image.from_array(noise(dtype=dtype)))
    assert findings.notes == ()
    assert findings.valid is None


@pytest.mark.parametrize(("dtype", "message"), [("complex64", "complex"), ("bool", "mask"), ("U3", "expected")])
def test_check_refuses_other_numbers(dtype: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        check(Image.from_array(noise().astype(dtype)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_check_finds_what_is_not_finite(value: float) -> None:
    data = noise((2, 16, 17))
    data[1, 3, 4] = data[1, 5, 6] = value
    image = Image.from_array(data, "TYX")
    with pytest.raises(ImageError, match="2 pixels are NaN or Inf, the first at T=1, Y=3, X=4"):
        check(image)
    findings = check(image, nan="mask")
    assert findings.valid is not None
    np.testing.assert_array_equal(findings.valid, np.isfinite(data))
    assert findings.notes == ("2 pixels are NaN or Inf and take no part",)
    with pytest.raises(ImageError, match="every pixel"):
        check(Image.from_array(np.full((16, 16), np.nan)), nan="mask")


@pytest.mark.parametrize("shape", [(1, 1), (64, 1), (7, 64)])
def test_check_refuses_small_images_and_says_what_works(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="smallest that works here is 8 x 8"):
        check(Image.from_array(np.ones(shape)))


def test_check_compares_with_the_kernel() -> None:
    image = Image.from_array(noise((4, 16, 16)), "ZYX")
    with pytest.raises(ImageError, match="smallest that works here is 5 x 9 x 9"):
        check(image, smallest=(5, 9, 9), spatial="ZYX")
    check(image, smallest=(4, 16, 16), spatial="ZYX")
    with pytest.raises(ImageError, match="no pixels"):
        check(Image.from_array(np.zeros((0, 5))))


def test_check_keeps_negative_offsets() -> None:
    data = noise(dtype="int16") - np.int16(50)
    image = Image.from_array(data)
    assert data.min() < 0
    assert f"values go down to {data.min()}; the offset is kept" in check(image).notes[0]
    assert next(image.planes())[1].min() == data.min()


def test_check_flags_constant_planes_only() -> None:
    data = noise((3, 16, 16))
    data[1] = 4
    findings = check(Image.from_array(data, "TYX"))
    assert findings.constant == ({"T": 1},)
    constant = check(Image.from_array(np.full((16, 16), 255, np.uint8)))
    assert constant.constant == ({},)
    assert constant.saturated == 0
    assert check(Image.from_array(np.broadcast_to(np.float32([1, 2, 3]), (9, 9, 3)), "YXS")).constant == ({},)


def test_check_counts_saturated_pixels() -> None:
    photo = noise(dtype="uint8")
    photo[:4] = 255
    assert check(Image.from_array(photo)).saturated == pytest.approx(4 / 16)
    micrograph = noise(dtype="uint16")
    micrograph[:4] = 4095
    findings = check(Image.from_array(micrograph))
    assert findings.saturated == pytest.approx(4 / 16)
    assert "25.00% of the pixels are saturated at 4095" in findings.notes[0]
    assert check(Image.from_array(np.random.default_rng(0).normal(size=(64, 64)))).saturated == 0


def test_check_refuses_what_float32_cannot_hold() -> None:
    with pytest.raises(ImageError, match="beyond float32"):
        check(Image.from_array(noise(dtype="float64") * 1e38))
    data = noise(dtype="uint32")
    data[0, 0] = 2**24 + 1
    assert "rounded" in check(Image.from_array(data)).notes[0]


def test_the_fingerprint_is_that_of_the_pixels_however_they_lie() -> None:
    whole = np.random.default_rng(0).integers(0, 1000, (4, 12, 10)).astype(np.uint16)
    part = Image(whole[:, 2:9, ::2], "TYX")
    same = Image(np.ascontiguousarray(part.data), "TYX")
    swapped = Image(same.data.astype(">u2"), "TYX")
    assert fingerprint(part) == fingerprint(same) == fingerprint(swapped)
    digest = hashlib.sha256(b"(4, 7, 5) uint16 " + same.data.astype("<u2").tobytes()).hexdigest()
    assert fingerprint(same) == digest


@pytest.mark.parametrize("size", [np.array(0.1), np.float32(0.1), [0.1, 0.1]])
def test_pixel_sizes_in_any_form(size: Any) -> None:
    image = Image.from_array(np.zeros((9, 8)), pixel_size=size)
    assert image.pixel_size == pytest.approx({"Y": 0.1, "X": 0.1})


@pytest.mark.parametrize("size", ["fine", "0.1 µm", [[1, 2]], None, {"Y": "a"}])
def test_pixel_sizes_that_are_none(size: Any) -> None:
    with pytest.raises(ImageError):
        sizes_by_axis(size, "YX")


def test_a_white_level_that_is_no_number() -> None:
    with pytest.raises(ImageError, match="white_level = 'abc'"):
        Image.from_array(np.zeros((9, 8))).with_white_level("abc")  # type: ignore[arg-type]


def test_sizes_along_axes_that_are_gone_go_as_well() -> None:
    image = Image(np.zeros((3, 9, 8)), "TYX", pixel_size={"T": 5.0, "X": 0.1, "Y": 0.1})
    other = image.with_axes("zyx")
    assert other.axes == "ZYX"
    assert other.pixel_size == {"X": 0.1, "Y": 0.1}
    assert other.status["axes"] == "given"
