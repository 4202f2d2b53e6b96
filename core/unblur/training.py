"""Trainers: how a method's networks are trained from scratch, restartable and the same for the same seed."""

from __future__ import annotations

import importlib
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from unblur.errors import ParameterError, PluginError
from unblur.params import validate
from unblur.registry import Registry, default_registry

if TYPE_CHECKING:
    from unblur.compute import Compute
    from unblur.driver import CancelToken

P = TypeVar("P")


@dataclass(frozen=True)
class TrainingEvent:
    """One step of training.

    Attributes:
        stage: what is being done, such as the name of a network.
        step, planned: steps done and planned in this stage.
        loss: a mean over the latest steps; None where there is none.
        elapsed: seconds since the training began, those before a resume included.
        remaining: seconds to the end of all stages, from the pace so far; None while it is not known.
    """

    stage: str
    step: int
    planned: int
    loss: float | None
    elapsed: float
    remaining: float | None


class Trainer(ABC, Generic[P]):
    """Trains a method's networks and writes their weights. Built with an instance of its parameter dataclass."""

    def __init__(self, params: P) -> None:
        self.params = params

    @abstractmethod
    def events(
        self, folder: Path, *, seed: int, compute: Compute, command: str, resume: bool, cancel: CancelToken
    ) -> Generator[TrainingEvent, None, list[Path]]:
        """Train, one event a step; the generator's return value are the files of weights, in `folder`.

        Everything that is drawn follows from `seed`. Checkpoints lie in `folder`, and with `resume` the training goes
        on from there. `command` repeats it, and belongs into the files. Ends early, with a checkpoint, where `cancel`
        has a reason.
        """


def trainer_of(
    method: str, settings: Mapping[str, Any] | None = None, registry: Registry | None = None
) -> Trainer[Any]:
    """A method's trainer with its parameters.

    Raises:
        UnknownNameError: no such method.
        ParameterError: the method has no trainer, or a setting is unknown or out of bounds.
        PluginError: the trainer cannot be imported.
    """
    registry = registry or default_registry()
    record = registry.method(method)
    if not record.trainer:
        able = ", ".join(name for name, other in registry.methods().items() if other.trainer) or "none"
        raise ParameterError(f"method {method!r} has nothing to train; methods that have: {able}")
    params = validate(record.trainer_params, settings or {}, method)
    module, _, attribute = record.trainer.partition(":")
    try:
        made: Trainer[Any] = getattr(importlib.import_module(module), attribute)(params)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"the trainer {record.trainer} of method {method!r} cannot be imported: {error}") from error
    return made


def commit_of(folder: Path) -> str:
    """The commit of the repository that a folder lies in, marked where the folder has changes; else "unknown"."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
