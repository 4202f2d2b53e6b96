"""Large images in tiles: how they lie, how they fade into each other, and what a job does with them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import unblur
from tests.core.small import KNOWN, small_registry
from tests.core.test_crop import texture
from unblur.errors import CompositionError, ParameterError
from unblur.jobs import Job
from unblur.planes import Task, Window
from unblur.tiles import merged, with_tiles

REGISTRY = small_registry()
PICTURE = texture(150, 210)
POINT = np.zeros((9, 9))
POINT[4, 4] = 1
PSF = gaussian_filter(POINT, 1.2)


def blurred(picture: np.ndarray) -> np.ndarray:
    """With noise of 0.2 %."""
    noise = 0.002 * np.random.default_rng(3).standard_normal(picture.shape)
    return np.asarray(fftconvolve(picture, PSF / PSF.sum(), mode="same") + noise, np.float32)


BLURRED = blurred(PICTURE)


def run(image: Any, **wishes: Any) -> unblur.Result:
    made = Job(image, **{"threads": 1, "seed": 1, **wishes})
    for _ in made.events():
        pass
    return made.result


def blind(image: Any = PICTURE, **wishes: Any) -> Job:
    asked = {"registry": REGISTRY, "threads": 1, "method": "two-step", "kernel_size": 5, "tile": 96, **wishes}
    return Job(image, **asked)


@settings(max_examples=30)
@given(
    rows=st.integers(40, 300),
    columns=st.integers(40, 300),
    side=st.integers(64, 200),
    width=st.integers(1, 16),
    depth=st.sampled_from([None, 3]),
)
def test_tiles_of_an_image_make_the_image(rows: int, columns: int, side: int, width: int, depth: int | None) -> None:
    shape = {"Y": rows, "X": columns} if depth is None else {"Z": depth, "Y": rows, "X": columns}
    image = np.random.default_rng(0).random((2, *shape.values())).astype(np.float32)
    tasks, _ = with_tiles([Task("plane", {}, ({},))], side, shape, KNOWN, REGISTRY, width)
    parts = [(task, image if task.window is None else task.window.cut(image)) for task in tasks]
    assert all(max(part.shape[-2:]) <= max(side, min(rows, columns)) for _, part in parts)
    ((index, whole),) = merged(parts, shape)
    assert index == {}
    np.testing.assert_allclose(whole, image, atol=1e-6)


def test_neighbours_share_what_was_asked_for_and_their_borders_count_nothing() -> None:
    tasks, said = with_tiles([Task("plane", {}, ({},))], 100, {"Y": 100, "X": 330}, KNOWN, REGISTRY, 20)
    spans = [task.window.spans[1] for task in tasks if task.window is not None]
    assert spans[0][0] == 0
    assert spans[-1][1] == 330
    shared = [one[1] - other[0] for one, other in itertools.pairwise(spans)]
    assert min(shared) >= 40
    assert "share 40" in said[0]
    torn = [np.zeros((1, 100, 100), np.float32) for _ in spans]
    for number, part in enumerate(torn):
        if number:
            part[..., :10] = np.inf  # a quarter of what is shared
        if number < len(torn) - 1:
            part[..., -10:] = np.inf
    with np.errstate(invalid="ignore"):
        finite = [np.nan_to_num(part, posinf=1e9) for part in torn]
    ((_, whole),) = merged(zip(tasks, finite, strict=True), {"Y": 100, "X": 330})
    np.testing.assert_array_equal(whole, 0)


def test_a_tile_that_failed_leaves_a_gap() -> None:
    tasks, _ = with_tiles([Task("plane", {}, ({},))], 80, {"Y": 80, "X": 120}, KNOWN, REGISTRY, 4)
    first, _ = tasks
    ((_, whole),) = merged([(first, np.ones((1, 80, 80), np.float32))], {"Y": 80, "X": 120})
    assert np.isnan(whole[..., 90:]).all()
    np.testing.assert_array_equal(whole[..., :70], 1)


@pytest.mark.parametrize(
    ("method", "mean", "most"),
    [("richardson-lucy", 1e-5, 1e-4), ("hyper-laplacian", 2e-3, 0.15), ("wiener", 8e-3, 0.1)],
)
@pytest.mark.parametrize("white_level", [1.0, None])
def test_no_seams(method: str, mean: float, most: float, white_level: float | None) -> None:
    dim = blurred(PICTURE * np.where(np.arange(210) < 90, 0.3, 1.0))  # so that tiles differ in their largest values
    asked = {"method": method, "psf": PSF, "white_level": white_level}
    whole, tiled = run(dim, **asked), run(dim, **asked, tile=110)
    assert [row["kind"] for row in tiled.report["planes"]] == ["plane"] * 6
    off = np.abs(tiled.image - whole.image)[12:-12, 12:-12]
    assert off.mean() < mean
    assert off.max() < most
    assert whole.image.shape == tiled.image.shape
    assert whole.kernel.shape == tiled.kernel.shape


def test_a_blind_method_estimates_one_kernel_in_a_window() -> None:
    job = blind()
    kernel, *tiles = job.tasks
    assert (kernel.kind, [task.kernel_from for task in tiles]) == ("kernel", [0] * len(tiles))
    assert isinstance(kernel.window, Window) or "most of the image" in " ".join(job.assumptions)
    for _ in job.events():
        pass
    result = job.result
    assert np.isfinite(result.image).all()
    assert result.kernel.shape == (5, 5)
    windows = [row["window"] for row in result.report["planes"] if row["kind"] == "plane"]
    assert len({tuple(window["Y"] + window["X"]) for window in windows}) == len(windows) > 1


def test_planes_and_colours_in_tiles() -> None:
    series = np.stack([PICTURE, PICTURE[::-1]])
    shared = blind(series, axes="TYX", planes="shared-kernel")
    assert [task.kind for task in shared.tasks].count("kernel") == 1
    each = blind(series, axes="TYX")
    assert [task.kind for task in each.tasks].count("kernel") == 2
    assert {task.kernel_from for task in each.tasks if task.index == {"T": 1}} - {None} != {0}
    colour = run(np.stack([BLURRED] * 3, -1), axes="YXS", method="wiener", psf=PSF, white_level=1.0, tile=110)
    assert colour.image.shape == (150, 210, 3)
    volume = np.stack([BLURRED] * 8)
    psf = np.stack([0 * PSF, PSF, 0 * PSF])
    deep = run(volume, axes="ZYX", method="richardson-lucy", psf=psf, tile=110)
    flat = run(volume, axes="ZYX", method="richardson-lucy", psf=psf)
    np.testing.assert_allclose(deep.image[:, 12:-12, 12:-12], flat.image[:, 12:-12, 12:-12], atol=1e-3)


def test_uncertainty_in_tiles() -> None:
    result = run(BLURRED, method="unsupervised-wiener", psf=PSF, white_level=1.0, tile=110)
    assert result.uncertainty is not None
    assert result.uncertainty.shape == BLURRED.shape
    assert np.isfinite(result.uncertainty).all()


def test_an_image_no_larger_than_a_tile_is_restored_whole() -> None:
    plain = Job(BLURRED, method="wiener", psf=PSF, tile="auto")
    assert [task.window for task in plain.tasks] == [None]
    assert any("no larger" in text for text in plain.assumptions)
    large = np.tile(PICTURE, (3, 3))  # in which a window would be worth it
    assert [task.window for task in blind(large, tile=700).tasks] == [None]
    assert len(blind(large, tile=400).tasks) > 2


def test_an_interrupted_run_in_tiles_resumes_with_the_same_bits(tmp_path: Path) -> None:
    whole = blind()
    for _ in whole.events():
        pass
    events = blind(checkpoint=tmp_path / "c", checkpoint_seconds=0.0).events()
    for event in events:
        if event.plane == 2:
            break
    events.close()
    again = blind(checkpoint=tmp_path / "c")
    for _ in again.events(resume=True):
        pass
    assert again.resumed
    np.testing.assert_array_equal(again.result.image, whole.result.image)


def test_masked_pixels_in_tiles() -> None:
    holed = BLURRED.copy()
    holed[20:24, 100:104] = np.nan
    result = run(holed, method="richardson-lucy", psf=PSF, nan="mask", tile=110)
    assert np.isfinite(result.image).all()


@pytest.mark.parametrize("method", ["richardson-lucy", "hyper-laplacian", "wiener", "unsupervised-wiener"])
def test_a_tile_without_detail_or_without_a_known_pixel(method: str) -> None:
    flat = BLURRED.copy()
    flat[:, :112] = 0.0
    assert np.isfinite(run(flat, method=method, psf=PSF, white_level=1.0, tile=110).image).all()
    flat[:, :112] = np.nan
    holed = run(flat, method=method, psf=PSF, white_level=1.0, nan="mask", tile=110)
    assert np.isfinite(holed.image[:, 112:]).all()
    assert holed.report["status"] == "done"
    assert {row["status"] for row in holed.report["planes"]} == {"done", "unknown"}


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"tile": 0}, "tile = 0"),
        ({"tile": "large"}, "tile = 'large'"),
        ({"tile": 40}, "--tile 64 or more"),
        ({"method": "practical-bid", "psf": None}, "give --kernel-size"),
    ],
)
def test_what_is_no_tile_is_refused(wishes: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Job(BLURRED, **{"method": "wiener", "psf": PSF, "tile": 110, **wishes})


def test_what_tiles_cannot_share_is_refused() -> None:
    with pytest.raises(CompositionError, match="svola"):
        Job(BLURRED, method="mcem", kernel_size=9, tile=110)
    with pytest.raises(CompositionError, match="video"):
        Job(np.stack([BLURRED] * 4), axes="TYX", method="reblur2deblur", tile=110)
    with pytest.raises(CompositionError, match="changes the PSF"):
        Job(BLURRED, method="blind-richardson-lucy", psf=PSF, tile=110)


def test_an_image_that_needs_no_tiles_needs_no_kernel_size_for_them() -> None:
    tasks = [Task("plane", {}, ({},))]
    made, said = with_tiles(tasks, 96, {"Y": 40, "X": 50}, KNOWN, REGISTRY, psf_width=90)
    assert made == tasks
    assert said == ["no tiles: the image is no larger than one of 96 pixels"]
