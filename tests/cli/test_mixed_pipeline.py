"""A pipeline that no paper has, from a file, from Python and from --set: the same bits each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

import unblur as api
from tests.cli.conftest import Unblur
from unblur import io

ASSIGNMENTS = {
    "forward_model": "convolution,huber",
    "kernel_prior": "siren",
    "stopping": "moving-variance,smallest-variance",
    "stopping.moving-variance.window": "3",
    "stopping.smallest-variance.window": "3",
    "image_prior.levels": "2",
    "image_prior.channels": "[8]",
    "image_prior.skip_channels": "4",
    "stages.0.steps": "6",
}
PIPELINE = api.Pipeline(
    forward_model=["convolution", "huber"],
    image_prior=("encoder-decoder", {"levels": 2, "channels": (8,), "skip_channels": 4}),
    kernel_prior="siren",
    estimator="joint-adam",
    stopping=[("moving-variance", {"window": 3}), ("smallest-variance", {"window": 3})],
    stages=[api.Stage(steps=6)],
)


def test_a_mixed_pipeline_gives_the_same_bits_from_file_python_and_set(
    unblur: Unblur, cells: Path, tmp_path: Path
) -> None:
    result = api.deblur(io.read(cells), pipeline=PIPELINE, kernel_size=5, seed=3, threads=1)
    (tmp_path / "mixed.toml").write_text(PIPELINE.to_toml())
    common = ("--kernel-size", "5", "--seed", "3", "--threads", "1")
    code, _, err = unblur("run", cells, "-o", tmp_path / "a.tif", "--pipeline", tmp_path / "mixed.toml", *common)
    assert code == 0, err
    method = ("--method", "selfdeblur", "--preset", "paper")
    settings = [word for address, value in ASSIGNMENTS.items() for word in ("--set", f"{address}={value}")]
    code, _, err = unblur("run", cells, "-o", tmp_path / "b.tif", *method, *settings, *common)
    assert code == 0, err
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), result.image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), result.image)
