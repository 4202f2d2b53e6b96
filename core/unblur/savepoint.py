"""The checkpoint of a whole job: a folder that keeps the plan, every finished plane, and the run in progress.

A folder and not one file, so that a finished plane is written once, however long the stack. Every file in it is written
atomically; `running-N.pt` is the driver's own checkpoint of task N.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unblur.errors import CheckpointError, FileError
from unblur.io.atomic import atomic_path, write_json

OWN = ("job.json", "plane-", "running-", ".unblur-")
"""How the files in a checkpoint begin; a folder with others is not touched."""


@dataclass
class Piece:
    """What one task gave: image and spread (channels, *spatial), kernel (count, *spatial), its row of the report."""

    record: dict[str, Any]
    image: np.ndarray | None = None
    kernel: np.ndarray | None = None
    spread: np.ndarray | None = None


@dataclass
class Savepoint:
    """A job's folder of checkpoints.

    Attributes:
        path: the folder; made on first use.
        fingerprint: of the job that writes.
        stored: fingerprint of the job that wrote what is there, which differs only where that was forced.
    """

    path: Path
    fingerprint: str
    stored: str = field(init=False)

    def __post_init__(self) -> None:
        self.stored = self.fingerprint

    def exists(self) -> bool:
        return (self.path / "job.json").is_file()

    def begin(self, plans: Sequence[Mapping[str, Any]]) -> None:
        """Start anew with a plan; what an earlier job left is removed."""
        self.remove()
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise FileError(self.path, f"cannot be made: {error.strerror or error}") from error
        write_json(self.path / "job.json", {"fingerprint": self.fingerprint, "plans": list(plans)})

    def resume(self, force: bool) -> list[dict[str, Any]]:
        """The plans of the job that is there.

        Raises:
            CheckpointError: it cannot be read, or belongs to another job and `force` is not set.
        """
        try:
            content = json.loads((self.path / "job.json").read_text(encoding="utf-8"))
            self.stored, plans = str(content["fingerprint"]), list(content["plans"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.path}: not a readable checkpoint ({error}). Delete it to start anew"
            ) from error
        if self.stored != self.fingerprint and not force:
            raise CheckpointError(
                f"{self.path}: made with another input, other settings or versions. "
                "Start without --resume, or --force to go on"
            )
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

    def kept(self, number: int) -> Piece | None:
        """A finished task, or None.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = self._piece(number)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: content[name] for name in ("image", "kernel", "spread") if name in content}
                return Piece(json.loads(str(content["record"])), **arrays)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{path}: not a readable checkpoint ({error}). Delete it to do the plane anew"
            ) from error

    def remove(self) -> None:
        """Delete what is there; a folder that is no checkpoint is left alone.

        Raises:
            CheckpointError: something else stands there.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir() or any(not file.name.startswith(OWN) for file in self.path.iterdir()):
            raise CheckpointError(f"{self.path}: is no checkpoint of a run; move it away or choose another output")
        shutil.rmtree(self.path)

    def _piece(self, number: int) -> Path:
        return self.path / f"plane-{number:06d}.npz"
