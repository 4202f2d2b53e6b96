"""The weights that come with the package; torch-free, since parameters name them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

AUTO, NONE = "auto", "none"


def shipped(name: str) -> Path:
    """Where the weights that come with the package lie; there need not be any of this name."""
    return Path(str(resources.files("unblur_reblur"))) / "weights" / f"{name}.safetensors"


def files(weights: str, network: str, width: int) -> list[Path]:
    """The file of the package that a parameter `weights` asks for."""
    return [shipped(f"{network}-{width}")] if weights == AUTO else []
