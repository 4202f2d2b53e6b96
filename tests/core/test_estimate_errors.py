"""What a component raises while time and memory are measured is an error that a user can act on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unblur import Job
from unblur.errors import PluginError, ResourceError


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(RuntimeError("mat1 and mat2 shapes"), PluginError), (RuntimeError("not enough memory: 1 TB"), ResourceError)],
)
def test_estimate(raised: Exception, expected: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*arguments: Any) -> None:
        raise raised

    monkeypatch.setattr("unblur.planning.measure", measure)
    job = Job(np.random.default_rng(0).random((32, 32)), method="blind-richardson-lucy", kernel_size=5)
    with pytest.raises(expected) as caught:
        job.estimate()
    assert caught.value.__cause__ is raised
