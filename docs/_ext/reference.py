"""Sphinx extension: pages made from the declarations of the plugins in this repository, written before every build.

`methods.md`, `components.md` and others include the files of `docs/generated`; nothing there is edited by hand.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from commands import commands

from unblur.choice import choose_method
from unblur.composition import USES, gives_uncertainty
from unblur.params import Field, fields_of
from unblur.pipeline import Part, Pipeline, Stage
from unblur.records import ROLES, SLOTS, Method, Registered
from unblur.registry import OWN_DISTRIBUTION, Registry

ROOT = Path(__file__).parents[2]

PLANNED = ("hookspecs", "registry", "components", "params", "pipeline", "composition", "driver")
"""The heart of the core as it was planned: hooks, registry, components, parameters, pipeline and driver."""

HEART = (*PLANNED, "records", "problem", "stages")
"""Modules of the core that every method goes through."""

SLOT_TITLES = {
    "forward_model": "Forward models",
    "image_prior": "Image priors",
    "kernel_prior": "Kernel priors",
    "estimator": "Estimators",
    "stopping": "Stopping",
}
ROLE_TITLES = {
    "misfit": "Misfits",
    "response": "Camera responses",
    "penalty": "Penalties",
    "rule": "Stopping rules",
    "selector": "Selectors",
}


def own_registry() -> Registry:
    """The plugins of this repository, whatever else is installed."""
    registry = Registry(block=["third-party"]).discover()
    failed = [failure for failure in registry.failures if failure.provenance.distribution == OWN_DISTRIBUTION]
    if failed:
        raise RuntimeError(f"plugins that failed to load: {failed}")
    return registry


def pages(registry: Registry) -> dict[str, str]:
    """The generated files by name."""
    return {
        "methods.md": "\n".join(itertools.chain.from_iterable(_method(m, registry) for m in _methods(registry))),
        "components.md": "\n".join(_components(registry)),
        "traits.md": "\n".join(_traits(registry)),
        "choice.md": "\n".join(_choice()),
        "situations.md": "\n".join(_situations(registry)),
        "heart.md": "\n".join(_heart()),
        "commands.md": commands(),
    }


def _methods(registry: Registry) -> Iterable[Method]:
    return registry.methods().values()


def _method(method: Method, registry: Registry) -> list[str]:
    lines = [f"(method-{method.name})=", f"## {method.name}", "", method.summary, ""]
    kernel = "a PSF is needed" if method.needs_psf else "is estimated" if method.blind else "as its parts say"
    lines += [
        f"- **Good for**: {_text(method.good_for)}",
        f"- **Kernel**: {kernel}",
        f"- **Reference**: {_text(method.reference or 'none')}",
        f"- **Plugin**: `{registry.method_provenance(method.name).plugin}`",
        "",
    ]
    groups: dict[str, list[str]] = {}
    for preset, pipeline in method.presets.items():
        groups.setdefault(pipeline.to_toml(), []).append(preset)
    for names in groups.values():
        lines += _preset(names, method.presets[names[0]])
    return lines


def _preset(names: Sequence[str], pipeline: Pipeline) -> list[str]:
    lines = [f"**Preset {' and '.join(f'`{name}`' for name in names)}**", ""]
    for number, segment in enumerate(pipeline.segments()):
        if number:
            lines += ["Then, with the kernel found:", ""]
        lines += ["| slot | parts, and what differs from their defaults |", "|---|---|"]
        for slot, parts in segment.slots.items():
            if parts:
                lines.append(f"| {_slot(slot)} | {'; '.join(_part(slot, part) for part in parts)} |")
        lines += [f"| stages | {'; '.join(map(_stage, segment.stages))} |", ""]
    return lines


def _part(slot: str, part: Part) -> str:
    values = ", ".join(f"{name} = {_value(value)}" for name, value in part.params.items())
    return f"[{part.name}](#{_label(slot, part.name)})" + (f" ({values})" if values else "")


def _stage(stage: Stage) -> str:
    words = [f"{stage.steps} steps"]
    words += [f"at {stage.scale:g} of the resolution"] if stage.scale != 1 else []
    words += ["support shrunk"] if stage.support == "shrink" else []
    words += [f"`{address}` = {_value(value)}" for address, value in stage.set.items()]
    return ", ".join(words)


def _components(registry: Registry) -> list[str]:
    lines: list[str] = []
    for slot in SLOTS:
        found = registry.components(slot).values()
        lines += [f"## {SLOT_TITLES[slot]}", ""]
        for role in ROLES[slot]:
            members = [registered for registered in found if registered.role == role]
            if role != "base" and members:
                lines += [f"### {ROLE_TITLES[role]} {'of' if slot.endswith('prior') else 'in'} `{slot}`", ""]
            for registered in members:
                lines += _component(registered, "###" if role == "base" else "####")
    return lines


def _component(registered: Registered, heading: str) -> list[str]:
    record = registered.component
    lines = [f"({_label(registered.slot, record.name)})=", f"{heading} {record.name}", "", _text(record.summary), ""]
    dims = " and ".join(f"{n}-D" for n in sorted(record.dims))
    facts = [f"`{record.target.partition(':')[2]}` in `{record.target.partition(':')[0]}`, {dims}"]
    facts += [f"Source: {_text(record.source)}"] if record.source else []
    facts += [f"Has: {_codes(record.provides)}"] if record.provides else []
    facts += [f"Needs: {_codes(record.requires)}"] if record.requires else []
    lines += [*(f"- {fact}" for fact in facts), ""]
    fields = fields_of(record.params)
    if not fields:
        return [*lines, "No parameters.", ""]
    lines += ["| parameter | type | default | what it is |", "|---|---|---|---|"]
    lines += [_field(field) for field in fields]
    return [*lines, ""]


def _field(field: Field) -> str:
    kind = _text(field.type_name) + (f" in {field.bounds}" if field.bounds else "")
    doc = _text(field.doc) + (f" Unit: {_text(field.unit)}." if field.unit else "")
    return f"| `{field.name}` | {kind} | {_value(field.default)} | {doc} |"


def _traits(registry: Registry) -> list[str]:
    """Who has a trait and who asks for it."""
    everything = [registered for slot in SLOTS for registered in registry.components(slot).values()]
    has: dict[tuple[str, str], list[str]] = {}
    needs: dict[tuple[str, str], list[str]] = {}
    for registered in everything:
        for trait in registered.component.provides:
            has.setdefault((registered.slot, trait), []).append(registered.name)
        for need in registered.component.requires:
            slot, _, trait = need.partition(":")
            needs.setdefault((slot, trait), []).append(registered.name)
    for (slot, role), trait in USES.items():
        members = [one.name for one in everything if (one.slot, one.role) == (slot, role)]
        needs.setdefault(("estimator", trait), []).extend(members)
    learning = [one.name for one in everything if one.slot == "kernel_prior" and "learns" in one.component.provides]
    needs.setdefault(("estimator", "learns-kernel"), []).extend(learning)
    lines = ["| slot | trait | parts that have it | parts that need it there |", "|---|---|---|---|"]
    for slot, trait in sorted({*has, *needs}, key=lambda pair: (SLOTS.index(pair[0]), pair[1])):
        providers = has.get((slot, trait)) or [f"any {trait}"]
        lines.append(
            f"| {_slot(slot)} | `{trait}` | {', '.join(providers)} | {', '.join(needs.get((slot, trait), []))} |"
        )
    return lines


def _choice() -> list[str]:
    """The rule, asked for every case."""
    lines = ["| PSF | kernel size | image | method |", "|---|---|---|---|"]
    kinds = {"photograph": (True, False), "science data": (False, False), "volume": (False, True)}
    rows = []
    for psf, size in ((True, None), (False, 31), (False, None)):
        chosen: dict[str, list[str]] = {}
        for words, (photograph, volume) in kinds.items():
            chosen.setdefault(choose_method(photograph, volume, psf, size)[0], []).append(words)
        for method, images in chosen.items():
            about = "any" if len(images) == len(kinds) else ", ".join(images)
            rows.append((_yes(psf), _yes(size), about, f"[{method}](#method-{method})"))
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def _yes(given: Any) -> str:
    return "given" if given else "not given"


def _situations(registry: Registry) -> list[str]:
    lines = ["| method | kernel | uncertainty | good for |", "|---|---|---|---|"]
    for method in _methods(registry):
        kernel = "given" if method.needs_psf else "estimated"
        spread = "given" if gives_uncertainty(method.pipeline(), registry) else ""
        lines.append(f"| [{method.name}](#method-{method.name}) | {kernel} | {spread} | {_text(method.good_for)} |")
    return lines


def _heart() -> list[str]:
    lines = ["| file | what it is | lines | of them code |", "|---|---|---|---|"]
    totals = [0, 0]
    for name in HEART:
        if name == HEART[len(PLANNED)]:
            lines.append(f"| these {len(PLANNED)} together | | {totals[0]} | {totals[1]} |")
        path = ROOT / "core" / "unblur" / f"{name}.py"
        text = path.read_text(encoding="utf-8")
        counts = len(text.splitlines()), code_lines(text)
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        about = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
        lines.append(f"| `core/unblur/{name}.py` | {_text(about)} | {counts[0]} | {counts[1]} |")
    return [*lines, f"| all together | | {totals[0]} | {totals[1]} |"]


def code_lines(text: str) -> int:
    """Lines of Python that are neither blank nor comment nor docstring."""
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") and n not in prose for n, line in lines)


def _label(slot: str, name: str) -> str:
    return f"component-{slot.replace('_', '-')}-{name}"


def _slot(slot: str) -> str:
    return f"`{slot}`"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _value(value: Any) -> str:
    return "none" if value is None else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(text: str) -> str:
    """Plain text in a table of Markdown; of what stands in backticks only what would end the cell is escaped."""
    pieces = re.split(r"(`[^`]*`)", text)
    pieces[::2] = [re.sub(r"([|*_<>\[\]$])", r"\\\1", piece) for piece in pieces[::2]]
    pieces[1::2] = [piece.replace("|", r"\|") for piece in pieces[1::2]]
    return "".join(pieces).replace("\n", " ")


def _write(app: Any) -> None:
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    for name, content in pages(own_registry()).items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content + "\n", encoding="utf-8")


def _literal_stars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings write shapes such as (channels, *spatial), which is no emphasis."""
    lines[:] = [re.sub(r"(?<![`*\w])\*(?=[\w])", r"\\*", line) for line in lines]


def setup(app: Any) -> dict[str, Any]:
    app.connect("builder-inited", _write)
    app.connect("autodoc-process-docstring", _literal_stars, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
