"""What is in the files that parts read belongs to the fingerprint of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from typing_extensions import Doc

import unblur
from tests.core.small import BLIND, Plugin, Softmax
from unblur.errors import CheckpointError
from unblur.jobs import Job
from unblur.records import Provenance


@dataclass(frozen=True)
class StoredParams:
    weights: Annotated[str, Doc("A file.")] = "auto"
    shipped: Annotated[str, Doc("Folder of what comes with the package.")] = ""
    more: Annotated[tuple[str, ...], Doc("Files.")] = ()

    def files(self) -> Sequence[Path]:
        return [Path(self.shipped) / "shipped.bin"] if self.weights == "auto" else []


class Stored(Softmax):
    """A kernel prior that could begin with stored weights."""


class Storing(Plugin):
    @staticmethod
    @unblur.hookimpl
    def unblur_kernel_priors() -> Iterator[unblur.Component]:
        traits = frozenset({"learns", "single"})
        yield unblur.Component("stored", f"{__name__}:Stored", "Weights.", StoredParams, provides=traits)
        yield from Plugin.unblur_kernel_priors()


@pytest.fixture
def registry() -> unblur.Registry:
    made = unblur.Registry()
    made.register(Storing(), Provenance("storing", "tests", "1"))
    return made


def job(registry: unblur.Registry, params: dict[str, Any], **wishes: Any) -> Job:
    picture = np.random.default_rng(0).random((20, 18), dtype=np.float32)
    pipeline = BLIND.replace(kernel_prior=("stored", params))
    return Job(picture, pipeline=pipeline, registry=registry, threads=1, **wishes)


@pytest.mark.parametrize("where", ["named", "in a list", "listed by files()"])
def test_a_file_with_other_contents_is_another_run(registry: unblur.Registry, tmp_path: Path, where: str) -> None:
    path = tmp_path / "shipped.bin"
    params: dict[str, Any] = {
        "named": {"weights": str(path)},
        "in a list": {"weights": "none", "more": [str(path)]},
        "listed by files()": {"shipped": str(tmp_path)},
    }[where]
    without = job(registry, params).fingerprint
    path.write_bytes(b"one")
    base = job(registry, params).fingerprint
    assert job(registry, params).fingerprint == base
    path.write_bytes(b"two")
    assert len({without, base, job(registry, params).fingerprint}) == 3


def test_files_that_changed_places_are_another_run(registry: unblur.Registry, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    params = {"weights": str(first), "more": [str(second)]}
    prints = set()
    for contents in (b"one", b"two"), (b"two", b"one"):
        first.write_bytes(contents[0])
        second.write_bytes(contents[1])
        prints.add(job(registry, params).fingerprint)
    assert len(prints) == 2


def test_a_checkpoint_with_other_weights_is_refused(registry: unblur.Registry, tmp_path: Path) -> None:
    weights, checkpoint = tmp_path / "weights", tmp_path / "checkpoint"
    weights.write_bytes(b"one")
    events = job(registry, {"weights": str(weights)}, checkpoint=checkpoint, checkpoint_seconds=0).events()
    for _ in range(5):
        next(events)
    events.close()
    weights.write_bytes(b"two")
    with pytest.raises(CheckpointError):
        list(job(registry, {"weights": str(weights)}, checkpoint=checkpoint).events(resume=True))
