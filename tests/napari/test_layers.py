"""From layers to images: axes, sizes and units with how they are known, and no more pixels than needed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image
from napari.layers._source import layer_source
from napari_builtins.io import napari_get_reader

from napari_deblur import layers, pixels
from napari_deblur.panel.image_part import known
from napari_deblur.worker import Dropped
from unblur import io
from unblur.errors import ImageError, ResourceError
from unblur.io.scratch import on_disk


def zeros(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.zeros(shape, dtype)


def opened(path: Path) -> Image:
    """A layer as napari's own reader makes it."""
    [(data, *_)] = napari_get_reader(str(path))(str(path))  # type: ignore[misc]
    with layer_source(path=str(path), reader_plugin="napari"):
        return Image(data)


@pytest.mark.parametrize(
    ("shape", "more", "axes", "status"),
    [
        ((8, 9), {}, "YX", "read"),
        ((8, 9, 3), {"rgb": True}, "YXS", "read"),
        ((4, 8, 9, 4), {"rgb": True, "axis_labels": ("time", "y", "x")}, "TYXS", "read"),
        ((8, 9, 3), {"rgb": False}, "ZYX", "assumed"),
        ((5, 8, 9), {}, "ZYX", "assumed"),
        ((2, 5, 8, 9), {}, "TZYX", "assumed"),
        ((2, 3, 5, 8, 9), {}, "TCZYX", "assumed"),
        ((5, 8, 9), {"units": ("s", "um", "um")}, "TYX", "read"),
        ((5, 8, 9), {"units": ("um", "um", "um")}, "ZYX", "assumed"),
        ((2, 5, 8, 9), {"units": ("s", "um", "um", "um")}, "TZYX", "assumed"),
        ((5, 8, 9), {"axis_labels": ("frame", "row", "column")}, "TYX", "read"),
        ((5, 8, 9), {"axis_labels": ("Channel", "Y", "X")}, "CYX", "read"),
        ((8, 9, 5), {"axis_labels": ("y", "x", "t")}, "YXT", "read"),
        ((5, 8, 9), {"axis_labels": ("t", "-2", "-1")}, "TYX", "read"),
        ((5, 8, 9), {"axis_labels": ("a", "a", "b")}, "ZYX", "assumed"),
        ((5, 8, 9), {"axis_labels": ("z", "z", "y")}, "ZYX", "assumed"),
    ],
)
def test_axes_from_labels_units_and_position(
    shape: tuple[int, ...], more: dict[str, Any], axes: str, status: str
) -> None:
    source = layers.read(Image(zeros(*shape), **more))
    assert (source.axes, source.image.status["axes"]) == (axes, status)


def test_the_axes_that_the_user_gives_win() -> None:
    source = layers.read(Image(zeros(5, 8, 9), axis_labels=("t", "y", "x")), axes="cyx")
    assert (source.axes, source.image.status["axes"]) == ("CYX", "given")
    assert layers.read(Image(zeros(8, 9, 3), rgb=True), axes="YX").axes == "YXS"


@pytest.mark.parametrize("axes", ["YX", "QYX", "YYX", "TZY", "YXS"])
def test_axes_that_do_not_fit_are_refused(axes: str) -> None:
    with pytest.raises(ImageError, match=axes):
        layers.read(Image(zeros(5, 8, 9)), axes=axes)


def test_more_dimensions_than_letters_are_refused() -> None:
    with pytest.raises(ImageError, match="6 dimensions"):
        layers.read(Image(zeros(1, 1, 1, 1, 8, 9)))


def test_sizes_and_units_of_the_layer() -> None:
    source = layers.read(Image(zeros(5, 8, 9), scale=(2, 108, 0.108), units=("min", "nm", "um")))
    assert source.image.pixel_size == pytest.approx({"T": 2, "Y": 108, "X": 0.108})
    assert source.image.units == {"T": "min", "Y": "nm", "X": "µm"}
    assert {source.image.status[axis] for axis in "TYX"} == {"read"}


def test_a_scale_without_a_unit_is_assumed_to_be_in_micrometres() -> None:
    image = layers.read(Image(zeros(5, 8, 9), scale=(0.3, 1, -0.1))).image
    assert image.pixel_size == pytest.approx({"Z": 0.3, "X": 0.1})
    assert image.units == {"Z": "µm", "X": "µm"}
    assert image.status == {"axes": "assumed", "Z": "assumed", "Y": "missing", "X": "assumed"}
    assert image.notes == ("the layer's scale along Z, X has no unit: µm is assumed",)


