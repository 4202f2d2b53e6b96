"""`unblur methods`, `unblur components`, `unblur plugins`."""

from __future__ import annotations

from typing import Annotated

import typer

from unblur.cli.text import table
from unblur.composition import gives_uncertainty
from unblur.errors import UnblurError, UnknownNameError
from unblur.records import SLOTS, Registered
from unblur.registry import Registry, default_registry


def methods() -> None:
    """List the methods."""
    registry = default_registry()
    rows = [("METHOD", "PSF", "UNCERTAINTY", "PRESETS", "WHAT IT DOES, AND WHAT FOR")]
    for name, method in registry.methods().items():
        psf = "needed" if method.needs_psf else "estimated" if method.blind else ""
        said, spread = f"{method.summary} {method.good_for}", ""
        try:
            spread = "given" if gives_uncertainty(method.pipeline(), registry) else ""
        except UnblurError as error:  # a part of it is of a plugin that is missing
            said = f"cannot be used: {error}"
        rows.append((name, psf, spread, " ".join(method.presets), said))
    typer.echo(table(rows) if len(rows) > 1 else "no method is registered")
    say_failures(registry)


def components(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(SLOTS)}; all without it.")] = None,
) -> None:
    """List the components that pipelines are made of."""
    registry = default_registry()
    wanted = [slot for slot in SLOTS if kind is None or slot == singular(kind)]
    if not wanted:
        raise UnknownNameError("kind of component", str(kind), SLOTS)
    for slot in wanted:
        rows = [
            (registered.name, registered.role, place(registered), registered.component.summary)
            for registered in registry.components(slot).values()
        ]
        typer.echo(f"{slot}\n{table(rows, indent=2) or '  none is registered'}\n")
    say_failures(registry)


def plugins() -> None:
    """List the plugins, where they come from, and why any of them failed."""
    registry = default_registry()
    rows = [("PLUGIN", "DISTRIBUTION", "VERSION", "STATE")]
    rows += [(one.plugin, one.distribution, one.version, "loaded") for one in registry.plugins]
    rows += [(one.plugin, one.distribution, one.version, "blocked") for one in registry.blocked]
    for failure in registry.failures:
        one = failure.provenance
        rows.append((one.plugin, one.distribution, one.version, f"failed: {failure.cause}"))
    typer.echo(table(rows))


def singular(kind: str) -> str:
    """A slot as people may write it: ``kernel-priors`` is ``kernel_prior``."""
    name = kind.strip().lower().replace("-", "_")
    return (
        name
        if name in SLOTS
        else {"stopping_rules": "stopping", "stopping_rule": "stopping"}.get(name, name.removesuffix("s"))
    )


def place(registered: Registered) -> str:
    """Plugin and distribution in one word."""
    return f"{registered.provenance.plugin} ({registered.provenance.distribution})"


def say_failures(registry: Registry) -> None:
    """A line on stderr where plugins failed."""
    failed = ", ".join(failure.provenance.plugin for failure in registry.failures)
    if failed:
        typer.echo(f"plugins that failed to load: {failed} (see `unblur plugins`)", err=True)
