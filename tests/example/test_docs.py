"""The page on plugins and the code cannot drift apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from unblur import default_registry, hookspecs, testing
from unblur.records import ROLES, SLOTS

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
TABLE = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("hook", [*hookspecs.HOOKS, "unblur_methods"])
def test_every_hook_is_there_with_its_example(hook: str) -> None:
    assert f":pyobject: {hook}\n" in PAGE
    assert any(row[0] == f"`{hook}`" for row in TABLE)


def test_roles_are_those_of_the_slots() -> None:
    for hook, slot in hookspecs.HOOKS.items():
        [row] = [row for row in TABLE if row[0] == f"`{hook}`"]
        assert row[1] == f"`{slot}`"
        for role in ROLES[slot]:  # type: ignore[index]
            assert f"`{role}`" in row[2]


@pytest.mark.parametrize("slot", SLOTS)
def test_every_trait_in_use_is_in_the_table(slot: str) -> None:
    documented = " ".join(row[1] for row in TABLE if row[0] == f"`{slot}`")
    for part in default_registry().components(slot).values():  # type: ignore[arg-type]
        if part.role == "base":
            for trait in part.component.provides:
                assert f"`{trait}`" in documented, f"{part.name} provides {trait}"


def test_every_public_name_of_the_kit_is_there() -> None:
    for name in testing.__all__:
        assert name == "Composition" or f"`{name}(" in PAGE
