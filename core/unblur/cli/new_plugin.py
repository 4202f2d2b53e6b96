"""`unblur new-plugin`: a copy of the tested example plugin under a new name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

TEMPLATE = "example-plugin"
"""Folder in the package `unblur`; with a hyphen, so that it cannot be imported from there."""

COMPONENTS = ("log-cosh", "positive-pixels", "learned-gaussian", "sign-descent", "small-misfit", "sign-blind")
"""Names that the example registers; a copy has its own, so that both can be installed."""


def new_plugin(
    name: Annotated[str, typer.Argument(help="Lower case with hyphens, such as my-psf.")],
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet, or is empty.")],
) -> None:
    """Make a plugin package: a copy of the tested example, with one component of each kind and a method."""
    create(name, folder)
    install = f'pip install -e "{folder}[test]"'
    typer.echo(f"{folder}: plugin {name}. Install it with `{install}`, see it with `unblur plugins`")


def create(name: str, folder: Path) -> Path:
    """Write the example plugin into `folder` as plugin `name`, distribution ``unblur-NAME``; returns the folder.

    Raises:
        ParameterError: the name is not lower case with hyphens, or that of a plugin that is installed.
        FileError: the folder is not empty, or cannot be written.
    """
    from importlib import resources
    from importlib.util import find_spec

    from unblur.errors import FileError, ParameterError

    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ParameterError(f"plugin name {name!r}: expected lower case letters, digits and hyphens, such as my-psf")
    package = f"unblur_{name.replace('-', '_')}"
    if find_spec(package) is not None:
        raise ParameterError(f"plugin name {name!r}: a package {package} is installed already; choose another name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileError(folder, "exists and is not an empty folder", "Choose another one")
    try:
        for path, text in _files(resources.files("unblur") / TEMPLATE):
            target = folder / _renamed(path, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_renamed(text, name), encoding="utf-8")
    except OSError as error:
        raise FileError(folder, f"cannot be written: {error.strerror or error}") from error
    return folder


def _files(root: object, below: str = "") -> list[tuple[str, str]]:
    """Relative path and text of every file of the template."""
    found: list[tuple[str, str]] = []
    for entry in sorted(root.iterdir(), key=lambda entry: entry.name):  # type: ignore[attr-defined]
        if entry.is_dir():
            if entry.name != "__pycache__":
                found.extend(_files(entry, f"{below}{entry.name}/"))
        elif not entry.name.endswith(".pyc"):
            found.append((f"{below}{entry.name}", entry.read_text(encoding="utf-8")))
    return found


def _renamed(text: str, name: str) -> str:
    """The example's names as those of the new plugin: package, distribution, entry point, components."""
    for component in COMPONENTS:
        text = text.replace(component, f"{name}-{component}")
    text = text.replace('plugin="example"', f'plugin="{name}"').replace("example = ", f"{name} = ")
    return text.replace("unblur_example", f"unblur_{name.replace('-', '_')}").replace(
        "unblur-example", f"unblur-{name}"
    )
