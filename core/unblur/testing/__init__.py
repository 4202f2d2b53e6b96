"""The conformance kit: the rules that every component must keep, run over any registry.

In a plugin's own tests::

    CASES = dict(unblur.testing.conformance_cases(unblur.default_registry(), plugin="example"))

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_conformance(case):
        case()
"""

from __future__ import annotations

from unblur.testing.compositions import Composition, compositions
from unblur.testing.kit import check_component, check_method, conformance_cases, rules_of
from unblur.testing.worlds import photograph

__all__ = [
    "Composition",
    "check_component",
    "check_method",
    "compositions",
    "conformance_cases",
    "photograph",
    "rules_of",
]
