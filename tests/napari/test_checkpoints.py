"""What is kept of runs that were stopped, and for how long."""

from __future__ import annotations

import os
import time
from pathlib import Path

from napari_deblur.checkpoints import DAYS, tidy


def test_only_what_is_too_old_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name, days in (("old", DAYS + 1), ("new", DAYS - 1)):
        (root / name).mkdir(parents=True)
        (root / name / "plan.json").write_text("{}")
        at = time.time() - days * 86400
        os.utime(root / name, (at, at))
    (root / "new.run").write_text("")
    tidy(root)
    assert {path.name for path in root.iterdir()} == {"new", "new.run"}
