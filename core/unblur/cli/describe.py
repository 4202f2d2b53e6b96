"""`unblur describe NAME`: a method or component with all that its declaration says."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from unblur.cli.listing import place
from unblur.cli.text import table
from unblur.errors import UnknownNameError
from unblur.params import fields_of
from unblur.records import SLOTS, Method, Registered
from unblur.registry import Registry, default_registry


def describe(
    name: Annotated[str, typer.Argument(help="A method or a component.")],
    preset: Annotated[str | None, typer.Option(help="Of a method: print only this preset's pipeline, as TOML.")] = None,
) -> None:
    """Describe a method or a component: parameters with bounds, units and defaults, traits, source, presets."""
    registry = default_registry()
    if preset is not None:
        typer.echo(_toml(registry, name, preset))
        return
    found = False
    if name in registry.methods():
        found = True
        _method(registry.method(name), registry)
    for slot in SLOTS:
        registered = registry.components(slot).get(name)
        if registered is not None:
            if found:
                typer.echo("")
            found = True
            _component(registered)
    if not found:
        choices = {*registry.methods(), *(one for slot in SLOTS for one in registry.components(slot))}
        raise UnknownNameError("method or component", name, choices)


def _toml(registry: Registry, name: str, preset: str) -> str:
    presets = registry.method(name).presets
    if preset not in presets:
        raise UnknownNameError(f"preset of {name}", preset, presets)
    return presets[preset].to_toml().rstrip()


def _method(method: Method, registry: Registry) -> None:
    source = registry.method_provenance(method.name)
    rows = [
        ("method", method.name),
        ("does", method.summary),
        ("good for", method.good_for),
        ("kernel", "a PSF is needed" if method.needs_psf else "estimated" if method.blind else "as its parts say"),
        ("reference", method.reference or "none"),
        ("plugin", f"{source.plugin} ({source.distribution} {source.version})"),
    ]
    for name, pipeline in method.presets.items():
        for prefix, segment in pipeline.addressed():
            steps = ", ".join(
                f"{stage.steps}" + (f" at {stage.scale:g}" if stage.scale != 1 else "") for stage in segment.stages
            )
            parts = "; ".join(" + ".join(part.name for part in parts) for parts in segment.slots.values() if parts)
            rows.append((f"  {prefix.split('.')[0]}" if prefix else f"preset {name}", f"{parts}; steps {steps}"))
    typer.echo(table(rows))


def _component(registered: Registered) -> None:
    component, one = registered.component, registered.provenance
    rows = [
        (registered.slot, f"{component.name} ({registered.role})"),
        ("does", component.summary),
        ("has", ", ".join(sorted(component.provides)) or "no traits"),
        ("needs", ", ".join(sorted(component.requires)) or "nothing of other parts"),
        ("works in", " and ".join(f"{dims}-D" for dims in sorted(component.dims))),
        ("source", component.source or "none"),
        ("plugin", f"{place(registered)} {one.version}"),
    ]
    typer.echo(table(rows))
    fields = fields_of(component.params)
    if not fields:
        typer.echo("no parameters")
        return
    cells = [("  parameter", "type", "bounds", "unit", "default", "what it is")]
    cells += [(f"  {f.name}", f.type_name, f.bounds, f.unit, _default(f.default), f.doc) for f in fields]
    typer.echo(table(cells))


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_default(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
