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


def test_torch_is_imported_before_the_first_run_and_by_one_thread_at_a_time() -> None:
    code = """
import sys
import threading
from napari_deblur.warming import import_all, warm_up
warm_up()
import_all()
print("torch" in sys.modules, "unblur.driver" in sys.modules, "torch._dynamo" in sys.modules)
[thread.join() for thread in threading.enumerate() if thread.name.startswith("napari-deblur")]
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True True True"
