"""The example plugin from its own wheel: it is found, keeps the rules, and works in a run; so does a renamed copy."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.example.conftest import EXAMPLE, Inside, install, run
from unblur.cli.new_plugin import create
from unblur.errors import FileError, ParameterError
from unblur.hookspecs import HOOKS

COMPONENTS = {
    "forward_model": "log-cosh",
    "image_prior": "positive-pixels",
    "kernel_prior": "learned-gaussian",
    "estimator": "sign-descent",
    "stopping": "small-misfit",
}
MODULES = sorted((EXAMPLE / "unblur_example").glob("*.py"))

LISTING = """
import json, unblur
registry = unblur.default_registry()
print(json.dumps({
    "failures": list(map(str, registry.failures)),
    "plugins": {plugin.plugin: plugin.distribution for plugin in registry.plugins},
    "components": {
        part.slot: name
        for slot in %r
        for name, part in registry.components(slot).items()
        if part.provenance.plugin == "example"
    },
    "methods": list(registry.methods()),
}))
"""

DEBLURRING = """
import numpy as np, unblur
from unblur.testing import photograph
observed = photograph((32, 32), (5, 5)).pixels[0, 0].numpy()
result = unblur.deblur(observed, method="sign-blind", kernel_size=5, device="cpu", precision="float32", threads=1)
assert result.image.shape == observed.shape and np.isfinite(result.image).all()
assert abs(result.kernel.sum() - 1) < 1e-4 and result.kernel.max() < 0.9
[plane] = result.report["planes"]
print(plane["residual"] / observed.std())
"""


def own_tests(project: Path) -> list[str]:
    """Arguments of python that run a plugin project's own tests, with its own settings."""
    settings = ["-c", str(project / "pyproject.toml"), "-p", "no:cacheprovider"]
    return ["-m", "pytest", "-q", *settings, str(project / "tests")]


def test_it_has_at_most_160_lines() -> None:
    assert sum(len(path.read_text().splitlines()) for path in MODULES) <= 160


def test_it_uses_public_names_only() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unblur."):
                assert not any(part.startswith("_") for part in (node.module or "").split("."))
                assert not any(alias.name.startswith("_") for alias in node.names)
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")


def test_it_is_found(inside: Inside) -> None:
    found = json.loads(inside("-c", LISTING % (list(HOOKS.values()),)))
    assert found["failures"] == []
    assert found["plugins"]["example"] == "unblur-example"
    assert found["components"] == COMPONENTS
    assert "sign-blind" in found["methods"]


def test_it_is_listed_on_the_command_line(inside: Inside) -> None:
    listed = inside("-c", "from unblur.cli import main; main()", "components")
    for name in COMPONENTS.values():
        assert name in listed


def test_it_keeps_the_rules(inside: Inside) -> None:
    printed = inside(*own_tests(EXAMPLE))
    assert " passed" in printed
    assert "skipped" not in printed


def test_it_deblurs(inside: Inside) -> None:
    unexplained = float(inside("-W", "error", "-c", DEBLURRING).split()[-1])
    assert unexplained < 0.25  # the flat image that the run begins with leaves all of it


def test_new_plugin_is_a_renamed_copy_that_passes_its_own_test(tmp_path: Path) -> None:
    project = create("tiny-lens", tmp_path / "project")
    texts = [path.read_text() for path in project.rglob("*") if path.is_file()]
    assert not any("unblur_example" in text or "unblur-example" in text for text in texts)
    site = install(project, tmp_path)
    assert [path.name for path in site.glob("unblur_*") if path.suffix != ".dist-info"] == ["unblur_tiny_lens"]
    chosen = "misfit or small-misfit or log-cosh or method"
    assert " passed" in run(site, *own_tests(project), "-k", chosen, folder=tmp_path)


def test_new_plugin_refuses_names_and_folders(tmp_path: Path) -> None:
    for name in ("Tiny", "tiny_lens", "-lens", "../lens", ""):
        with pytest.raises(ParameterError, match="plugin name"):
            create(name, tmp_path / "project")
    assert not (tmp_path / "project").exists()
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(FileError, match="not an empty folder"):
        create("lens", tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "kept"