def test_lengths_that_files_do_not_have_become_micrometres_and_others_are_noted() -> None:
    image = layers.read(Image(zeros(8, 9), scale=(0.001, 0.2), units=("inch", "arcsecond"))).image
    assert image.pixel_size == pytest.approx({"Y": 25.4})
    assert image.status["X"] == "missing"
    assert any("arcsecond" in note for note in image.notes)


def test_a_pixel_size_that_the_user_gives() -> None:
    source = layers.with_pixel_size(layers.read(Image(zeros(8, 9))), 0.1)
    assert source.image.pixel_size == {"Y": 0.1, "X": 0.1}
    assert source.image.status["X"] == "given"
    layer = Image(zeros(5, 8, 9), scale=(2, 108, 108), units=("min", "nm", "nm"))
    source = layers.with_pixel_size(layers.read(layer), {"T": 3, "Y": 120})
    assert source.image.units == {"T": "min", "Y": "nm", "X": "nm"}, "in the units that are shown"
    assert source.image.pixel_size == {"T": 3, "Y": 120, "X": 108}
    assert source.image.status == {"axes": "read", "T": "given", "Y": "given", "X": "read"}
    with pytest.raises(ImageError, match="positive"):
        layers.with_pixel_size(source, 0)


def test_what_napari_drops_of_an_ome_tiff_is_read_from_the_file(tmp_path: Path) -> None:
    data = np.arange(3 * 16 * 17, dtype=np.uint16).reshape(3, 16, 17)
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "TimeIncrement": 5, "SignificantBits": 12}
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata=metadata)
    layer = opened(tmp_path / "a.ome.tif")
    assert tuple(layer.scale) == (1, 1, 1)
    image, own = layers.read(layer).image, io.read(tmp_path / "a.ome.tif")
    assert image.axes == own.axes == "TYX"
    assert (image.pixel_size, image.units, image.status) == (own.pixel_size, own.units, own.status)
    assert image.bit_depth == own.bit_depth == 12
    assert layers.read(layer).from_file == set("TYX") | {"axes"}
    assert layers.read(layer, axes="ZYX").from_file == set("YX")
    layer.axis_labels, layer.units, layer.scale = "tyx", ("s", "um", "pixel"), (5, 0.2, 1)
    source = layers.read(layer)
    assert source.from_file == {"X"}
    assert [known(source, fact) for fact in ("axes", "Y", "X")] == ["from the layer", "from the layer", "from the file"]
    assert image.source == str(tmp_path / "a.ome.tif")


def test_a_scale_set_by_hand_beats_the_file_and_one_that_agrees_takes_its_unit(tmp_path: Path) -> None:
    metadata = {"axes": "YX", "PhysicalSizeX": 100, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 100}
    tifffile.imwrite(tmp_path / "a.ome.tif", zeros(16, 17), metadata=metadata)
    layer = opened(tmp_path / "a.ome.tif")
    layer.scale = (0.2, 100)
    image = layers.read(layer).image
    assert (image.pixel_size["Y"], image.status["Y"]) == (0.2, "assumed")
    assert (image.pixel_size["X"], image.units["X"], image.status["X"]) == (100, "nm", "read")


def test_a_file_that_says_nothing_about_its_axes_still_gives_its_pixel_size(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", zeros(7, 16, 17), metadata=None, resolution=(1e5, 1e5), resolutionunit="CENTIMETER"
    )
    image = layers.read(opened(tmp_path / "a.tif")).image
    assert (image.axes, image.status["axes"]) == ("ZYX", "assumed")
    assert image.pixel_size == pytest.approx({"Y": 0.1, "X": 0.1})


def test_a_file_that_holds_something_else_by_now_is_not_believed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", zeros(16, 17), metadata={"axes": "YX", "PhysicalSizeX": 0.1})
    layer = opened(tmp_path / "a.ome.tif")
    layer.data = zeros(8, 17)
    image = layers.read(layer).image
    assert image.pixel_size == {}
    assert image.source == f"napari layer {layer.name!r}"


