"""What a batch takes over from the dock."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_deblur.pages.batch_page import Batch
from napari_deblur.widget import Deblur
from tests.napari.conftest import wait_for
from tests.napari.docking import picture, run, typed
from unblur.errors import ParameterError


@pytest.fixture
def series(dock: Deblur) -> Deblur:
    """A dock on a series whose axes napari does not know."""
    dock.viewer.layers.clear()
    dock.viewer.add_image(picture(4, 40, 44), name="frames")
    return dock


def test_a_batch_holds_to_what_is_written_for_the_layer(series: Deblur) -> None:
    typed(series.image_part._axes, "TYX")
    typed(series.image_part._size, "0.2")
    series.method_part.set_method("blind-richardson-lucy")
    series.run_part.set_target("every plane, one shared kernel")
    series.run_part.planes.anchors.setText("2")
    series.run_part.planes.range.setText("1-3")
    series.several.batch(Batch(list(series.viewer.layers)))
    wait_for(lambda: not series.busy)
    assert series.message.text.text() == "frames: restored"
    [run] = series.runs_part.runs
    assert run.result.source.axes == "TYX"
    assert run.result.source.pixel_size == {"Y": 0.2, "X": 0.2}
    assert run.result.image.shape == (4, 40, 44), "the range holds for Run only"
    assert run.request.anchors == (2,), "as the slider counts"


def test_what_a_batch_has_restored_is_shown_at_once_and_stays_when_it_is_cancelled(dock: Deblur) -> None:
    dock.viewer.add_image(picture(900, 900), name="large")
    dock.method_part.set_method("blind-richardson-lucy")
    dock.several.batch(Batch([dock.viewer.layers["cells"], dock.viewer.layers["large"]]))
    wait_for(lambda: dock.runs_part.runs)
    assert dock.busy, "the other one is still run"
    dock.cancel()
    wait_for(lambda: not dock.busy)
    assert [run.title for run in dock.runs_part.runs] == ["cells, batch"]
    assert "cells [blind-richardson-lucy]" in dock.viewer.layers
    assert "large [blind-richardson-lucy]" not in dock.viewer.layers


def test_a_batch_of_a_layer_that_cannot_be_read_says_why(series: Deblur) -> None:
    typed(series.image_part._axes, "QYX")
    with pytest.raises(ParameterError, match="QYX"):
        series.several.batch(Batch(list(series.viewer.layers)))


def test_what_was_written_for_a_layer_holds_when_it_is_renamed(dock: Deblur) -> None:
    dock.viewer.layers.clear()
    layer = dock.viewer.add_image(picture(4, 40, 44), name="frames", scale=(5, 0.1, 0.1))
    typed(dock.image_part._axes, "TYX")
    source = dock.image_part.source
    assert source is not None, dock.image_part.problem
    assert source.image.axes == "TYX"
    assert source.image.status["Y"] != "given", "only what was written is"
    layer.name = "renamed"
    assert dock.image_part.source is not None
    assert dock.image_part.source.image.axes == "TYX"
    layer.data = picture(40, 44)
    assert dock.image_part.source is not None, "what no longer fits is let go of"
    assert dock.image_part.source.image.axes == "YX"


def test_what_was_written_for_a_layer_holds_while_another_is_looked_at(dock: Deblur) -> None:
    dock.viewer.layers.clear()
    layers = [dock.viewer.add_image(picture(4, 40, 44), name=name) for name in ("a", "b")]
    for layer in layers:
        dock.image_part.layer_box.value = layer
        typed(dock.image_part._axes, "TYX")
    typed(dock.image_part._size, "0.2")
    assert [dock.image_part.read(layer).axes for layer in layers] == ["TYX", "TYX"]
    dock.image_part.layer_box.value = layers[0]
    assert dock.image_part._axes.text() == "TYX"
    assert dock.image_part.read(layers[0]).image.pixel_size == {}
    assert dock.image_part.read(layers[1]).image.pixel_size == {"Y": 0.2, "X": 0.2}


def test_only_images_are_ticked_that_no_run_made(dock: Deblur) -> None:
    run(dock)
    psf = dock.viewer.add_image(picture(9, 9), name="PSF")
    dock.image_part.layer_box.value = dock.viewer.layers["cells"]
    dock.blur_part.set_mode("layer")
    dock.blur_part.layer_box.value = psf
    page = dock.several.ask_batch()
    assert page is not None
    items = [page.list.item(number) for number in range(page.list.count())]
    assert len(items) == 4, "restored and kernel beside the image and the PSF"
    assert [item.text() for item in items if item.checkState() == Qt.CheckState.Checked] == ["cells"]
    page.close()


def test_a_batch_names_the_layer_that_it_cannot_take(dock: Deblur) -> None:
    six = dock.viewer.add_image(np.zeros((1, 1, 1, 1, 8, 8), np.float32), name="six")
    with pytest.raises(ParameterError, match="six: "):
        dock.several.batch(Batch([dock.viewer.layers["cells"], six]))
