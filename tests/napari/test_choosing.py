"""What is chosen in the dock, and what becomes of it when something else changes."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QLineEdit

from napari_deblur import checkpoints
from napari_deblur.widget import Deblur
from tests.napari.conftest import wait_for
from tests.napari.docking import picture, run, typed
from unblur import Pipeline
from unblur.errors import ParameterError


def stopped(dock: Deblur) -> None:
    """After a run that was stopped, and could be gone on with."""
    dock.method_part.set_method("fault-slow")
    dock.start_run()
    wait_for(lambda: len(dock.worker.progress.misfits) > 2)
    dock.stop()
    wait_for(lambda: not dock.busy)


def test_the_place_and_the_looks_are_those_that_the_layer_has_when_it_is_run(dock: Deblur) -> None:
    layer = dock.viewer.layers["cells"]
    layer.contrast_limits, layer.colormap, layer.translate = (0.1, 0.3), "magma", (2.0, 3.0)
    run(dock)
    restored = dock.viewer.layers[1]
    np.testing.assert_allclose(restored.translate, (2.0, 3.0))
    assert (restored.contrast_limits, restored.colormap.name) == ([0.1, 0.3], "magma")


def test_a_wrong_text_of_a_method_is_not_held_against_another(dock: Deblur) -> None:
    dock.method_part.set_method("selfdeblur")
    dock.method_part.parts.open()
    edit = next(edit for edit in dock.method_part.form.findChildren(QLineEdit) if edit.isEnabled())
    typed(edit, "abc")
    assert not dock.run_part._run.isEnabled()
    dock.method_part.parts.open(False)
    dock.method_part.set_method("blind-richardson-lucy")
    assert dock.run_part._run.isEnabled()


def test_the_effort_that_was_chosen_is_there_again_with_the_method_that_has_it(dock: Deblur) -> None:
    part = dock.method_part
    part.set_method("selfdeblur")
    part.preset_box.setCurrentIndex(part.preset_box.findData("fast"))
    part.set_method("blind-richardson-lucy")
    assert part.preset == "balanced"
    part.set_method("selfdeblur")
    assert part.preset == "fast"


def test_axes_that_do_not_fit_for_a_moment_leave_the_target(dock: Deblur) -> None:
    dock.viewer.layers.clear()
    dock.viewer.add_image(picture(3, 40, 44), name="frames", axis_labels=("t", "y", "x"))
    dock.run_part.set_target("every plane, one shared kernel")
    for axes in ("TYY", "TYX"):
        typed(dock.image_part._axes, axes)
    assert dock.run_part.target is not None
    assert dock.run_part.target.name.startswith("every plane, one shared kernel")


def test_another_pixel_size_makes_another_picture_of_the_psf(dock: Deblur) -> None:
    dock.blur_part.set_mode("model")
    wait_for(lambda: not dock.painter.busy)
    assert not dock.painter.busy
    typed(dock.image_part._size, "0.25")
    assert dock.painter.busy
    wait_for(lambda: not dock.painter.busy)


def test_another_pixel_size_makes_another_run(dock: Deblur) -> None:
    stopped(dock)
    assert dock.run_part._run.text() == "Continue"
    typed(dock.image_part._size, "0.25")
    assert dock.run_part._run.text() == "Run"


def test_cancelled_before_its_first_step_a_run_leaves_nothing_to_go_on_from(dock: Deblur) -> None:
    stopped(dock)
    assert list(checkpoints.folder().rglob("job.json"))
    dock.start_run()
    dock.cancel()
    wait_for(lambda: not dock.busy)
    assert not list(checkpoints.folder().rglob("job.json"))


def test_what_was_changed_under_parts_comes_back_with_the_method_that_it_was_changed_in(dock: Deblur) -> None:
    part = dock.method_part
    part.set_method("selfdeblur")
    part.parts.open()
    part.form._segments[""][1]._edits[0][0].value = 257
    changed = part.arguments()["settings"]
    assert changed == {"stages.0.steps": 257}
    part.set_method("blind-richardson-lucy")
    assert part.arguments()["settings"] == {}
    assert "1 kept for selfdeblur, Balanced" in part.parts._head.text()
    part.parts.open(False)
    part.set_method("selfdeblur")
    assert part.arguments()["settings"] == changed
    assert "1 changed" in part.parts._head.text()


def test_the_method_that_was_chosen_is_there_again_when_the_blur_is_unknown_again(dock: Deblur) -> None:
    dock.method_part.set_method("mc-mapk")
    dock.blur_part.set_mode("model")
    assert dock.method_part.method != "mc-mapk"
    dock.blur_part.set_mode("unknown")
    assert dock.method_part.method == "mc-mapk"


def test_the_image_is_not_taken_for_its_psf(dock: Deblur) -> None:
    dock.blur_part.set_mode("layer")
    assert dock.blur_part.layer_box.value is None
    assert not dock.run_part._run.isEnabled()
    dock.blur_part.layer_box.value = dock.viewer.layers["cells"]
    assert not dock.run_part._run.isEnabled()
    with pytest.raises(ParameterError, match="cells is the image itself"):
        dock.blur_part.arguments()


def test_a_psf_layer_that_changes_is_another_psf(dock: Deblur) -> None:
    psf = dock.viewer.add_image(np.ones((3, 3), np.float32), name="PSF")
    dock.image_part.layer_box.value = dock.viewer.layers["cells"]
    dock.blur_part.set_mode("layer")
    dock.blur_part.layer_box.value = psf
    wait_for(lambda: not dock.painter.busy)
    assert dock.blur_part.picture_said.text().startswith("3 × 3")
    psf.data = np.ones((5, 5), np.float32)
    wait_for(lambda: not dock.painter.busy)
    assert dock.blur_part.picture_said.text().startswith("5 × 5")


def test_three_planes_are_the_psfs_of_three_channels_where_there_is_no_depth(dock: Deblur) -> None:
    dock.viewer.layers.clear()
    image = dock.viewer.add_image(picture(3, 40, 44), name="dyes", axis_labels=("c", "y", "x"))
    psf = dock.viewer.add_image(np.ones((3, 5, 5), np.float32), name="PSF")
    dock.image_part.layer_box.value = image
    dock.blur_part.set_mode("layer")
    dock.blur_part.layer_box.value = psf
    assert dock.blur_part.arguments()["psf"].axes == "CYX"
    typed(dock.blur_part.axes, "ZYX")
    assert dock.blur_part.arguments()["psf"].axes == "ZYX"


def test_every_line_and_drop_down_has_a_name_for_screen_readers(dock: Deblur) -> None:
    dock.method_part.parts.open()
    edits = [one for kind in (QLineEdit, QComboBox) for one in dock.findChildren(kind)]
    nameless = [edit for edit in edits if not edit.accessibleName() and not isinstance(edit.parent(), QAbstractSpinBox)]
    assert edits
    assert not [(edit.parent(), edit.toolTip()) for edit in nameless]


def test_parts_that_cannot_be_shown_do_not_stand_in_the_way_of_other_methods(
    dock: Deblur, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a plugin whose parameter has a default beyond its own bounds."""
    part, load = dock.method_part, dock.method_part.form.load

    def refuse(pipeline: Pipeline, edited: Pipeline | None = None) -> None:
        if pipeline.slots["estimator"][0].name == "richardson-lucy":
            raise ParameterError("x = 3: must be at most 1")
        load(pipeline, edited)

    monkeypatch.setattr(part.form, "load", refuse)
    dock.blur_part.set_mode("model")
    part.set_method("richardson-lucy")
    part.parts.open()
    assert "cannot be shown: x = 3" in part.parts._head.text()
    assert part.arguments()["settings"] == {}
    dock.blur_part.set_mode("unknown")
    part.set_method("selfdeblur")
    assert (
        part.pipeline().slots["estimator"][0].name
        == dock.registry.method("selfdeblur").pipeline("balanced").slots["estimator"][0].name
    )
    run(dock)
