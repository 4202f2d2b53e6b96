"""Grids of kernels in results, reports, files and pictures, and back as a PSF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import unblur
from tests.mcem.small import KERNEL
from unblur import Pipeline, Stage, io
from unblur.cli.app import app
from unblur.errors import FileError, ImageError, ParameterError
from unblur.image import Image
from unblur.io.kernels import read_kernels
from unblur.kernel_grid import KernelGrid
from unblur.psfs import take_psf
from unblur.testing.camera_shake import ShakenScene, shaken_scene
from unblur.testing.worlds import smooth

PIPELINE = Pipeline(
    forward_model=[("svola", {"grid": (2, 3), "kernel_size": (5,)}), "squared"],
    image_prior="pixels",
    kernel_prior=("multi-head-unet", KERNEL),
    estimator="mcem",
    stages=[Stage(steps=2, set={"forward_model.grid": (1,)}), Stage(steps=2)],
)
GRID = KernelGrid((2, 3))


def scene(channels: int = 0) -> ShakenScene:
    lines = smooth((1, max(channels, 1), 40, 48), 2)[0].numpy().astype(float)
    drawn = 0.6 * lines + 0.4 * (np.sin(40 * lines) > 0)
    sharp = np.moveaxis(drawn, 0, -1) if channels else drawn[0]
    return shaken_scene(sharp, GRID.shape, (7, 7), seed=1, move=1.2, turn=1.5, noise=0.0)


@pytest.fixture(scope="module")
def result() -> unblur.Result:
    return unblur.deblur(scene().blurred.astype(np.float32), pipeline=PIPELINE, white_level=1.0, threads=1)


def test_a_result_says_where_its_kernels_hold(result: unblur.Result) -> None:
    assert result.kernel.shape == (6, 5, 5)
    assert result.kernel_grid == GRID
    arrays = result.kernel_arrays()
    assert arrays["kernels"].shape == (2, 3, 5, 5)
    np.testing.assert_array_equal(arrays["kernels"][1, 2], result.kernel[5])
    np.testing.assert_allclose(arrays["kernels"].sum((2, 3)), 1, atol=1e-5)
    height, width = result.image.shape
    np.testing.assert_allclose(arrays["centres"][0, 0], [height / 4 - 0.5, width / 6 - 0.5])
    np.testing.assert_allclose(arrays["centres"][1, 2], [0.75 * height - 0.5, width * 5 / 6 - 0.5])
    row = result.report["planes"][0]["kernel"]
    assert row["grid"] == [2, 3]
    np.testing.assert_allclose(row["centres"], arrays["centres"], atol=0.01)
    assert row["shape"] == [6, 5, 5]


def test_colours_share_the_grid() -> None:
    found = unblur.deblur(
        scene(channels=3).blurred.astype(np.float32), pipeline=PIPELINE, white_level=1.0, threads=1, axes="YXS"
    )
    assert found.kernel_arrays()["kernels"].shape == (2, 3, 5, 5)
    assert found.image.shape == (34, 42, 3)


def test_planes_have_a_grid_each() -> None:
    stack = np.stack([scene().blurred, scene().blurred[::-1]]).astype(np.float32)
    found = unblur.deblur(stack, pipeline=PIPELINE, white_level=1.0, threads=1, axes="TYX")
    assert found.kernel_arrays()["kernels"].shape == (2, 2, 3, 5, 5)
    assert found.kernel_picture().shape == (2 * 7, 3 * 7)


def test_one_kernel_has_no_grid() -> None:
    one = PIPELINE.set({"forward_model.grid": (1,)})
    found = unblur.deblur(scene().blurred.astype(np.float32), pipeline=one, white_level=1.0, threads=1)
    assert found.kernel_grid is None
    assert found.kernel.shape == (5, 5)
    assert set(found.kernel_arrays()) == {"kernels", "axes"}
    assert "grid" not in found.report["planes"][0]["kernel"]


def test_the_picture_shows_every_kernel_in_its_place(result: unblur.Result) -> None:
    picture = result.kernel_picture()
    assert picture.shape == (2 * 7, 3 * 7)
    for row in range(2):
        for column in range(3):
            kernel = result.kernel[3 * row + column]
            shown = picture[7 * row + 1 : 7 * row + 6, 7 * column + 1 : 7 * column + 6]
            np.testing.assert_allclose(shown, kernel / kernel.max(), atol=1e-6)


def test_files_hold_arrays_or_a_picture(result: unblur.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "a.tif", kernel=tmp_path / "k.npz")
    kernels, axes, centres = read_kernels(tmp_path / "k.npz")
    assert axes == "YX"
    np.testing.assert_array_equal(centres, GRID.centres(result.source.shape))
    np.testing.assert_array_equal(kernels, result.kernel)
    result.save(tmp_path / "a.tif", kernel=tmp_path / "k.png")
    picture = io.read(tmp_path / "k.png").data
    np.testing.assert_allclose(picture / 255, result.kernel_picture(), atol=0.51 / 255)
    result.save(tmp_path / "a.tif", kernel=tmp_path / "k.tif")
    np.testing.assert_array_equal(io.read(tmp_path / "k.tif").data, result.kernel)


def test_what_a_run_writes_another_takes_as_its_psf(result: unblur.Result, tmp_path: Path) -> None:
    """Kernels of a grid serve a method for known kernels, bit by bit."""
    result.save(tmp_path / "a.tif", kernel=tmp_path / "k.npz")
    again = unblur.deblur(
        result.source,
        method="richardson-lucy",
        settings={"forward_model": "svola", "stages.0.steps": 2},
        psf=tmp_path / "k.npz",
        threads=1,
    )
    np.testing.assert_array_equal(take_psf(tmp_path / "k.npz", result.source, None, False).kernel, result.kernel)
    np.testing.assert_allclose(again.kernel, result.kernel, rtol=1e-6)
    assert again.kernel_grid == GRID


def test_known_kernels_of_a_grid_restore_better_than_their_mean(tmp_path: Path) -> None:
    drawn = scene()
    np.savez(tmp_path / "k.npz", kernels=drawn.kernels, centres=GRID.centres(drawn.sharp.shape))
    mean = drawn.kernels.mean((0, 1))
    errors = {}
    for name, psf, model in (("grid", tmp_path / "k.npz", "svola"), ("mean", mean, "convolution")):
        settings = {"forward_model": model, "stages.0.steps": 15}
        wishes: dict[str, Any] = {"method": "richardson-lucy", "settings": settings, "white_level": 1.0, "threads": 1}
        found = unblur.deblur(drawn.blurred.astype(np.float32), psf=psf, **wishes)
        errors[name] = float(np.square(found.image - drawn.sharp)[6:-6, 6:-6].mean())
    blurred = float(np.square(drawn.blurred - drawn.sharp)[6:-6, 6:-6].mean())
    assert errors["grid"] < 0.8 * errors["mean"] < blurred


def test_a_grid_is_refused_where_one_kernel_is_wanted(tmp_path: Path) -> None:
    np.savez(tmp_path / "k.npz", kernels=np.ones((2, 3, 5, 5)), centres=GRID.centres(scene().blurred.shape))
    with pytest.raises(ParameterError, match=r"grid of 2x3 kernels, .* forward_model=svola"):
        unblur.deblur(scene().blurred.astype(np.float32), method="richardson-lucy", psf=tmp_path / "k.npz")


def test_one_kernel_as_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "k.npz", kernels=np.ones((3, 5)))
    psf = take_psf(tmp_path / "k.npz", Image.from_array(np.zeros((20, 20))), None, False)
    assert psf.kernel.shape == (1, 3, 5)
    assert psf.grid is None


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"kernel": np.ones((3, 3))}, "kernels"),
        ({"kernels": np.ones((2, 3, 5, 5))}, "without centres"),
        ({"kernels": np.ones((3, 2, 5, 5)), "centres": np.zeros((2, 3, 2))}, "with centres"),
        ({"kernels": np.array([["a"]])}, "numbers are expected"),
        ({"kernels": np.array([[{}]], dtype=object)}, "no readable kernels"),
    ],
)
def test_arrays_that_are_no_kernels_are_refused(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "k.npz", **arrays)
    with pytest.raises(FileError, match=words):
        read_kernels(tmp_path / "k.npz")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k.npz").write_bytes(b"no archive")
    with pytest.raises(FileError, match="no readable kernels"):
        read_kernels(tmp_path / "k.npz")


def test_the_command_line_writes_and_draws_the_grid(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(PIPELINE.to_toml(), encoding="utf-8")
    pixels = np.rint(255 * np.clip(scene().blurred, 0, 1)).astype(np.uint8)
    io.write(tmp_path / "in.png", Image.from_array(pixels))
    names = ["in.png", "-o", "out.tif", "--pipeline", "p.toml", "--kernel", "k.npz", "--preview", "panel.png"]
    command = ["run", *(str(tmp_path / name) if "." in name else name for name in names), "--threads", "1"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    kernels, _, centres = read_kernels(tmp_path / "k.npz")
    assert centres is not None
    assert centres.shape == (2, 3, 2)
    assert kernels.shape == (6, 5, 5)
    report = json.loads((tmp_path / "out.tif.json").read_text(encoding="utf-8"))
    assert report["planes"][0]["kernel"]["grid"] == [2, 3]
    assert io.read(tmp_path / "panel.png").data.shape[1] > 300


@pytest.mark.parametrize("centres", [GRID.centres((160, 192)), GRID.centres((40, 48)) + 7, np.zeros((2, 3, 2))])
def test_kernels_in_other_places_than_the_grid_s_are_refused(centres: np.ndarray, tmp_path: Path) -> None:
    """Such as those of a larger image, which would be stretched over this one."""
    np.savez(tmp_path / "k.npz", kernels=np.ones((2, 3, 5, 5)), centres=centres)
    image = Image.from_array(np.zeros((40, 48)))
    with pytest.raises(FileError, match=r"pixels off the centres of 2x3 equal cells .* 40x48 pixels"):
        take_psf(tmp_path / "k.npz", image, None, False)


def test_kernels_nearly_in_their_places_are_taken(tmp_path: Path) -> None:
    np.savez(tmp_path / "k.npz", kernels=np.ones((2, 3, 5, 5)), centres=GRID.centres((40, 48)) + 2)
    assert take_psf(tmp_path / "k.npz", Image.from_array(np.zeros((40, 48))), None, False).grid == GRID


def test_an_archive_that_is_damaged_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "k.npz", kernels=np.random.default_rng(0).random((40, 40)))
    content = bytearray((tmp_path / "k.npz").read_bytes())
    content[200:400] = bytes(200)
    (tmp_path / "k.npz").write_bytes(content)
    with pytest.raises(FileError, match="no readable kernels"):
        read_kernels(tmp_path / "k.npz")


@pytest.mark.parametrize("name", ["k.npz", "k.tif"])
def test_kernels_of_the_planes_of_a_stack_are_not_taken_for_one_in_three_dimensions(name: str, tmp_path: Path) -> None:
    planes = np.random.default_rng(0).random((3, 20, 18)).astype(np.float32)
    wishes: dict[str, Any] = {"method": "blind-richardson-lucy", "settings": {"stages.0.steps": 2}, "threads": 1}
    found = unblur.deblur(planes, axes="ZYX", kernel_size=3, **wishes)
    assert found.kernel_axes == "ZYX"
    found.save(tmp_path / "a.tif", kernel=tmp_path / name)
    with pytest.raises(ImageError, match="3 PSFs for an image with Z=3"):
        unblur.deblur(planes, axes="ZYX", psf=tmp_path / name, method="richardson-lucy", threads=1)
    settings = {"stages.0.steps": 1}
    series = unblur.deblur(planes, axes="TYX", psf=tmp_path / name, method="richardson-lucy", settings=settings)
    np.testing.assert_allclose(series.kernel, found.kernel, atol=1e-6)
