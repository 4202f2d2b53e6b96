"""The user's own pairs: read with their units, mixed in, and refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from tests.reblur.small import SIZE, observation, outcome, pipeline
from tests.reblur.test_tuning import moved, parameters, problem, stepped
from unblur.errors import FileError, ImageError
from unblur.problem import Observation
from unblur_reblur.own_pairs import OwnPairs
from unblur_reblur.params import ReblurParams

COUNT = 3


def frames(dtype: Any = np.uint8, colours: bool = True, count: int = COUNT, seed: int = 0) -> np.ndarray:
    shape = (count, 20, 24, 3) if colours else (count, 20, 24)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def folders(path: Path, blurred: np.ndarray, sharp: np.ndarray) -> Path:
    """As sub-folders of PNG files."""
    for name, series in (("blurred", blurred), ("sharp", sharp)):
        (path / name).mkdir(parents=True)
        for number, frame in enumerate(series):
            Image.fromarray(frame).save(path / name / f"{number}.png")
    return path


def files(path: Path, blurred: np.ndarray, sharp: np.ndarray, axes: str = "TYX") -> Path:
    """As TIFF files."""
    path.mkdir(exist_ok=True)
    for name, series in (("blurred", blurred), ("sharp", sharp)):
        tifffile.imwrite(path / f"{name}.ome.tif", series, metadata={"axes": axes})
    return path


def science() -> Observation:
    """Grey, in units of its own, with values below zero."""
    pixels = observation().pixels[:, :1]
    return Observation(100 * (pixels - pixels.mean()))


def test_photographs_end_at_their_own_white(tmp_path: Path) -> None:
    eight, sixteen = frames(), frames(np.uint16)
    narrow = OwnPairs(folders(tmp_path / "8", eight, 255 - eight), problem(observation()))
    wide = OwnPairs(files(tmp_path / "16", sixteen, 65535 - sixteen, "TYXS"), problem(observation()))
    for pairs, series, white in ((narrow, eight, 255), (wide, sixteen, 65535)):
        assert len(pairs) == COUNT
        for number, pair in enumerate(pairs):
            wanted = torch.from_numpy(series[number].astype(np.float32) / white).permute(2, 0, 1)[None]
            torch.testing.assert_close(pair.observed, wanted)
            assert pair.truth is not None
            torch.testing.assert_close(pair.truth, 1 - wanted)


def test_science_data_have_the_units_of_the_frames(tmp_path: Path) -> None:
    series = frames(colours=False).astype(np.float32)
    one = problem(science())
    [first, *_] = OwnPairs(files(tmp_path, series, series / 2), one)
    offset, peak = one.intensity.offset, one.intensity.peak
    assert offset < 0
    torch.testing.assert_close(first.observed[0, 0], (torch.from_numpy(series[0]) - offset) / peak)
    assert first.truth is not None
    torch.testing.assert_close(first.truth[0, 0], (torch.from_numpy(series[0]) / 2 - offset) / peak)


def test_colours_and_grey_fit_each_other(tmp_path: Path) -> None:
    grey, coloured = frames(colours=False), frames()
    shown = OwnPairs(folders(tmp_path / "grey", grey, grey), problem(observation()))[0].observed
    assert shown.shape == (1, 3, 20, 24)
    torch.testing.assert_close(shown[0, 2], torch.from_numpy(grey[0] / np.float32(255)))
    seen = Observation(observation().pixels[:, :1], white_level=1.0)
    mean = OwnPairs(folders(tmp_path / "colours", coloured, coloured), problem(seen))[0].observed
    torch.testing.assert_close(mean[0, 0], torch.from_numpy(coloured[0].mean(-1) / 255).float())


def test_they_are_what_is_tuned_with(tmp_path: Path) -> None:
    """Without the frames (alpha 0) the network follows the pairs, and another sharp image leads elsewhere."""
    blurred = frames(count=1)
    after = []
    for name, sharp in (("one", frames(seed=1, count=1)), ("other", frames(seed=2, count=1))):
        one = problem(observation(), alpha=0.0, patch=SIZE, pairs=str(folders(tmp_path / name, blurred, sharp)))
        before = parameters(one)[0]
        stepped(one)
        after.append(parameters(one)[0])
        assert moved(before, after[-1])
    assert moved(*after)


def test_the_report_names_them(tmp_path: Path) -> None:
    path = folders(tmp_path, frames(), frames())
    notes = outcome(pipeline(steps=1, pairs=str(path)), observation()).notes
    assert f"fine-tuning with {COUNT} pairs of blurred and sharp images from {path}" in notes
    assert not any("generated" in note for note in notes)


def test_folders_that_are_none_of_pairs_are_refused(tmp_path: Path) -> None:
    one = problem(observation())
    with pytest.raises(FileError, match="is no folder of pairs"):
        OwnPairs(tmp_path / "none", one)
    with pytest.raises(FileError, match="holds nothing of the name 'blurred'"):
        OwnPairs(tmp_path, one)
    folders(tmp_path, frames(), frames())
    tifffile.imwrite(tmp_path / "sharp.tif", frames())
    with pytest.raises(FileError, match=r"holds 2 of the name 'sharp': sharp, sharp\.tif"):
        OwnPairs(tmp_path, one)


def test_series_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one = problem(observation())
    with pytest.raises(ImageError, match="each frame needs its pair"):
        OwnPairs(folders(tmp_path / "count", frames(), frames(count=2)), one)
    path = folders(tmp_path / "names", frames(), frames())
    (path / "sharp" / "1.png").rename(path / "sharp" / "other.png")
    with pytest.raises(ImageError, match=r"1\.png has no pair: .* 2\.png in its place"):
        OwnPairs(path, one)


def test_frames_that_cannot_be_pairs_are_refused(tmp_path: Path) -> None:
    one, grey = problem(observation()), frames(colours=False).astype(np.float32)
    with pytest.raises(ImageError, match="at least 16 pixels"):
        OwnPairs(folders(tmp_path / "small", frames()[:, :15], frames()[:, :15]), one)
    with pytest.raises(ImageError, match="has axes CYX"):
        OwnPairs(files(tmp_path / "channels", grey, grey, "CYX"), one)
    with pytest.raises(ImageError, match="as bright as white; pairs without a white level"):
        OwnPairs(files(tmp_path / "bright", grey, grey), one)
    grey[2, 0, 0] = np.nan
    with pytest.raises(ImageError, match="frame 2 has values that are not finite"):
        OwnPairs(files(tmp_path / "nan", grey, grey), problem(science()))


def test_a_run_is_recognised_by_what_they_are(tmp_path: Path) -> None:
    folders(tmp_path, frames(), frames(seed=1))
    read = ReblurParams(pairs=str(tmp_path)).files()
    assert len(read) == 2 * COUNT
    assert all(path.is_file() for path in read)
    assert ReblurParams().files() == []
