"""From results to layers: they lie where the image lies, in its units and looks, and say where they come from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

import unblur
from napari_deblur import layers, results
from napari_deblur.live import Live
from napari_deblur.widget import Deblur
from napari_deblur.worker import Preview
from tests.napari.restoring import PLACED, PSF, STEPS, added, layer_of, restored, uncertain
from unblur.errors import ParameterError
from unblur.kernel_grid import KernelGrid

LOOKS = ("colormap", "contrast_limits", "gamma", "blending")


def made(result: unblur.Result, source: layers.LayerSource) -> list[Image]:
    return [Layer.create(*data) for data in results.layers(result, source)]


def looked_at(live: Live, preview: Preview) -> None:
    """As often as it takes until it is shown."""
    while not live.show(preview):
        pass


def corner(layer: Image, *more: float) -> np.ndarray:
    """Where the upper left pixel lies, or the one at these last coordinates."""
    point = [0.0] * (layer.ndim - len(more)) + list(more)
    return np.asarray(layer.data_to_world(point))


@pytest.mark.parametrize("axes", PLACED)
def test_outputs_lie_on_the_input_in_its_units_and_looks(axes: str) -> None:
    layer = layer_of(axes)
    source = layers.read(layer)
    assert source.axes == axes
    result = restored(source)
    image, kernel = made(result, source)
    assert image.data.shape == layer.data.shape
    assert image.rgb == layer.rgb
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_array_equal(getattr(image, name), getattr(layer, name))
    assert image.units == layer.units
    assert image.axis_labels == layer.axis_labels
    for name in LOOKS:
        assert getattr(image, name) == getattr(layer, name)
    if layer.rgb:
        np.testing.assert_array_equal(image.data, np.clip(np.rint(result.image), 0, 255))
    else:
        np.testing.assert_array_equal(image.data, result.image)
    assert image.metadata["unblur"]["report"]["status"] == "done"
    assert image.name == "cells [richardson-lucy]"

    count = kernel.ndim
    np.testing.assert_array_equal(kernel.scale, layer.scale[-count:])
    assert kernel.units == layer.units[-count:]
    right = corner(layer, layer.data.shape[axes.index("X")] - 1)[-1]
    assert corner(kernel)[-1] > right
    np.testing.assert_allclose(corner(kernel)[-2], corner(layer)[-2])
    np.testing.assert_allclose(kernel.data, np.broadcast_to(result.kernel, kernel.data.shape))


@pytest.mark.parametrize(("blending", "shown"), [("additive", "translucent_no_depth"), ("opaque", "opaque")])
def test_a_restored_plane_covers_the_series_that_stays_visible(blending: str, shown: str) -> None:
    source = layers.read(layer_of("TYX", blending=blending))
    plane = source.cut({"T": (1, 2)})
    assert made(restored(plane), plane)[0].blending == shown
    assert made(restored(source), source)[0].blending == blending


def test_restored_channels_show_their_own_kernels() -> None:
    layer = layer_of("TCYX")
    source = layers.read(layer)
    psfs = np.stack([PSF, np.eye(3, dtype=np.float32) / 3])
    kernel = made(restored(source, psf=psfs, psf_axes="CYX"), source)[1]
    viewer = ViewerModel()
    viewer.add_layer(layer)
    viewer.add_layer(kernel)
    for channel, psf in enumerate(psfs):
        for time in range(3):
            viewer.dims.set_current_step((0, 1), (time, channel))
            np.testing.assert_allclose(np.asarray(kernel._slice.image.raw), psf, rtol=1e-6)


def test_one_kernel_for_a_series_is_shown_at_every_time() -> None:
    source = layers.read(layer_of("TYX"))
    result = restored(source)
    result = dataclasses.replace(result, kernel=PSF, kernel_axes="YX")
    kernel = made(result, source)[1]
    assert kernel.data.shape == (3, 3)
    np.testing.assert_array_equal(kernel.scale, (0.2, 0.1))


def test_kernels_follow_axes_in_another_order() -> None:
    data = np.random.default_rng(0).integers(20, 200, (20, 24, 3)).astype(np.uint16)
    layer = Image(data, axis_labels=("y", "x", "t"), scale=(0.1, 0.1, 5))
    source = layers.read(layer)
    image, kernel = made(restored(source), source)
    assert image.data.shape == (20, 24, 3)
    assert kernel.data.shape == (3, 3, 3)
    np.testing.assert_allclose(kernel.data[:, :, 1], PSF, rtol=1e-6)
    assert corner(kernel)[1] > corner(layer, 23, 0)[1]


@pytest.mark.parametrize("turn", [{"rotate": 40}, {"affine": [[0, 2, 1], [-2, 0, 3], [0, 0, 1]]}, {"shear": [0.4]}])
def test_the_kernel_stands_beside_images_that_are_turned(turn: dict[str, Any]) -> None:
    layer = layer_of("YX", **turn)
    source = layers.read(layer)
    kernel = made(restored(source), source)[1]
    gap = layer.world_to_data(kernel.data_to_world([0, 0]))
    np.testing.assert_allclose(gap, (0, 25), atol=1e-9)
    step = layer.world_to_data(kernel.data_to_world([1, 1]))
    np.testing.assert_allclose(np.subtract(step, gap), (1, 1), atol=1e-9)


def test_what_is_restored_of_a_region_lies_on_it() -> None:
    layer = layer_of("TYX")
    source = layers.read(layer).cut({"T": (1, 2), "Y": (4, 16), "X": (2, 18)})
    image = made(restored(source), source)[0]
    assert image.data.shape == (1, 12, 16)
    np.testing.assert_allclose(corner(image), layer.data_to_world([1, 4, 2]))
    assert image.metadata["unblur"]["region"] == {"T": (1, 2), "Y": (4, 16), "X": (2, 18)}


def test_the_kernel_of_a_region_stands_beside_the_whole_image() -> None:
    layer = layer_of("TYX")
    source = layers.read(layer).cut({"Y": (4, 16)}).cut({"X": (2, 18)}).cut({"X": (1, 13)})
    assert source.whole == {"T": 3, "Y": 20, "X": 24}
    kernel = made(restored(source), source)[1]
    np.testing.assert_allclose(corner(kernel), layer.data_to_world([0, 4, 25])[1:])


def test_the_uncertainty_lies_on_the_image_and_is_hidden_at_first() -> None:
    layer = layer_of("YX")
    source = layers.read(layer)
    result = restored(source, method="unsupervised-wiener")
    image, spread, _ = made(result, source)
    assert spread.name == "cells [unsupervised-wiener] uncertainty, uncalibrated"
    assert not spread.visible
    np.testing.assert_array_equal(spread.data, result.uncertainty)
    np.testing.assert_array_equal(spread.scale, image.scale)
    assert spread.units == image.units
    assert spread.contrast_limits[0] == 0
    assert 0 < spread.contrast_limits[1] <= result.uncertainty.max()


def test_the_uncertainty_of_colours_has_one_value_a_pixel() -> None:
    source = layers.read(layer_of("YXS"))
    result = restored(source)
    result = uncertain(result, np.full(result.image.shape, 2), "calibrated")
    spread = made(result, source)[1]
    assert spread.name.endswith("uncertainty, calibrated")
    assert spread.data.shape == (20, 24)
    np.testing.assert_allclose(spread.data, 2)


def test_colours_keep_their_alpha() -> None:
    data = np.random.default_rng(0).integers(20, 200, (20, 24, 4)).astype(np.uint8)
    source = layers.read(Image(data, rgb=True))
    image = made(restored(source), source)[0]
    assert image.data.dtype == np.uint8
    np.testing.assert_array_equal(image.data[..., 3], data[..., 3])


def test_kernels_of_different_places_stand_in_a_grid() -> None:
    source = layers.read(layer_of("YX"))
    result = restored(source)
    kernels = np.random.default_rng(0).random((6, 3, 5)).astype(np.float32)
    result = dataclasses.replace(result, kernel=kernels, kernel_axes="TYX")
    kernel = made(result, source)[1]
    assert kernel.name.endswith("kernels")
    assert kernel.metadata["unblur"]["grid"] == (2, 3)
    assert kernel.data.shape == (2 * 4 - 1, 3 * 6 - 1)
    np.testing.assert_array_equal(kernel.scale, (0.2, 0.1))
    for number, one in enumerate(kernels):
        row, column = divmod(number, 3)
        np.testing.assert_array_equal(kernel.data[4 * row : 4 * row + 3, 6 * column : 6 * column + 5], one)


def test_kernels_of_a_grid_stand_as_the_grid_says() -> None:
    source = layers.read(layer_of("TCYX"))
    result = restored(source)
    kernels = np.random.default_rng(0).random((3, 2, 8, 3, 5)).astype(np.float32)
    result = dataclasses.replace(result, kernel=kernels, kernel_axes="TCYX", kernel_grid=KernelGrid((2, 4)))
    kernel = made(result, source)[1]
    assert kernel.data.shape == (3, 2, 2 * 4 - 1, 4 * 6 - 1)
    np.testing.assert_array_equal(kernel.data[2, 1, 4:7, 12:17], kernels[2, 1, 6])
    assert kernel.metadata["unblur"]["grid"] == (2, 4)


def test_kernels_of_a_grid_in_a_volume_stand_behind_each_other_too() -> None:
    source = layers.read(layer_of("ZYX"))
    result = restored(source)
    kernels = np.random.default_rng(0).random((8, 3, 3, 3)).astype(np.float32)
    grid = KernelGrid((2, 2, 2))
    kernel = made(dataclasses.replace(result, kernel=kernels, kernel_axes="TZYX", kernel_grid=grid), source)[1]
    assert kernel.data.shape == (7, 7, 7)
    np.testing.assert_array_equal(kernel.data[4:, :3, 4:], kernels[5])


def test_planes_that_failed_are_not_in_the_way_of_the_others() -> None:
    source = layers.read(layer_of("TYX"))
    result = restored(source)
    image, kernel = result.image.copy(), np.stack([PSF, PSF * np.nan, PSF])
    image[1] = np.nan
    shown = made(dataclasses.replace(result, image=image, kernel=kernel, kernel_axes="TYX"), source)
    assert shown[0].contrast_limits == [10, 180]
    assert shown[1].contrast_limits == [0, PSF.max()]


def test_a_restored_layer_can_be_restored_again_with_all_that_is_known() -> None:
    layer = layer_of("CYX", axis_labels=("-3", "-2", "-1"))
    first = layers.with_pixel_size(layers.read(layer, axes="CYX"), {"Y": 0.3, "X": 0.3})
    again = layers.read(made(restored(first), first)[0])
    assert again.axes == "CYX"
    assert again.image.status["axes"] == "given"
    assert again.image.pixel_size == pytest.approx({"Y": 0.2, "X": 0.1}), "the layer's own units say so"
    bare = layer_of("CYX", axis_labels=("-3", "-2", "-1"), scale=(1, 1, 1), units=("pixel",) * 3)
    first = layers.with_pixel_size(layers.read(bare, axes="CYX"), {"Y": 0.3, "X": 0.3})
    again = layers.read(made(restored(first), first)[0])
    assert again.image.pixel_size == {"Y": 0.3, "X": 0.3}
    assert again.image.status["X"] == "given"


def test_the_kernel_layer_can_be_used_as_a_psf() -> None:
    source = layers.read(layer_of("YX"))
    result = restored(source)
    psf = layers.read(made(result, source)[1]).load()
    assert psf.pixel_size == source.image.pixel_size
    again = unblur.deblur(source.load(), method="richardson-lucy", psf=psf, settings=STEPS, threads=1)
    np.testing.assert_array_equal(again.image, result.image)


@pytest.mark.parametrize("places", ["planes", "grid"])
def test_a_layer_with_kernels_of_several_planes_or_places_is_no_psf(dock: Deblur, places: str) -> None:
    layer = layer_of("ZYX")
    source = layers.read(layer, axes="ZYX")
    result = restored(source, planes="independent", psf=PSF, psf_axes="YX")
    several: dict[str, Any] = {"kernel": np.stack([PSF] * 5), "kernel_axes": "ZYX"}
    grid: dict[str, Any] = {"kernel": np.stack([PSF] * 2), "kernel_axes": "KYX", "kernel_grid": KernelGrid((1, 2))}
    result = dataclasses.replace(result, **(several if places == "planes" else grid))
    dock.viewer.add_layer(made(result, source)[1])
    dock.blur_part.set_mode("layer")
    dock.blur_part.layer_box.value = dock.viewer.layers[-1]
    assert not dock.blur_part.deep
    with pytest.raises(ParameterError, match="kernels of several planes or places"):
        dock.blur_part.arguments()


def test_results_shown_in_a_viewer() -> None:
    viewer = ViewerModel()
    layer = layer_of("YX")
    viewer.add_layer(layer)
    source = layers.read(layer)
    result = restored(source)
    result.image[0, 0] = 5000
    image, _ = added(viewer, result, source)
    assert [one.name for one in viewer.layers] == ["cells", "cells [richardson-lucy]", "cells [richardson-lucy] kernel"]
    assert not layer.visible
    assert viewer.layers.selection == {image}
    assert image.contrast_limits == [10, 180]
    assert image.contrast_limits_range[1] == 5000


def test_a_region_shown_in_a_viewer_leaves_the_image_around_it_visible() -> None:
    viewer = ViewerModel()
    layer = layer_of("YX")
    viewer.add_layer(layer)
    source = layers.read(layer).cut({"Y": (0, 16)})
    added(viewer, restored(source), source)
    assert layer.visible


def test_results_of_a_layer_that_is_gone_are_shown() -> None:
    viewer = ViewerModel()
    layer = layer_of("YX")
    viewer.add_layer(layer)
    source = layers.read(layer)
    result = restored(source)
    viewer.layers.remove(layer)
    del layer
    assert len(added(viewer, result, source)) == 2


def test_a_layer_that_is_removed_while_the_others_are_added_does_no_harm() -> None:
    viewer = ViewerModel()
    layer = layer_of("YX")
    viewer.add_layer(layer)
    source = layers.read(layer)
    turns = results.show(viewer, restored(source), source)
    while len(viewer.layers) == 1:
        next(turns)
    viewer.layers.remove(viewer.layers[1])
    for _ in turns:
        pass
    assert [one.name for one in viewer.layers] == ["cells", "cells [richardson-lucy] kernel"]


@pytest.mark.parametrize("axes", ["YX", "YXS", "TYX"])
def test_a_live_preview_becomes_the_restored_layer(axes: str) -> None:
    viewer = ViewerModel()
    layer = layer_of(axes)
    viewer.add_layer(layer)
    source = layers.read(layer)
    live = Live(viewer, source)
    channels = 3 if axes == "YXS" else 1
    looked_at(live, Preview(np.zeros((channels, 20, 24), np.float32), {"T": 1} if axes == "TYX" else {}))
    stand_in = live.layer
    assert stand_in is not None
    result = restored(source)
    for _ in results.show(viewer, result, source, stand_in=stand_in):
        pass
    live.remove()
    assert [one.name for one in viewer.layers] == ["cells", "cells [richardson-lucy]", "cells [richardson-lucy] kernel"]
    assert viewer.layers[1] is stand_in
    afresh = added(ViewerModel(), result, source)[0]
    assert isinstance(afresh, Image)
    np.testing.assert_array_equal(stand_in.data, afresh.data)
    assert stand_in.metadata == afresh.metadata
    ours, theirs = layers.read(stand_in), layers.read(afresh)
    for name in layers.GEOMETRY:
        np.testing.assert_array_equal(ours.geometry[name], theirs.geometry[name], err_msg=name)
    for name in layers.DISPLAY:
        np.testing.assert_array_equal(ours.display[name], theirs.display[name], err_msg=name)
    assert stand_in.contrast_limits_range == afresh.contrast_limits_range
    assert stand_in.visible == afresh.visible


def test_before_and_after_are_shown_in_turn() -> None:
    viewer = ViewerModel()
    before, after = viewer.add_image(np.zeros((4, 4))), viewer.add_image(np.ones((4, 4)))
    assert results.switch(viewer, before, after) == "before"
    assert (before.visible, after.visible) == (True, False)
    assert results.switch(viewer, before, after) == "after"
    assert (before.visible, after.visible) == (False, True)
    viewer.layers.remove(after)
    assert results.switch(viewer, before, after) is None
    assert before.visible
    assert results.switch(viewer, None, None) is None


def test_live_previews_in_colour_are_shown_as_colours() -> None:
    viewer = ViewerModel()
    source = layers.read(layer_of("YXS"))
    estimate = np.moveaxis(source.load().data, -1, 0).astype(np.float32) + 0.3
    live = Live(viewer, source)
    looked_at(live, Preview(estimate, {}))
    [shown] = viewer.layers
    np.testing.assert_array_equal(shown.data, source.load().data)
    assert shown.data.dtype == np.uint8
    live.remove()
    assert not viewer.layers


def test_live_previews_of_a_window_lie_in_it() -> None:
    viewer = ViewerModel()
    layer = layer_of("TYX")
    part = layers.read(layer).cut({"Y": (2, 18)})
    live = Live(viewer, part)
    looked_at(live, Preview(np.zeros((1, 6, 7), np.float32), {"T": 2}, start=(3, 4)))
    [shown] = viewer.layers
    assert shown.data.shape == (1, 6, 7)
    np.testing.assert_allclose(shown.data_to_world([0, 0, 0]), layer.data_to_world([2, 5, 4]))
    live.show(Preview(np.zeros((1, 16, 24), np.float32), {"T": 0}))
    np.testing.assert_allclose(shown.data_to_world([0, 0, 0]), layer.data_to_world([0, 2, 0]))


def test_live_previews_lie_at_the_plane_that_is_worked_on() -> None:
    viewer = ViewerModel()
    layer = layer_of("TCYX", rotate=np.eye(4)[[0, 1, 3, 2]])
    live = Live(viewer, layers.read(layer).cut({"T": (1, 3)}))
    looked_at(live, Preview(np.zeros((1, 20, 24), np.float32), {"T": 1, "C": 1}))
    [shown] = viewer.layers
    assert shown.data.shape == (1, 1, 20, 24)
    for corner in ([0, 0], [19, 23]):
        np.testing.assert_allclose(shown.data_to_world([0, 0, *corner]), layer.data_to_world([2, 1, *corner]))


def test_axes_that_were_written_come_back_from_results() -> None:
    source = layers.read(layer_of("ZYX"), axes="TYX")
    result = restored(source, psf=PSF, psf_axes="YX")
    for layer in made(dataclasses.replace(result, kernel=np.stack([PSF] * 5), kernel_axes="TYX"), source):
        assert layers.read(layer).axes == "TYX"
        assert layer.axis_labels == ("t", "y", "x")


def test_a_kernel_that_is_repeated_for_the_viewer_is_one_psf(dock: Deblur) -> None:
    shape = (2, 5, 20, 24)
    source = layers.read(Image(np.random.default_rng(0).random(shape), axis_labels=("c", "z", "y", "x")))
    result = restored(source, planes="independent", psf=np.stack([PSF, PSF.T**2]), psf_axes="CYX")
    shown = made(result, source)[1]
    assert shown.data.shape[:2] == (2, 5)
    dock.viewer.add_layer(shown)
    dock.blur_part.set_mode("layer")
    dock.blur_part.layer_box.value = dock.viewer.layers[-1]
    assert not dock.blur_part.deep
    psf = dock.blur_part.arguments()["psf"]
    assert psf.axes == "CYX"
    np.testing.assert_array_equal(psf.data, result.kernel)


def test_motion_is_shown_where_axes_have_a_size_of_one() -> None:
    frames = np.random.default_rng(0).random((2, 1, 1, 20, 24), dtype=np.float32)
    source = layers.read(Image(frames, axis_labels=list("tczyx")))
    plain = restored(source, planes="independent", psf=PSF, psf_axes="YX")
    flow = np.ones((2, 2, 20, 24), np.float32)
    video = dataclasses.replace(plain, kernel=flow, kernel_axes="TCYX", report={**plain.report, "planes_mode": "video"})
    arrows = made(video, source)[1]
    assert arrows.data.shape[1:] == (2, 5)
    assert set(arrows.data[:, 0, 0]) == {0, 1}
    assert not arrows.data[:, 0, 1:3].any()


@pytest.mark.parametrize(("top", "shown"), [(200, "uint8"), (40_000, "uint16")])
def test_colours_in_64_bits_can_be_shown(top: int, shown: str) -> None:
    layer = Image(np.random.default_rng(0).integers(0, top, (20, 24, 3)), rgb=True)
    source = layers.read(layer)
    assert source.image.data.dtype == np.int64
    assert made(restored(source), source)[0].data.dtype == shown
