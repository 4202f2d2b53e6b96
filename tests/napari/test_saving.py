"""Saved and reopened: pixel size, units, axes and report come back; pipelines too."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.utils import Colormap
from napari.utils.colormaps import AVAILABLE_COLORMAPS

import unblur
from napari_deblur import layers, looks, opening, results, saving
from tests.napari.restoring import PLACED, PSF, added, layer_of, restored, uncertain
from unblur import io
from unblur.errors import FileError, ImageError, ParameterError, UnblurError
from unblur.io.scratch import on_disk
from unblur.kernel_grid import KernelGrid


def reopened(path: Path) -> Image:
    """A layer as the reader of the manifest makes it."""
    read = opening.get_reader(str(path))
    assert read is not None
    [data] = read(str(path))
    layer = Layer.create(*data)
    assert isinstance(layer, Image)
    return layer


def shown_looks(result: unblur.Result, source: layers.LayerSource) -> dict[str, Any]:
    """Those of the layers that a viewer is given."""
    return looks.of_layers(added(ViewerModel(), result, source))


@pytest.mark.parametrize("axes", PLACED)
def test_a_saved_result_opens_with_scale_units_and_report(tmp_path: Path, axes: str) -> None:
    layer = layer_of(axes)
    source = layers.read(layer)
    result = restored(source)
    written, _ = saving.save(result, tmp_path / "out.ome.tif")
    assert [path.name for path in written] == ["out.ome.tif", "out.kernel.ome.tif"]
    again = reopened(written[0])
    shown = Layer.create(*results.layers(result, source)[0])
    np.testing.assert_array_equal(again.data, shown.data)
    assert again.rgb == layer.rgb
    if axes != "YXS":  # whose pixels have no unit, so that no scale is known
        np.testing.assert_allclose(again.scale, layer.scale)
        assert again.units == layer.units
    assert [label.upper() for label in again.axis_labels] == list(source.placed_axes)
    assert again.metadata["unblur"]["report"]["fingerprint"] == result.report["fingerprint"]
    facts = layers.read(again)
    assert facts.axes == axes
    known = {axis for axis in source.image.pixel_size if axis in axes}
    assert known == set(facts.image.pixel_size)
    assert json.loads((tmp_path / "out.ome.tif.json").read_text())["status"] == "done"


@pytest.mark.parametrize("axes", PLACED)
def test_every_output_comes_back_where_it_lay_and_as_it_looked(tmp_path: Path, axes: str) -> None:
    layer = layer_of(axes, translate=[7.5, -2, 3, 1][: len(axes.replace("S", ""))])
    source = layers.read(layer)
    result = restored(source)
    spread = np.abs(result.image) + np.linspace(0, 1, result.image.shape[-2]).reshape(-1, 1)
    result = uncertain(result, spread)
    shown = added(ViewerModel(), result, source)
    written, _ = saving.save(result, tmp_path / "out.ome.tif", viewed=looks.of_layers(shown))
    assert len(written) == 3
    for path, before in zip(written, (shown[0], shown[2], shown[1]), strict=True):
        again = reopened(path)
        assert again.data.shape == before.data.shape, path
        assert again.contrast_limits == before.contrast_limits, path
        assert again.gamma == before.gamma
        assert again.rgb == before.rgb
        if not again.rgb:
            assert again.colormap.name == before.colormap.name
        for name in ("scale", "translate", "rotate", "shear"):
            np.testing.assert_allclose(getattr(again, name), getattr(before, name), err_msg=f"{path} {name}")
        assert again.units == before.units
        assert again.axis_labels == before.axis_labels


def test_a_turned_layer_comes_back_turned(tmp_path: Path) -> None:
    layer = layer_of("YX", rotate=30, affine=[[0, 2, 1], [-2, 0, 3], [0, 0, 1]])
    source = layers.read(layer)
    result = restored(source)
    written, _ = saving.save(result, tmp_path / "out.ome.tif", viewed=shown_looks(result, source))
    np.testing.assert_allclose(reopened(written[0]).data_to_world([3, 4]), layer.data_to_world([3, 4]))


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"scale": [0.5, 0.5]}, True),
        ({"axes": "XY"}, True),
        ({"translate": "far"}, False),
        ({"contrast_limits": [1]}, False),
    ],
)
def test_looks_that_do_not_fit_the_file_are_left_out(tmp_path: Path, changes: dict[str, Any], left: bool) -> None:
    source = layers.read(layer_of("YX"))
    result = restored(source)
    written, _ = saving.save(result, tmp_path / "out.ome.tif", viewed=shown_looks(result, source))
    path = io.report_path(written[0])
    report = json.loads(path.read_text())
    report["viewer"]["restored"] |= changes
    path.write_text(json.dumps(report))
    again = reopened(written[0])
    np.testing.assert_allclose(again.scale, (0.2, 0.1))
    np.testing.assert_array_equal(again.translate, (0, 0))
    assert (again.contrast_limits == [10, 180]) == left


def test_a_colormap_that_is_not_there_costs_nothing_else(tmp_path: Path) -> None:
    source = layers.read(layer_of("YX"))
    result = restored(source)
    written, _ = saving.save(result, tmp_path / "out.ome.tif", viewed=shown_looks(result, source))
    path = io.report_path(written[0])
    report = json.loads(path.read_text())
    report["viewer"]["restored"] |= {"colormap": "no such map"}
    path.write_text(json.dumps(report))
    again = reopened(written[0])
    np.testing.assert_array_equal(again.translate, source.geometry["translate"])
    assert again.contrast_limits == [10, 180]


def test_a_colormap_of_ones_own_comes_back_in_another_session(tmp_path: Path) -> None:
    own = Colormap([[0, 0, 0], [0.2, 0.9, 0.4]], name="my dye")
    source = layers.read(layer_of("YX", colormap=own))
    result = restored(source)
    written, _ = saving.save(result, tmp_path / "out.ome.tif", viewed=shown_looks(result, source))
    AVAILABLE_COLORMAPS.pop("my dye")  # as in another session
    again = reopened(written[0])
    assert again.colormap.name == "my dye"
    np.testing.assert_allclose(again.colormap.colors, own.colors)
    np.testing.assert_array_equal(again.translate, source.geometry["translate"])


@pytest.mark.parametrize("status", ["calibrated", "uncalibrated"])
def test_a_reopened_uncertainty_says_how_far_it_is_to_be_trusted(tmp_path: Path, status: str) -> None:
    source = layers.read(layer_of("YX"))
    result = restored(source)
    result = uncertain(result, np.abs(result.image), status)
    saving.save(result, tmp_path / "my.cells.ome.tif")
    assert reopened(tmp_path / "my.cells.uncertainty.ome.tif").name == f"my.cells uncertainty, {status}"


def test_names_of_a_batch() -> None:
    folder = Path("out")
    paths = saving.batch_paths(["a.tif", "b/c", "x/a.ome.tif", "a"], folder)
    assert [path.name for path in paths] == [
        "a-deblurred.ome.tif",
        "b_c-deblurred.ome.tif",
        "x_a-deblurred.ome.tif",
        "a-deblurred-2.ome.tif",
    ]
    assert saving.batch_paths(["a"], folder, "sharp {name} 1") == [folder / "sharp a 1.ome.tif"]
    for pattern in ("", "a/b", "{nam}", "x.tif", "{name"):
        with pytest.raises(ParameterError, match="expected a file's name"):
            saving.batch_paths(["a"], folder, pattern)


def test_uncertainty_and_kernel_lie_beside_the_image(tmp_path: Path) -> None:
    source = layers.read(layer_of("YX"))
    result = restored(source, method="unsupervised-wiener")
    written, _ = saving.save(result, tmp_path / "out")
    assert [path.name for path in written] == ["out.ome.tif", "out.kernel.ome.tif", "out.uncertainty.ome.tif"]
    for path in written:
        np.testing.assert_allclose(reopened(path).scale, (0.2, 0.1))
    written, _ = saving.save(result, tmp_path / "bare.tif", kernel=False, uncertainty=False)
    assert [path.name for path in written] == ["bare.tif"]


def test_a_grid_of_kernels_is_saved_with_the_places_where_they_hold(tmp_path: Path) -> None:
    result = restored(layers.read(layer_of("YX")))
    kernels = np.random.default_rng(0).random((6, 3, 5)).astype(np.float32)
    result = dataclasses.replace(result, kernel=kernels, kernel_axes="TYX", kernel_grid=KernelGrid((2, 3)))
    written, _ = saving.save(result, tmp_path / "out")
    assert [path.name for path in written] == ["out.ome.tif", "out.kernels.npz"]
    arrays = np.load(written[1])
    np.testing.assert_array_equal(arrays["kernels"], kernels.reshape(2, 3, 3, 5))
    assert arrays["centres"].shape == (2, 3, 2)


def test_the_image_that_was_restored_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    io.write(path, layers.read(layer_of("YX")).load())
    result = unblur.deblur(io.read(path), method="wiener", psf=np.ones((3, 3), np.float32) / 9)
    with pytest.raises(FileError, match="is an input of this run"):
        saving.save(result, path)


def test_the_name_that_is_suggested_is_free(tmp_path: Path) -> None:
    source = layers.read(layer_of("YX", name="a/b: c"))
    assert saving.suggested_path(source, tmp_path).name == "a_b_ c-deblurred.ome.tif"
    (tmp_path / "a_b_ c-deblurred.ome.tif").touch()
    assert saving.suggested_path(source, tmp_path).name == "a_b_ c-deblurred-2.ome.tif"
    (tmp_path / "cells.v1.ome.tif").touch()
    image = dataclasses.replace(source.image, source=str(tmp_path / "cells.v1.ome.tif"))
    assert saving.suggested_path(dataclasses.replace(source, image=image)) == tmp_path / "cells.v1-deblurred.ome.tif"


@pytest.mark.parametrize("axes", PLACED)
def test_napari_can_save_layers_with_their_pixel_size(tmp_path: Path, axes: str) -> None:
    layer = layer_of(axes)
    data, attributes, _ = layer.as_layer_data_tuple()
    path = str(tmp_path / "layer.ome.tif")
    assert saving.write_image(path, data, attributes) == [path]
    again = reopened(Path(path))
    np.testing.assert_array_equal(again.data, layer.data)
    if axes != "YXS":
        np.testing.assert_allclose(again.scale, layer.scale)
        assert again.units == layer.units


def test_napari_saves_a_result_with_its_report_and_axes(tmp_path: Path) -> None:
    layer = layer_of("CYX", axis_labels=("-3", "-2", "-1"))
    source = layers.read(layer, axes="CYX")
    result = restored(source)
    shown = Layer.create(*results.layers(result, source)[0])
    saving.write_image(str(tmp_path / "a.ome.tif"), *shown.as_layer_data_tuple()[:2])
    assert io.read(tmp_path / "a.ome.tif").axes == "CYX"
    assert json.loads((tmp_path / "a.ome.tif.json").read_text())["fingerprint"] == result.report["fingerprint"]
    assert reopened(tmp_path / "a.ome.tif").metadata["unblur"]["report"]["method"] == "richardson-lucy"


def test_napari_saves_a_layer_with_what_its_file_alone_says(tmp_path: Path, shared_viewer: Any) -> None:
    """Which napari's own reader has left out, and does not hand to the writer."""
    path = tmp_path / "series.ome.tif"
    sizes = {"Y": 0.1, "X": 0.1}
    io.write(path, unblur.Image(np.ones((3, 8, 9), np.float32), "TYX", sizes, {"Y": "µm", "X": "µm"}))
    [layer] = shared_viewer.open(path, plugin="napari")
    saving.write_image(str(tmp_path / "a.ome.tif"), *layer.as_layer_data_tuple()[:2])
    again = io.read(tmp_path / "a.ome.tif")
    assert again.axes == "TYX"
    assert again.pixel_size == pytest.approx(sizes)


