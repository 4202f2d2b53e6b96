"""Time series in and out: TIFF with a T axis, folders of frames, videos; frames on the disk, never all in memory."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from unblur import io
from unblur.errors import FileError, ImageError, ResourceError
from unblur.image import Image
from unblur.io import limits, video
from unblur.io.scratch import on_disk, scratch, stacked
from unblur.io.video import frame_rate, library
from unblur.validation import check

av = pytest.importorskip("av")

GREY = np.random.default_rng(0).integers(0, 256, (5, 24, 32), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 24, 32, 3), dtype=np.uint8)


def encoded(path: Path, frames: np.ndarray, rate: Fraction = Fraction(30000, 1001), turn: int = 0) -> Path:
    """A video without loss, made without this package; to be shown turned to the left by some quarters."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        form = "gray" if frames.ndim == 3 else "rgb24"
        stream.pix_fmt = "gray" if frames.ndim == 3 else "bgr0"
        if turn:
            stream.set_display_rotation(90 * turn)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=form)))
        container.mux(stream.encode())
    return path


def series(data: np.ndarray, axes: str = "TYX", **facts: Any) -> Image:
    """An image whose frames are on the disk."""
    return Image(stacked(iter(data), "test"), axes, **facts)


@pytest.mark.parametrize(("frames", "axes"), [(GREY, "TYX"), (COLOUR, "TYXS")], ids=["grey", "colour"])
def test_a_video_is_read_with_its_facts(frames: np.ndarray, axes: str, tmp_path: Path) -> None:
    path = encoded(tmp_path / "clip.mkv", frames)
    for image in (io.read(path), io.read_series(path)):
        assert image.axes == axes
        np.testing.assert_array_equal(image.data, frames)
        assert on_disk(image.data)
        assert image.pixel_size["T"] == pytest.approx(1001 / 30000)
        assert image.units["T"] == "s"
        assert image.status == {"axes": "read", "T": "read", "Y": "missing", "X": "missing"}
        assert image.white_level == 255
        assert frame_rate(image) == Fraction(30000, 1001)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_video_is_turned_upright(turn: int, tmp_path: Path) -> None:
    """As phones write what they take on their side."""
    path = encoded(tmp_path / "clip.mkv", COLOUR, turn=turn)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).rotation % 360 == 90 * turn
    image = io.read(path)
    np.testing.assert_array_equal(image.data, np.rot90(COLOUR, turn, (1, 2)))
    assert any("turned upright" in note for note in image.notes)


@pytest.mark.parametrize(
    ("interval", "unit", "rate"),
    [
        (0.04, "s", Fraction(25)),
        (40.0, "ms", Fraction(25)),
        (2.0, "min", Fraction(1, 120)),
        (1e-7, "s", Fraction(10**7)),
        (3.0, "fortnight", None),
    ],
)
def test_the_rate_follows_from_the_interval(interval: float, unit: str, rate: Fraction | None) -> None:
    assert frame_rate(Image(GREY, "TYX", pixel_size={"T": interval}, units={"T": unit})) == rate


