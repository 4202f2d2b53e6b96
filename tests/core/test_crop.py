"""The window that a kernel is estimated in: where it lies, and what a job does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import unblur
from tests.core.small import BLIND, KNOWN, small_registry
from unblur.crop import best_window, parted
from unblur.errors import CompositionError, ParameterError
from unblur.image import Image
from unblur.jobs import Job
from unblur.planes import Window

REGISTRY = small_registry()


def texture(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Blobs with edges in all directions."""
    noise = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    return 0.1 + 0.8 * gaussian_filter((gaussian_filter(noise, 3) > 0).astype(np.float32), 1) + 1e-3 * noise


def scene(*fills: np.ndarray) -> np.ndarray:
    """Grey, with a picture of 64 x 64 pixels in each of four quarters."""
    return np.block([[fills[0], fills[1]], [fills[2], fills[3]]]).astype(np.float32)


FLAT = np.full((64, 64), 0.5, np.float32)
STRIPES = np.tile(0.5 + 0.5 * np.sin(np.arange(64) / 3), (64, 1))
TEXTURE = texture(64, 64)


def spans(picture: np.ndarray, side: int = 48, **facts: Any) -> tuple[tuple[int, int], ...]:
    found = best_window([picture[np.newaxis]], (side, side), **facts)
    assert found is not None
    return found.spans


def inside(spans: tuple[tuple[int, int], ...], *quarter: tuple[int, int]) -> bool:
    """But for the borders of the quarter, which are edges themselves."""
    pairs = zip(spans, quarter, strict=True)
    return all(low - 10 <= start and stop <= high + 10 for (start, stop), (low, high) in pairs)


def test_the_window_lies_where_there_is_texture() -> None:
    noise = 0.01 * np.random.default_rng(1).standard_normal((128, 128)).astype(np.float32)
    assert inside(spans(scene(FLAT, FLAT, FLAT, TEXTURE) + noise), (64, 128), (64, 128))
    half = np.hstack([np.full((96, 80), 0.3, np.float32), texture(96, 80)])
    assert inside(spans(half, 64), (0, 96), (80, 160))


def test_edges_in_one_direction_alone_say_little() -> None:
    strong, weak = scene(STRIPES, FLAT, FLAT, 0.4 * TEXTURE), scene(STRIPES, FLAT, FLAT, STRIPES.T)
    assert inside(spans(strong), (64, 128), (64, 128))
    (rows, columns) = spans(weak, 96)
    assert (rows[1] - rows[0], columns[1] - columns[0]) == (96, 96)
    assert best_window([np.tile(STRIPES, (2, 2))[np.newaxis]], (48, 48)) is None
    assert best_window([FLAT[np.newaxis]], (48, 48)) is None


def test_noise_is_no_texture() -> None:
    noisy = FLAT + 0.2 * np.random.default_rng(2).standard_normal(FLAT.shape)
    assert inside(spans(scene(noisy, noisy, noisy, noisy + TEXTURE)), (64, 128), (64, 128))


def test_saturated_and_unknown_pixels_are_avoided() -> None:
    burnt = np.where(TEXTURE > 0.5, 1.0, 0.2).astype(np.float32)
    picture = scene(FLAT, burnt, 0.3 * TEXTURE, FLAT)
    assert inside(spans(picture), (0, 64), (64, 128))
    assert inside(spans(picture, level=1.0), (64, 128), (0, 64))
    known = np.ones((1, 128, 128), bool)
    known[:, :64, 64:] = False
    assert inside(spans(picture, known=[known]), (64, 128), (0, 64))
    picture[:64, 64:] = np.nan
    assert inside(spans(picture, known=[np.isfinite(picture)[np.newaxis]]), (64, 128), (0, 64))


def test_a_few_saturated_pixels_are_better_than_no_edges() -> None:
    picture = scene(FLAT, FLAT, 0.02 * TEXTURE, 0.9 * TEXTURE)
    picture[80:84, 80:84] = 1.0
    assert inside(spans(picture, level=1.0), (64, 128), (64, 128))