def test_colours_come_back_as_bright_as_they_were_whatever_is_white(tmp_path: Path) -> None:
    colours = unblur.Image(np.full((24, 25, 3), 120, np.uint8), "YXS").with_white_level(250.0)
    colours.data[8:16, 8:16] = 40
    result = unblur.deblur(colours, method="richardson-lucy", psf=np.ones((3, 3)) / 9, threads=1)
    result.save(tmp_path / "a.ome.tif", dtype="float32")
    again = reopened(tmp_path / "a.ome.tif")
    assert again.data.dtype == np.uint8
    assert abs(float(np.median(again.data)) - 120) < 3


def test_a_layer_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    layer = Image(np.ones((4, 5), np.int64))
    with pytest.raises(FileError, match="cannot write int64"):
        saving.write_image(str(tmp_path / "a.ome.tif"), *layer.as_layer_data_tuple()[:2])
    assert not (tmp_path / "a.ome.tif").exists()


def test_other_files_are_left_to_other_readers(tmp_path: Path) -> None:
    (tmp_path / "a.ome.tif").write_text("no image")
    assert opening.get_reader(str(tmp_path / "a.ome.tif")) is None
    assert opening.get_reader(str(tmp_path / "nothing.ome.tif")) is None
    assert opening.get_reader([str(tmp_path / "a.ome.tif")]) is None