def test_the_user_s_interval_goes_before_the_file_s() -> None:
    image = Image(GREY, "TYX", status={"T": "read"}, pixel_size={"T": 0.04}, metadata={"frame_rate": "25"})
    assert frame_rate(image) == 25
    assert frame_rate(image.with_pixel_size({"T": 0.001})) == 1000


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
@pytest.mark.parametrize(("frames", "axes"), [(GREY, "TYX"), (COLOUR, "TYXS")], ids=["grey", "colour"])
def test_a_video_without_loss_comes_back(frames: np.ndarray, axes: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    image = series(frames, axes, pixel_size={"T": 0.04}, units={"T": "s"})
    assert io.write(path, image) == ()
    again = io.read(path)
    assert again.axes == axes
    np.testing.assert_array_equal(again.data, frames)
    assert again.pixel_size["T"] == pytest.approx(0.04)


def test_sixteen_bits_without_loss(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 2**12, (4, 24, 32), dtype=np.uint16)
    path = tmp_path / "out.mkv"
    io.write(path, series(frames, bit_depth=12, pixel_size={"T": 0.1}, units={"T": "s"}))
    np.testing.assert_array_equal(io.read(path).data, frames)


def test_h264_says_that_it_loses_and_hardly_does(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 32).round().astype(np.uint8)
    frames = np.broadcast_to(ramp[None, None, :, None], (5, 24, 32, 3)).copy()
    path = tmp_path / "out.mp4"
    notes = io.write(
        path, series(frames, "TYXS", pixel_size={"T": 0.04, "Y": 0.1, "X": 0.1}, units={"T": "s", "Y": "µm", "X": "µm"})
    )
    assert any("loses a little" in note for note in notes)
    assert any("pixel size" in note for note in notes)
    assert np.abs(io.read(path).data.astype(int) - frames).mean() < 3


def test_restored_frames_are_rounded_and_clipped_and_counted(tmp_path: Path) -> None:
    frames = GREY.astype(np.float32) + 0.25
    frames[0, 0, 0], frames[1, 0, 0], frames[2, 0, 0] = 300, -2, np.nan
    path = tmp_path / "out.mkv"
    notes = io.write(path, series(frames, bit_depth=8))
    assert "1 pixels without a result (NaN) are written as 0" in notes
    assert "2 values were clipped to the range of uint8" in notes
    assert any("25 frames per second" in note for note in notes)
    wanted = GREY.copy()
    wanted[0, 0, 0], wanted[1, 0, 0], wanted[2, 0, 0] = 255, 0, 0
    np.testing.assert_array_equal(io.read(path).data, wanted)


@pytest.mark.parametrize(
    ("image", "name", "message"),
    [
        (Image(GREY[0], "YX"), "a.mkv", "series of grey or RGB planes"),
        (Image(GREY[None], "CTYX"), "a.mkv", "axes CTYX"),
        (Image(GREY.astype(np.float32), "TYX"), "a.mkv", "what value is white"),
        (Image(GREY.astype(np.uint16), "TYX", bit_depth=12), "a.mp4", r"\.mp4 holds uint8"),
    ],
)
def test_what_a_video_cannot_hold_is_refused(image: Image, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=message):
        io.write(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_video_is_refused(tmp_path: Path) -> None:
    path = encoded(tmp_path / "clip.mkv", GREY)
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises((FileError, ImageError), match=r"clip\.mkv"):
        io.read(path)


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoded(tmp_path / "clip.mkv", GREY)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    for attempt in (lambda: io.read(path), lambda: io.check_writable(tmp_path / "a.mp4"), lambda: library(path)):
        with pytest.raises(FileError, match=r"napari-deblur\[video\]"):
            attempt()


def test_a_folder_is_a_series_in_natural_order(tmp_path: Path) -> None:
    for number, frame in enumerate(COLOUR):
        (tmp_path / f"frame{number + 7}.png").write_bytes(imagecodecs.png_encode(frame))
    image = io.read_series(tmp_path, pixel_size={"Y": 0.2, "X": 0.2})
    assert image.axes == "TYXS"
    np.testing.assert_array_equal(image.data, COLOUR)
    assert on_disk(image.data)
    assert image.white_level == 255
    assert image.status["T"] == "missing"
    assert image.pixel_size == {"Y": 0.2, "X": 0.2}
    assert any("frame7.png … frame11.png" in note for note in image.notes)


def test_frames_of_a_folder_must_be_alike(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "1.tif", GREY[0])
    tifffile.imwrite(tmp_path / "2.tif", GREY[0, :-1])
    with pytest.raises(FileError, match="frames of a series are alike"):
        io.read_series(tmp_path)
    tifffile.imwrite(tmp_path / "2.tif", COLOUR[0], photometric="rgb")
    with pytest.raises(FileError, match="has axes YXS, the first frame YX"):
        io.read_series(tmp_path)


@pytest.mark.parametrize("kind", ["video", "folder", "tiff"])
def test_a_region_of_a_series_stays_on_the_disk(kind: str, tmp_path: Path) -> None:
    path = tmp_path / {"video": "clip.mkv", "folder": "frames", "tiff": "series.tif"}[kind]
    if kind == "video":
        encoded(path, GREY)
    elif kind == "folder":
        path.mkdir()
        for number, frame in enumerate(GREY):
            tifffile.imwrite(path / f"t{number}.tif", frame)
    else:
        tifffile.imwrite(path, GREY, metadata={"axes": "TYX"})
    part = io.read_series(path, region={"T": (1, 4), "X": (8, 24)})
    np.testing.assert_array_equal(part.data, GREY[1:4, :, 8:24])
    assert on_disk(part.data)
    with pytest.raises(FileError, match="T=2:9 is not within 0:5"):
        io.read_series(path, region={"T": (2, 9)})


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_is_mapped_and_keeps_its_facts(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "series.ome.tif"
    metadata = {
        "axes": "TYX",
        "TimeIncrement": 2.0,
        "TimeIncrementUnit": "s",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 0.1,
    }
    tifffile.imwrite(path, GREY, ome=True, metadata=metadata, compression=compression)
    disk, memory = io.read_series(path), io.read(path)
    assert on_disk(disk.data)
    np.testing.assert_array_equal(disk.data, memory.data)
    assert (disk.axes, disk.pixel_size, disk.units) == (memory.axes, memory.pixel_size, memory.units)


def test_a_series_larger_than_the_memory_is_read_and_checked_against_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="minisblack", compression="zlib", metadata={"axes": "TYX"})
    monkeypatch.setattr(limits, "SHARE_OF_FREE_MEMORY", 1e-9)
    with pytest.raises(ResourceError):
        io.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(io.read_series(tmp_path / "a.tif").data, GREY)
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(ResourceError, match="has room for"):
        io.read_series(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
@pytest.mark.parametrize(("frames", "axes"), [(GREY, "TYX"), (COLOUR, "TYXS")], ids=["grey", "colour"])
def test_frames_on_the_disk_are_written_as_those_in_memory(
    name: str, frames: np.ndarray, axes: str, tmp_path: Path
) -> None:
    sizes = {"T": 2.0, "Y": 0.1, "X": 0.1}
    units = {"T": "s", "Y": "µm", "X": "µm"}
    floats = frames.astype(np.float32)
    io.write(tmp_path / f"disk-{name}", series(floats, axes, pixel_size=sizes, units=units), report={"a": 1})
    io.write(tmp_path / f"memory-{name}", Image(floats, axes, pixel_size=sizes, units=units), report={"a": 1})
    disk, memory = io.read(tmp_path / f"disk-{name}"), io.read(tmp_path / f"memory-{name}")
    np.testing.assert_array_equal(disk.data, memory.data)
    assert (disk.axes, disk.pixel_size, disk.units) == (memory.axes, memory.pixel_size, memory.units)


def test_a_cast_of_frames_on_the_disk_counts_as_one_in_memory(tmp_path: Path) -> None:
    floats = GREY.astype(np.float32) * 1.2
    floats[0, 0, 0] = np.nan
    notes = [
        io.write(tmp_path / f"{n}.tif", image, dtype="uint8")
        for n, image in enumerate((series(floats), Image(floats, "TYX")))
    ]
    assert notes[0] == notes[1]
    np.testing.assert_array_equal(io.read(tmp_path / "0.tif").data, io.read(tmp_path / "1.tif").data)


def test_memory_holds_a_few_frames_at_the_most(tmp_path: Path) -> None:
    count, size = 40, 128
    frames = np.random.default_rng(0).integers(0, 255, (size, size), dtype=np.uint8)
    source = encoded(tmp_path / "long.mkv", np.stack([np.roll(frames, n, 1) for n in range(count)]))
    tracemalloc.start()
    image = io.read_series(source)
    check(image)
    restored = scratch(image.shape, np.float32)
    for number, frame in enumerate(image.data):
        restored[number] = frame
    io.write(tmp_path / "out.tif", image.with_data(restored))
    io.write(tmp_path / "out.mkv", image.with_data(restored))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * restored.nbytes
    np.testing.assert_array_equal(io.read(tmp_path / "out.tif").data, image.data)


def test_no_room_for_frames_is_an_error_that_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    for attempt in (lambda: scratch((2, 2), np.uint8), lambda: stacked([np.zeros((2, 2))], "x")):
        with pytest.raises(FileError, match="TMPDIR"):
            attempt()


def test_a_series_without_frames_is_refused() -> None:
    with pytest.raises(ImageError, match="no frames"):
        stacked([], "x")


def test_a_stack_of_the_other_order_of_bytes_lies_on_the_disk_too(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 60000, (60, 128, 128)).astype(">u2")
    tifffile.imwrite(tmp_path / "a.tif", frames, imagej=True, metadata={"axes": "TYX"})
    tracemalloc.start()
    series = io.read_series(tmp_path / "a.tif")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert on_disk(series.data)
    assert series.data.dtype == np.dtype(np.uint16).newbyteorder("=")
    np.testing.assert_array_equal(series.data, frames)
    assert peak < frames.nbytes / 3


def test_white_stays_white_in_a_video_of_another_depth(tmp_path: Path) -> None:
    pytest.importorskip("av")
    image = Image(np.full((3, 16, 16), 32768, np.uint16), "TYX", bit_depth=16)
    notes = io.write(tmp_path / "a.mkv", image, dtype=np.uint8)
    assert any("white stays white" in note for note in notes)
    assert abs(int(io.read(tmp_path / "a.mkv").data.mean()) - 128) <= 1


def test_colours_of_h264_are_those_that_players_take_them_for(tmp_path: Path) -> None:
    colours = np.array([[200, 30, 40], [30, 190, 50], [20, 40, 210], [210, 200, 30]], np.uint8)
    frames = np.broadcast_to(colours.repeat(16, 0)[None, None], (3, 32, 64, 3)).copy()
    io.write(tmp_path / "a.mp4", series(frames, "TYXS", pixel_size={"T": 0.04}, units={"T": "s"}))
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert (context.colorspace, context.color_range) == (1, 1)
        shown = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
    middle = shown[16, 8::16].astype(int)
    assert np.abs(middle - colours).max() < 8


def test_what_a_video_loses_is_said_and_a_palette_has_colours(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "bgra"
        for _ in range(2):
            pixels = np.full((24, 32, 4), 200, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream.encode())
    assert any("opacity" in note for note in io.read(tmp_path / "a.mkv").notes)
    palette = SimpleNamespace(codec_context=SimpleNamespace(format=av.VideoFormat("pal8", 8, 8)))
    assert not video._kind(palette)[0]


def test_a_video_that_cannot_be_encoded_is_named_as_the_user_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import av

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no such encoder")

    series = io.read_series(encoded(tmp_path / "in.mkv", np.zeros((2, 16, 16), np.uint8)))
    monkeypatch.setattr(av.VideoFrame, "from_ndarray", refuse)
    with pytest.raises(FileError) as caught:
        io.write(tmp_path / "out.mkv", series)
    assert caught.value.path == tmp_path / "out.mkv"
    assert str(caught.value).startswith(f"{tmp_path / 'out.mkv'}: cannot be encoded (no such encoder)")
