"""A whole piece of work as a new user does it: open a series, look at a region, run three frames, save, reopen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_deblur import layers
from napari_deblur.widget import Deblur
from tests.napari.conftest import wait_for
from tests.napari.docking import typed


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Five frames of drifting blobs in a TIFF that says neither axes nor pixel size."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(3)
    sharp = np.zeros((64, 64))
    sharp[tuple(random.integers(8, 56, (2, 25)))] = 900
    frames = [gaussian_filter(np.roll(sharp, place, 1), 1.6) + 20 for place in range(5)]
    noisy = np.clip(np.stack(frames) + random.normal(0, 0.5, (5, 64, 64)), 0, 255)
    tifffile.imwrite(tmp_path / "mitosis.tif", noisy.astype(np.uint8), metadata=None)
    return tmp_path / "mitosis.tif"


def test_open_preview_run_save_reopen(shared_viewer: Any, plugin: None, series: Path) -> None:
    viewer = shared_viewer
    [image] = viewer.open(series)
    dock = Deblur(viewer)
    viewer.window.add_dock_widget(dock, name="Deblur")
    assert dock.image_part.source.axes == "ZYX"
    assert "guessed" in dock.image_part._axes_said.text()
    typed(dock.image_part._axes, "TYX")
    typed(dock.image_part._size, "0.2")
    assert "given by you" in dock.image_part._size_said.text()
    dock.image_part._keep.click()
    np.testing.assert_allclose(image.scale, (1, 0.2, 0.2))
    assert [f"{unit:~}" for unit in image.units] == ["pixel", "µm", "µm"]
    assert image.axis_labels == ("t", "y", "x")
    assert "from the layer" in dock.image_part._size_said.text()
    typed(dock.blur_part.size, "9")
    dock.method_part.set_method("blind-richardson-lucy")
    assert "64 × 64 pixels" in dock.run_part.summary.text()

    viewer.dims.set_current_step(0, 1)
    dock.run_part._preview.click()
    assert not dock.busy, "the rectangle comes first"
    dock.run_part._preview.click()
    wait_for(lambda: not dock.busy)
    preview = dock.runs_part.runs[0].layers[0]
    assert preview.data.shape == (1, 32, 32)
    assert dock.message.text.text() == ""
    viewer.layers.remove("region to preview")

    dock.run_part.set_target("every plane, one shared kernel")
    typed(dock.run_part.planes.range, "0-2")
    typed(dock.run_part.planes.anchors, "0, 2")
    assert "mitosis (T 0–2): 3 planes of 64 × 64 pixels" in dock.run_part.summary.text()
    assert "from T 0, T 2," in dock.run_part.summary.text()
    dock.run_part._run.click()
    wait_for(lambda: not dock.busy)
    assert dock.message.text.text() == ""
    run = dock.runs_part.runs[0]
    restored, kernel = run.layers
    assert run.result.complete
    assert restored.data.shape == (3, 64, 64)
    assert kernel.data.shape == (9, 9)
    assert [row["kind"] for row in run.result.report["plan"]] == ["kernel", "plane", "plane", "plane"]
    assert np.abs(np.diff(restored.data)).mean() > np.abs(np.diff(image.data[:3].astype(float))).mean(), "sharper"

    dock.filing.save_run(run, series.with_name("sharp.ome.tif"))
    wait_for(lambda: not dock.filing.busy)
    assert dock.message.text.text() == "Saved sharp.ome.tif, sharp.kernel.ome.tif."
    shown = restored.data.copy()
    viewer.layers.clear()
    for name, before in (("sharp.ome.tif", restored), ("sharp.kernel.ome.tif", kernel)):
        [again] = viewer.open(series.with_name(name), plugin="napari-deblur")
        np.testing.assert_allclose(again.scale, before.scale)
        np.testing.assert_allclose(again.translate, before.translate)
        assert again.units == before.units
        assert again.contrast_limits == before.contrast_limits
    [again] = viewer.open(series.with_name("sharp.ome.tif"), plugin="napari-deblur")
    np.testing.assert_array_equal(again.data, shown)
    known = layers.read(again)
    assert known.axes == "TYX"
    assert known.image.pixel_size == pytest.approx({"Y": 0.2, "X": 0.2})
    assert again.metadata["unblur"]["report"]["planes_mode"] == "shared-kernel"
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
