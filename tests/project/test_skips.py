"""With CI=true a skipped test or module fails, and elsewhere it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize(
    ("ci", "outcomes"),
    [("true", {"passed": 1, "failed": 1, "xfailed": 1, "errors": 1}), ("", {"passed": 1, "skipped": 2, "xfailed": 1})],
)
def test_skips(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcomes: dict[str, int]) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # napari's plugins would be imported here
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(
        test_one="""
        import pytest
        def test_passes(): pass
        def test_skips(): pytest.skip("no window")
        @pytest.mark.xfail
        def test_known(): assert False
        """,
        test_module="""
        import pytest
        pytest.importorskip("a_package_that_does_not_exist")
        """,
    )
    result = pytester.runpytest_inprocess("--continue-on-collection-errors", "-p", "no:cacheprovider")
    result.assert_outcomes(**outcomes)