def test_a_window_is_the_same_in_all_frames_channels_and_depths() -> None:
    first, second = scene(TEXTURE, FLAT, FLAT, FLAT), scene(FLAT, FLAT, FLAT, 3 * TEXTURE)
    both = best_window([first[np.newaxis], second[np.newaxis]], (48, 48))
    assert both is not None
    assert inside(both.spans, (64, 128), (64, 128))
    volume = best_window([np.stack([first, second])[np.newaxis]], (48, 48))
    assert volume is not None
    assert volume.spans == ((0, 2), *both.spans)
    assert volume.named["Z"] == (0, 2)
    colour = best_window([np.stack([second, second, first])], (48, 48))
    assert colour is not None
    assert inside(colour.spans, (64, 128), (64, 128))


def test_a_window_cuts_the_spatial_axes() -> None:
    window = Window(((1, 3), (2, 5)), "")
    assert window.cut(np.arange(60).reshape(2, 5, 6)).shape == (2, 2, 3)


def test_segments_that_estimate_the_kernel_are_those_of_the_window() -> None:
    later = KNOWN.replace(stages=[unblur.Stage(steps=3)])
    first, after = parted(BLIND.replace(then=BLIND.replace(then=later)), REGISTRY)
    assert [segment.slots["kernel_prior"][0].name for segment in first.segments()] == ["softmax", "softmax"]
    assert after == later
    assert parted(BLIND, REGISTRY) == (BLIND, None)


PICTURE = np.hstack([np.full((48, 48), 0.3, np.float32), texture(48, 48)])


def job(image: Any = PICTURE, **wishes: Any) -> Job:
    return Job(image, **{"registry": REGISTRY, "threads": 1, "method": "two-step", "kernel_size": 5, **wishes})


def run(image: Any = PICTURE, **wishes: Any) -> unblur.Result:
    made = job(image, **wishes)
    for _ in made.events():
        pass
    return made.result


def test_the_kernel_comes_from_the_window_and_restores_the_whole_image() -> None:
    result = run(crop=40)
    kernel, plane = result.report["planes"]
    assert (kernel["kind"], plane["kind"]) == ("kernel", "plane")
    (top, bottom), (left, right) = kernel["window"]["Y"], kernel["window"]["X"]
    assert (bottom - top, right - left) == (40, 40)
    assert left >= 48
    assert "edges" in kernel["window"]["reason"]
    assert any(f"X={left}:{right}" in text for text in result.report["assumptions"])
    assert result.image.shape == PICTURE.shape
    assert np.isfinite(result.image).all()
    alone = run(PICTURE[top:bottom, left:right], white_level=1.0)
    cropped = run(crop=40, white_level=1.0)
    np.testing.assert_array_equal(cropped.kernel, alone.kernel)
    elsewhere = PICTURE.copy()
    elsewhere[:, :40] += 0.1 * texture(48, 40)
    np.testing.assert_array_equal(run(elsewhere, crop=40, white_level=1.0).kernel, cropped.kernel)


def test_without_a_crop_nothing_changes() -> None:
    plain = job()
    assert [(task.kind, task.window) for task in plain.tasks] == [("plane", None)]
    assert job(crop="auto").tasks == plain.tasks  # the image is smaller than a window
    assert any("most of the image" in text for text in job(crop="auto").assumptions)
    assert job(crop=40).fingerprint != plain.fingerprint


def test_a_picture_without_edges_has_no_window() -> None:
    bare = job(np.tile(np.linspace(0, 1, 96, dtype=np.float32), (96, 1)), crop=40)
    assert [task.window for task in bare.tasks] == [None]
    assert any("more than one direction" in text for text in bare.assumptions)


def test_every_plane_has_a_window_and_a_kernel_of_its_own() -> None:
    series = np.stack([PICTURE, PICTURE[:, ::-1]])
    result = run(series, axes="TYX", crop=40)
    windows = [row["window"]["X"] for row in result.report["planes"] if row["kind"] == "kernel"]
    assert [row["kind"] for row in result.report["planes"]] == ["kernel", "plane"] * 2
    assert windows[0] != windows[1]
    assert (result.kernel_axes, result.kernel.shape) == ("TYX", (2, 5, 5))


