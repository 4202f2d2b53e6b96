"""Every registered component and method keeps the rules of its kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.conformance.small import SMALL
from unblur import default_registry
from unblur.compute import Compute
from unblur.testing import conformance_cases, running
from unblur.testing.case import Case

REGISTRY = default_registry()
CPU = Compute(torch.device("cpu"), "float32", threads=1)
CASES = dict(conformance_cases(REGISTRY, settings=SMALL))


def test_every_plugin_is_loaded() -> None:
    assert REGISTRY.failures == []


def test_small_settings_name_components() -> None:
    for address in SMALL:
        slot, _, name = address.partition(".")
        assert name in REGISTRY.components(slot)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_conformance(case: Callable[[], None]) -> None:
    case()


@pytest.mark.parametrize("name", sorted(REGISTRY.components("stopping")))
def test_the_events_of_the_kit_make_rules_and_selectors_answer(name: str) -> None:
    """So that what they answer after a resume is compared with an answer; `last` has none before the end."""
    case = Case(REGISTRY.component("stopping", name), REGISTRY, 2, CPU, SMALL)
    problem, events = running._events(case, 40)
    part = case.instance()
    part.init(problem)
    answers = [running._answer(part, info, clock) for info, clock in events]
    assert any(answers[20:]) == (name != "last"), answers
