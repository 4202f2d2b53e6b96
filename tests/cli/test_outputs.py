"""What is written where: nothing is lost, replaced or left out in silence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from tests.cli.conftest import Unblur, fails
from unblur import io
from unblur.cli import files as running
from unblur.cli.panels import moved
from unblur.image import Image

RL = ("--method", "richardson-lucy", "--set", "stages.0.steps=3", "--threads", "1")


def test_what_is_wrong_with_one_file_does_not_stop_the_others(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    """Whatever its kind: here a parameter that fits the other files."""
    folder = tmp_path / "in"
    folder.mkdir()
    stack = np.stack([tifffile.imread(cells)] * 3)
    tifffile.imwrite(folder / "a.tif", stack[:2], photometric="minisblack")
    tifffile.imwrite(folder / "b.tif", stack, photometric="minisblack")
    shared = ("--axes", "TYX", "--planes", "shared-kernel", "--anchors", "2", "--kernel-size", "5")
    blind = ("--method", "blind-richardson-lucy", "--set", "stages.0.steps=2", "--threads", "1")
    code, _, err = unblur("run", folder, "-o", tmp_path / "out", *shared, *blind)
    assert code == 2
    assert (tmp_path / "out" / "b.tif").exists()
    assert f"{folder / 'a.tif'}: " in err


@pytest.mark.parametrize(
    ("output", "more", "words"),
    [
        ("out.png", (), "PNG holds uint8 or uint16"),
        ("out.png", ("--dtype", "float32"), "PNG holds uint8 or uint16"),
        ("out.tif", ("--kernel", "k.mkv"), "no video"),
        ("out.tif", ("--uncertainty", "u.png"), "PNG holds uint8 or uint16"),
    ],
)
def test_a_format_that_cannot_hold_the_result_is_refused_before_the_run(
    unblur: Unblur,
    cells: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    more: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.setattr(running, "_follow", lambda *_: pytest.fail("it ran"))
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite(cells, tifffile.imread(cells).astype(np.float32))
    code, _, err = unblur("run", cells, "-o", output, "--psf", "psf.tif", *RL, *more)
    assert code == 2
    assert words in err


def test_what_is_asked_for_besides_is_made_although_the_image_is_there(
    unblur: Unblur, cells: Path, tmp_path: Path
) -> None:
    command = ("run", cells, "-o", tmp_path / "out.tif", "--psf", tmp_path / "psf.tif", *RL)
    assert unblur(*command)[0] == 0
    assert "skipped" in unblur(*command)[1]
    kernel = tmp_path / "kernel.tif"
    said = unblur(*command, "--kernel", kernel)[1]
    assert "skipped" not in said
    assert kernel.exists()
    assert "skipped" in unblur(*command, "--kernel", kernel)[1]
    assert "skipped" not in unblur(*command, "--dtype", "uint16")[1]
    assert tifffile.imread(tmp_path / "out.tif").dtype == np.uint16
    assert "skipped" not in unblur(*command, "--dtype", "uint16", "--pixel-size", "0.2")[1]


def test_files_of_others_are_not_replaced(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    psf, foreign = tmp_path / "psf.tif", tmp_path / "kernel.tif"
    before = psf.read_bytes()
    command = ("run", cells, "-o", tmp_path / "out.tif", "--psf", psf, *RL)
    code, _, err = unblur(*command, "--kernel", psf)
    assert code == 2
    assert "is an input of this run" in err
    assert psf.read_bytes() == before
    foreign.write_bytes(b"mine")
    code, _, err = unblur(*command, "--kernel", foreign)
    assert code == 2
    assert "--force replaces it" in err
    assert foreign.read_bytes() == b"mine"
    assert unblur(*command, "--kernel", foreign, "--force")[0] == 0


def test_an_output_that_was_edited_is_not_replaced(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    out, kernel = tmp_path / "out.tif", tmp_path / "k.tif"
    command = ("run", cells, "-o", out, "--kernel", kernel, "--psf", tmp_path / "psf.tif", *RL)
    assert unblur(*command)[0] == 0
    assert unblur(*command, "--pixel-size", "0.2")[0] == 0  # what a run made is replaced by another's
    later = (tmp_path / "out.tif.json").stat().st_mtime + 60
    kernel.write_bytes(b"cropped by hand")
    os.utime(kernel, (later, later))
    code, _, err = unblur(*command, "--pixel-size", "0.3")
    assert (code, kernel.read_bytes()) == (2, b"cropped by hand")
    assert "is newer than its report" in err
    assert "skipped" in unblur(*command, "--pixel-size", "0.2")[1]
    assert unblur(*command, "--pixel-size", "0.3", "--force")[0] == 0


def test_a_checkpoint_is_no_leave_to_replace_files_of_others(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    psf, foreign, mine = (tmp_path / name for name in ("psf.tif", "kernel.tif", "mine.tif"))
    foreign.write_bytes(b"another's")
    checkpoint = tmp_path / "out.tif.checkpoint"
    checkpoint.mkdir()
    (checkpoint / "job.json").write_text("{}")
    (checkpoint / "outputs.json").write_text('{"files": ["out.tif", "mine.tif"]}')
    command = ("run", cells, "-o", tmp_path / "out.tif", "--psf", psf, *RL)
    code, _, err = unblur(*command, "--kernel", foreign)
    assert (code, foreign.read_bytes()) == (2, b"another's")
    assert "no report says that a run made it" in err
    mine.write_bytes(b"half")
    assert unblur(*command, "--kernel", mine)[0] == 0


def test_the_plan_is_an_input_that_no_report_replaces(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    command = ("run", cells, "-o", tmp_path / "out.tif", "--psf", tmp_path / "psf.tif", *RL)
    assert unblur(*command)[0] == 0
    plan = tmp_path / "out.tif.json"
    before = plan.read_bytes()
    code, _, err = unblur(*command, "--plan", plan, "--force")
    assert (code, plan.read_bytes()) == (2, before)
    assert "out.tif.json: is an input of this run" in err


def test_outputs_do_not_lie_in_the_folder_that_is_the_input(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    """There the next run would take them for inputs."""
    folder = tmp_path / "in"
    folder.mkdir()
    PIL.Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(folder / "a.jpg")
    psf = ("--psf", tmp_path / "psf.tif", *RL)
    for more in (("-o", folder), ("-o", tmp_path / "out", "--preview", folder)):
        code, _, err = unblur("run", folder, *psf, *more)
        assert code == 2
        assert "would lie among the inputs" in err
    assert [path.name for path in folder.iterdir()] == ["a.jpg"]
    assert unblur("run", folder, *psf, "-o", folder / "deblurred")[0] == 0


def test_two_inputs_never_share_a_kernel_file(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 30, 3)).astype(np.uint8)
    io.write(folder / "a.png", io.read(_picture(tmp_path / "p.png", pixels)))
    tifffile.imwrite(folder / "a.tif", tifffile.imread(cells))
    given = ("--psf", tmp_path / "psf.tif", "--kernel", tmp_path / "kernels")
    code, _, err = unblur("run", folder, "-o", tmp_path / "out", *given, *RL)
    assert code == 2
    assert "the same file" in err


def test_a_file_name_is_no_folder_for_several(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, tifffile.imread(cells))
    code, _, err = unblur("run", cells, other, "-o", tmp_path / "out.tif", "--psf", tmp_path / "psf.tif", *RL)
    assert code == 2
    assert "Name folders" in err
    assert not (tmp_path / "out.tif").exists()


def test_one_input_and_a_folder_leave_the_kernel_a_file(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel.tif"
    given = ("--psf", tmp_path / "psf.tif", "--kernel", kernel)
    assert unblur("run", cells, "-o", f"{tmp_path / 'results'}/", *given, *RL)[0] == 0
    assert kernel.is_file()
    assert (tmp_path / "results" / cells.name).exists()


def test_a_preview_that_cannot_be_written_costs_no_result(
    unblur: Unblur, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(running, "_panel", full)
    given = ("--psf", tmp_path / "psf.tif", "--preview", tmp_path / "panel.png")
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *given, *RL)
    assert code == 0
    assert "no space left" in err
    assert (tmp_path / "out.tif").exists()


def test_a_foreign_file_in_the_checkpoint_costs_no_result(
    unblur: Unblur, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = running._follow

    def visited(job: object, files: running.Places, *more: object) -> object:
        result = plain(job, files, *more)  # type: ignore[arg-type]
        (files.checkpoint / ".DS_Store").touch()
        return result

    monkeypatch.setattr(running, "_follow", visited)
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", "--psf", tmp_path / "psf.tif", *RL)
    assert code == 0
    assert "is no checkpoint" in err


@pytest.mark.parametrize("level", ["0", "-1", "nan", "inf"])
def test_a_white_level_is_a_number_above_zero(unblur: Unblur, cells: Path, tmp_path: Path, level: str) -> None:
    given = ("--psf", tmp_path / "psf.tif", f"--white-level={level}", *RL)
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *given)
    assert code == 2
    assert "white_level" in err


def test_a_given_white_level_is_white_in_the_file_too(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    pixels = tifffile.imread(cells).astype(np.float32)
    tifffile.imwrite(cells, pixels / pixels.max())
    given = ("--psf", tmp_path / "psf.tif", "--white-level", "1", *RL)
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.png", *given)
    assert code == 0, err
    assert unblur("run", cells, "-o", tmp_path / "out.tif", *given)[0] == 0
    drawn, exact = io.read(tmp_path / "out.png").data, tifffile.imread(tmp_path / "out.tif")
    assert drawn.dtype == np.uint16
    np.testing.assert_allclose(drawn, np.clip(exact, 0, 1) * 65535, atol=1)


def test_a_given_white_level_is_white_in_a_video_too(tmp_path: Path) -> None:
    pytest.importorskip("av")
    frames = np.zeros((3, 16, 16), np.float32)
    frames[:, :, 8:] = 1
    image = Image(frames, "TYX").with_white_level(1)
    notes = io.write(tmp_path / "v.mkv", image)
    assert any("white stays white" in note for note in notes)
    assert io.read(tmp_path / "v.mkv").data.max() == 255


def test_a_kernel_of_another_run_is_neither_replaced_nor_taken_for_this_one(
    unblur: Unblur, cells: Path, tmp_path: Path
) -> None:
    kernel, given = tmp_path / "kernel.tif", ("--psf", tmp_path / "psf.tif", *RL)
    assert unblur("run", cells, "-o", tmp_path / "a.tif", *given)[0] == 0
    assert unblur("run", cells, "-o", tmp_path / "b.tif", *given, "--kernel", kernel)[0] == 0
    code, said, err = unblur("run", cells, "-o", tmp_path / "a.tif", *given, "--kernel", kernel)
    assert code == 2
    assert "skipped" not in said
    assert "--force replaces it" in err


@pytest.mark.parametrize(
    ("more", "words"),
    [(("--clip-frames", "5"), "only videos have clips"), (("--centre-psf",), "none was given")],
)
def test_options_that_would_do_nothing_are_refused(
    unblur: Unblur, cells: Path, tmp_path: Path, more: tuple[str, ...], words: str
) -> None:
    psf = ("--psf", tmp_path / "psf.tif") if "--clip-frames" in more else ("--kernel-size", "5")
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *psf, *more)
    assert code == 2
    assert words in err


def _picture(path: Path, pixels: np.ndarray) -> Path:
    PIL.Image.fromarray(pixels).save(path)
    return path


def test_what_stands_where_the_report_will_be_is_not_replaced(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out.tif", tmp_path / "out.tif.json"
    given = ("run", cells, "-o", out, "--psf", tmp_path / "psf.tif", "--threads", "1")
    report.write_text('{"my": "annotations"}')
    code, _, err = unblur(*given)
    assert code == 2
    assert "stands where the report will be" in err
    assert report.read_text() == '{"my": "annotations"}'
    assert unblur(*given, "--force")[0] == 0
    assert "fingerprint" in report.read_text()
    report.unlink()
    report.mkdir()
    code, _, err = unblur(*given, "--force")
    assert code == 2
    assert "is not a regular file" in err


def test_a_preview_is_a_png(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    given = ("--psf", tmp_path / "psf.tif", "--preview", tmp_path / "panel.jpg")
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *given)
    assert code == 2
    assert "panel.jpg: is no PNG file. Name the preview something.png" in err
    assert not (tmp_path / "out.tif").exists()


def test_the_preview_is_not_the_report(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    given = ("--psf", tmp_path / "psf.tif", "--preview", tmp_path / "out.tif.json")
    code, _, err = unblur("run", cells, "-o", out, *given)
    assert code == 2
    assert "the same file" in err


def test_a_run_in_which_everything_fails_leaves_no_checkpoint(
    unblur: Unblur, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unblur_classical.richardson_lucy.RichardsonLucy.init", fails)
    out = tmp_path / "out.tif"
    code, _, err = unblur(
        "run", cells, "-o", out, "--psf", tmp_path / "psf.tif", "--method", "richardson-lucy", "--plan", plan(tmp_path)
    )
    assert code == 2, err
    assert not (tmp_path / "out.tif.checkpoint").exists()


def plan(folder: Path) -> Path:
    """One step, which needs no measuring."""
    path = folder / "plan.json"
    path.write_text('{"plan": [1]}')
    return path


def test_motion_is_drawn_as_a_length() -> None:
    flow = np.zeros((3, 4, 6, 5))
    flow[1, 0], flow[1, 1], flow[1, 2] = 3.0, -4.0, 99.0
    np.testing.assert_allclose(moved(flow), 5.0)
