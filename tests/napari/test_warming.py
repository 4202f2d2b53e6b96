"""PyTorch's library is loaded before the import, which then works as ever."""

from __future__ import annotations

import subprocess
import sys


def test_the_library_is_there_before_torch_is_imported() -> None:
    code = """
import sys
from napari_deblur.warming import load_torch
first = load_torch()
assert "torch" not in sys.modules
import torch
assert float(torch.ones(3).sum()) == 3
assert not load_torch()
print(first)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sys.platform in ("linux", "darwin"))
