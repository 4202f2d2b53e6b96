"""The command line as users have it: a process of its own, and in this process where that is enough."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unblur.cli import main

Unblur = Callable[..., tuple[int, str, str]]


@pytest.fixture
def unblur(capsys: pytest.CaptureFixture[str]) -> Unblur:
    """Call the command line; gives exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, out, err

    return call


def process(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from unblur.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A small picture as 16-bit TIFF, and beside it psf.tif."""
    random = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "psf.tif", np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16)
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, random.poisson(100 + 50 * np.sin(np.arange(40) / 3), (32, 40)).astype(np.uint16))
    return path


def fails(*_: object) -> None:
    """In place of a method of a component."""
    raise KeyError("no")
