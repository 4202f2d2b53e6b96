"""Methods, ablations and mixtures with other methods' parts as pipelines that run."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import unblur
from tests.short import short
from unblur.errors import CompositionError
from unblur.jobs import Job
from unblur.kernel_grid import KernelGrid
from unblur.pipeline import Pipeline
from unblur.testing.worlds import photograph
from unblur_mcem.ablations import TV, ablations
from unblur_mcem.presets import GRID, NETWORKS, PRESETS, UNIFORM

STEPS = 3
SMALL = {"forward_model.grid": (2, 3), "forward_model.orientation": "fixed"}
SAMPLED = {"estimator.burn_in": 0.0}


def restore(pipeline: Pipeline, channels: int = 1, seed: int = 0, **wishes: Any) -> unblur.Result:
    pixels = photograph((48, 52), (5, 5), channels=channels).pixels[0].numpy()
    image = np.moveaxis(pixels, 0, -1) if channels == 3 else pixels[0]
    wishes = {"kernel_size": 5, "white_level": 1.0, "threads": 1, "precision": "float32", "seed": seed} | wishes
    return unblur.deblur(image, pipeline=short(pipeline, STEPS), **wishes, axes="YXS" if channels == 3 else None)


def sampled(pipeline: Pipeline) -> Pipeline:
    """Samples count from the first step on, in the segment that has the estimator."""
    return pipeline.set(SAMPLED if pipeline.then is None else {"then.then.estimator.burn_in": 0.0})


def values(pipeline: Pipeline, slot: str, name: str) -> list[Any]:
    """What a parameter of a slot's base is in every stage; None where it is the default."""
    return [pipeline.in_stage(stage).slots[slot][0].params.get(name) for stage in pipeline.stages]  # type: ignore[index]


def test_the_paper() -> None:
    """Section 5: grid, networks, rates and steps."""
    paper = PRESETS["paper"]
    assert [stage.steps for stage in paper.stages] == [500, 4500]
    assert values(paper, "forward_model", "grid") == [(1,), GRID] == [(1,), (5, 10)]
    assert values(paper, "image_prior", "levels") == [5, 5]
    assert values(paper, "image_prior", "channels") == [(64,), (64,)]
    assert paper.slots["kernel_prior"][0].name == "multi-head-unet"
    registry = unblur.default_registry()
    defaults = registry.component("kernel_prior", "multi-head-unet").component.params()
    assert (defaults.levels, defaults.channels) == (4, (32, 32, 64, 64))
    [rates] = [value for value in values(paper, "estimator", "image_rate") if isinstance(value, tuple)]
    assert [(round(500 + 4500 * start), rate) for start, rate in rates[1:]] == [(2000, 5e-3), (3000, 2.5e-3)]
    estimator = registry.component("estimator", "mcem").component.params()
    assert (estimator.samples, estimator.kernel_steps, estimator.output) == (1, 1, "last")
    one = UNIFORM["paper"]
    assert [stage.steps for stage in one.stages] == [5000]
    assert values(one, "forward_model", "grid") == [(1,)]
    assert [round(5000 * start) for start, _ in estimator.image_rate] == [0, 2000, 3000]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_runs(preset: str) -> None:
    found = restore(sampled(PRESETS[preset].set(SMALL)))
    assert found.kernel_grid == KernelGrid((2, 3))
    assert np.isfinite(found.image).all()
    np.testing.assert_allclose(found.kernel.sum((1, 2)), 1, atol=1e-4)
    assert found.uncertainty is not None
    one = restore(UNIFORM[preset])
    assert one.kernel.shape == (5, 5)
    assert one.kernel_grid is None


@pytest.mark.parametrize("name", ablations(PRESETS["paper"]))
def test_an_ablation_runs(name: str) -> None:
    found = restore(ablations(PRESETS["paper"])[name].set({} if name == "uniform" else SMALL))
    assert np.isfinite(found.image).all()
    assert (found.kernel_grid is None) == (name == "uniform")


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_one_kernel_is_found_before_samples_are_drawn(preset: str) -> None:
    assert values(UNIFORM[preset], "estimator", "temperature") == [0.0, None]
    assert unblur.default_registry().component("estimator", "mcem").component.params().temperature == 1.0


@pytest.mark.parametrize("preset", NETWORKS)
def test_ablations_change_only_what_they_say(preset: str) -> None:
    base = NETWORKS[preset]
    found = ablations(base)
    for pipeline in found.values():
        pipeline.check()
    assert found["mcem"] == base
    assert (1,) not in values(found["no-warm-up"], "forward_model", "grid")
    assert found["no-warm-up"].slots == base.slots
    assert values(found["uniform"], "forward_model", "grid") == [(1,)] * len(base.stages)
    for name in ("mle", "map-tv"):
        assert found[name].slots["estimator"][0].name == "joint-adam"
        assert set(values(found[name], "image_prior", "noise")) == {0.0}
        assert set(values(found[name], "image_prior", "dropout")) == {0.0}
        assert values(found[name], "forward_model", "grid") == values(base, "forward_model", "grid")
        assert found[name].slots["forward_model"] == base.slots["forward_model"]
    assert [part.name for part in found["map-tv"].slots["image_prior"]][1:] == ["tv"]
    assert pytest.approx(1e-5) == TV


