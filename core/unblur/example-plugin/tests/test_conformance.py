"""The plugin is loaded and keeps the rules of `unblur.testing`; without cases, the test below would be skipped."""

import pytest

from unblur import default_registry
from unblur.testing import conformance_cases

CASES = dict(conformance_cases(default_registry(), plugin="example"))
assert CASES, default_registry().failures


@pytest.mark.parametrize("name", CASES)
def test_conformance(name: str) -> None:
    CASES[name]()
