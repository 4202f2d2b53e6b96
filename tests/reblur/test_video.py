"""Series as clips: every frame once, with its neighbours; files in, files out, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from tests.reblur.small import pipeline
from unblur import Job, deblur
from unblur.cli import main
from unblur.clips import clips
from unblur.errors import CompositionError, ImageError, ParameterError
from unblur.image import Image
from unblur.io import read_series
from unblur.observing import observation_of

FRAMES, HEIGHT, WIDTH = 5, 24, 28


def frames(count: int = FRAMES, dtype: Any = np.uint8) -> np.ndarray:
    """A bright square that moves to the right."""
    made = np.full((count, HEIGHT, WIDTH), 40, dtype)
    for number in range(count):
        made[number, 8:16, 3 + 3 * number : 11 + 3 * number] = 200
    return made


def restore(image: Any, **more: Any) -> Any:
    return deblur(image, pipeline=pipeline(steps=1), threads=1, device="cpu", **more)


@given(total=st.integers(1, 60), length=st.integers(1, 70))
def test_every_frame_is_kept_once_and_has_its_neighbours(total: int, length: int) -> None:
    image = Image.from_array(np.zeros((total, 8, 8), np.uint8), "TYX")
    tasks = clips(image, length)
    kept = []
    for task in tasks:
        assert task.kept is not None
        numbers = [frame["T"] for frame in task.frames]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert len(numbers) >= min(3, total)
        start, stop = task.kept
        assert stop - start <= length
        assert start > 0 or numbers[0] == 0
        assert stop < len(numbers) or numbers[-1] == total - 1
        kept += numbers[start:stop]
    assert kept == list(range(total))


def test_channels_and_planes_are_series_of_their_own() -> None:
    image = Image.from_array(np.zeros((6, 2, 8, 8), np.uint8), "TCYX")
    tasks = clips(image, 3)
    assert [(task.index["C"], task.index["T"]) for task in tasks] == [(0, 0), (0, 3), (1, 0), (1, 3)]
    assert {frame["C"] for frame in tasks[-1].frames} == {1}


@pytest.mark.parametrize("length", [None, 2])
def test_a_series_comes_back_with_its_shape_and_a_flow_for_its_inner_frames(length: int | None) -> None:
    result = restore(frames(), axes="TYX", clip_frames=length)
    assert result.image.shape == (FRAMES, HEIGHT, WIDTH)
    assert np.isfinite(result.image).all()
    assert result.kernel.shape == (FRAMES, 4, HEIGHT, WIDTH)
    assert np.isfinite(result.kernel[1:-1]).all()
    assert np.isnan(result.kernel[[0, -1]]).all()
    rows = result.report["planes"]
    assert len(rows) == (1 if length is None else 3)
    assert all(row["status"] == "done" and row["residual"] > 0 for row in rows)


def test_colours_and_the_order_of_axes_are_kept() -> None:
    colours = np.stack([frames(3)] * 3, axis=-1)
    result = restore(colours, axes="TYXS")
    assert result.image.shape == colours.shape
    moved = restore(np.ascontiguousarray(colours.transpose(1, 0, 2, 3)), axes="YTXS")
    np.testing.assert_allclose(moved.image.transpose(1, 0, 2, 3), result.image, atol=1e-3)


def test_frames_on_the_disk_give_what_frames_in_memory_give(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "series.tif", frames(), imagej=True, metadata={"axes": "TYX", "finterval": 0.5})
    result = restore(read_series(tmp_path / "series.tif"), clip_frames=2)
    wanted = restore(frames(), axes="TYX", clip_frames=2)
    np.testing.assert_array_equal(result.image, wanted.image)
    assert isinstance(result.image, np.memmap) or isinstance(getattr(result.image, "base", None), np.memmap)


def test_a_constant_clip_is_returned_unchanged() -> None:
    series = np.concatenate([np.full((4, HEIGHT, WIDTH), 7, np.uint8), frames(4)])
    result = restore(series, axes="TYX", clip_frames=2)
    np.testing.assert_array_equal(result.image[:2], 7)
    assert result.report["planes"][0]["status"] == "constant"


@pytest.mark.parametrize("suffix", [".tif", ".mkv"])
def test_the_command_keeps_a_series_its_facts(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from unblur.pipeline import Pipeline

    pipe: Pipeline = pipeline(steps=1)
    (tmp_path / "pipe.toml").write_text(pipe.to_toml())
    given = tmp_path / "in.tif"
    tifffile.imwrite(
        given, frames(), imagej=True, resolution=(5, 5), metadata={"axes": "TYX", "finterval": 0.25, "unit": "um"}
    )
    out = tmp_path / f"out{suffix}"
    with pytest.raises(SystemExit) as end:
        main(["run", str(given), "-o", str(out), "--pipeline", str(tmp_path / "pipe.toml"), "--threads", "1"])
    assert end.value.code == 0, capsys.readouterr().err
    restored = read_series(out)
    assert restored.axes == "TYX"
    assert restored.data.shape == (FRAMES, HEIGHT, WIDTH)
    assert restored.pixel_size["T"] == pytest.approx(0.25)
    if suffix == ".tif":
        assert restored.pixel_size["X"] == pytest.approx(0.2)
    report = json.loads(Path(f"{out}.json").read_text())
    assert "residual" in report["planes"][0]


def test_what_is_no_series_is_refused() -> None:
    with pytest.raises(ImageError, match="but the image has axes YX"):
        restore(frames()[0])
    with pytest.raises(ImageError, match="2 frames: the motion is seen between at least 3"):
        restore(frames(2), axes="TYX")
    with pytest.raises(ParameterError, match="clip_frames = 0"):
        restore(frames(), axes="TYX", clip_frames=0)
    with pytest.raises(ParameterError, match="needs consecutive frames"):
        restore(frames(), axes="TYX", planes="independent")
    with pytest.raises(ParameterError, match="a PSF was given"):
        restore(frames(), axes="TYX", psf=np.ones((3, 3)))
    with pytest.raises(CompositionError, match="explains every frame by itself"):
        Job(frames(), axes="TYX", method="richardson-lucy", psf=np.ones((3, 3)), planes="video")  # type: ignore[arg-type]


def test_all_clips_of_a_series_have_one_map_of_intensities() -> None:
    """Whatever is bright in one of them."""
    series = np.random.default_rng(0).integers(100, 4000, (24, 32, 32)).astype(np.uint16)
    series[5, 3, 4] = 65535
    made = Job(series, axes="TYX", method="reblur2deblur", preset="fast", threads=1, clip_frames=12)
    assert len(made.tasks) > 1
    levels = {observation_of(made, task, None).levels for task in made.tasks}
    assert levels == {(float(series.min()), 65535.0)}
