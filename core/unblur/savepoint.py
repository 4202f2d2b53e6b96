"""The checkpoint of a whole job: a folder that keeps the plan, every finished plane, and the run in progress.

A folder and not one file, so that a finished plane is written once, however long the stack. Every file in it is written
atomically; `running-N.pt` is the driver's own checkpoint of task N.
"""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unblur.errors import CheckpointError, FileError
from unblur.io.atomic import atomic_path, write_json
from unblur.pieces import Piece
from unblur.planes import Task

OUTPUTS = "outputs.json"
"""The files that are written during the run, and at its end."""

OWN = re.compile(rf"job\.json|{re.escape(OUTPUTS)}|plane-\d{{6}}\.npz|running-\d{{6}}\.pt|\.unblur-.*")
"""The names of the files in a checkpoint; a folder with others is not touched."""


@dataclass
class Savepoint:
    """A job's folder of checkpoints.

    Attributes:
        path: the folder; made on first use.
        fingerprint: of the job that writes.
        stored: fingerprint of the job that wrote what is there, which differs only where that was forced.
        mixed: whether another job has gone on from it, now or before.
    """

    path: Path
    fingerprint: str
    stored: str = field(init=False)
    mixed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.stored = self.fingerprint

    def exists(self) -> bool:
        return (self.path / "job.json").is_file()

    def begin(self, plans: Sequence[Mapping[str, Any]]) -> None:
        """Start anew with a plan for each task; what an earlier job left is removed."""
        self.remove()
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise FileError(self.path, f"cannot be made: {error.strerror or error}") from error
        self._write({"fingerprint": self.fingerprint, "plans": list(plans), "mixed": False})

    def _write(self, content: dict[str, Any]) -> None:
        write_json(self.path / "job.json", {**content, "checksum": _checksum(content)})

    def resume(self, force: bool, stages: Sequence[int | None]) -> list[dict[str, Any]]:
        """The plans of the job that is there, for tasks of so many stages (None: it does not matter).

        Raises:
            CheckpointError: it cannot be read, or belongs to another job and `force` is not set or does not help.
        """
        self.stored, plans, self.mixed = self._read()
        if self.stored != self.fingerprint and not force:
            raise CheckpointError(
                f"{self.path}: made with another input, other settings or versions. "
                "Start without --resume, or --force to go on"
            )
        if len(plans) != len(stages) or any(
            wanted not in (None, len(plan["steps"])) for plan, wanted in zip(plans, stages, strict=True)
        ):
            raise CheckpointError(f"{self.path}: made with other planes or stages. Start without --resume")
        if self.stored != self.fingerprint and not self.mixed:
            self.mixed = True
            self._write({"fingerprint": self.stored, "plans": plans, "mixed": True})
        for torn in self.path.glob(".unblur-*"):  # of processes that were killed
            torn.unlink(missing_ok=True)
        return plans

    def running(self, number: int) -> Path:
        """Where the driver keeps the checkpoint of a task."""
        return self.path / f"running-{number:06d}.pt"

    def keep(self, number: int, piece: Piece) -> None:
        """Write a finished task; its checkpoint is not needed any more."""
        arrays = {
            name: getattr(piece, name) for name in ("image", "kernel", "spread") if getattr(piece, name) is not None
        }
        arrays["record"] = np.array(json.dumps(piece.record))
        with atomic_path(self._piece(number)) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        self.running(number).unlink(missing_ok=True)

    def kept(self, number: int, task: Task, shape: Sequence[int] | None = None) -> Piece | None:
        """A finished task, or None.

        Args:
            task: that it must be of.
            shape: that the restored pixels must have; anything if None.

        Raises:
            CheckpointError: the file is damaged, or of another task, or of an image of another shape.
        """
        path = self._piece(number)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                arrays = {name: content[name] for name in ("image", "kernel", "spread") if name in content}
                piece = Piece(json.loads(str(content["record"])), **arrays)
        except Exception as error:  # as in `checkpoint.load`
            raise CheckpointError(
                f"{path}: not a readable checkpoint ({error}). Delete it to do the plane anew"
            ) from error
        if not piece.belongs_to(task):
            raise CheckpointError(f"{path}: made with other planes, windows or tiles. Start without --resume")
        if shape is not None and piece.image is not None and piece.image.shape != tuple(shape):
            found, wanted = ("x".join(map(str, one)) for one in (piece.image.shape, shape))
            raise CheckpointError(f"{path}: a plane of {found} pixels, where {wanted} are. Start without --resume")
        return piece

    def settle(self) -> None:
        """Delete what is left of this very job, whose result is safe; the checkpoint of another one stays."""
        with contextlib.suppress(CheckpointError):
            if not self.exists() or self._read()[0] == self.fingerprint:
                self.remove()

    def remove_if_empty(self) -> None:
        """Delete what is there where no task has left anything to go on from."""
        with contextlib.suppress(FileError, CheckpointError):
            if not any(self.path.glob("plane-*")) and not any(self.path.glob("running-*")):
                self.remove()

    def remove(self) -> None:
        """Delete what is there; a folder that is no checkpoint is left alone.

        Raises:
            CheckpointError: something else stands there.
            FileError: it cannot be deleted.
        """
        if not self.path.exists():
            return
        files = list(self.path.iterdir()) if self.path.is_dir() else [self.path]
        if not all(OWN.fullmatch(file.name) and file.is_file() for file in files):
            raise CheckpointError(f"{self.path}: is no checkpoint of a run; move it away or choose another output")
        try:
            (self.path / "job.json").unlink(missing_ok=True)  # first: without it nothing goes on from what is left
            for file in files:
                file.unlink(missing_ok=True)
            self.path.rmdir()
        except OSError as error:
            raise FileError(self.path, f"cannot be deleted: {error.strerror or error}") from error

    def _read(self) -> tuple[str, list[dict[str, Any]], bool]:
        try:
            content = json.loads((self.path / "job.json").read_text(encoding="utf-8"))
            if content.pop("checksum") != _checksum(content):
                raise ValueError("bad checksum of job.json")
            return content["fingerprint"], content["plans"], bool(content["mixed"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self.path}: not a readable checkpoint ({error}). Delete it to start anew"
            ) from error

    def _piece(self, number: int) -> Path:
        return self.path / f"plane-{number:06d}.npz"


def _checksum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
