"""PyTorch's large library loaded in a way that does not stop the window.

`import torch` maps hundreds of megabytes while it holds Python's lock, and nothing is drawn meanwhile. A foreign call
gives the lock away: the system's loader is called through ctypes first, and the import then finds the library in place.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path

LIBRARIES = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}
LAZY = 1
"""RTLD_LAZY, which is 1 on both."""


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
