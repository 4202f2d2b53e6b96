"""The example in each hook's docstring runs, and declares what the example plugin declares."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

import unblur
from tests.example.conftest import EXAMPLE
from unblur import hookspecs

HOOKS = [*hookspecs.HOOKS, "unblur_methods"]


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """The example's declarations, without installing it."""
    path = EXAMPLE / "unblur_example" / "__init__.py"
    spec = importlib.util.spec_from_file_location("unblur_example_declarations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def examples(hook: str, names: dict[str, Any]) -> Iterator[Any]:
    """What the code in a hook's docstring gives."""
    text = getattr(hookspecs, hook).__doc__
    code = textwrap.dedent(text.partition("::\n")[2])
    scope = {**names, "unblur": unblur}
    exec(code, scope)
    yield from scope[hook]()


@pytest.mark.parametrize("hook", HOOKS)
def test_docstring_and_example_agree(hook: str, example: Any) -> None:
    assert list(examples(hook, vars(example))) == list(getattr(example, hook)())
