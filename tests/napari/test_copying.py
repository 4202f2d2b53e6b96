"""A run as text: the text is executed, and gives the same bits."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from napari.layers._source import layer_source

import unblur
from napari_deblur import copying, layers
from napari_deblur.request import Request
from tests.napari.restoring import PSF
from unblur import io
from unblur.driver import CancelToken
from unblur.errors import FileError, ImageError

FEW = {"stages.0.steps": 3}
RL = Request(method="richardson-lucy", settings=FEW, threads=1, seed=4)
Source = Callable[..., layers.LayerSource]


@pytest.fixture
def opened(tmp_path: Path) -> Source:
    """Write a file with a name that shells do not like, and read the layer that napari shows of it."""

    def call(axes: str = "TYX", said: str | None = "TYX", region: Any = None, **sizes: float) -> layers.LayerSource:
        shape = [{"T": 3, "Y": 20, "X": 24, "S": 3}[axis] for axis in axes]
        data = np.random.default_rng(0).integers(20, 200, shape).astype(np.uint8 if "S" in axes else np.uint16)
        path = tmp_path / "it's a cell.tif"
        tifffile.imwrite(path, data, metadata={"axes": said} if said else None)
        with layer_source(path=str(path)):
            layer = Image(data, rgb="S" in axes)
        source = layers.read(layer, axes=axes)
        return (layers.with_pixel_size(source, sizes) if sizes else source).cut(region or {})

    return call


@pytest.fixture
def psf(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "psf.tif", PSF)
    return tmp_path / "psf.tif"


def ran(source: layers.LayerSource, request: Request, **more: Any) -> unblur.Result:
    return unblur.deblur(source.load(), **{**request.job_arguments(), **more})


def executed(kind: str, text: str, folder: Path) -> np.ndarray:
    """Run the text in a folder of its own; the image that it writes."""
    folder.mkdir()
    if kind == "python":
        with contextlib.chdir(folder):
            exec(text, {})
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": path}
        command = ["sh", "-ec", text]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    [written] = folder.glob("*-deblurred.ome.tif")
    return io.read(written).data


def check(source: layers.LayerSource, request: Request, result: unblur.Result, folder: Path) -> None:
    for kind, write in (("shell", copying.command_line), ("python", copying.python)):
        image = executed(kind, write(source, request, result), folder / kind)
        np.testing.assert_array_equal(image, result.image, err_msg=kind)


def test_a_series_with_all_that_the_user_said(opened: Source, psf: Path, tmp_path: Path) -> None:
    source = opened("TYX", None, {"T": (1, 3), "X": (2, 22)}, T=2.0, Y=0.1, X=0.1)
    request = replace(RL, psf=psf, centre_psf=True, planes="independent")
    result = ran(source, request)
    text = copying.command_line(source, request, result)
    assert "--axes TYX" in text
    assert "--pixel-size T=2.0,Y=0.1,X=0.1" in text
    assert "--region T=1:3,X=2:22" in text
    check(source, request, result, tmp_path)


def test_a_pipeline_of_ones_own_and_a_kernel_size(opened: Source, tmp_path: Path) -> None:
    pipeline = unblur.Pipeline(
        forward_model=["convolution", ("huber", {"delta": 0.02})],
        image_prior=["pixels", ("tv", {"weight": 1e-6})],
        kernel_prior="free",
        estimator=("joint-adam", {"image_rate": 1e-2}),
        stopping=["moving-variance", "smallest-variance"],
        stages=[unblur.Stage(steps=3, scale=0.5), unblur.Stage(steps=3)],
    )
    source = opened()
    request = Request(
        pipeline=pipeline,
        kernel_size=(3, 5),
        settings={"estimator.kernel_rate": 1e-4, "image_prior.tv.weight": [[0, 1e-3], [0.5, 0.0]]},
        planes="shared-kernel",
        anchors=(0, 2),
        threads=1,
    )
    check(source, request, ran(source, request), tmp_path)


def test_a_run_in_colour_whose_time_was_limited(opened: Source, tmp_path: Path) -> None:
    source = opened("YXS", "YXS", {"Y": (0, 18)})
    request = Request(
        method="blind-richardson-lucy", kernel_size=5, settings={"stages.0.steps": 20}, max_seconds=30, threads=1
    )
    check(source, request, ran(source, request), tmp_path)


def test_a_run_that_the_user_stopped(opened: Source, psf: Path) -> None:
    source = opened("YX", "YX")
    request = replace(RL, settings={"stages.0.steps": 50}, psf=psf)
    token = CancelToken()

    def stop(event: Any) -> None:
        if event.event.step == 7:
            token.cancel("enough")

    result = ran(source, request, progress=stop, cancel=token)
    assert result.report["status"] == "cancelled"
    text = copying.python(source, request, result)
    names: dict[str, Any] = {}
    exec(text.replace("result.save", "# "), names)
    np.testing.assert_array_equal(names["result"].image, result.image)


def test_a_method_that_was_chosen_by_rule_is_named(opened: Source, psf: Path) -> None:
    source = opened("YX", "YX")
    request = Request(psf=psf, settings={"stages.0.steps": 2}, threads=1)
    result = ran(source, request)
    assert "--method richardson-lucy" in copying.command_line(source, request, result)
    assert "method='richardson-lucy'" in copying.python(source, request, result)


def test_a_psf_layer_is_named_by_its_file(opened: Source, psf: Path) -> None:
    with layer_source(path=str(psf)):
        image = layers.read(Image(tifffile.imread(psf))).load()
    source = opened("YX", "YX")
    request = replace(RL, psf=image)
    result = ran(source, request)
    assert f"--psf {psf}" in copying.command_line(source, request, result)
    drawn = replace(request, psf=layers.read(Image(PSF)).load())
    with pytest.raises(ImageError, match="The PSF is not in a file"):
        copying.command_line(source, drawn, result)
    changed = replace(request, psf=replace(image, data=image.data[::-1] * 2))
    with pytest.raises(ImageError, match="The PSF is not what"):
        copying.python(source, changed, result)


def test_what_is_in_no_file_is_refused_with_the_remedy(psf: Path) -> None:
    source = layers.read(Image(np.random.default_rng(0).integers(20, 200, (20, 24)).astype(np.uint16), name="drawn"))
    request = replace(RL, psf=psf)
    result = ran(source, request)
    for write in (copying.command_line, copying.python):
        with pytest.raises(ImageError, match=r"'drawn' is not in a file\. Save it as OME-TIFF"):
            write(source, request, result)


def test_a_file_that_changed_since_is_refused(opened: Source, psf: Path) -> None:
    source = opened("YX", "YX")
    request = replace(RL, psf=psf)
    result = ran(source, request)
    path = Path(str(source.image.source))
    tifffile.imwrite(path, np.zeros((20, 24), np.uint16), metadata={"axes": "YX"})
    with pytest.raises(ImageError, match="does not show what"):
        copying.command_line(source, request, result)
    path.write_text("no image")
    with pytest.raises(FileError):
        copying.command_line(source, request, result)


@pytest.mark.parametrize(
    "value",
    [1e-6, 20000, True, False, "siren", "true", "1", "a b", ["free", "l2"], [[0, 1.0], [0.5, 0.1]], (3, 5), "it's"],
)
def test_settings_survive_the_way_through_the_shell(value: Any) -> None:
    from unblur.cli import options

    [word] = shlex.split(shlex.quote(f"a.b={copying._toml(value)}"))
    expected = list(value) if isinstance(value, tuple) else value
    assert options.settings([word]) == {"a.b": expected}


def test_what_was_said_of_the_camera_and_of_the_pixels_is_repeated(opened: Source, psf: Path, tmp_path: Path) -> None:
    source = opened("YX", "YX")
    request = replace(RL, psf=psf, psf_axes="YX", offset=12.0, gain=2.5, white_level=190.0, nan="mask")
    result = ran(source, request)
    text = copying.command_line(source, request, result)
    for option in ("--psf-axes YX", "--offset 12.0", "--gain 2.5", "--white-level 190.0", "--nan mask"):
        assert option in text
    check(source, request, result, tmp_path)


def test_tiles_are_repeated(opened: Source) -> None:
    source = opened("YX", "YX")
    settings = {"stages.0.steps": 2}
    request = Request(method="blind-richardson-lucy", kernel_size=3, tile=999, settings=settings, threads=1)
    result = ran(source, request)
    assert "--tile 999" in copying.command_line(source, request, result)
    assert "tile=999" in copying.python(source, request, result)


def test_the_window_of_a_kernel_is_repeated(opened: Source) -> None:
    source = opened("YX", "YX")
    request = Request(method="blind-richardson-lucy", kernel_size=3, crop=16, settings=FEW, threads=1)
    result = ran(source, request)
    assert "--crop 16" in copying.command_line(source, request, result)
    assert "crop=16" in copying.python(source, request, result)
