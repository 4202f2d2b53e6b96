"""The camera, NaN pixels and the seed in the dock."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from napari_deblur.panel.values_part import NAMES, ValuesPart
from napari_deblur.request import Request
from unblur.errors import ParameterError
from unblur.jobs import Job


@pytest.fixture
def part(_display: None) -> ValuesPart:
    from napari.qt import get_qapp

    get_qapp()
    return ValuesPart()


def test_what_is_left_alone_is_not_said(part: ValuesPart) -> None:
    assert part.arguments() == {}
    assert {getattr(Request(), name) for name in NAMES.values()} == {None, "refuse", 0}


def test_what_is_written_reaches_the_request_and_the_heading(part: ValuesPart) -> None:
    told: list[Any] = []
    part.changed.connect(lambda: told.append(1))
    part.form["camera_gain"].native.setText("2.5")
    part.form["NaN_pixels"].value = "mask"
    part.form["seed"].native.setText("3")
    assert part.arguments() == {"gain": 2.5, "nan": "mask", "seed": 3}
    assert part.section._head.text() == "Camera, NaN pixels, tiles, seed: gain 2.5, nan mask, seed 3"
    assert len(told) == 3
    part.form["camera_gain"].native.setText("")
    part.form["camera_offset"].native.setText("auto")
    assert part.arguments() == {"offset": "auto", "nan": "mask", "seed": 3}
    for name, wrong in (("camera_offset", "x"), ("camera_gain", "0"), ("camera_gain", "inf")):
        part.form[name].native.setText(wrong)
        with pytest.raises(ParameterError, match=f"{name.replace('_', ' ')} {wrong}: expected a number"):
            part.arguments()
        part.form[name].native.setText("")
    part.form["seed"].native.setText("-3")
    with pytest.raises(ParameterError, match="seed = -3"):
        part.arguments()


def test_whatever_a_job_takes_has_its_place_in_the_dock() -> None:
    """So that an option which the command line gains is not forgotten here."""
    taken = set(inspect.signature(Job.__init__).parameters) - {"self", "image"}
    with_the_layer = {"axes", "pixel_size"}
    of_the_run_itself = {"plan", "checkpoint", "checkpoint_seconds", "force", "cancel", "registry"}
    assert set(Request().job_arguments()) == taken - with_the_layer - of_the_run_itself
