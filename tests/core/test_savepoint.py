"""Checkpoints of jobs that are damaged, half removed, of other jobs, or of planes that failed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core import small
from unblur.errors import CheckpointError, DivergedError, FileError
from unblur.jobs import Job
from unblur.pieces import Piece, not_run
from unblur.planes import Task, Window
from unblur.savepoint import Savepoint

REGISTRY = small.small_registry()
STACK = np.random.default_rng(0).random((2, 16, 14), dtype=np.float32)


def job(image: np.ndarray, checkpoint: Path, **wishes: Any) -> Job:
    given = {"axes": "TYX"[-image.ndim :], "registry": REGISTRY, "threads": 1, "method": "selfdeblur", **wishes}
    return Job(image, checkpoint=checkpoint, checkpoint_seconds=0.0, **given)


def run(one: Job, resume: bool = False) -> np.ndarray:
    for _ in one.events(resume=resume):
        pass
    return one.result.image


def broken_off(checkpoint: Path, after: int, image: np.ndarray = STACK, **wishes: Any) -> None:
    events = job(image, checkpoint, **wishes).events()
    for _ in range(after):
        next(events)
    events.close()


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Cut off, one bit turned, or a block lost."""
    at = int(random.integers(len(content)))
    match random.integers(3):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + bytes([content[at] ^ 1 << int(random.integers(8))]) + content[at + 1 :]
        case _:
            return (content[:at] + bytes(len(content[at : at + 512])) + content[at + 512 :])[: len(content)]


def test_a_damaged_checkpoint_is_refused_or_harmless(tmp_path: Path) -> None:
    straight = run(job(STACK, tmp_path / "straight"))
    whole, folder = tmp_path / "whole", tmp_path / "folder"
    broken_off(whole, 17)
    names = sorted(path.name for path in whole.iterdir())
    assert names == ["job.json", "plane-000000.npz", "running-000001.pt"]
    random, said = np.random.default_rng(0), []
    for name in names * 15:
        shutil.copytree(whole, folder)
        (folder / name).write_bytes(damaged((folder / name).read_bytes(), random))
        try:
            np.testing.assert_array_equal(run(job(STACK, folder), resume=True), straight)
        except CheckpointError as error:
            said.append(str(error))
        shutil.rmtree(folder)
    assert len(said) > 30
    assert all(text.startswith(str(folder)) and "anew" in text for text in said), said


@pytest.mark.parametrize("wishes", [{"seed": 1}, {"settings": {"estimator.rate": 0.01}}, {"method": "two-step"}])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, wishes: dict[str, Any]) -> None:
    broken_off(tmp_path / "c", 17)
    with pytest.raises(CheckpointError, match="another input, other settings"):
        run(job(STACK, tmp_path / "c", **wishes), resume=True)


def test_a_checkpoint_of_another_image_is_refused(tmp_path: Path) -> None:
    broken_off(tmp_path / "c", 17)
    with pytest.raises(CheckpointError, match="another input, other settings"):
        run(job(STACK + np.float32(1e-6), tmp_path / "c"), resume=True)


@pytest.mark.parametrize("image", [STACK[0], np.concatenate([STACK, STACK])], ids=["fewer", "more"])
def test_other_planes_are_refused_even_by_force(tmp_path: Path, image: np.ndarray) -> None:
    broken_off(tmp_path / "c", 17)
    with pytest.raises(CheckpointError, match="other planes or stages"):
        run(job(image, tmp_path / "c", force=True), resume=True)


def test_other_stages_are_refused_even_by_force(tmp_path: Path) -> None:
    broken_off(tmp_path / "c", 17)
    with pytest.raises(CheckpointError, match="other planes or stages"):
        run(job(STACK, tmp_path / "c", method="two-step", force=True), resume=True)


def test_where_every_plane_failed_resuming_says_so_again(tmp_path: Path) -> None:
    settings = {"estimator.fails_above": 0.1}
    for resume in (False, True):
        with pytest.raises(DivergedError, match="small-adam"):
            run(job(STACK, tmp_path / "c", settings=settings), resume)


