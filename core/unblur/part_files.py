"""The files that a pipeline's parts read, since a result follows from what these hold and not from their names.

They are those that a text among a part's parameters names. Where a part reads others, such as weights that came with
its package, its parameters have a method `files()` that returns their paths.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unblur.composition import resolve
from unblur.errors import FileError
from unblur.pipeline import Pipeline
from unblur.registry import Registry


def file_hashes(pipeline: Pipeline, registry: Registry) -> list[str]:
    """SHA-256 of each file that the parts read, in the order of the parts; what is no file is left to them.

    Raises:
        FileError: a file that cannot be read.
    """
    paths = (
        path
        for segment in pipeline.segments()
        for stage in segment.stages
        for _, part in resolve(segment.in_stage(stage), registry).parts()
        for path in _named(part.params)
    )
    return [_hash(path) for path in dict.fromkeys(paths) if os.path.isfile(path)]


def _named(params: Any) -> Iterator[str]:
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        yield from (text for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str))
    files = getattr(params, "files", None)
    yield from map(str, files() if callable(files) else ())


def _hash(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(path, f"cannot be read: {error}") from error
