"""`unblur doctor`: what this installation has, and what is wrong with it."""

from __future__ import annotations

import importlib.util
import platform

import typer

from unblur.cli.text import table
from unblur.registry import default_registry

QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")
LIBRARIES = ("numpy", "scipy", "scikit-image", "tifffile", "imagecodecs", "torch", "napari")


def doctor() -> None:
    """Show versions, processor and GPU, Qt, and the plugins with their failures. Exit code 1 if something is broken."""
    rows = [("unblur", _version("napari-deblur")), ("python", f"{platform.python_version()} on {platform.platform()}")]
    rows += [(name, _version(name)) for name in LIBRARIES]
    broken = False
    try:
        rows += _torch()
    except Exception as error:  # a torch that cannot be imported raises nearly anything
        rows.append(("torch", f"BROKEN: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"))
        broken = True
    qt = [name for name in QT if importlib.util.find_spec(name)]
    rows.append(("Qt", ", ".join(qt) if qt else "none is installed; only the napari widget needs it"))
    registry = default_registry()
    rows += [(f"plugin {one.plugin}", f"{one.distribution} {one.version}: loaded") for one in registry.plugins]
    rows += [(f"plugin {one.plugin}", f"{one.distribution} {one.version}: blocked") for one in registry.blocked]
    rows += [
        (
            f"plugin {one.provenance.plugin}",
            f"{one.provenance.distribution} {one.provenance.version}: FAILED: {one.cause}",
        )
        for one in registry.failures
    ]
    for slot_name, cause in _targets():
        rows.append((slot_name, f"FAILED: {cause}"))
        broken = True
    typer.echo(table(rows))
    if broken or registry.failures or not registry.methods():
        raise typer.Exit(1)


def _version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _torch() -> list[tuple[str, str]]:
    import psutil
    import torch

    from unblur.compute import Compute, good_at_bfloat16, human_bytes

    chosen = Compute.choose()
    bf16 = "yes" if good_at_bfloat16(chosen.device) else "no"
    rows = [
        ("device", f"{chosen.describe()['device']}, precision {chosen.precision}, {chosen.threads} threads"),
        ("good at bfloat16", bf16),
        (
            "memory",
            f"{human_bytes(psutil.virtual_memory().available)} free of {human_bytes(psutil.virtual_memory().total)}",
        ),
    ]
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            name = torch.cuda.get_device_name(number)
            rows.append((f"GPU {number}", f"{name}, {human_bytes(free)} free of {human_bytes(total)}"))
    else:
        rows.append(
            (
                "GPU",
                "Apple's (mps), which has no double precision and is not used unless asked for"
                if torch.backends.mps.is_available()
                else f"none that torch {torch.__version__} can use",
            )
        )
    return rows


def _targets() -> list[tuple[str, str]]:
    """Components whose class cannot be imported."""
    from unblur.errors import PluginError
    from unblur.records import SLOTS

    failed = []
    for slot in SLOTS:
        for name, registered in default_registry().components(slot).items():
            try:
                registered.load()
            except PluginError as error:
                failed.append((f"{slot} {name}", str(error)))
    return failed
