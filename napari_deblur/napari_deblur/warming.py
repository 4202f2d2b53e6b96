"""PyTorch loaded before the first run, and in a way that does not stop the window.

`import torch` maps hundreds of megabytes while it holds Python's lock, and nothing is drawn meanwhile. A foreign call
gives the lock away: the system's loader is called through ctypes first, and the import then finds the library in place.
What is left of the import still keeps the window waiting for a third of a second. That is done while nobody waits for
anything: in a thread, some time after there is an image to restore. The first run then begins at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import sys
import threading
from pathlib import Path

LIBRARIES = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}
LAZY = 1
"""RTLD_LAZY, which is 1 on both."""

WARM_AFTER = 1500
"""Milliseconds from the first image in the dock."""

_importing = threading.Lock()
"""PyTorch cannot be imported by two threads at once: its modules import each other in circles."""


def warm_up() -> None:
    """Import, in a thread, what a run needs."""
    if "torch" not in sys.modules:
        threading.Thread(target=import_all, name="napari-deblur: PyTorch").start()


def import_all() -> None:
    """Import what a run needs, or wait until another thread has done so. What fails is met again by the run."""
    with _importing:
        if "torch" in sys.modules:
            return
        load_torch()
        with contextlib.suppress(Exception):
            importlib.import_module("unblur.driver")
            importlib.import_module("unblur.jobs")
            importlib.import_module("unblur.optimise").take_first_step()
        gc.collect()  # of so many new objects; otherwise Python does it in the middle of the first run


def load_torch() -> bool:
    """Load the library; whether that was done. Where it was not, the import does all by itself, as it always can."""
    name = LIBRARIES.get(sys.platform)
    found = importlib.util.find_spec("torch")
    if name is None or found is None or found.origin is None or "torch" in sys.modules:
        return False
    path = Path(found.origin).parent / "lib" / name
    if not path.is_file():
        return False
    system = ctypes.CDLL(None)
    system.dlopen.restype = ctypes.c_void_p
    system.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
    return bool(system.dlopen(str(path).encode(), LAZY))
