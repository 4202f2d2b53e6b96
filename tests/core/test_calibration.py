"""Maps of uncertainty that were measured are multiplied and called calibrated; all others are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import unblur
from unblur import Calibration, Method, Registry, Result
from unblur.calibration import calibration_of
from unblur.pipeline import Stage
from unblur.records import Provenance

BASE = unblur.default_registry().method("unsupervised-wiener").pipeline().replace(stages=[Stage(steps=32)])
MEASURED = Calibration(
    factor=3.0, within=(0.68, 0.95), rank_correlation=0.5, steps=(30, 40), measured_on="four photographs"
)


class Plugin:
    """A method whose maps were measured."""

    def __init__(self, calibration: Calibration, preset: str = "balanced") -> None:
        self.calibrations = {preset: calibration}

    @unblur.hookimpl
    def unblur_methods(self) -> Iterator[Method]:
        yield Method("measured", "Summary.", "Tests.", {"balanced": BASE}, calibrations=self.calibrations)


def registry_with(plugin: Plugin) -> Registry:
    registry = Registry()
    registry.discover()
    registry.register(plugin, Provenance("measured", "tests", "1"))
    return registry


def run(calibration: Calibration = MEASURED, **wishes: Any) -> Result:
    image = np.random.default_rng(0).uniform(0.2, 0.8, (48, 40)).astype(np.float32)
    given = {"image": image, "method": "measured", "kernel_size": None, "psf": np.full((3, 3), 1 / 9)} | wishes
    return unblur.deblur(registry=registry_with(Plugin(calibration)), white_level=1.0, threads=1, **given)


@pytest.fixture(scope="module")
def plain() -> Result:
    return run(replace(MEASURED, steps=(1000, 2000)))


@pytest.mark.parametrize("steps", [(1, 31), (33, 40)])
def test_more_or_fewer_steps_than_measured_are_not_calibrated(steps: tuple[int, int]) -> None:
    assert run(replace(MEASURED, steps=steps)).report["uncertainty"]["status"] == "uncalibrated"


def test_a_run_that_ended_before_its_plan_is_not_calibrated() -> None:
    stopped = [{"status": "done", "executed": [32], "plan": [40]}]
    registry = registry_with(Plugin(MEASURED))
    facts = {"dims": 2, "colour": False, "white_level": 1.0, "noise": list}
    assert calibration_of(BASE, stopped, registry, **facts) is None
    assert calibration_of(BASE, [stopped[0] | {"plan": [32]}], registry, **facts) == (MEASURED, 3.0)


def test_colours_and_volumes_are_calibrated_only_where_they_were_measured() -> None:
    random = np.random.default_rng(0)
    colour = {"axes": "YXS", "image": random.uniform(0.2, 0.8, (48, 40, 3))}
    volume = {"axes": "ZYX", "psf": np.full((3, 3, 3), 1 / 27), "image": random.uniform(0.2, 0.8, (12, 24, 20))}
    assert run(**colour).report["uncertainty"]["status"] == "uncalibrated"
    assert run(**volume).report["uncertainty"]["status"] == "uncalibrated"
    assert run(replace(MEASURED, colour=True), **colour).report["uncertainty"]["status"] == "calibrated"
    assert run(replace(MEASURED, dims=3), **volume).report["uncertainty"]["status"] == "calibrated"


@pytest.mark.parametrize(("noise", "status"), [(0.005, "uncalibrated"), (0.02, "calibrated"), (0.2, "uncalibrated")])
def test_images_as_noisy_as_those_that_were_measured_are_calibrated(noise: float, status: str) -> None:
    grey = np.full((48, 40), 0.5) + noise * np.random.default_rng(0).standard_normal((48, 40))
    measured = replace(MEASURED, noise=(0.01, 0.04))
    assert run(measured, image=grey.astype(np.float32)).report["uncertainty"]["status"] == status


@pytest.mark.parametrize(("noise", "factor"), [(0.005, 8.0), (0.02, 4.0), (0.04, 2.0), (0.1, 2.0)])
def test_a_factor_follows_the_noise(noise: float, factor: float, plain: Result) -> None:
    """Between levels in logarithms; beyond them the nearest holds, where that is within what was measured."""
    registry = registry_with(Plugin(replace(MEASURED, factor=((0.01, 8.0), (0.04, 2.0)))))
    row = [{"status": "done", "executed": [32], "plan": [32]}]
    facts = {"dims": 2, "colour": False, "white_level": 1.0}
    found = calibration_of(BASE, row, registry, noise=lambda: [noise, noise], **facts)
    assert found is not None
    assert found[1] == pytest.approx(factor)
    assert calibration_of(BASE, row, registry, noise=lambda: [noise, np.nan], **facts) is None
    result = run(replace(MEASURED, factor=((1e-6, 5.0), (1e-5, 5.0))))
    assert result.report["uncertainty"]["factor"] == pytest.approx(5)
    np.testing.assert_allclose(result.uncertainty, plain.uncertainty * 5, rtol=1e-5)


def test_noise_is_that_of_planes_that_have_a_map() -> None:
    """Neither a blank frame nor one without any known pixel decides for the others."""
    noisy = 0.5 + 0.02 * np.random.default_rng(0).standard_normal((48, 40))
    series = np.stack([noisy, np.full_like(noisy, 0.5), np.full_like(noisy, np.nan), noisy]).astype(np.float32)
    result = run(replace(MEASURED, noise=(0.01, 0.04)), image=series, axes="TYX", nan="mask")
    assert [row["status"] == "done" for row in result.report["planes"]] == [True, False, False, True]
    assert result.report["uncertainty"]["status"] == "calibrated"


def test_a_map_that_was_not_measured_is_left_as_it_is(plain: Result) -> None:
    assert plain.report["uncertainty"]["status"] == "uncalibrated"
    assert plain.report["uncertainty"]["factor"] is None
    assert plain.uncertainty is not None


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"method": None, "pipeline": BASE},
        {"psf": np.full((5, 5), 1 / 25), "max_seconds": 600},
        {"method": None, "pipeline": unblur.Pipeline.from_dict(BASE.to_dict())},
    ],
)
def test_what_was_measured_is_multiplied_and_said(plain: Result, wishes: dict[str, Any]) -> None:
    result = run(**wishes)
    known = result.report["uncertainty"]
    assert (known["status"], known["factor"]) == ("calibrated", 3.0)
    assert "four photographs" in known["meaning"]
    assert "68%" in known["meaning"]
    if not wishes.get("max_seconds"):
        np.testing.assert_array_equal(result.image, plain.image)
        np.testing.assert_array_equal(result.uncertainty, plain.uncertainty * np.float32(3))


@pytest.mark.parametrize(
    "wishes",
    [{"settings": {"estimator.burn_in": 4}}, {"settings": {"stages.0.scale": 0.5}}, {"offset": 0.1, "gain": 0.01}],
)
def test_another_composition_is_not_calibrated(wishes: dict[str, Any]) -> None:
    known = run(**wishes).report["uncertainty"]
    assert (known["status"], known["factor"]) == ("uncalibrated", None)


def test_a_calibration_of_no_preset_is_refused() -> None:
    registry = registry_with(Plugin(MEASURED, "fast"))
    assert "measured" not in registry.methods()
    assert any("'fast', which is no preset of it" in str(failure) for failure in registry.failures)


class Faulty:
    """A method that was measured, with a parameter that its estimator does not have."""

    @unblur.hookimpl
    def unblur_methods(self) -> Iterator[Method]:
        bad = BASE.replace(estimator=("wiener", {"typo": 1}))
        yield Method("faulty", "Summary.", "Tests.", {"balanced": bad}, calibrations={"balanced": MEASURED})


def test_a_faulty_preset_of_another_plugin_ends_no_run() -> None:
    registry = Registry()
    registry.register(Faulty(), Provenance("faulty", "tests", "1"))
    registry.discover()
    image = np.random.default_rng(0).uniform(0.2, 0.8, (48, 40)).astype(np.float32)
    wishes: dict[str, Any] = {"method": "unsupervised-wiener", "psf": np.full((3, 3), 1 / 9), "threads": 1}
    assert unblur.deblur(image, registry=registry, **wishes).report["uncertainty"]["status"] == "uncalibrated"
