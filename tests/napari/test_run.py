"""Runs in a real viewer: what goes right, what goes wrong, and that a second run succeeds whatever happened."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import tifffile
from napari.layers import Vectors
from qtpy.compat import isalive
from qtpy.QtTest import QTest

from napari_deblur import checkpoints, results, work
from napari_deblur.pages.batch_page import Batch
from napari_deblur.widget import Deblur
from tests.napari.conftest import settle, threads, wait_for
from tests.napari.docking import docked, picture, run, typed
from unblur.errors import FileError


def runs_again(dock: Deblur) -> None:
    """A run that succeeds, with the button back and nothing said."""
    before = len(dock.viewer.layers)
    run(dock)
    assert not dock.message.isVisibleTo(dock)
    assert len(dock.viewer.layers) == before + 2
    assert dock.run_part._run.isVisibleTo(dock)


def test_a_run_adds_image_and_kernel_where_the_image_lies(dock: Deblur) -> None:
    run(dock)
    source, restored, kernel = dock.viewer.layers
    assert restored.data.shape == source.data.shape
    assert list(restored.scale) == list(source.scale) == list(kernel.scale)
    assert restored.units == source.units == kernel.units
    assert restored.metadata["unblur"]["report"]["status"] == "done"
    assert dock.runs_part.runs[0].result.complete


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("torch", "estimator 'fault' (plugin 'faults', tests) failed while running: RuntimeError"),
        ("memory", "the memory did not suffice"),
        ("nan", "misfit is nan"),
        ("exit", "SystemExit"),
        ("bug", "a bug of the plugin's"),
        ("late", "torch fails when the result is drawn"),
    ],
)
def test_a_failure_is_said_once_in_words_and_the_next_run_succeeds(dock: Deblur, kind: str, said: str) -> None:
    run(dock, f"fault-{kind}")
    assert said in dock.message.text.text()
    assert "Traceback" in dock.message.details.toPlainText()
    assert dock.message.isVisibleTo(dock)
    assert not dock.message.details.isVisibleTo(dock)
    assert [layer.name for layer in dock.viewer.layers] == ["cells"]
    runs_again(dock)


def test_the_chosen_layer_stays_chosen_when_it_is_renamed(dock: Deblur) -> None:
    other = dock.viewer.add_image(picture(20, 20), name="others")
    dock.image_part.layer_box.value = other
    other.name = "renamed"
    assert dock.image_part.layer is other
    assert "on renamed: 20 × 20" in dock.run_part.summary.text()
    dock.viewer.layers.remove(other)
    assert "on cells: 40 × 44" in dock.run_part.summary.text()
    dock.viewer.layers.clear()
    assert dock.image_part.source is None
    assert "Open an image" in dock.run_part.summary.text()


def started(dock: Deblur, ready: Callable[[], Any] = lambda: True) -> None:
    """A run that goes on until it is stopped, in its third step or later."""
    dock.method_part.set_method("fault-slow")
    dock.start_run()
    wait_for(lambda: len(dock.worker.progress.misfits) > 2 and ready())


def test_stop_keeps_the_best_so_far_and_run_goes_on_from_there(dock: Deblur) -> None:
    started(dock)
    dock.stop()
    wait_for(lambda: not dock.busy)
    [ended] = dock.runs_part.runs
    assert not ended.result.complete
    steps = ended.result.report["planes"][0]["executed"][0]
    assert len(dock.viewer.layers) == 3
    assert dock.run_part._run.text() == "Continue"
    dock.start_run()
    wait_for(lambda: len(dock.worker.progress.misfits) > 2)
    dock.stop()
    wait_for(lambda: not dock.busy)
    row = dock.runs_part.runs[0].result.report["planes"][0]
    assert row["executed"][0] > steps + 2
    runs_again(dock)


@pytest.mark.parametrize("name", ["job.json", "running-000000.pt"])
def test_a_damaged_checkpoint_is_dropped_and_the_run_begins_anew(dock: Deblur, name: str) -> None:
    started(dock)
    dock.stop()
    wait_for(lambda: not dock.busy)
    [damaged] = checkpoints.folder().rglob(name)
    damaged.write_bytes(damaged.read_bytes()[:100])
    dock.start_run()
    wait_for(lambda: dock.message.isVisibleTo(dock) or len(dock.worker.progress.misfits) > 2)
    assert dock.message.text.text() == ""
    dock.stop()
    wait_for(lambda: not dock.busy)
    assert work.DAMAGED in dock.runs_part.runs[0].result.report["warnings"]
    runs_again(dock)


def test_stopped_before_there_is_an_image_nothing_is_added_and_run_goes_on(dock: Deblur) -> None:
    dock.viewer.layers.clear()
    dock.viewer.add_image(picture(3, 40, 44), name="frames", axis_labels=("t", "y", "x"))
    dock.run_part.set_target("every plane, one shared kernel")
    started(dock)
    dock.stop()
    wait_for(lambda: not dock.busy)
    assert [layer.name for layer in dock.viewer.layers] == ["frames"]
    assert "Stopped before there was an image" in dock.message.text.text()
    assert dock.run_part._run.text() == "Continue"
    dock.start_run()
    wait_for(lambda: len(dock.worker.progress.misfits) > 2)
    dock.cancel()
    wait_for(lambda: not dock.busy)
    assert dock.run_part._run.text() == "Run"
    runs_again(dock)
    assert dock.runs_part.runs[0].layers[1].data.shape == (5, 5), "one kernel for all"


def test_cancel_drops_everything(dock: Deblur) -> None:
    started(dock)
    dock.cancel()
    wait_for(lambda: not dock.busy)
    assert [layer.name for layer in dock.viewer.layers] == ["cells"]
    assert not dock.runs_part.runs
    assert dock.run_part._run.text() == "Run"
    runs_again(dock)


def test_live_preview_shows_the_estimate_and_leaves_with_the_run(dock: Deblur) -> None:
    started(dock, lambda: "cells: running" in dock.viewer.layers)
    live = dock.viewer.layers["cells: running"]
    assert live.data.shape == (40, 44)
    assert list(live.scale) == [0.1, 0.1]
    assert live not in [dock.image_part.layer_box.value, *dock.image_part.layer_box.choices]
    dock.cancel()
    wait_for(lambda: not dock.busy)
    assert "cells: running" not in dock.viewer.layers


def test_layers_that_are_deleted_or_changed_while_it_runs_do_no_harm(dock: Deblur) -> None:
    started(dock, lambda: "cells: running" in dock.viewer.layers)
    dock.viewer.layers.remove("cells: running")
    dock.viewer.layers["cells"].data[:] = np.nan
    dock.viewer.layers.remove("cells")
    wait_for(lambda: len(dock.worker.progress.misfits) > 10)
    dock.stop()
    wait_for(lambda: not dock.busy)
    assert not dock.message.isVisibleTo(dock)
    restored = dock.runs_part.runs[0].layers[0]
    assert np.isfinite(restored.data).all()
    assert list(restored.scale) == [0.1, 0.1]
    dock.viewer.add_image(picture(40, 44), name="others")
    dock.image_part.layer_box.value = dock.viewer.layers["others"]
    runs_again(dock)


def test_closing_the_viewer_while_it_runs_ends_the_thread(viewer: Any) -> None:
    dock = docked(viewer)
    started(dock)
    worker = dock.worker
    viewer.close()
    wait_for(lambda: not worker.running)
    assert worker.failure is None
    assert threads() == []
    again = napari.Viewer(show=True)
    runs_again(docked(again))
    again.close()


def test_closing_the_dock_ends_its_run_and_takes_the_preview_away(shared_viewer: Any) -> None:
    """As napari's × does it, which lets go of the dock and does not delete it."""
    dock = docked(shared_viewer)
    started(dock, lambda: "cells: running" in shared_viewer.layers)
    worker = dock.worker
    shared_viewer.window.remove_dock_widget(dock)
    wait_for(lambda: not worker.running and not isalive(dock))
    assert "cells: running" not in shared_viewer.layers
    assert threads() == []