def test_alpha_is_kept_aside() -> None:
    data = np.random.default_rng(0).integers(0, 255, (8, 9, 4), np.uint8)
    image = layers.read(Image(data, rgb=True)).load()
    np.testing.assert_array_equal(image.data, data[..., :3])
    np.testing.assert_array_equal(image.alpha, data[..., 3])


def watched(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[dask.array.Array, list[tuple[int, ...]]]:
    """A lazy array that remembers which chunks were read, by the place where they begin."""
    read: list[tuple[int, ...]] = []

    def block(block_info: Any = None) -> np.ndarray:
        place = block_info[None]["array-location"]
        read.append(tuple(start for start, _ in place))
        return np.zeros([stop - start for start, stop in place], np.float32)

    counts = tuple((step,) * (size // step) for size, step in zip(shape, chunks, strict=True))
    return dask.array.map_blocks(block, chunks=counts, dtype=np.float32, meta=np.zeros((0,) * len(shape), "f4")), read


def test_of_a_lazy_layer_only_the_region_is_read() -> None:
    data, read = watched((40, 1024, 1024), (1, 256, 256))
    layer = Image(data, contrast_limits=(0, 1), axis_labels=("t", "y", "x"))
    read.clear()
    source = layers.read(layer)
    part = source.cut({"T": (7, 8), "Y": (512, 600), "X": (0, 100)})
    assert read == []
    assert part.load().shape == (1, 88, 100)
    assert read == [(7, 512, 0)]


def test_a_lazy_series_lies_on_the_disk_and_is_never_whole_in_memory() -> None:
    data, read = watched((60, 256, 512), (1, 256, 512))  # 31 MB
    source = layers.read(Image(data, contrast_limits=(0, 1), axis_labels=("t", "y", "x")))
    read.clear()
    tracemalloc.start()
    image = source.load()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert on_disk(image.data)
    assert (image.shape, image.data.dtype) == ((60, 256, 512), np.float32)
    assert sorted(read) == [(number, 0, 0) for number in range(60)], "each once"
    assert peak < 15e6


def test_reading_a_lazy_series_can_be_ended() -> None:
    data, read = watched((60, 256, 512), (1, 256, 512))
    source = layers.read(Image(data, contrast_limits=(0, 1), axis_labels=("t", "y", "x")))
    read.clear()

    def look() -> None:
        if read:
            raise Dropped

    with pytest.raises(Dropped):
        source.load(look)
    assert 0 < len(read) < 20


def test_what_lies_in_a_file_already_is_not_read_into_memory(tmp_path: Path) -> None:
    file = np.memmap(tmp_path / "frames", np.uint8, "w+", shape=(5, 20, 20))
    file[2] = 7
    image = layers.read(Image(file, contrast_limits=(0, 255))).load()
    file[2] = 9
    assert on_disk(image.data)
    assert (image.data[2] == 7).all(), "pixels of its own"


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read() -> None:
    data, read = watched((4, 10**6, 10**6), (1, 10**5, 10**5))
    source = layers.LayerSource("huge", layers.Image(data, "TYX"), *look())
    with pytest.raises(ResourceError, match="Choose a region"):
        source.load()
    assert read == []


def test_pixels_that_cannot_be_read_are_one_error() -> None:
    def broken(block_info: Any = None) -> np.ndarray:
        raise KeyError("chunk 3 is missing")

    data = dask.array.map_blocks(broken, chunks=((8,), (8,)), dtype=np.float32, meta=np.zeros((0, 0), np.float32))
    source = layers.LayerSource("lost", layers.Image(data, "YX"), {}, {})
    with pytest.raises(ImageError, match=r"lost: its pixels cannot be read .*chunk 3"):
        source.load()


def test_of_a_multiscale_layer_the_finest_level_is_taken() -> None:
    full = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    layer = Image([full, full[::2, ::2], full[::4, ::4]], multiscale=True, scale=(0.1, 0.1), units=("um", "um"))
    source = layers.read(layer)
    np.testing.assert_array_equal(source.load().data, full)
    assert source.image.pixel_size == {"Y": 0.1, "X": 0.1}


def test_a_zarr_like_layer_is_not_read_as_a_whole() -> None:
    class Stored:
        """An array of another kind, that reads what is asked of it."""

        shape, dtype, ndim, size = (6, 32, 32), np.dtype(np.uint8), 3, 6 * 32 * 32
        pixels = 0

        def __getitem__(self, place: Any) -> np.ndarray:
            found = np.zeros(self.shape, np.uint8)[place]
            Stored.pixels += found.size
            return found

    source = layers.LayerSource("stored", layers.Image(pixels.lazy(Stored()), "TYX"), *look())
    assert Stored.pixels == 0
    part = source.cut({"T": (2, 3)})
    assert Stored.pixels == 0
    assert part.load().shape == (1, 32, 32)


def look() -> tuple[dict[str, Any], dict[str, Any]]:
    source = layers.read(Image(zeros(6, 32, 32)))
    return dict(source.geometry), dict(source.display)


def test_what_becomes_of_the_layer_does_not_change_the_source() -> None:
    layer = Image(np.ones((8, 9), np.float32), scale=(0.5, 0.5), units=("um", "um"), colormap="green")
    source = layers.read(layer)
    image = source.load()
    layer.data[:] = 5
    layer.scale, layer.colormap, layer.name = (3, 3), "red", "other"
    assert (image.data == 1).all()
    assert tuple(source.geometry["scale"]) == (0.5, 0.5)
    assert source.display["colormap"].name == "green"
    del layer
    assert source.name == "Image"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"scale": (2, 0.1, 0.2), "translate": (10, 20, 30)},
        {"scale": (2, 0.1, -0.2), "rotate": 30},
        {"scale": (2, 0.1, 0.2), "shear": [0.1, 0.2, 0.3], "affine": np.diag([1, 3, 2, 1])},
    ],
)
def test_a_region_lies_where_it_lies_in_the_layer(more: dict[str, Any]) -> None:
    layer = Image(zeros(6, 32, 40), axis_labels=("t", "y", "x"), **more)
    part = layers.read(layer).cut({"T": (2, 4), "X": (5, 25)}).cut({"T": (1, 2), "Y": (3, 9)})
    assert part.region == {"T": (3, 4), "X": (5, 25), "Y": (3, 9)}
    again = Image(zeros(1, 6, 20), **part.geometry)
    for point in ([0, 0, 0], [0, 5, 19]):
        np.testing.assert_allclose(again.data_to_world(point), layer.data_to_world(np.add(point, [3, 3, 5])))


