"""`unblur run` on small pictures with classical methods."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

import unblur as api
from tests.cli.conftest import Unblur
from unblur import io
from unblur.io import output_lock
from unblur.registry import default_registry

RL = ("--method", "richardson-lucy", "--set", "stages.0.steps=3", "--threads", "1")


def test_a_run_says_what_it_assumes_and_costs_and_why_it_stopped(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.tif"
    code, said, _ = unblur("run", cells, "-o", out, "--psf", tmp_path / "psf.tif", "--pixel-size", "0.1")
    assert code == 0
    for words in (
        "method richardson-lucy was chosen",
        "estimate:",
        "of memory",
        "stopped: planned steps done",
        "given",
    ):
        assert words in said
    restored = io.read(out)
    assert restored.axes == "YX"
    assert restored.data.dtype == np.float32
    assert restored.pixel_size == pytest.approx({"Y": 0.1, "X": 0.1})
    report = json.loads(Path(f"{out}.json").read_text())
    assert report["status"] == "done"
    assert report["method"] == "richardson-lucy"
    assert not Path(f"{out}.checkpoint").exists()


def test_command_line_and_python_give_the_same_bits(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    unblur("run", cells, "-o", tmp_path / "out.tif", "--psf", tmp_path / "psf.tif", *RL)
    result = api.deblur(
        io.read(cells), method="richardson-lucy", psf=tmp_path / "psf.tif", settings={"stages.0.steps": 3}, threads=1
    )
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), result.image)


def test_set_file_and_preset_make_the_same_pipeline(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    pipeline = api.default_registry().method("richardson-lucy").pipeline("fast")
    (tmp_path / "mine.toml").write_text(pipeline.to_toml())
    psf = ("--psf", tmp_path / "psf.tif", "--threads", "1")
    unblur("run", cells, "-o", tmp_path / "a.tif", "--pipeline", tmp_path / "mine.toml", *psf)
    unblur("run", cells, "-o", tmp_path / "b.tif", "--method", "richardson-lucy", "--preset", "fast", *psf)
    changed = ("--set", "estimator.acceleration=true", "--set", "stages.0.steps=12")
    unblur("run", cells, "-o", tmp_path / "c.tif", "--method", "richardson-lucy", *changed, *psf)
    first, second, third = (tifffile.imread(tmp_path / name) for name in ("a.tif", "b.tif", "c.tif"))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)


def test_a_slot_is_filled_anew_by_names(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    camera = ("--set", "forward_model=convolution,camera", "--set", "forward_model.camera.gain=2")
    settings = (*camera, "--set", "forward_model.camera.offset=0", "--set", "kernel_prior=gaussian-psf")
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *RL, *settings)
    assert code == 0, err
    pipeline = json.loads((tmp_path / "out.tif.json").read_text())["pipeline"]
    assert pipeline["forward_model"]["modifiers"][0]["name"] == "camera"
    assert pipeline["kernel_prior"]["name"] == "gaussian-psf"


def test_what_is_taken_for_an_unknown_camera_is_said(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(20, 2000, 128), (128, 1))
    tifffile.imwrite(cells, (100 + 2 * np.random.default_rng(0).poisson(ramp)).astype(np.uint16))
    psf = ("--psf", tmp_path / "psf.tif")
    unknown = "no camera is known: offset 0 and gain 1 are taken"
    assert unknown in unblur("run", cells, "-o", tmp_path / "out.tif", *psf, *RL)[1]
    for number, given in enumerate((("--offset", "0"), ("--gain", "auto"), ("--offset", "90", "--gain", "auto"))):
        out = tmp_path / f"{number}.tif"
        code, said, _ = unblur("run", cells, "-o", out, *psf, *given, *RL)
        assert code == 0
        assert unknown not in said
        report = json.loads(Path(f"{out}.json").read_text())
        camera = report["pipeline"]["forward_model"]["modifiers"][0]
        assert camera["name"] == "camera"
        assert camera["params"]["gain"] == pytest.approx(2, rel=0.2)
        expected = float(given[1]) if given[0] == "--offset" else 100.0
        assert camera["params"]["offset"] == pytest.approx(expected, abs=1e-6 if given[0] == "--offset" else 60)
        assert any("estimated from the image" in text for text in report["assumptions"])


def test_auto_takes_the_place_of_a_number_in_the_pipeline() -> None:
    pipeline = api.default_registry().method("richardson-lucy").pipeline()
    camera = pipeline.replace(forward_model=["convolution", ("camera", {"offset": 100.0, "gain": 2.0})])
    image = 100 + 5 * np.random.default_rng(0).poisson(np.tile(np.linspace(20, 2000, 96), (96, 1)))
    job = api.Job(image.astype(np.float32), pipeline=camera, psf=np.ones((3, 3)), gain="auto")
    [changed] = [part for part in job.pipeline.slots["forward_model"] if part.name == "camera"]
    assert changed.params["offset"] == 100.0
    assert changed.params["gain"] == pytest.approx(5, rel=0.2)


def test_camera_offset_and_gain_become_a_response(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    given = ("--psf", tmp_path / "psf.tif", "--offset", "100", "--gain", "2.5")
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *RL, *given)
    assert code == 0, err
    parts = json.loads((tmp_path / "out.tif.json").read_text())["pipeline"]["forward_model"]["modifiers"]
    assert parts[0] == {"name": "camera", "params": {"offset": 100.0, "gain": 2.5}}


def test_the_kernel_that_is_written_is_the_psf_that_was_read(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    psf = tmp_path / "psf.tif"
    unblur("run", cells, "-o", tmp_path / "out.tif", "--psf", psf, "--kernel", tmp_path / "kernel.tif", *RL)
    again = ("--psf", tmp_path / "kernel.tif", "--kernel", tmp_path / "kernel2.tif")
    unblur("run", cells, "-o", tmp_path / "out2.tif", *again, *RL)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "kernel.tif"), tifffile.imread(tmp_path / "kernel2.tif"))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), tifffile.imread(tmp_path / "out2.tif"))


def test_uncertainty_and_preview_are_written(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    wanted = ("--uncertainty", tmp_path / "std.tif", "--preview", tmp_path / "panel.png")
    given = ("--psf", tmp_path / "psf.tif", "--method", "unsupervised-wiener", "--set", "stages.0.steps=40")
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *given, *wanted)
    assert code == 0, err
    wishes = {"psf": tmp_path / "psf.tif", "settings": {"stages.0.steps": 40}}
    found = api.deblur(io.read(cells), method="unsupervised-wiener", **wishes)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "std.tif"), found.uncertainty)
    assert io.read(tmp_path / "panel.png").is_rgb


def test_a_shared_kernel_takes_the_uncertainty_away_which_is_said_before_the_run(
    unblur: Unblur, cells: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "stack.ome.tif", np.stack([tifffile.imread(cells)] * 2), metadata={"axes": "TYX"})
    small = ("--set", "image_prior.channels=[8]", "--kernel-size", "5", "--preset", "fast")
    few = [text for stage in range(2) for text in ("--set", f"stages.{stage}.steps=2")]
    given = ("--method", "mc-mapk", "--planes", "shared-kernel", *small, *few, "--threads", "1")
    wanted = ("-o", tmp_path / "out.ome.tif", "--uncertainty", tmp_path / "std.tif")
    code, _, err = unblur("run", tmp_path / "stack.ome.tif", *wanted, *given)
    assert code == 0, err
    assert "std.tif will not be written: the image is made by hyper-laplacian, which gives no" in err


def test_without_an_uncertainty_it_is_said_before_the_run(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    given = ("--psf", tmp_path / "psf.tif", "--uncertainty", tmp_path / "std.tif", *RL)
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *given)
    assert code == 0
    assert "std.tif will not be written" in err
    assert not (tmp_path / "std.tif").exists()
    assert (tmp_path / "out.tif").exists()


def test_a_photograph_comes_out_as_png(unblur: Unblur, tmp_path: Path, cells: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (24, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    code, said, _ = unblur("run", tmp_path / "photo.png", "-o", tmp_path / "o.png", "--psf", tmp_path / "psf.tif")
    assert code == 0
    assert "hyper-laplacian was chosen" in said
    assert "share one kernel" in said
    assert io.read(tmp_path / "o.png").data.shape == (24, 30, 3)
    assert io.read(tmp_path / "o.png").data.dtype == np.uint8


def test_many_files_and_the_finished_ones_are_skipped(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    plate = tmp_path / "plate"
    plate.mkdir()
    for name in ("t1.tif", "t2.tif"):
        shutil.copy(cells, plate / name)
    command = ("run", f"{plate}/*.tif", "-o", tmp_path / "restored", "--psf", tmp_path / "psf.tif", *RL)
    assert unblur(*command)[0] == 0
    before = (tmp_path / "restored" / "t1.tif").stat().st_mtime_ns
    shutil.copy(cells, plate / "t3.tif")
    code, said, _ = unblur(*command)
    assert code == 0
    assert said.count("done before") == 2
    assert (tmp_path / "restored" / "t1.tif").stat().st_mtime_ns == before
    assert (tmp_path / "restored" / "t3.tif").exists()
    code, said, _ = unblur(*command, "--seed", "1")
    assert "done before" not in said


def test_one_bad_file_among_many_does_not_stop_the_others(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    plate = tmp_path / "plate"
    plate.mkdir()
    (plate / "a.tif").write_text("not an image")
    shutil.copy(cells, plate / "b.tif")
    code, _, err = unblur("run", plate, "-o", tmp_path / "restored", "--psf", tmp_path / "psf.tif", *RL)
    assert code == 2
    assert "a.tif" in err
    assert (tmp_path / "restored" / "b.tif").exists()
    assert not (tmp_path / "restored" / "a.tif").exists()


def test_a_plane_that_fails_is_nan_listed_and_has_an_exit_code_of_its_own(
    unblur: Unblur, tmp_path: Path, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unblur.errors import DivergedError
    from unblur.registry import default_registry

    estimator = default_registry().component("estimator", "richardson-lucy").load()
    step = estimator.step

    def fails_on_bright(self: object, problem: object, state: object, batch: object, clock: object) -> object:
        if float(batch.observed.mean()) > 0.9:  # type: ignore[attr-defined]
            raise DivergedError("the misfit is nan")
        return step(self, problem, state, batch, clock)

    monkeypatch.setattr(estimator, "step", fails_on_bright)
    stack = np.stack([tifffile.imread(cells)] * 3).astype(np.float32)
    stack[1] += 1e4
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, metadata={"axes": "TYX"})
    out = tmp_path / "out.ome.tif"
    code, _, err = unblur("run", tmp_path / "stack.ome.tif", "-o", out, "--psf", tmp_path / "psf.tif", *RL)
    assert code == 3
    assert "T=1" in err
    restored = tifffile.imread(out)
    assert np.isnan(restored[1]).all()
    assert np.isfinite(restored[[0, 2]]).all()
    report = json.loads(Path(f"{out}.json").read_text())
    assert [row["status"] for row in report["planes"]] == ["done", "failed", "done"]


def test_a_plan_from_a_report_repeats_the_bits(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    given = ("--psf", tmp_path / "psf.tif", "--method", "richardson-lucy", "--set", "stages.0.steps=100000")
    code, _, err = unblur("run", cells, "-o", tmp_path / "a.tif", *given, "--max-seconds", "0.5", "--threads", "1")
    assert code == 0, err
    plan = json.loads((tmp_path / "a.tif.json").read_text())["plan"]
    assert plan[0]["steps"][0] < 100_000
    command = ("run", cells, "-o", tmp_path / "b.tif", *given, "--plan", tmp_path / "a.tif.json", "--threads", "1")
    assert unblur(*command)[0] == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), tifffile.imread(tmp_path / "b.tif"))


def test_a_kernel_from_a_window_restores_the_whole_photograph(unblur: Unblur, tmp_path: Path) -> None:
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).standard_normal((64, 60))
    edges = 40 + 160 * gaussian_filter((gaussian_filter(noise, 3) > 0).astype(np.float64), 1.5)
    picture = np.hstack([np.full((64, 60), 90.0), edges + noise])
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "photo.png")
    out, photo = tmp_path / "o.tif", tmp_path / "photo.png"
    given = ("--method", "l0-gradient", "--kernel-size", "7", "--set", "stages.0.steps=2", "--threads", "1")
    code, said, err = unblur("run", photo, "-o", out, *given, "--crop", "48", "--preview", tmp_path / "panel.png")
    assert code == 0, err
    assert "the kernel is estimated in Y=" in said
    assert "steps per kernel" in said
    report = json.loads(Path(f"{out}.json").read_text())
    kernel, plane = report["planes"]
    assert kernel["window"]["X"][0] >= 50
    assert plane["kernel"]["estimated"] is False
    assert tifffile.imread(out).shape == (64, 120)
    assert unblur("run", photo, "-o", tmp_path / "w.tif", *given, "--crop", "auto")[0] == 0
    assert "most of the image" in json.loads((tmp_path / "w.tif.json").read_text())["assumptions"][-1]
    for wrong in ("0", "wide", "5"):
        code, _, err = unblur("run", photo, "-o", tmp_path / "n.tif", *given, "--crop", wrong)
        assert code == 2
        assert "crop" in err


def test_an_output_that_is_being_written_is_refused(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    with output_lock(tmp_path / "out.tif"):
        code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", "--psf", tmp_path / "psf.tif", *RL)
    assert code == 2
    assert "another process" in err


def test_what_no_run_made_is_not_replaced_without_force(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    out.write_bytes(b"the only copy")
    command = ("run", cells, "-o", out, "--psf", tmp_path / "psf.tif", *RL)
    assert unblur(*command)[0] == 2
    assert out.read_bytes() == b"the only copy"
    assert unblur(*command, "--force")[0] == 0


def _broken_inputs(folder: Path) -> dict[str, list[object]]:
    """Name → arguments after ``run``."""
    good = tifffile.imread(folder / "cells.tif")
    psf = ["--psf", folder / "psf.tif"]

    def save(name: str, array: np.ndarray, **how: object) -> Path:
        tifffile.imwrite(folder / name, array, **how)
        return folder / name

    (folder / "text.tif").write_text("hello")
    (folder / "empty.tif").write_bytes(b"")
    (folder / "cut.tif").write_bytes((folder / "cells.tif").read_bytes()[:1500])
    (folder / "bad.toml").write_text('speed = "fast"')
    nan = good.astype(np.float32)
    nan[3, 3] = np.nan
    cells = folder / "cells.tif"
    return {
        "text": [folder / "text.tif", *psf],
        "empty": [folder / "empty.tif", *psf],
        "cut": [folder / "cut.tif", *psf],
        "missing": [folder / "missing.tif", *psf],
        "no axes": [save("cube.tif", np.zeros((5, 16, 16), np.float32), metadata=None), *psf],
        "complex": [save("complex.tif", good.astype(np.complex64)), *psf],
        "nan": [save("nan.tif", nan), *psf],
        "tiny": [save("tiny.tif", good[:1, :1]), *psf],
        "smaller than the kernel": [cells, "--psf", save("wide.tif", np.ones((99, 99), np.float32))],
        "wider than the image": [cells, "--method", "selfdeblur", "--kernel-size", "71"],
        "psf nan": [cells, "--psf", save("psf_nan.tif", np.full((5, 5), np.nan, np.float32))],
        "psf zero": [cells, "--psf", save("psf_zero.tif", np.zeros((5, 5), np.float32))],
        "psf negative": [cells, "--psf", save("psf_negative.tif", -np.ones((5, 5), np.float32))],
        "psf missing": [cells, "--psf", folder / "nothing.tif"],
        "no psf": [cells, "--method", "richardson-lucy"],
        "method": [cells, *psf, "--method", "magic"],
        "preset": [cells, *psf, "--preset", "best"],
        "set unknown": [cells, *psf, "--set", "estimator.speed=3"],
        "set type": [cells, *psf, "--set", "estimator.acceleration=maybe"],
        "set form": [cells, *psf, "--set", "estimator"],
        "set misfit": [cells, *psf, "--set", "image_prior=pixels,huber"],
        "pipeline": [cells, "--pipeline", folder / "bad.toml"],
        "kernel size": [cells, "--kernel-size", "big"],
        "pixel size": [cells, *psf, "--pixel-size", "tiny"],
        "axes": [cells, *psf, "--axes", "ZYX"],
        "volume": [cells, *psf, "--planes", "volume"],
        "plan": [cells, *psf, "--plan", folder / "bad.toml"],
        "device": [cells, *psf, "--device", "abacus"],
        "budget": [cells, *psf, "--max-seconds", "-3"],
        "option": [cells, *psf, "--speed"],
        "number": [cells, *psf, "--seed", "x"],
        "dtype": [cells, *psf, "--dtype", "rainbow"],
    }


CASES = [
    "text", "empty", "cut", "missing", "no axes", "complex", "nan", "tiny", "smaller than the kernel",
    "wider than the image", "psf nan", "psf zero", "psf negative", "psf missing", "no psf", "method", "preset",
    "set unknown", "set type", "set form", "set misfit", "pipeline", "kernel size", "pixel size", "axes", "volume",
    "plan", "device", "budget", "option", "number", "dtype",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_clear_error_and_no_output(unblur: Unblur, cells: Path, tmp_path: Path, case: str) -> None:
    arguments = _broken_inputs(tmp_path)[case]
    out = tmp_path / "restored.tif"
    code, _, err = unblur("run", *arguments, "-o", out)
    lines = [line for line in err.splitlines() if not line.startswith("  warning")]
    assert code == 2
    assert lines[0].startswith("error: ")
    assert len(lines) <= 2
    assert "Traceback" not in err
    assert not out.exists()
    assert not Path(f"{out}.json").exists()


@pytest.mark.parametrize(
    ("method", "size", "said"),
    [
        ("selfdeblur", "41", ["41x41", "at most 32x40", "at least 41x41"]),
        ("selfdeblur", "31x41", ["31x41", "at most 31x40", "at least 32x41"]),
    ],
)
def test_an_image_that_is_too_small_says_what_would_do(
    unblur: Unblur, cells: Path, tmp_path: Path, method: str, size: str, said: list[str]
) -> None:
    out = tmp_path / "restored.tif"
    code, _, err = unblur("run", cells, "-o", out, "--method", method, "--kernel-size", size)
    assert code == 2
    assert [words for words in said if words not in err] == []
    assert not out.exists()


def test_an_image_that_is_too_small_for_the_coarsest_stages_does_without_them(
    unblur: Unblur, cells: Path, tmp_path: Path
) -> None:
    out = tmp_path / "restored.tif"
    code, said, err = unblur("run", cells, "-o", out, "--method", "l0-gradient", "--kernel-size", "9")
    assert code == 0
    assert "stages at 0.0625 of the resolution are left out" in said + err
    assert out.exists()


@pytest.mark.parametrize("name", ["out.jpg", "nowhere/out.tif", "cells.tif"])
def test_outputs_that_cannot_be_written_are_refused_before_any_work(
    unblur: Unblur, cells: Path, tmp_path: Path, name: str
) -> None:
    before = cells.read_bytes()
    code, said, err = unblur("run", cells, "-o", tmp_path / name, "--psf", tmp_path / "psf.tif")
    assert code == 2
    assert name.split("/")[0] in err
    assert "estimate" not in said
    assert cells.read_bytes() == before


def test_without_a_command_the_usage_is_no_error(unblur: Unblur) -> None:
    code, said, wrong = unblur()
    assert code == 2
    assert "error:" not in said + wrong
    assert "Usage:" in said + wrong


def test_methods_of_missing_parts_are_listed_and_said(unblur: Unblur, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNBLUR_BLOCK_PLUGINS", "selfdeblur")
    default_registry.cache_clear()
    try:
        code, said, wrong = unblur("methods")
    finally:
        monkeypatch.undo()
        default_registry.cache_clear()
    assert code == 0, wrong
    assert "cannot be used: no" in said
    assert "richardson-lucy" in said
