"""The example's wheel, and processes that have it installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import unblur

EXAMPLE = Path(unblur.__file__).parent / "example-plugin"

Inside = Callable[..., str]
"""Runs ``python ARGUMENTS`` with the example on its path; gives what it printed."""


def install(project: Path, folder: Path) -> Path:
    """Build a project's wheel and install it, without dependencies or network; gives the folder for the path."""
    wheels, target = folder / "wheels", folder / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(project)]
    subprocess.run(build, check=True, timeout=300)
    [wheel] = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, timeout=300)
    return target


def run(site: Path, *arguments: str, folder: Path) -> str:
    """What ``python ARGUMENTS`` prints with `site` on its path, started in `folder`; it must end well."""
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Inside:
    folder = tmp_path_factory.mktemp("example")
    site = install(EXAMPLE, folder)
    return lambda *arguments: run(site, *arguments, folder=folder)