def test_planes_that_share_a_kernel_share_the_window() -> None:
    result = run(np.stack([PICTURE] * 3), axes="TYX", planes="shared-kernel", anchors=[0, 2], crop=40)
    assert [row["kind"] for row in result.report["planes"]] == ["kernel", "plane", "plane", "plane"]
    assert result.report["planes"][0]["window"]["X"][0] >= 48
    assert result.kernel.shape == (5, 5)


def test_colour_with_a_window() -> None:
    colour = np.round(255 * np.stack([PICTURE] * 3, axis=-1)).astype(np.uint8)
    result = run(colour, axes="YXS", crop=40)
    assert result.image.shape == colour.shape


def test_the_estimate_and_a_plan_know_of_the_window() -> None:
    whole, cropped = job(np.tile(PICTURE, (4, 4))), job(np.tile(PICTURE, (4, 4)), crop=40)
    assert set(cropped.estimate().steps) == {"kernel", "plane"}
    assert cropped.pipelines["kernel"] == whole.pipeline.replace(then=None)
    report = run(crop=40).report
    again = run(crop=40, plan=report["plan"])
    np.testing.assert_array_equal(again.image, run(crop=40).image)


@pytest.mark.parametrize("after", [3, 12, 15])
def test_an_interrupted_run_with_a_window_resumes_with_the_same_bits(tmp_path: Path, after: int) -> None:
    events = job(crop=40, checkpoint=tmp_path / "c", checkpoint_seconds=0.0).events()
    for _ in range(after):
        next(events)
    events.close()
    resumed = job(crop=40, checkpoint=tmp_path / "c")
    for _ in resumed.events(resume=True):
        pass
    assert resumed.resumed
    np.testing.assert_array_equal(resumed.result.image, run(crop=40).image)
    assert resumed.result.report["planes"][0]["window"] == run(crop=40).report["planes"][0]["window"]


def test_pixels_that_are_nan_are_left_out_of_the_window() -> None:
    holed = np.hstack([PICTURE, PICTURE])
    holed[20:24, 70:74] = np.nan
    result = run(holed, crop=40, nan="mask")
    assert result.report["planes"][0]["window"]["X"][0] >= 96


@pytest.mark.parametrize(
    ("wishes", "error", "words"),
    [
        ({"crop": 4}, ParameterError, "no wider than the kernel"),
        ({"crop": 0}, ParameterError, "expected auto"),
        ({"crop": "best"}, ParameterError, "expected auto"),
        ({"crop": True}, ParameterError, "expected auto"),
        ({"crop": 40, "psf": np.ones((3, 3)), "kernel_size": None}, ParameterError, "and a PSF"),
        (
            {"crop": 40, "method": None, "kernel_size": None, "pipeline": KNOWN},
            CompositionError,
            "estimates none",
        ),
    ],
)
def test_crops_that_make_no_sense_are_refused(wishes: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        job(**wishes)


def test_a_window_that_is_narrow_for_its_kernel_is_said() -> None:
    assert any("less than 4 times" in text for text in job(crop=18).assumptions)
    assert not any("less than 4 times" in text for text in job(crop=20).assumptions)
    assert any("--kernel-size" in text for text in job(crop="auto", kernel_size=None).assumptions)


def test_an_image_keeps_its_facts() -> None:
    image = Image.from_array(PICTURE, pixel_size=0.1)
    assert run(image, crop=40).as_image().pixel_size == {"Y": 0.1, "X": 0.1}


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e30])
def test_the_window_does_not_depend_on_the_scale(scale: float) -> None:
    picture = scene(FLAT, STRIPES, FLAT, TEXTURE)
    found, wanted = (
        best_window([part[np.newaxis].astype(np.float32)], (48, 48)) for part in (picture * scale, picture)
    )
    assert found is not None
    assert wanted is not None
    assert found.spans == wanted.spans
