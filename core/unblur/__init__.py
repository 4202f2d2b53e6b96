"""unblur: deblur images without training data, from interchangeable parts.

Importing this loads neither torch nor Qt; both come in when a pipeline is built.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from unblur.errors import UnblurError
from unblur.hookspecs import hookimpl
from unblur.pipeline import Part, Pipeline, Stage
from unblur.records import GRADIENT_NEEDS, GRADIENT_TRAITS, Calibration, Component, Method
from unblur.registry import Registry, default_registry

if TYPE_CHECKING:
    from unblur.deblurring import Job, Result, deblur
    from unblur.image import Image

if sys.platform == "linux" and "OMP_WAIT_POLICY" not in os.environ:
    # Read when torch is loaded. By default threads spin for some 20 ms while they wait for one another, and so keep the
    # processor from each other as soon as other programs run. A thirtieth of that costs little on an idle machine;
    # none at all would cost half of the pace of small images (benchmarks/beside_others.py).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__all__ = [
    "GRADIENT_NEEDS",
    "GRADIENT_TRAITS",
    "Calibration",
    "Component",
    "Image",
    "Job",
    "Method",
    "Part",
    "Pipeline",
    "Registry",
    "Result",
    "Stage",
    "UnblurError",
    "deblur",
    "default_registry",
    "hookimpl",
]

_LAZY = {
    "Image": "unblur.image",
    "Job": "unblur.deblurring",
    "Result": "unblur.deblurring",
    "deblur": "unblur.deblurring",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