def test_planes_that_failed_are_done_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight, steps = run(job(STACK, tmp_path / "straight")), 0
    step = small.Adam.step

    def scarce(self: small.Adam, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 6:
            raise MemoryError("not enough memory")
        return step(self, *arguments)

    monkeypatch.setattr(small.Adam, "step", scarce)
    first = job(STACK, tmp_path / "c")
    assert np.isnan(run(first)[0]).all()
    assert [row["status"] for row in first.result.report["planes"]] == ["failed", "done"]
    second = job(STACK, tmp_path / "c")
    np.testing.assert_array_equal(run(second, resume=True), straight)
    assert second.result.complete


def test_a_full_disk_ends_the_job_and_it_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight, path = run(job(STACK, tmp_path / "straight")), tmp_path / "c"
    with monkeypatch.context() as patch:
        events = job(STACK, path).events()
        for _ in range(17):
            next(events)
        patch.setattr("unblur.driver.save", full)
        with pytest.raises(FileError, match="No space"):
            next(events)
    assert sorted(file.name for file in path.iterdir()) == ["job.json", "plane-000000.npz", "running-000001.pt"]
    np.testing.assert_array_equal(run(job(STACK, path), resume=True), straight)


def full(path: Path, checkpoint: object) -> None:
    raise FileError(path, "cannot be written: No space left on device")


def test_what_is_half_removed_is_no_checkpoint(tmp_path: Path) -> None:
    broken_off(tmp_path / "c", 17)
    (tmp_path / "c" / "job.json").unlink()
    one = job(STACK, tmp_path / "c")
    assert not one.resumable
    assert next(one.events(resume=True)).plane == 0
    assert not one.resumed


def test_settling_removes_what_is_left_of_this_job_only(tmp_path: Path) -> None:
    path = tmp_path / "c"
    broken_off(path, 17)
    job(STACK, path, seed=1).settle_checkpoint()
    assert job(STACK, path).resumable
    job(STACK, path).settle_checkpoint()
    assert not path.exists()
    job(STACK, path).settle_checkpoint()

    path.mkdir()
    (path / "plane-000000.npz").touch()
    Savepoint(path, "mine").settle()
    assert not path.exists()

    path.mkdir()
    (path / "thesis.txt").touch()
    Savepoint(path, "mine").settle()
    assert (path / "thesis.txt").exists()


def test_planes_of_another_shape_or_place_are_refused(tmp_path: Path) -> None:
    kept, task = Savepoint(tmp_path / "c", "one"), Task("plane", {"T": 1}, ({"T": 1},))
    kept.begin([{"steps": [1]}])
    kept.keep(0, Piece(not_run(task).record | {"status": "done"}, np.zeros((1, 4, 5), np.float32)))
    assert kept.kept(0, task, (1, 4, 5)) is not None
    with pytest.raises(CheckpointError, match="a plane of 1x4x5 pixels, where 1x5x5 are"):
        kept.kept(0, task, (1, 5, 5))
    tile = replace(task, window=Window(((0, 4), (0, 5)), "a tile"))
    for other in (replace(task, kind="kernel"), replace(task, index={"T": 0}), tile):
        with pytest.raises(CheckpointError, match="other planes, windows or tiles"):
            kept.kept(0, other)


def test_tiles_of_another_width_are_not_gone_on_with(tmp_path: Path) -> None:
    image, path = np.random.default_rng(0).random((200, 200), dtype=np.float32), tmp_path / "c"
    broken_off(path, 17, image, psf=np.ones((3, 3)), method=None, pipeline=small.KNOWN, tile=150)
    assert any(file.name.startswith("plane-") for file in path.iterdir())
    other = job(image, path, psf=np.ones((3, 3)), method=None, pipeline=small.KNOWN, tile=160, force=True)
    with pytest.raises(CheckpointError, match="windows or tiles"):
        run(other, resume=True)


@pytest.mark.parametrize("name", ["plane-000.tif", "plane-sub", "running-late.txt"])
def test_a_folder_of_planes_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    path = tmp_path / "planes"
    path.mkdir()
    (path / name).mkdir() if name == "plane-sub" else (path / name).touch()
    with pytest.raises(CheckpointError, match="is no checkpoint of a run"):
        run(job(STACK, path))
    assert (path / name).exists()
