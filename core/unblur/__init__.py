"""unblur: deblur images without training data, from interchangeable parts.

Importing this loads neither torch nor Qt; both come in when a pipeline is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unblur.errors import UnblurError
from unblur.hookspecs import hookimpl
from unblur.pipeline import Part, Pipeline, Stage
from unblur.records import GRADIENT_NEEDS, GRADIENT_TRAITS, Calibration, Component, Method
from unblur.registry import Registry, default_registry

if TYPE_CHECKING:
    from unblur.deblurring import Job, Result, deblur
    from unblur.image import Image

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