def test_a_result_that_cannot_be_shown_can_still_be_saved(dock: Deblur, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise MemoryError("no room for a layer")
        yield

    monkeypatch.setattr(results, "show", failing)
    run(dock)
    assert "memory" in dock.message.text.text().lower()
    [kept] = dock.runs_part.runs
    assert np.isfinite(kept.result.image).all()
    dock._switch(kept)


def test_nothing_else_is_begun_while_something_runs(dock: Deblur) -> None:
    page = dock.several.ask_batch()
    started(dock)
    worker = dock.worker
    page.button.click()
    assert dock.worker is worker
    assert "Something is running" in dock.message.text.text()
    dock.cancel()
    wait_for(lambda: not dock.busy)


def test_a_dock_that_is_closed_leaves_the_viewer_as_it_was(viewer: Any) -> None:
    dock = docked(viewer)
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    settle()
    viewer.add_image(picture(4, 20, 20), name="others")
    viewer.dims.set_current_step(0, 2)
    viewer.layers["cells"].name = "renamed"
    viewer.layers["renamed"].scale = (2, 2)


def test_nan_in_the_image_is_refused_in_words(dock: Deblur) -> None:
    dock.viewer.layers["cells"].data[3, 4] = np.nan
    run(dock)
    assert "1 pixels are NaN or Inf, the first at Y=3, X=4" in dock.message.text.text()
    dock.viewer.layers["cells"].data[3, 4] = 0.5
    runs_again(dock)


def test_nan_in_the_image_is_masked_where_that_is_asked_for(dock: Deblur) -> None:
    dock.viewer.layers["cells"].data[3, 4] = np.nan
    dock.values_part.form["NaN_pixels"].value = "mask"
    runs_again(dock)
    result = dock.runs_part.runs[0].result
    assert np.isfinite(result.image).all()
    assert "1 pixels are NaN or Inf and take no part" in result.report["assumptions"]


def test_too_little_memory_is_refused_before_the_run(dock: Deblur, monkeypatch: pytest.MonkeyPatch) -> None:
    from unblur.compute import Compute

    with monkeypatch.context() as little:
        little.setattr(Compute, "free_memory", lambda self: 10_000)
        run(dock)
        assert "of memory" in dock.message.text.text()
    runs_again(dock)


def test_the_window_answers_while_it_runs(dock: Deblur) -> None:
    started(dock)
    from qtpy.QtCore import QTimer

    ticks: list[float] = []
    timer = QTimer()
    timer.setInterval(20)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start()
    steps = len(dock.worker.progress.misfits)
    wait_for(lambda: len(ticks) > 20)
    timer.stop()
    assert len(dock.worker.progress.misfits) > steps
    assert np.diff(ticks).max() < 2, "seconds without an answer"
    dock.cancel()
    wait_for(lambda: not dock.busy)


def test_preview_on_a_region_asks_for_one_and_lies_in_it(dock: Deblur) -> None:
    dock.start_preview()
    assert not dock.busy
    shapes = dock.viewer.layers["region to preview"]
    shapes.data = [np.array([[0.55, 0.95], [0.55, 2.95], [2.55, 2.95], [2.55, 0.95]])]  # the edges of pixels
    dock.method_part.set_method("blind-richardson-lucy")
    dock.start_preview()
    wait_for(lambda: not dock.busy)
    restored = dock.runs_part.runs[0].layers[0]
    assert restored.data.shape == (20, 20)
    np.testing.assert_allclose(restored.translate, [0.6, 1.0])


def test_methods_side_by_side(dock: Deblur) -> None:
    dock.blur_part.size.setText("")
    dock.blur_part.set_mode("model")
    assert dock.several.ask_compare() is None
    page = dock.several.ask_compare()
    for number in range(page.list.count()):
        item = page.list.item(number)
        wanted = item.text() in ("wiener", "richardson-lucy")
        item.setCheckState(type(item.checkState()).Checked if wanted else type(item.checkState()).Unchecked)
    page.button.click()
    wait_for(lambda: not dock.busy)
    assert dock.message.text.text() == ""
    names = [layer.name for layer in dock.viewer.layers][2:]
    assert names == ["cells [observed]", "cells [richardson-lucy]", "cells [wiener]"]
    right = [layer.extent.world[0][-1] for layer in dock.viewer.layers if layer.name in names]
    assert sorted(right) == right
    assert right[0] > dock.viewer.layers["cells"].extent.world[1][-1]


def test_batch_restores_layers_and_files(dock: Deblur, tmp_path: Any) -> None:
    from unblur import io
    from unblur.image import Image

    path = tmp_path / "other.tif"
    io.write(path, Image.from_array(picture(32, 32), pixel_size=0.2))
    dock.method_part.set_method("blind-richardson-lucy")
    page = dock.several.ask_batch()
    frames, out = tmp_path / "frames.tif", tmp_path / "made" / "out"
    tifffile.imwrite(frames, picture(2, 32, 32), metadata=None)
    page.add_files([path, tmp_path / "missing.tif", frames])
    page.folder.setText(str(out))
    page.axes.setText("tyx")
    page.button.click()
    wait_for(lambda: not dock.busy)
    assert "1 of 4 were not restored" in dock.message.text.text()
    said = dock.message.details.toPlainText()
    assert "missing.tif: " in said
    assert "other.tif: saved as other-deblurred.ome.tif" in said
    assert io.read(out / "other-deblurred.ome.tif").pixel_size["Y"] == pytest.approx(0.2)
    assert io.read(out / "frames-deblurred.ome.tif").axes == "TYX"
    assert {path.name for path in out.glob("cells*")} == {
        "cells-deblurred.ome.tif",
        "cells-deblurred.ome.tif.json",
        "cells-deblurred.kernel.ome.tif",
    }
    assert [run.title for run in dock.runs_part.runs] == ["cells, batch"]
    dock.several.batch(Batch([], [path], out))
    wait_for(lambda: not dock.busy)
    assert "is there already: left alone" in dock.message.details.toPlainText()
    with pytest.raises(FileError, match="cannot be made"):
        dock.several.batch(Batch([], [path], path / "folder"))


def test_a_batch_that_is_stopped_keeps_what_it_has_under_another_name(dock: Deblur, tmp_path: Any) -> None:
    dock.method_part.set_method("fault-slow")
    page = dock.several.ask_batch()
    page.folder.setText(str(tmp_path))
    page.button.click()
    wait_for(lambda: len(dock.worker.progress.misfits) > 2)
    dock.stop()
    wait_for(lambda: not dock.busy)
    assert "not restored, or not wholly" in dock.message.text.text()
    assert (tmp_path / "cells-deblurred-stopped.ome.tif").exists()
    assert not (tmp_path / "cells-deblurred.ome.tif").exists()
    runs_again(dock)


def test_a_video_is_run_as_a_whole_and_its_motion_shown(dock: Deblur, monkeypatch: pytest.MonkeyPatch) -> None:
    dock.viewer.layers.clear()
    dock.viewer.add_image(picture(5, 64, 64), name="frames", axis_labels=("t", "y", "x"), scale=(2, 0.5, 0.5))
    dock.blur_part.size.setText("")
    dock.method_part.set_method("reblur2deblur")
    dock.method_part.preset_box.setCurrentText("Fast")
    assert dock.run_part.target.planes == "video"
    dock.method_part.parts.open()
    slots, _ = dock.method_part.form._segments[""]
    for slot in ("image_prior", "kernel_prior"):
        slots[slot]._forms[0]["weights"].value = "none"
    with monkeypatch.context() as often:
        often.setattr(work, "LOOK_SECONDS", 0)
        often.setattr(work, "LOOK_SHARE", 1e9)
        dock.start_preview()
        dock.start_preview()
        worker = dock.worker
        wait_for(lambda: not dock.busy)
    assert worker.progress.preview.index == {"T": 1}, "the middle one of three frames"
    assert dock.message.text.text() == ""
    assert dock.runs_part.runs[0].part.region == {"T": (1, 4), "Y": (16, 48), "X": (16, 48)}
    dock.run_part.planes.range.setText("1-4")
    dock.run_part.planes.clip.setText("3")
    dock.start_run()
    wait_for(lambda: not dock.busy)
    assert dock.message.text.text() == ""
    restored, motion = dock.runs_part.runs[0].layers
    assert restored.data.shape == (4, 64, 64)
    assert isinstance(motion, Vectors)
    assert set(motion.data[:, 0, 0]) == {1, 2}, "frames with two neighbours"
    np.testing.assert_allclose(motion.translate, restored.translate)
    flow = dock.runs_part.runs[0].result.kernel
    times, rows, columns = motion.data[:, 0].T
    ends = np.rint([rows + motion.data[:, 1, 1], columns + motion.data[:, 1, 2]]).astype(int)
    np.testing.assert_allclose(motion.data[:, 1, 2], flow[times.astype(int), 0, *ends], rtol=1e-4)


def test_without_a_place_for_checkpoints_it_runs_all_the_same(dock: Deblur, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoints, "folder", refused)
    run(dock)
    assert dock.runs_part.runs[0].result.complete


def test_a_checkpoint_that_another_window_is_at_is_left_alone(dock: Deblur, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def held(_: Path) -> Iterator[None]:
        raise FileError("x", "is being written by another process")
        yield

    monkeypatch.setattr(work, "output_lock", held)
    run(dock)
    assert dock.runs_part.runs[0].result.complete
    assert not list(checkpoints.folder().iterdir())


def test_a_run_can_be_removed_from_the_list(dock: Deblur) -> None:
    run(dock)
    dock.runs_part.remove(dock.runs_part.runs[0])
    assert dock.runs_part.runs == []
    assert dock.runs_part._rows == {}
    assert len(dock.viewer.layers) == 3
    runs_again(dock)


def test_planes_and_regions_take_their_own_psf_of_several(dock: Deblur) -> None:
    """One PSF a channel, of a channel that is cut out."""
    pixels = np.stack([picture(40, 44)] * 2)
    psfs = np.zeros((2, 5, 5), np.float32)
    psfs[0, 2, 2], psfs[1, 2, 1:4] = 1, 1 / 3
    dock.viewer.add_image(pixels, name="channels", axis_labels=("c", "y", "x"))
    dock.viewer.add_image(psfs, name="psfs", axis_labels=("c", "y", "x"))
    dock.image_part.layer_box.value = dock.viewer.layers["channels"]
    dock.blur_part.set_mode("layer")
    dock.blur_part.layer_box.value = dock.viewer.layers["psfs"]
    dock.viewer.dims.set_point(0, 1)
    run(dock, "richardson-lucy")
    result = dock.runs_part.runs[-1].result
    assert result.image.shape == (1, 40, 44)
    np.testing.assert_allclose(result.kernel.max(), 1 / 3, rtol=1e-6)


def test_what_is_typed_counts_without_leaving_the_line(dock: Deblur) -> None:
    dock.viewer.add_image(np.stack([picture(40, 44)] * 2), name="series", axis_labels=("z", "y", "x"))
    dock.image_part.layer_box.value = dock.viewer.layers["series"]
    dock.image_part._axes.selectAll()
    QTest.keyClicks(dock.image_part._axes, "TYX")
    run(dock)
    assert dock.runs_part.runs[-1].part.axes == "TYX"


def test_cancel_after_the_last_step_drops_the_result(dock: Deblur, monkeypatch: pytest.MonkeyPatch) -> None:
    from unblur.jobs import Job

    made = Job.events

    def events(job: Any, resume: bool = False) -> Any:
        yield from made(job, resume=resume)
        dock.cancel()

    monkeypatch.setattr(Job, "events", events)
    before = list(dock.viewer.layers)
    run(dock)
    assert list(dock.viewer.layers) == before
    assert not any(checkpoints.folder().iterdir())


def test_a_unit_that_is_no_length_stays_on_the_layer(dock: Deblur) -> None:
    layer = dock.viewer.add_image(
        np.stack([picture(40, 44)] * 2), scale=(1, 0.2, 0.2), units=("pixel", "arcsec", "arcsec")
    )
    dock.image_part.layer_box.value = layer
    typed(dock.image_part._axes, "TYX")
    dock.image_part.keep()
    assert [f"{unit}" for unit in layer.units] == ["pixel", "arcsecond", "arcsecond"]
    assert "X" not in dock.image_part.source.image.pixel_size
