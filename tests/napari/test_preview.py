"""Looks at a rectangle before the whole is run: what runs there, and for how long."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deblur import regions
from napari_deblur.widget import Deblur
from tests.napari.conftest import wait_for
from tests.napari.docking import picture, preview, typed
from tests.napari.restoring import VOLUME_PSF
from unblur.errors import ImageError


@pytest.fixture
def volume(dock: Deblur) -> Deblur:
    """A dock on a volume that is to be run whole, and a layer with a PSF of three dimensions."""
    dock.viewer.layers.clear()
    labels = ("z", "y", "x")
    image = dock.viewer.add_image(picture(10, 40, 44), name="stack", axis_labels=labels)
    dock.viewer.add_image(VOLUME_PSF, name="PSF", axis_labels=labels)
    dock.image_part.layer_box.value = image
    dock.blur_part.size.setText("")
    return dock


def to_layer(dock: Deblur) -> None:
    dock.blur_part.set_mode("layer")
    dock.blur_part.layer_box.value = dock.viewer.layers["PSF"]


def to_model(dock: Deblur) -> None:
    dock.blur_part.set_mode("model")
    dock.blur_part.model_box.setCurrentText("gaussian-psf")


def test_a_psf_of_three_dimensions_leaves_nothing_but_the_volume_to_run(volume: Deblur) -> None:
    assert volume.run_part.target is not None
    assert volume.run_part.target.name == "this plane"
    to_layer(volume)
    assert volume.run_part.target.name == "the volume"
    assert volume.request().planes == "volume"


@pytest.mark.parametrize("known", [to_layer, to_model])
def test_of_a_volume_the_whole_depth_is_previewed(volume: Deblur, known: object) -> None:
    known(volume)  # type: ignore[operator]
    volume.run_part.set_target("the volume")
    preview(volume)
    assert volume.message.text.text() == ""
    [run] = volume.runs_part.runs
    assert set(run.part.region) == {"Y", "X"}
    assert run.result.report["planes_mode"] == "volume"
    np.testing.assert_equal(run.layers[0].data.shape, (10, 20, 22))


def test_methods_are_compared_on_the_whole_depth_of_a_volume(volume: Deblur) -> None:
    to_layer(volume)
    volume.run_part.set_target("the volume")
    assert volume.several.ask_compare() is None
    volume.several.compare(["richardson-lucy", "wiener"])
    wait_for(lambda: not volume.busy)
    assert volume.message.text.text() == ""
    shapes = {layer.name: layer.data.shape for layer in volume.viewer.layers if layer.name.startswith("stack [")}
    assert shapes == {f"stack [{name}]": (10, 20, 22) for name in ("observed", "richardson-lucy", "wiener")}


def test_a_preview_ends_in_seconds_unless_there_is_a_limit(dock: Deblur, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "SECONDS", 2.0)
    dock.method_part.set_method("fault-slow")  # which takes 17 minutes
    dock.start_preview()
    dock.start_preview()
    assert "At most 2 s" in dock.run_part.summary.text()
    wait_for(lambda: not dock.busy, 60)
    [run] = dock.runs_part.runs
    assert run.result.report["budget_seconds"] == 2
    dock.method_part.limit.setText("1 min")
    assert dock.region_request()[0].max_seconds == 60
    assert dock.request().max_seconds == 60
    dock.method_part.limit.setText("")
    assert dock.request().max_seconds is None, "only a preview is short"


def test_a_rectangle_that_lies_beside_the_image_is_offered_anew(dock: Deblur) -> None:
    dock.viewer.layers.clear()
    dock.viewer.add_image(picture(200, 220), name="cells")
    dock.start_preview()
    assert dock.region_request()[1].image.shape == (100, 110)
    typed(dock.image_part._size, "0.01")
    dock.image_part.keep()
    with pytest.raises(ImageError, match="outside"):
        dock.region_request()
    dock.start_preview()
    assert [layer.name for layer in dock.viewer.layers] == ["cells", "region to preview"]
    assert dock.region_request()[1].image.shape == (100, 110)
    assert not dock.offered_region(), "it stays"


def test_the_rectangle_lies_along_the_axes_of_the_plane_wherever_they_stand(dock: Deblur) -> None:
    dock.viewer.layers.clear()
    dock.viewer.add_image(np.zeros((64, 66, 5), np.float32), name="spectral", axis_labels=("y", "x", "c"))
    assert dock.offered_region()
    region = dock.region_request()[1].region
    assert (region["Y"], region["X"]) == ((16, 48), (16, 49))


def offered(dock: Deblur) -> set[str]:
    """The methods that the page for a comparison offers."""
    dock.several.ask_compare()
    page = dock.several.ask_compare()
    assert page is not None, dock.message.text.text()
    page.close()
    return {page.list.item(number).text() for number in range(page.list.count())}


def test_only_methods_that_could_run_are_offered_side_by_side(dock: Deblur) -> None:
    dock.viewer.layers.clear()
    dock.viewer.add_image(picture(5, 64, 64), name="frames", axis_labels=("t", "y", "x"))
    dock.method_part.set_method("blind-richardson-lucy")
    still = offered(dock)
    assert "blind-richardson-lucy" in still
    assert "reblur2deblur" not in still
    dock.blur_part.size.setText("")
    dock.method_part.set_method("reblur2deblur")
    assert offered(dock) == {"reblur2deblur"}


def test_a_method_that_cannot_run_does_not_end_the_others(dock: Deblur) -> None:
    assert dock.several.ask_compare() is None
    dock.several.compare(["blind-richardson-lucy", "reblur2deblur"])
    wait_for(lambda: not dock.busy)
    assert dock.message.text.text().startswith("reblur2deblur: ")
    assert "cells [blind-richardson-lucy]" in dock.viewer.layers
