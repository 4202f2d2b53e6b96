"""Checkpoints: everything a killed run needs to go on with the same bits."""

from __future__ import annotations

import dataclasses
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unblur.errors import CheckpointError, PluginError
from unblur.io.atomic import atomic_path


@dataclass
class Checkpoint:
    """A run between two steps: where it was, and the state of all its parts."""

    fingerprint: str
    stage: int
    shape: tuple[int, ...]
    psf: Tensor | None
    estimate: Tensor | None
    spread: Tensor | None
    snapshot: dict[str, Any]
    safe: dict[str, Any] | None
    plan: list[int]
    executed: list[int]
    pace: list[float]
    elapsed: float
    misfit: float
    rewinds: int
    late: bool
    notes: list[str]
    warnings: list[str]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the one before stays until the new one is complete.

    Raises:
        FileError: it cannot be written.
    """
    content = {field.name: getattr(checkpoint, field.name) for field in dataclasses.fields(checkpoint)}
    # Not to the path: torch would keep Python's lock, and with it a window's thread, while it waits for the disk.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # of torch, about the end of a file that the disk would not take
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise _unkept(error) from error
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise _unkept(error) from error


def _unkept(error: Exception) -> PluginError:
    return PluginError(
        f"the state of a component cannot be kept ({error}); it may hold tensors, numbers, texts, None, and dicts, "
        "lists and tuples of them"
    )


def load(path: Path, fingerprint: str, device: torch.device | str = "cpu") -> Checkpoint | None:
    """Read a checkpoint, its tensors onto a device; None if there is none.

    Raises:
        CheckpointError: it cannot be read, or was made with another input, other settings or versions.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        checkpoint = Checkpoint(**torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # a damaged file makes zipfile, pickle and torch raise whatever they like
        lines = [line for line in str(error).splitlines() if "Unpickler error" in line] or str(error).splitlines()[:1]
        why = "".join(lines) or type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint ({why}). Delete it to start anew") from error
    if checkpoint.fingerprint != fingerprint:
        raise CheckpointError(
            f"{path}: made with another input, other settings or versions. Start without --resume, or --force to go on"
        )
    return checkpoint
