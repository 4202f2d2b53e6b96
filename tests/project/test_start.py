"""What is used before any work begins starts without PyTorch, napari and Qt: each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "napari", "qtpy"}

MODULES = [
    "napari_deblur",
    "unblur",
    "unblur.cli",
    "unblur.hookspecs",
    "unblur.image",
    "unblur.io",
    "unblur.params",
    "unblur.pipeline",
    "unblur.records",
    "unblur.registry",
    "unblur_classical",
    "unblur_mapk",
    "unblur_practical",
    "unblur_reblur",
    "unblur_sadropout",
    "unblur_selfdeblur",
]

COMMANDS = [["--help"], ["run", "--help"], ["methods"], ["components"], ["plugins"], ["describe", "practical-bid"]]

REPORT = f"print('heavy:', *sorted({HEAVY!r} & set(sys.modules)))"


def heavy_after(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-I", "-c", f"import sys\n{code}\n{REPORT}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("heavy:")
    return last.split()[1:]


def test_the_probe_sees_torch() -> None:
    assert heavy_after("import torch") == ["torch"]


@pytest.mark.parametrize("module", MODULES)
def test_import(module: str) -> None:
    assert heavy_after(f"import {module}") == []


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command(arguments: list[str]) -> None:
    code = "from unblur.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    assert heavy_after(code, *arguments) == []
