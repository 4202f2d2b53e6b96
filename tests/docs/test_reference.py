"""What is made from declarations is complete, and what is written by hand agrees with the code."""

from __future__ import annotations

import importlib
import inspect
import re
import types
from pathlib import Path

import pytest

import unblur
from tests.docs.pages import DOCS, PAGES, ROOT
from unblur import hookspecs
from unblur.cli.run import run as unblur_run
from unblur.composition import USES
from unblur.errors import CompositionError
from unblur.params import fields_of
from unblur.records import SLOTS
from unblur.registry import Registry


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reference() -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS / "_ext")
        return importlib.import_module("reference")


@pytest.fixture(scope="module")
def registry(reference: types.ModuleType) -> Registry:
    made: Registry = reference.own_registry()
    return made


@pytest.fixture(scope="module")
def pages(reference: types.ModuleType, registry: Registry) -> dict[str, str]:
    made: dict[str, str] = reference.pages(registry)
    return made


def section(page: str, label: str) -> str:
    """From a label to the next one."""
    found = re.search(rf"^\({re.escape(label)}\)=$(.*?)(?=^\(|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, label
    return found[1]


def test_every_component_and_parameter_is_in_the_reference(pages: dict[str, str], registry: Registry) -> None:
    for slot in SLOTS:
        for name, registered in registry.components(slot).items():
            part = section(pages["components.md"], f"component-{slot.replace('_', '-')}-{name}")
            for field in fields_of(registered.component.params):
                assert f"| `{field.name}` |" in part
            for trait in registered.component.provides | registered.component.requires:
                assert f"`{trait}`" in part


def test_every_method_and_preset_is_in_the_reference(pages: dict[str, str], registry: Registry) -> None:
    for name, method in registry.methods().items():
        part = section(pages["methods.md"], f"method-{name}")
        for preset, pipeline in method.presets.items():
            assert re.search(rf"\*\*Preset .*`{preset}`.*\*\*", part)
            for parts in pipeline.slots.values():
                assert all(f"[{used.name}](#" in part for used in parts)


def test_the_generated_pages_are_included() -> None:
    written = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in ("methods", "components", "traits", "choice", "situations", "heart", "commands"):
        assert f"```{{include}} generated/{name}.md\n```" in written


def test_every_trait_has_a_meaning_in_concepts(registry: Registry) -> None:
    explained = set(re.findall(r"^\| `(\w+)` \| `([\w-]+)` \| ", text_of("concepts.md"), re.MULTILINE))
    used = {("estimator", trait) for trait in USES.values()} | {("estimator", "learns-kernel")}
    for slot in SLOTS:
        for registered in registry.components(slot).values():
            used |= {(slot, trait) for trait in registered.component.provides}
    assert used <= explained
    reserved = {("image_prior", "fed"), ("forward_model", "periodic")}
    assert explained <= used | reserved
    for slot, trait in explained:
        assert re.search(rf"^\| `{slot}` \| [^|]*`{trait}`", text_of("plugins.md"), re.MULTILINE), (slot, trait)


def test_the_refusal_in_concepts_is_what_is_said(registry: Registry) -> None:
    pipeline = registry.method("richardson-lucy").pipeline().set({"image_prior": "encoder-decoder"})
    with pytest.raises(CompositionError) as refusal:
        pipeline.check(registry)
    assert f"error: {refusal.value}\n" in text_of("concepts.md")


def test_every_public_name_is_documented() -> None:
    page = text_of("api.md")
    for name in unblur.__all__:
        assert re.search(rf"^\.\. auto\w+:: unblur\.{name}$", page, re.MULTILINE), name


def test_every_error_has_a_docstring() -> None:
    errors = importlib.import_module("unblur.errors")
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert len(kinds) > 5
    assert all(kind.__doc__ for kind in kinds)


def test_every_hook_is_documented_with_its_signature() -> None:
    """As it stands in hookspecs.py: the page includes the function itself."""
    page = text_of("plugins.md")
    for name in (*hookspecs.HOOKS, "unblur_methods"):
        shown = f"```{{literalinclude}} ../core/unblur/hookspecs.py\n:language: python\n:pyobject: {name}\n```"
        assert shown in page, name
        assert inspect.getsource(getattr(hookspecs, name)).count(f"def {name}(") == 2  # and an example in its docstring


def test_every_method_is_in_the_readme(registry: Registry) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, method in registry.methods().items():
        row = re.search(rf"^\| `{name}` \| (\w+)(,[^|]*)? \| [^|]+ \| `(\w+)` \|$", readme, re.MULTILINE)
        assert row, name
        assert row[1] == ("given" if method.needs_psf else "estimated")
        assert row[3] == f"unblur_{registry.method_provenance(name).plugin}"


NAMES = sorted({name for page in PAGES for name in re.findall(r"`(unblur(?:\.\w+)+)`", page.read_text("utf-8"))})


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_a_page_mentions_exists(name: str) -> None:
    if name == hookspecs.GROUP:
        return
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        if importlib.util.find_spec(parts[0]) and _is_module(".".join(parts[:cut])):
            found: object = importlib.import_module(".".join(parts[:cut]))
            for attribute in parts[cut:]:
                found = getattr(found, attribute)
            return
    pytest.fail(f"{name} does not exist")


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


PATHS = sorted(
    {
        path
        for page in PAGES
        for path in re.findall(r"`((?:core|plugins|tests|docs|benchmarks)/[\w./-]+)`", page.read_text("utf-8"))
        if "NAME" not in path
    }
)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_a_page_mentions_exists(path: str) -> None:
    built = Path(path).parts[:2] in (("docs", "_build"), ("docs", "generated"))
    assert built or (ROOT / path).exists()


def test_no_line_of_a_page_is_a_placeholder() -> None:
    for page in PAGES:
        assert not re.search(r"\b(TODO|TBD|FIXME|lorem)\b", page.read_text(encoding="utf-8")), page


def test_the_heart_of_the_core_is_small(reference: types.ModuleType) -> None:
    sources = [(ROOT / "core" / "unblur" / f"{name}.py").read_text(encoding="utf-8") for name in reference.PLANNED]
    assert sum(map(reference.code_lines, sources)) <= 1500


def test_lines_of_code_leave_prose_out(reference: types.ModuleType) -> None:
    text = '"""Two\nlines."""\n\n# why\nx = 1\ndef f():\n    """Doc."""\n    return """text"""\n'
    assert reference.code_lines(text) == 3


def test_the_command_line_is_complete(reference: types.ModuleType) -> None:
    page = reference.commands()
    for command in ("run", "compare", "methods", "describe", "doctor", "bench levin", "demo", "train", "new-plugin"):
        assert f"## unblur {command}\n" in page
    options = inspect.signature(unblur_run).parameters
    named = {"assign": "set"}
    for name in options.keys() - {"inputs", "checkpoint_seconds"}:
        assert f"--{named.get(name, name).replace('_', '-')}" in page
    assert "checkpoint-seconds" not in page