def test_units_that_napari_does_not_know_become_pixels(tmp_path: Path) -> None:
    image = layers.read(layer_of("YX")).load()
    odd = dataclasses.replace(image, units={"Y": "reference frame", "X": "µm"})
    placed = opening.placed(odd)
    assert placed["units"] == ["pixel", "µm"]
    Image(image.data, **placed)


def test_pipelines_come_back_as_they_were(tmp_path: Path) -> None:
    registry = unblur.default_registry()
    pipeline = registry.method("selfdeblur").pipeline().set({"estimator.kernel_rate": 1e-6, "stages.0.steps": 20000})
    path = saving.save_pipeline(pipeline, tmp_path / "mine")
    assert path.name == "mine.toml"
    assert saving.load_pipeline(path, registry) == pipeline


def test_pipelines_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    registry = unblur.default_registry()
    (tmp_path / "a.toml").write_text("forward_model = 3")
    with pytest.raises(FileError, match=r"a\.toml"):
        saving.load_pipeline(tmp_path / "a.toml", registry)
    pipeline = registry.method("wiener").pipeline()
    saving.save_pipeline(pipeline.set({"image_prior": "magic"}), tmp_path / "b.toml")
    with pytest.raises(UnblurError, match="magic"):
        saving.load_pipeline(tmp_path / "b.toml", registry)
    with pytest.raises(FileError):
        saving.save_pipeline(pipeline, tmp_path / "nowhere" / "c.toml")