def test_the_plane_that_the_viewer_shows() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(zeros(5, 3, 16, 17), scale=(2, 1, 0.1, 0.1), axis_labels=("t", "c", "y", "x"))
    source = layers.read(layer)
    viewer.dims.set_point(0, 6.2)
    viewer.dims.set_point(1, 2)
    assert layers.current_region(source, viewer.dims.point) == {"T": (3, 4), "C": (2, 3)}
    assert layers.current_region(source, (1e9, -1e9, 0, 0)) == {"T": (4, 5), "C": (0, 1)}


def test_places_in_other_units_than_the_layer_s_are_the_same_places() -> None:
    """A viewer counts in the smallest unit of all layers and axes."""
    viewer = ViewerModel()
    um, nm = ("µm", "nm", "nm"), ("nm", "nm", "nm")
    layer = viewer.add_image(zeros(9, 40, 50), scale=(0.2, 100, 100), units=um, axis_labels=("z", "y", "x"))
    source = layers.read(layer)
    viewer.dims.set_point(0, 1000)
    assert layers.current_region(source, viewer.dims.point, viewer.dims.units) == {"Z": (5, 6)}
    in_nm = viewer.add_shapes([np.array([[1000, 950, 450], [1000, 3050, 2050]])], shape_type="line", units=nm)
    assert layers.region_around(source, in_nm.data[0], in_nm.units) == {"Y": (10, 31), "X": (5, 21)}


def test_the_region_around_a_rectangle() -> None:
    layer = Image(zeros(5, 40, 50), scale=(1, 0.5, 0.5), translate=(0, 100, 0))
    source = layers.read(layer)
    corners = [layer.data_to_world([0, *corner])[1:] for corner in ((9.5, 4.5), (9.5, 20.5), (30.5, 20.5), (30.5, 4.5))]
    assert layers.region_around(source, np.array(corners)) == {"Y": (10, 31), "X": (5, 21)}
    assert layers.region_around(source, np.array([[0, -5], [1000, 5]]))["X"] == (0, 10)
    with pytest.raises(ImageError, match="outside"):
        layers.region_around(source, np.array([[0, -5], [50, 5]]))
