"""`unblur compare`, `bench levin` and `demo` on small pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import tifffile
from scipy.signal import fftconvolve

from tests.cli.conftest import Unblur, fails
from unblur import io
from unblur.cli import demo
from unblur.cli.compare import psf_of_plane, unsharp_mask
from unblur.cli.levin import with_noise
from unblur.cli.panels import Column
from unblur.image import Image
from unblur.jobs import Job
from unblur.metrics import aligned_psnr
from unblur.pipeline import Stage
from unblur.registry import default_registry


@pytest.fixture
def levin(tmp_path: Path) -> Path:
    """Two files in the benchmark's form, with an asymmetric kernel that is stored rotated by 180 degrees."""
    kernel = np.zeros((5, 5))
    kernel[0, 0], kernel[2, 2], kernel[2, 3] = 0.2, 0.5, 0.3
    for number in (1, 2):
        blocks = np.random.default_rng(number).random((9, 9)) > 0.5
        sharp = np.kron(blocks, np.ones((8, 8)))[:68, :68] * 0.8 + 0.1
        blurred = fftconvolve(sharp, kernel[::-1, ::-1], mode="valid")
        content = {"x": sharp[2:-2, 2:-2], "y": blurred, "f": kernel}
        scipy.io.savemat(tmp_path / f"im0{number}_ker01.mat", content)
    return tmp_path


def bench(unblur: Unblur, levin: Path, *more: object, force: bool = True) -> tuple[int, dict[str, object], str]:
    out = levin / "table.json"
    more = (*more, "--force") if force else more
    command = ("bench", "levin", "--data", levin, "--methods", "hyper-laplacian", "--json", out, "--threads", "1")
    code, said, err = unblur(*command, *more)
    return code, json.loads(out.read_text()) if out.exists() else {}, said + err


def test_the_benchmark_hands_the_stored_kernel_over_as_the_convolution_needs_it(unblur: Unblur, levin: Path) -> None:
    code, table, said = bench(unblur, levin, "--known", "--panels", levin / "panels")
    assert code == 0, said
    rows = table["rows"]
    assert [row["image"] for row in rows] == ["im01_ker01", "im02_ker01"]
    for row in rows:
        assert row["psnr"] > row["psnr_blurred"] + 5
        assert row["kernel_similarity"] > 0.999
        assert row["stop_reason"] == "planned steps done"
    assert table["mean"]["hyper-laplacian"]["images"] == 2
    assert len(list((levin / "panels").glob("*.png"))) == 2


def test_the_benchmark_gives_a_blind_method_y_and_the_size(unblur: Unblur, levin: Path) -> None:
    out = levin / "t.json"
    wanted = ("--methods", "blind-richardson-lucy", "--images", "im02_ker01", "--threads", "1", "--kernel-size")
    for size, expected in (("exact", [5, 5]), ("half", [32, 32]), ("7", [7, 7])):
        code, _, err = unblur("bench", "levin", "--data", levin, "--json", out, "--force", *wanted, size)
        assert code == 0, err
        assert json.loads(out.read_text())["rows"][0]["kernel_size"] == expected


def test_a_curve_has_the_best_and_the_last_preview(unblur: Unblur, levin: Path) -> None:
    _, table, said = bench(unblur, levin, "--known", "--curve", "0.001", "--images", "im01_ker01")
    row = table["rows"][0]
    assert row["psnr_best"] == max(point["psnr"] for point in row["curve"]), said
    assert row["curve"][-1]["step"] == row["steps"]
    assert row["psnr_last"] == pytest.approx(row["psnr"], abs=0.002)


def test_noise_is_of_the_strength_asked_for_and_the_same_each_time() -> None:
    image = np.full((200, 200), 0.5)
    gaussian = with_noise(image, ("gaussian", 0.05), (0,))
    assert np.std(gaussian - image) == pytest.approx(0.05, rel=0.05)
    impulse = with_noise(image, ("impulse", 0.05), (0,))
    assert np.mean(impulse != image) == pytest.approx(0.05, rel=0.1)
    assert set(np.unique(impulse)) == {0.0, 0.5, 1.0}
    np.testing.assert_array_equal(impulse, with_noise(image, ("impulse", 0.05), (0,)))


@pytest.mark.parametrize(
    "more",
    [("--images", "im09_ker01"), ("--noise", "fog:1"), ("--noise", "gaussian:x"), ("--kernel-size", "large")],
)
def test_a_benchmark_that_cannot_be_run_is_refused(unblur: Unblur, levin: Path, more: tuple[str, str]) -> None:
    code, table, said = bench(unblur, levin, *more)
    assert code == 2
    assert not table
    assert "error: " in said


