"""Complete files or none, one writer, and which files a pattern stands for."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unblur.errors import FileError, ParameterError, UnblurError, UnknownNameError
from unblur.image import Image
from unblur.io import atomic_path, check_writable, expand, output_lock, write, write_json
from unblur.io.atomic import sweep
from unblur.io.scratch import scratch
from unblur.io.video import is_video_start


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_failing_block_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def stop_halfway() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_halfway()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.parent == target.parent
    assert target.read_text() == "half"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    with atomic_path(tmp_path / "atomic"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == ordinary.stat().st_mode


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    with atomic_path(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


FULL_DISK = """
import resource, signal, sys
import numpy as np
from unblur.errors import FileError, ParameterError, UnblurError, UnknownNameError
from unblur.image import Image
from unblur.io import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write(sys.argv[1], Image.from_array(np.zeros((200, 200), np.float32)), report={})
except FileError as error:
    print(error)
"""


FULL_FOR_CHECKPOINTS = """
import dataclasses, resource, signal, sys
from pathlib import Path
import torch
from unblur.checkpoint import Checkpoint, save
from unblur.errors import FileError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
fields = {field.name: None for field in dataclasses.fields(Checkpoint)}
try:
    save(Path(sys.argv[1]), Checkpoint(**{**fields, "psf": torch.rand(1000, 1000)}))
except FileError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_is_said_of_a_checkpoint(tmp_path: Path) -> None:
    """Which torch writes, with an error of its own."""
    done = run(FULL_FOR_CHECKPOINTS, tmp_path / "a.pt")
    assert done.returncode == 0, done.stderr
    assert "a.pt: cannot be written" in done.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, name: str) -> None:
    done = run(FULL_DISK, tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert f"{name}: cannot be written" in done.stdout
    assert os.listdir(tmp_path) == []


KILLED = """
import os, signal, sys
from unblur.io import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_kill_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    assert run(KILLED, tmp_path / "a.tif").returncode == -signal.SIGKILL
    assert not (tmp_path / "a.tif").exists()
    with pytest.raises(FileError, match="matches no image"):
        expand([tmp_path])


def test_a_report_that_fails_leaves_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.tif.json").mkdir()
    with pytest.raises(FileError, match=r"a\.tif\.json"):
        write(tmp_path / "a.tif", Image.from_array(np.zeros((9, 9))), report={})
    assert os.listdir(tmp_path) == ["a.tif.json"]


def test_where_one_file_fails_all_are_as_before(tmp_path: Path) -> None:
    out, kernel = tmp_path / "a.tif", tmp_path / "k.png"
    image, psf = Image.from_array(np.zeros((9, 9), np.float32)), Image.from_array(np.ones((3, 3), np.uint8))
    write(out, image, report={"run": 1}, others=[(kernel, psf)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"a.tif", "a.tif.json", "k.png"}
    flat = Image.from_array(np.ones((3, 3), np.float32))  # of no known white level, which PNG needs
    with pytest.raises(FileError, match=r"k\.png"):
        write(out, image.with_data(image.data + 1), report={"run": 2}, others=[(kernel, flat)])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_report_holds_what_the_format_could_not_keep(tmp_path: Path) -> None:
    image = Image.from_array(np.zeros((9, 9), np.uint8), pixel_size=1, unit="µm")
    notes = write(tmp_path / "a.png", image, report={"run": 1})
    assert notes
    assert json.loads((tmp_path / "a.png.json").read_text()) == {"run": 1, "output": list(notes)}


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_what_a_kill_left_of_a_file_is_swept_away(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        run(KILLED, tmp_path / name)
    (tmp_path / "a.tif").write_text("whole")
    assert len(os.listdir(tmp_path)) == 3
    sweep(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_text() == "whole"
    assert len(os.listdir(tmp_path)) == 2


def test_reports_are_strict_json(tmp_path: Path) -> None:
    content = {
        "misfit": float("nan"),
        "worst": float("-inf"),
        "seed": np.int64(3),
        "curve": np.array([1.0, np.inf]),
        "path": Path("x"),
        "shape": (1, 2),
        "unit": "µm",
        "none": None,
    }
    write_json(tmp_path / "r.json", content)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    read = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert read == {
        "misfit": "NaN",
        "worst": "-Infinity",
        "seed": 3,
        "curve": [1.0, "Infinity"],
        "path": "x",
        "shape": [1, 2],
        "unit": "µm",
        "none": None,
    }


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(FileError, match="does not exist"):
        check_writable(tmp_path / "no" / "a.tif")
    with pytest.raises(FileError, match="not a regular file"):
        check_writable(tmp_path / "folder.tif")
    with pytest.raises(FileError, match=r"Choose one of \.ome\.tif"):
        check_writable(tmp_path / "a.jpg")
    check_writable(tmp_path / "A.OME.TIFF")


def test_a_write_protected_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode & os.W_OK == 0)  # root may write anywhere
    with pytest.raises(FileError, match="not writable"):
        check_writable(tmp_path / "a.tif")


LOCK = """
import sys
from unblur.errors import FileError, ParameterError, UnblurError, UnknownNameError
from unblur.io import output_lock
try:
    with output_lock(sys.argv[1]):
        print("mine")
except FileError as error:
    print(error)
"""


def test_one_writer_per_output(tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    with output_lock(target):
        assert "being written by another process" in run(LOCK, target).stdout
        assert run(LOCK, tmp_path / "b.tif").stdout == "mine\n"
    assert run(LOCK, target).stdout == "mine\n"
    assert os.listdir(tmp_path) == []


def test_the_lock_ends_with_an_exception(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), output_lock(tmp_path / "a.tif"):
        raise RuntimeError
    with output_lock(tmp_path / "a.tif"):
        pass


def test_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ["t10.tif", "t2.tif", "T1.PNG", "notes.txt", ".hidden.tif", "a[1].tif", "t2.tif.json"]:
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.tif").touch()

    def names(*patterns: str) -> list[str]:
        return [path.name for path in expand([tmp_path / pattern for pattern in patterns])]

    assert names(".") == ["T1.PNG", "a[1].tif", "t2.tif", "t10.tif"]
    assert names("t*.tif") == ["t2.tif", "t10.tif"]
    assert names("t10.tif", "t*.tif") == ["t10.tif", "t2.tif"]
    assert names("a[1].tif") == ["a[1].tif"]
    assert names("**/deep.tif") == ["deep.tif"]
    for missing, message in [("x.tif", "does not exist"), ("x*.tif", "matches no image")]:
        with pytest.raises(FileError, match=message):
            names(missing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="matches no image"):
        names("empty")
    monkeypatch.chdir(tmp_path)
    assert expand(["t2.tif"]) == [Path("t2.tif")]


@pytest.mark.parametrize(
    "error",
    [
        FileError("a.tif", "is cut", "Get it again"),
        UnknownNameError("method", "x", ["a", "b"]),
        ParameterError("seed = -1: expected a whole number"),
    ],
)
def test_errors_pass_from_process_to_process(error: UnblurError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_full_disk_is_found_out_before_frames_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(FileError, match="TMPDIR"):
        scratch((4, 8, 8), np.float32)


def test_photographs_in_the_container_of_videos_are_no_videos() -> None:
    assert is_video_start(b"\0\0\0\x18ftypisom\0\0\0\0")
    assert not is_video_start(b"\0\0\0\x18ftypheic\0\0\0\0")
