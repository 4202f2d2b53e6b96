"""Where runs keep what they have found so far, so that a run that was stopped or killed goes on from there."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import platformdirs

DAYS = 14
"""What has not been touched for so long is removed."""


def folder() -> Path:
    """The folder of all checkpoints; made where it is missing."""
    path = Path(platformdirs.user_cache_dir("napari-deblur", appauthor=False)) / "runs"
    path.mkdir(parents=True, exist_ok=True)
    return path


def tidy(root: Path) -> None:
    """Remove checkpoints that are too old to be gone on with."""
    for path in root.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another window has removed it
            if path.is_dir() and time.time() - path.stat().st_mtime > DAYS * 86400:
                shutil.rmtree(path, ignore_errors=True)
