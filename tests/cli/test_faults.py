"""Signals and killed processes, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import Unblur, process

STEPS = 200_000
LONG = ("--method", "richardson-lucy", "--set", f"stages.0.steps={STEPS}", "--threads", "1")


def wait_for(path: Path, running: subprocess.Popen[str]) -> None:
    """Until a file is there; fails if the process ends before."""
    for _ in range(6000):
        if path.exists():
            return
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.kill()
    pytest.fail(f"{path} did not appear: {running.communicate()}")


def start(cells: Path, out: Path, *more: object) -> subprocess.Popen[str]:
    """A run that is in its steps: its first checkpoint is there."""
    given = ("--psf", cells.with_name("psf.tif"), "--checkpoint-seconds", "0.02")
    running = process("run", cells, "-o", out, *given, *LONG, *more)
    wait_for(Path(f"{out}.checkpoint") / "running-000000.pt", running)
    return running


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_keeps_the_result_and_the_checkpoint(
    cells: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "out.tif"
    running = start(cells, out)
    running.send_signal(number)
    said, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert "Traceback" not in err
    assert number.name in said
    assert np.isfinite(tifffile.imread(out)).all()
    report = json.loads((tmp_path / "out.tif.json").read_text())
    assert report["status"] == "cancelled"
    assert 0 < report["planes"][0]["executed"][0] < STEPS
    assert (tmp_path / "out.tif.checkpoint").is_dir()
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_resume_with_other_settings_is_refused(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    running = start(cells, out)
    running.kill()
    running.communicate()
    given = ("--psf", tmp_path / "psf.tif", "--method", "richardson-lucy", "--set", "stages.0.steps=5")
    code, _, err = unblur("run", cells, "-o", out, *given, "--resume")
    assert code == 2
    assert "--force" in err
    assert not out.exists()


def test_two_processes_and_one_output(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    running = start(cells, out)
    code, _, err = unblur("run", cells, "-o", out, "--psf", tmp_path / "psf.tif", "--threads", "1")
    running.kill()
    running.communicate()
    assert code == 2
    assert "another process" in err


def test_an_interrupted_folder_run_goes_on_where_it_was(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    plate = tmp_path / "plate"
    plate.mkdir()
    for name in ("a.tif", "b.tif"):
        (plate / name).write_bytes(cells.read_bytes())
    command = ("run", plate, "-o", tmp_path / "restored", "--psf", tmp_path / "psf.tif", "--threads", "1")
    steps = ("--method", "richardson-lucy", "--set", "stages.0.steps=1500", "--checkpoint-seconds", "0.02")
    running = process(*command, *steps)
    wait_for(tmp_path / "restored" / "b.tif.checkpoint" / "running-000000.pt", running)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    code, said, err = unblur(*command, *steps, "--resume")
    assert code == 0, err
    assert said.count("done before") == 1
    assert said.count("going on from") == 1
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "restored" / "a.tif"), tifffile.imread(tmp_path / "restored" / "b.tif")
    )


def test_a_second_signal_ends_at_once(cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    # A step that sleeps: the first signal waits for its end, the second one does not.
    code = (
        "import time\n"
        "from unblur.registry import default_registry\n"
        "kind = default_registry().component('estimator', 'wiener').load()\n"
        "kind.step = lambda *of: (open('sleeping', 'w').close(), time.sleep(600))\n"
        "import sys\n"
        "from unblur.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    given = ("--method", "wiener", "--psf", tmp_path / "psf.tif", "--plan", tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text('{"plan": [1]}')
    running = subprocess.Popen(
        [sys.executable, "-c", code, "run", str(cells), "-o", str(out), *map(str, given)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(tmp_path / "sleeping", running)
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    while "once more" not in running.stderr.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT
    assert not out.exists()


def test_a_signal_before_the_run_leaves_an_earlier_checkpoint(
    unblur: Unblur, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.tif"
    running = start(cells, out)
    running.kill()
    running.communicate()
    monkeypatch.setattr("unblur.cli.files._announce", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    code, said, _ = unblur("run", cells, "-o", out, "--psf", tmp_path / "psf.tif", "--method", "richardson-lucy")
    assert code == 130
    assert "nothing is written" in said
    assert (tmp_path / "out.tif.checkpoint" / "running-000000.pt").exists()


def test_a_file_that_the_system_refuses_leaves_the_others(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    plate = tmp_path / "plate"
    plate.mkdir()
    names = ("a.tif", "b" * 245 + ".tif", "c.tif")  # what is written beside the second has too long a name
    for name in names:
        (plate / name).write_bytes(cells.read_bytes())
    (plate / "d.tif").mkdir()
    code, _, err = unblur("run", plate, "-o", tmp_path / "out", "--psf", tmp_path / "psf.tif", "--threads", "1")
    assert code == 2
    assert err.count("error:") == 1
    assert "name too long" in err
    assert (tmp_path / "out" / "a.tif").exists()
    assert (tmp_path / "out" / "c.tif").exists()


def test_a_reader_that_leaves_ends_no_run(cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    with process("run", cells, "-o", out, "--psf", tmp_path / "psf.tif", "--threads", "1") as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        err = running.stderr.read()
    assert running.returncode == 0, err
    assert out.exists()


@pytest.mark.parametrize("text", ["(2,", ",", "foo", "float7"])
def test_dtypes_that_are_none(unblur: Unblur, cells: Path, tmp_path: Path, text: str) -> None:
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", "--psf", tmp_path / "psf.tif", "--dtype", text)
    assert code == 2
    assert "choose one of" in err


def test_a_plan_without_steps_is_refused(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"plan": null}')
    given = ("--psf", tmp_path / "psf.tif", "--plan", tmp_path / "plan.json")
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", *given)
    assert code == 2
    assert "no report with a plan" in err


def test_what_an_interrupted_run_has_does_not_replace_a_finished_result(
    unblur: Unblur, cells: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.tif"
    given = ("--psf", tmp_path / "psf.tif", "--method", "richardson-lucy", "--set", "stages.0.steps=5")
    assert unblur("run", cells, "-o", out, *given, "--threads", "1")[0] == 0
    finished, report = out.read_bytes(), (tmp_path / "out.tif.json").read_bytes()
    running = start(cells, out)
    running.send_signal(signal.SIGINT)
    said, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "stays as it is" in said
    assert out.read_bytes() == finished
    assert (tmp_path / "out.tif.json").read_bytes() == report
    assert (tmp_path / "out.tif.checkpoint").is_dir()
