"""Every registered component and method keeps the rules of its kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.small import SMALL
from unblur import default_registry
from unblur.testing import conformance_cases

CASES = dict(conformance_cases(default_registry(), settings=SMALL))


def test_every_plugin_is_loaded() -> None:
    assert default_registry().failures == []


def test_small_settings_name_components() -> None:
    for address in SMALL:
        slot, _, name = address.partition(".")
        assert name in default_registry().components(slot)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_conformance(case: Callable[[], None]) -> None:
    case()
