"""A time series in OME-TIFF through `unblur run`, with one kernel for all of its planes."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import Unblur
from unblur import io, samples
from unblur.image import Image

FEW = ("--method", "blind-richardson-lucy", "--set", "stages.0.steps=3", "--kernel-size", "5", "--threads", "1")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Three frames with two channels, their sizes, interval and names."""
    frames = samples.series(frames=3, side=32).image
    data = np.stack([frames.data, frames.data[::-1]], axis=1)
    image = Image(data, "TCYX", frames.pixel_size, frames.units, metadata={"channels": ("histone", "actin")})
    io.write(tmp_path / "series.ome.tif", image)
    return tmp_path / "series.ome.tif"


def test_a_series_with_a_shared_kernel_keeps_its_metadata(unblur: Unblur, series: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.tif"
    code, said, _ = unblur(
        "run",
        series,
        "-o",
        out,
        "--planes",
        "shared-kernel",
        "--anchors",
        "0,2",
        "--kernel",
        tmp_path / "k.ome.tif",
        *FEW,
    )
    assert code == 0
    assert "shared kernel, C=0: stopped" in said
    before, after, kernel = (io.read(path) for path in (series, out, tmp_path / "k.ome.tif"))
    assert (after.axes, after.shape) == (before.axes, before.shape) == ("TCYX", (3, 2, 32, 32))
    assert (after.pixel_size, after.units, after.status) == (before.pixel_size, before.units, before.status)
    assert after.metadata["channels"] == ("histone", "actin")
    assert after.data.dtype == np.float32
    assert np.isfinite(after.data).all()
    assert (kernel.axes, kernel.shape) == ("CYX", (2, 5, 5)), "one for each channel, and not one for each time"
    rows = json.loads((tmp_path / "out.ome.tif.json").read_text())["planes"]
    assert [row["kind"] for row in rows].count("kernel") == 2
    assert [row["index"] for row in rows if row["kind"] == "kernel"] == [{"C": 0}, {"C": 1}]
    with tifffile.TiffFile(out) as tif:
        assert '"planes_mode": "shared-kernel"' in html.unescape(tif.ome_metadata or "")


def test_the_shared_kernel_restores_another_series_as_its_psf(unblur: Unblur, series: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "k.ome.tif"
    unblur("run", series, "-o", tmp_path / "out.ome.tif", "--planes", "shared-kernel", "--kernel", kernel, *FEW)
    again = tmp_path / "again.ome.tif"
    code, _, _ = unblur(
        "run",
        series,
        "-o",
        again,
        "--psf",
        kernel,
        "--region",
        "T=0:1",
        "--method",
        "hyper-laplacian",
        "--threads",
        "1",
    )
    assert code == 0
    np.testing.assert_allclose(io.read(again).data, io.read(tmp_path / "out.ome.tif").data[0], rtol=1e-5)


def test_files_share_no_kernel_and_the_run_says_so(unblur: Unblur, tmp_path: Path) -> None:
    frames = samples.series(frames=2, side=32).image
    for number, frame in enumerate(frames.data):
        io.write(tmp_path / f"{number}.tif", Image(frame, "YX"))
    code, _, warned = unblur(
        "run", tmp_path / "0.tif", tmp_path / "1.tif", "-o", tmp_path / "out", "--planes", "shared-kernel", *FEW
    )
    assert code == 0
    assert "every file has a kernel of its own" in warned
