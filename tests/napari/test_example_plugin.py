"""The example plugin of the documentation in the dock: drop-downs, forms, tooltips and bounds by themselves."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import unblur
from napari_deblur.form.pipelines import PipelineForm
from napari_deblur.pages.plugins_page import rows
from napari_deblur.panel.method_part import MethodPart
from unblur.records import Provenance

PLACE = Path(unblur.__file__).parent / "example-plugin" / "unblur_example"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, _display: None) -> Iterator[unblur.Registry]:
    from napari.qt import get_qapp

    application = get_qapp()
    spec = importlib.util.spec_from_file_location(
        "unblur_example", PLACE / "__init__.py", submodule_search_locations=[str(PLACE)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "unblur_example", module)
    spec.loader.exec_module(module)
    found = unblur.Registry().discover()
    found.register(module, Provenance("example", "unblur-example", "0.1.0"))
    yield found
    application.processEvents()


def test_its_method_and_parts_are_offered(registry: unblur.Registry) -> None:
    part = MethodPart(registry)
    mine = [name for name in registry.methods() if registry.method_provenance(name).plugin == "example"]
    assert mine
    for name in mine:
        part.set_method(name)
        assert part.method == name
        part.parts.open()
        assert part.form.pipeline() == registry.method(name).pipeline()


def test_its_forms_have_tooltips_and_bounds_and_take_values(registry: unblur.Registry) -> None:
    form = PipelineForm(registry)
    form.load(unblur.Pipeline(["convolution", "log-cosh"], "positive-pixels", "learned-gaussian", "sign-descent"))
    slots, _ = form._segments[""]
    rate = slots["estimator"]._forms[0]["rate"]
    assert "Change of every parameter in a step." in rate.native.toolTip()
    assert "(0, inf)" in rate.native.toolTip()
    rate.native.setText("-1")
    assert form.problems() == ["rate = -1.0: expected number or schedule [[fraction, value], …] in (0, inf)"]
    rate.native.setText("1e-6, from 0.5: 1e-7")
    assert form.problems() == []
    assert form.settings() == {"estimator.rate": ((0.0, 1e-6), (0.5, 1e-7))}
    form.pipeline().check(registry)


def test_it_is_on_the_page_of_plugins(registry: unblur.Registry) -> None:
    registry.register(object(), Provenance("example", "another", "1"))
    found = rows(registry)
    assert found[0][0] == "example"
    assert "failed (another 1): a plugin named 'example' is already loaded" in found[0][1]
    listed: dict[str, Any] = {name: brings for name, state, brings in found if "unblur-example" in state}
    assert "sign-descent" in dict(listed["example"])
