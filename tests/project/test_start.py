"""What is used before any work begins starts without PyTorch, napari and Qt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "napari", "qtpy"}

ROOT = Path(__file__).parents[2]

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
    *sorted(folder.name for folder in (ROOT / "plugins").glob("unblur_*")),
]

COMMANDS = [["--help"], ["run", "--help"], ["methods"], ["components"], ["plugins"], ["describe", "practical-bid"]]


def heavy_after(lines: list[str]) -> dict[str, list[str]]:
    """What is loaded after each of some lines of code, in one process."""
    report = f"print('heavy:', *sorted({HEAVY!r} & set(sys.modules)))"
    code = "\n".join(["import sys", *(f"{line}\n{report}" for line in lines)])
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("heavy:")]
    return dict(zip(lines, found, strict=True))


def test_the_probe_sees_torch() -> None:
    assert heavy_after(["import json", "import torch"]) == {"import json": [], "import torch": ["torch"]}


def test_modules() -> None:
    loaded = heavy_after([f"import {module}" for module in MODULES])
    assert loaded == {line: [] for line in loaded}


def test_commands() -> None:
    call = "sys.argv = ['unblur', *{}]\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    loaded = heavy_after(["from unblur.cli import main", *(call.format(arguments) for arguments in COMMANDS)])
    assert len(loaded) == 1 + len(COMMANDS)
    assert loaded == {line: [] for line in loaded}


@pytest.mark.skipif(sys.platform != "linux", reason="set where it was measured")
@pytest.mark.parametrize(
    ("own", "spins"), [({}, "10000"), ({"OMP_WAIT_POLICY": "active"}, None), ({"GOMP_SPINCOUNT": "9"}, "9")]
)
def test_threads_spin_for_a_short_time_unless_told_otherwise(own: dict[str, str], spins: str | None) -> None:
    """OpenMP reads it when torch is loaded: `import unblur` comes before."""
    others = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    code = "import os, unblur; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env=others | own, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(spins)