def test_an_empty_folder_is_no_benchmark(unblur: Unblur, tmp_path: Path) -> None:
    command = ("--data", tmp_path, "--methods", "wiener", "--json", tmp_path / "t.json")
    assert unblur("bench", "levin", *command)[0] == 2


def test_compare_draws_every_method_on_the_crop(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    panel = tmp_path / "panel.png"
    command = ("compare", cells, "--methods", "richardson-lucy,wiener", "--psf", tmp_path / "psf.tif", "-o", panel)
    code, said, err = unblur(*command, "--crop", "4:28,6:38", "--unsharp")
    assert code == 0, err
    assert "richardson-lucy: planned steps done" in said
    assert "wiener: planned steps done" in said
    drawn = io.read(panel)
    assert drawn.sizes["X"] > 3 * drawn.sizes["Y"]


@pytest.mark.parametrize("more", [("--crop", "0:500,0:10"), ("--at", "Z=3"), ("--at", "depth"), ("--methods", "magic")])
def test_a_comparison_that_cannot_be_made_is_refused(
    unblur: Unblur, cells: Path, tmp_path: Path, more: tuple[str, str]
) -> None:
    panel = tmp_path / "panel.png"
    given = ("--psf", tmp_path / "psf.tif", "--methods", "wiener", "-o", panel)
    assert unblur("compare", cells, *given, *more)[0] == 2
    assert not panel.exists()


def test_unsharp_masking_keeps_what_is_flat_and_steepens_edges() -> None:
    edge = np.repeat(np.where(np.arange(40) < 20, 1.0, 2.0)[None], 30, axis=0)
    sharper = unsharp_mask(edge)
    np.testing.assert_allclose(sharper[:, :5], 1)
    assert sharper.max() > 2.1
    assert sharper.min() < 0.9


def test_the_demo_s_observation_is_the_truth_blurred_by_a_kernel_within_the_bound() -> None:
    case = demo.camera(noise=0.0)
    assert case.truth is not None
    kernel = demo.shake(demo.CAMERA_KERNEL, seed=4)
    assert kernel.shape == (19, 19)
    assert kernel.sum() == pytest.approx(1)
    assert case.kernel_size >= demo.CAMERA_KERNEL  # type: ignore[operator]
    expected = fftconvolve(case.truth, kernel, mode="valid")
    inside = case.observed[9:-9, 9:-9] / 255.0
    np.testing.assert_allclose(inside, expected, atol=0.5 / 255 + 1e-9)
    assert aligned_psnr(case.observed / 255.0, case.truth) < 24


def test_the_demo_gives_files_a_panel_and_figures(
    unblur: Unblur, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "METHOD", "blind-richardson-lucy")
    monkeypatch.setattr(demo, "PRESET", "balanced")
    code, said, err = unblur("demo", "-o", tmp_path / "demo", "--threads", "1")
    assert code == 0, err
    for case in ("camera", "clock"):
        for name in ("before.png", "after.png", "after.tif", "kernel.tif", "panel.png", "after.png.json"):
            assert (tmp_path / "demo" / f"{case}_{name}").exists()
    assert said.count("aligned PSNR") == 2


def test_a_method_that_fails_leaves_the_others_in_the_panel(
    unblur: Unblur, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unblur_classical.wiener.Wiener.init", fails)
    panel = tmp_path / "panel.png"
    given = ("--psf", tmp_path / "psf.tif", "--methods", "richardson-lucy,wiener", "-o", panel)
    code, _, err = unblur("compare", cells, *given)
    assert code == 3
    assert "error: wiener: " in err
    assert panel.exists()


def test_a_grid_of_kernels_has_no_similarity_with_one(unblur: Unblur, levin: Path) -> None:
    grid = default_registry().method("l0-gradient").pipeline("fast").set({"forward_model": "svola"})
    grid = grid.set({"forward_model.grid": (1, 2), "then": "none"}).replace(stages=[Stage(steps=1)])
    (levin / "grid.toml").write_text(grid.to_toml())
    methods = f"{levin / 'grid.toml'},l0-gradient"
    code, table, said = bench(unblur, levin, "--methods", methods, "--panels", levin / "panels")
    assert code == 0, said
    rows: Any = table["rows"]
    assert [row["kernel_similarity"] is None for row in rows] == [True, False] * 2
    assert "kernel a grid" in said
    assert len(list((levin / "panels").iterdir())) == 4


def test_panels_that_are_no_folder_are_refused(unblur: Unblur, levin: Path) -> None:
    code, _, said = bench(unblur, levin, "--panels", levin / "im01_ker01.mat")
    assert code == 2
    assert "im01_ker01.mat: is no folder" in said


def test_a_comparison_takes_the_psf_of_its_channel(unblur: Unblur, tmp_path: Path) -> None:
    sharp = np.kron(np.random.default_rng(0).random((6, 6)) > 0.5, np.ones((8, 8))).astype(np.float32)
    io.write(tmp_path / "dyes.ome.tif", Image(np.stack([sharp, 2 + sharp]), "CYX"))
    psfs = np.zeros((2, 5, 5), np.float32)
    psfs[0, 2, 2], psfs[1, :, 2] = 1, 1 / 5
    tifffile.imwrite(tmp_path / "psfs.tif", psfs)
    out = tmp_path / "panel.png"
    given = ("--psf", tmp_path / "psfs.tif", "--psf-axes", "CYX", "--at", "C=1")
    code, said, wrong = unblur("compare", tmp_path / "dyes.ome.tif", "--methods", "wiener", "-o", out, *given)
    assert code == 0, said + wrong
    own, deep = psf_of_plane(tmp_path / "psfs.tif", "CYX", io.read(tmp_path / "dyes.ome.tif"), {"C": 1})
    assert own is not None
    np.testing.assert_allclose(own.data, psfs[1])
    assert not deep


def test_a_comparison_with_a_psf_of_three_dimensions_restores_volumes(
    unblur: Unblur, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each channel with its PSF, and the plane that was asked for; a blind method sees that plane."""
    io.write(tmp_path / "stack.ome.tif", Image(np.random.default_rng(0).random((2, 6, 24, 20)), "CZYX"))
    psfs = np.ones((2, 3, 3, 3), np.float32) / 27
    psfs[1] = 0
    psfs[1, 1, 1, 1] = 1
    tifffile.imwrite(tmp_path / "psfs.tif", psfs, photometric="minisblack")
    seen: list[tuple[str, tuple[int, ...]]] = []
    drawn: list[Column] = []
    events = Job.events

    def watched(job: Job) -> Any:
        seen.append((job.method or "", job.image.shape))
        return events(job)

    monkeypatch.setattr(Job, "events", watched)
    monkeypatch.setattr("unblur.cli.panels.write_panel", lambda path, columns, levels: drawn.extend(columns))
    given = ("--psf", tmp_path / "psfs.tif", "--psf-axes", "CZYX", "--at", "C=1,Z=1", "--set", "stages.0.steps=2")
    methods = ("--methods", "richardson-lucy,blind-richardson-lucy", "--kernel-size", "3", "--threads", "1")
    code, said, wrong = unblur("compare", tmp_path / "stack.ome.tif", *methods, "-o", tmp_path / "panel.png", *given)
    assert code == 0, said + wrong
    assert seen == [("richardson-lucy", (6, 24, 20)), ("blind-richardson-lucy", (24, 20))]
    observed, restored, _ = drawn
    np.testing.assert_allclose(restored.pixels, observed.pixels, atol=0.02)  # by a point, and of the same plane


def test_results_that_are_there_are_not_replaced(unblur: Unblur, levin: Path) -> None:
    assert bench(unblur, levin, "--images", "im01_ker01", "--known")[0] == 0
    code, table, said = bench(unblur, levin, "--images", "im02_ker01", "--known", force=False)
    assert code == 2
    assert "--force replaces it" in said
    assert [row["image"] for row in table["rows"]] == ["im01_ker01"]  # type: ignore[attr-defined]
    assert bench(unblur, levin, "--images", "im02_ker01", "--known")[0] == 0


def test_a_panel_that_is_there_is_not_replaced(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    panel = tmp_path / "panel.png"
    panel.write_bytes(b"a holiday")
    given = ("compare", cells, "--psf", tmp_path / "psf.tif", "--methods", "wiener", "-o", panel, "--threads", "1")
    code, _, err = unblur(*given)
    assert code == 2
    assert "--force replaces it" in err
    assert panel.read_bytes() == b"a holiday"
    assert unblur(*given, "--force")[0] == 0


def test_pixels_without_a_value_are_masked_where_asked(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    pixels = tifffile.imread(cells).astype(np.float32)
    pixels[3, 4] = np.nan
    tifffile.imwrite(cells, pixels)
    given = ("compare", cells, "--psf", tmp_path / "psf.tif", "--methods", "wiener", "-o", tmp_path / "panel.png")
    code, _, err = unblur(*given)
    assert code == 2
    assert "--nan mask" in err
    assert unblur(*given, "--nan", "mask", "--white-level", "400")[0] == 0
