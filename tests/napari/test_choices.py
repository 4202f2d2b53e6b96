"""What the dock offers and says for an image: targets, ranges, times, sizes, summaries; no window is needed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from napari_deblur import layers, summary
from napari_deblur.panel.blur_part import kernel_size, seen, window
from napari_deblur.panel.method_part import seconds
from napari_deblur.panel.targets import Target, along_of, targets
from napari_deblur.regions import anchors_of, frames_around, range_of
from napari_deblur.request import Request
from unblur import Image, default_registry
from unblur.errors import CompositionError, ImageError, ParameterError


def image(axes: str) -> Image:
    sizes = {"T": 4, "C": 2, "Z": 6, "Y": 32, "X": 30, "S": 3}
    return Image.from_array(np.zeros([sizes[axis] for axis in axes], np.uint8), axes)


@pytest.mark.parametrize(
    ("axes", "names"),
    [
        ("YX", ["the image"]),
        ("YXS", ["the image"]),
        ("TYX", ["this plane", "every plane, one shared kernel", "every plane, each with its kernel"]),
        ("CYX", ["this plane", "every plane, each with its kernel"]),
        ("ZYX", ["this plane", "every plane, one shared kernel", "every plane, each with its kernel", "the volume"]),
        (
            "TZYX",
            [
                "this plane",
                "this volume",
                "every plane, one shared kernel",
                "every plane, each with its kernel",
                "every volume",
            ],
        ),
    ],
)
def test_targets(axes: str, names: list[str]) -> None:
    assert [target.name for target in targets(image(axes), False)] == names


def test_with_a_known_blur_there_is_no_kernel_to_share() -> None:
    assert [target.name for target in targets(image("TYX"), True)] == ["this plane", "every plane"]
    assert targets(None, True) == []
    deep = [[target.name for target in targets(image(axes), True, deep=True)] for axes in ("ZYX", "TZYX", "TYX")]
    assert deep == [["the volume"], ["this volume", "every volume"], ["this plane", "every plane"]]


def test_frames_that_need_their_neighbours_are_run_together() -> None:
    for axes in ("TYX", "YX", "TZYX"):
        [target] = targets(image(axes), False, video=True)
        assert (target.planes, target.fixed) == ("video", "")
    assert along_of("TZYX", target) == "T"
    assert along_of("YX", target) == ""


@pytest.mark.parametrize(("text", "depth", "found"), [("", 1, None), ("middle", 5, None), ("3, 4", 1, (1, 2))])
def test_planes_that_a_kernel_comes_from(text: str, depth: int, found: Any) -> None:
    assert anchors_of(text, (2, 5), depth) == found


def test_of_several_planes_at_a_time_the_middle_one_is_taken() -> None:
    assert anchors_of("2, 4", (2, 5), 3) == (1, 7)
    request = Request(method="selfdeblur", kernel_size=15, planes="shared-kernel", anchors=(1, 9))
    part = dataclasses.replace(source("TZYX"), image=image("TZYX").cut({"T": (2, 4)}), region={"T": (2, 4)})
    assert "from T 2 Z 1, T 3 Z 3," in summary.words_of(request, part, default_registry())


@pytest.mark.parametrize("text", ["1", "5", "-2", "2-3", "first"])
def test_planes_that_no_kernel_can_come_from_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="kernel from"):
        anchors_of(text, (2, 5))


@pytest.mark.parametrize(("place", "span"), [(0, (0, 3)), (1, (0, 3)), (4, (3, 6)), (5, (3, 6))])
def test_frames_around(place: int, span: Any) -> None:
    assert frames_around(place, 6) == span
    assert frames_around(place, 2) == (0, 2)


def test_ranges_are_offered_along_time_and_else_depth() -> None:
    every = Target("every plane", "", "independent")
    assert along_of("TZYX", every) == "T"
    assert along_of("ZYX", every) == "Z"
    assert along_of("ZYX", Target("the volume", "", "volume")) == ""
    assert along_of("TYX", Target("this plane", "T", "independent")) == ""
    assert along_of("YX", Target("the image", "", "auto")) == ""


@pytest.mark.parametrize(
    ("text", "span"), [("", None), ("all", None), ("2", (2, 3)), ("0-2", (0, 3)), (" 1 – 3 ", (1, 4))]
)
def test_range_of(text: str, span: Any) -> None:
    assert range_of(text, 4) == span


@pytest.mark.parametrize("text", ["4", "0-4", "3-1", "a", "-1", "0:2"])
def test_ranges_that_are_not_there_are_refused_in_words(text: str) -> None:
    with pytest.raises(ParameterError, match="planes"):
        range_of(text, 4)


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("90", 90.0), ("90 s", 90.0), ("5 min", 300.0), ("1.5h", 5400.0)]
)
def test_times(text: str, value: Any) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["0", "-5", "soon", "nan", "5 years"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ParameterError, match="time limit"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"), [("auto", None), ("31", 31), ("31x21", (31, 21)), ("9, 31, 31", (9, 31, 31))]
)
def test_kernel_sizes(text: str, value: Any) -> None:
    assert kernel_size(text) == value


@pytest.mark.parametrize(("text", "value"), [("", None), ("all of it", None), ("auto", "auto"), (" 256 ", 256)])
def test_windows_that_a_kernel_is_found_in(text: str, value: Any) -> None:
    assert window(text) == value


@pytest.mark.parametrize("text", ["0", "-5", "31x31", "large"])
def test_windows_that_are_none(text: str) -> None:
    with pytest.raises(ParameterError, match="window"):
        window(text)


def source(axes: str = "TYX") -> layers.LayerSource:
    return layers.LayerSource("cells", image(axes), geometry={}, display={})


def test_summary_says_what_will_run() -> None:
    request = Request(method="selfdeblur", kernel_size=15, planes="shared-kernel", max_seconds=90)
    said = summary.words_of(request, source(), default_registry())
    assert "selfdeblur on cells: 4 planes of 32 × 30 pixels" in said
    assert "one for all of them, from the middle plane, at most 15 pixels large" in said
    assert "At most 1 min 30 s" in said
    said = summary.words_of(Request(method="selfdeblur", kernel_size=15, crop=64), source(), default_registry())
    assert "the kernel is estimated in a window of 64 pixels, at most 15 pixels large" in said


def test_summary_says_that_there_are_tiles() -> None:
    said = summary.words_of(Request(method="selfdeblur", kernel_size=15, tile=512), source(), default_registry())
    assert "In tiles of 512 pixels" in said


def test_summary_counts_volumes_and_says_what_was_changed() -> None:
    request = Request(method="richardson-lucy", settings={"kernel_prior": ["gaussian-psf"]}, planes="volume")
    said = summary.words_of(request, source("TZYX"), default_registry())
    assert "richardson-lucy on cells: 4 volumes of 6 × 32 × 30 pixels" in said
    assert "with the PSF model gaussian-psf" in said
    changed = Request(method="selfdeblur", settings={"image_prior.levels": 3})
    assert "selfdeblur (changed) on" in summary.words_of(changed, source(), default_registry())


def test_a_video_method_without_time_is_refused_in_the_words_of_the_dock() -> None:
    request = Request(method="reblur2deblur", planes="video")
    with pytest.raises(ImageError, match=r"cells has the axes ZYX\. Write T under Axes"):
        summary.words_of(request, source("ZYX"), default_registry())
    said = summary.words_of(request, source("TYX"), default_registry())
    assert "every frame is explained by those before and after it" in said


def test_the_camera_is_part_of_what_runs() -> None:
    request = Request(method="richardson-lucy", psf=np.ones((3, 3)), offset=100.0, gain=2.5)
    pipeline = summary.chosen(request, source().image, default_registry()).pipeline
    [camera] = [part for part in pipeline.slots["forward_model"] if part.name == "camera"]
    assert dict(camera.params) == {"offset": 100.0, "gain": 2.5}


def test_summary_of_a_batch() -> None:
    assert "share one kernel" in summary.words_of_batch(Request(method="selfdeblur", planes="shared-kernel"))
    assert "on its own" in summary.words_of_batch(Request(method="selfdeblur"))


def test_summary_refuses_what_does_not_fit() -> None:
    with pytest.raises(CompositionError, match="needs a PSF"):
        summary.words_of(Request(method="wiener"), source(), default_registry())


def test_a_picture_of_a_kernel_shows_what_can_be_seen_about_its_origin() -> None:
    kernel = np.zeros((65, 65))
    kernel[32, 32], kernel[30, 37], kernel[0, 0] = 1, 0.5, 1e-4
    shown = seen(kernel)
    assert shown.shape == (15, 15)
    assert shown[7, 7] == 1
    assert shown[5, 12] == 0.5
    assert seen(np.zeros((5, 5))).shape == (5, 5)