def test_colour() -> None:
    found = restore(sampled(PRESETS["balanced"].set(SMALL)), channels=3)
    assert found.image.shape == (48, 52, 3)
    assert found.uncertainty is not None
    assert found.uncertainty.shape == (48, 52, 3)
    assert found.kernel_arrays()["kernels"].shape == (2, 3, 5, 5)


def test_same_seed_same_bits() -> None:
    pipeline = PRESETS["balanced"].set(SMALL)
    first, again, other = (restore(pipeline, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.kernel, again.kernel)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("mc-mapk", {"forward_model": ["svola", "squared", "ssim"], "kernel_prior": "multi-head-unet"}),
        ("selfdeblur", {"forward_model": ["svola", "squared", "ssim"], "kernel_prior": "free"}),
        ("blind-richardson-lucy", {"forward_model": "svola"}),
        ("selfdeblur", {"estimator": "mcem"}),
        ("practical-bid", {"kernel_prior": "multi-head-unet"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_parts_serve_other_methods(method: str, settings: dict[str, Any]) -> None:
    pipeline = unblur.default_registry().method(method).pipeline()
    many = "svola" in str(settings)
    stages = [
        dataclasses.replace(
            stage, set={a: v for a, v in stage.set.items() if not a.startswith(("estimator.", "image_prior."))}
        )
        for stage in pipeline.stages
    ]
    pipeline = pipeline.replace(stages=stages, then=None if many else pipeline.then).set(settings)
    found = restore(pipeline.set(SMALL) if many else pipeline)
    assert np.isfinite(found.image).all()
    assert found.kernel_grid == (KernelGrid((2, 3)) if many else None)


def test_samples_for_a_known_kernel() -> None:
    psf = photograph((48, 52), (5, 5)).psf
    assert psf is not None
    pipeline = UNIFORM["balanced"].replace(then=None).set({"kernel_prior": "known"} | SAMPLED)
    found = restore(pipeline, kernel_size=None, psf=psf[0].numpy())
    np.testing.assert_allclose(found.kernel, psf[0].numpy(), atol=1e-6)
    assert found.uncertainty is not None


def test_kernels_of_a_grid_are_handed_to_what_follows() -> None:
    blind = PRESETS["fast"].replace(then=None).set(SMALL)
    after = Pipeline("svola", "pixels", "known", "richardson-lucy")
    found = restore(blind.replace(then=after))
    np.testing.assert_allclose(found.kernel, restore(blind).kernel, atol=1e-6)
    assert found.kernel_grid == KernelGrid((2, 3))


def test_a_grid_that_is_asked_for_is_that_of_what_follows() -> None:
    job = Job(np.random.default_rng(0).random((48, 52)), method="mcem", settings=SMALL, kernel_size=5)
    for segment in job.pipeline.segments():
        assert (
            dict(segment.slots["forward_model"][0].params).items()
            >= {
                "grid": (2, 3),
                "orientation": "fixed",
            }.items()
        )


def test_one_kernel_in_the_quick_presets_is_one_throughout() -> None:
    found = restore(ablations(PRESETS["fast"])["uniform"])
    assert found.kernel.shape == (5, 5)


def test_a_grid_of_kernels_is_not_handed_to_one() -> None:
    grid = {"forward_model": ["svola", "squared", "ssim"], "kernel_prior": "free"}
    registry = unblur.default_registry()
    with pytest.raises(CompositionError, match="'convolution' in `then` takes one kernel, and 'svola' hands over"):
        registry.method("selfdeblur").pipeline("fast").set(grid).check(registry)
    image = np.random.default_rng(0).random((48, 52))
    job = Job(image, method="selfdeblur", settings=grid | {"forward_model.svola.grid": (2, 3)}, kernel_size=5)
    assert [one.slots["estimator"][0].name for one in job.pipeline.segments()] == ["l0-gradient", "joint-adam"]
    assert any("not a grid of them" in text for text in job.assumptions)


def test_planes_share_the_grid_of_kernels_that_one_of_them_gives() -> None:
    frames = photograph((48, 52), (5, 5)).pixels[0].numpy().repeat(3, 0)
    pipeline = short(PRESETS["fast"].set(SMALL), STEPS)
    found = unblur.deblur(frames, axes="TYX", pipeline=pipeline, kernel_size=5, planes="shared-kernel", threads=1)
    assert [row["status"] for row in found.report["planes"]] == ["done"] * 4
    assert np.isfinite(found.image).all()
    assert found.kernel_grid == KernelGrid((2, 3))