def test_a_result_is_not_saved_half(tmp_path: Path) -> None:
    result = restored(layers.read(layer_of("TYX")))
    folder = tmp_path / "results"
    folder.mkdir()
    with pytest.raises(FileError, match="PNG holds one plane"):
        saving.save(result, folder / "series.png")
    with pytest.raises((FileError, ImageError), match="complex64"):
        saving.save(result, folder / "a.ome.tif", dtype="complex64")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["frames.mkv", "FRAMES.MP4"])
def test_a_video_is_opened_with_its_frames_on_the_disk(plugin: None, tmp_path: Path, name: str) -> None:
    pytest.importorskip("av")
    frames = np.random.default_rng(0).integers(0, 255, (6, 32, 48), np.uint8)
    made = tmp_path / name.lower()
    io.write(made, unblur.Image.from_array(frames, "TYX", {"T": 0.1}), dtype="uint8")
    made.rename(tmp_path / name)
    [layer] = ViewerModel().open(tmp_path / name, plugin="napari-deblur")
    source = layers.read(layer)
    assert source.axes == ("TYX" if name.endswith("mkv") else "TYXS")
    assert source.image.pixel_size["T"] == pytest.approx(0.1)
    assert on_disk(layer.data)
    assert on_disk(source.load().data)
    if name.endswith("mkv"):
        np.testing.assert_array_equal(layer.data, frames)


def test_a_saved_plane_comes_back_where_it_lay_in_its_stack(tmp_path: Path) -> None:
    layer = layer_of("TYX")
    part = layers.read(layer).cut({"T": (2, 3), "Y": (4, 20)})
    result = restored(part)
    before = [Layer.create(*data) for data in results.layers(result, part)]
    saving.save(result, tmp_path / "a.ome.tif", viewed=looks.of_layers(before))
    again = Layer.create(*opening.read_layers(str(tmp_path / "a.ome.tif"))[0])
    assert again.data.shape == before[0].data.shape == (1, 16, 24)
    np.testing.assert_allclose(again.data_to_world((0, 0, 0)), before[0].data_to_world((0, 0, 0)))
    assert again.units == before[0].units


def test_axes_that_were_written_come_back_from_files(tmp_path: Path) -> None:
    source = layers.read(layer_of("ZYX"), axes="TYX")
    result = restored(source, psf=PSF, psf_axes="YX")
    shown = [Layer.create(*data) for data in results.layers(result, source)]
    saving.save(result, tmp_path / "a.ome.tif", viewed=looks.of_layers(shown))
    again = Layer.create(*opening.read_layers(str(tmp_path / "a.ome.tif"))[0])
    assert layers.read(again).axes == "TYX"
