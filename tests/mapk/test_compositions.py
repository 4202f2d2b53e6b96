"""The two-stage mode and the ablations of the paper as compositions that run."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import unblur
from tests.short import short
from unblur.pipeline import Pipeline, Stage
from unblur.testing.worlds import photograph
from unblur_mapk.ablations import ablations
from unblur_mapk.presets import NETWORKS, PRESETS, TWO_STAGE

ABLATIONS = ablations(PRESETS["paper"])
STEPS = 3
SECOND = Pipeline("convolution", "pixels", "known", "hyper-laplacian", stages=[Stage(steps=5)])


def restore(pipeline: Pipeline, channels: int = 1, seed: int = 0) -> unblur.Result:
    pixels = photograph((48, 52), (5, 5), channels=channels).pixels[0].numpy()
    image = np.moveaxis(pixels, 0, -1) if channels == 3 else pixels[0]
    wishes: dict[str, Any] = {"kernel_size": 5, "white_level": 1.0, "threads": 1, "precision": "float32", "seed": seed}
    return unblur.deblur(image, pipeline=short(pipeline, STEPS), **wishes, axes="YXS" if channels == 3 else None)


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_runs(name: str) -> None:
    result = restore(ABLATIONS[name])
    assert np.isfinite(result.image).all()
    assert result.kernel.sum() == pytest.approx(1, abs=1e-4)
    random = name not in ("table-5-neither", "table-6-ren", "figure-9-kernel")
    assert (result.uncertainty is not None) == random


@pytest.mark.parametrize("preset", NETWORKS)
def test_ablations_of_every_preset_fit_and_differ(preset: str) -> None:
    found = ablations(NETWORKS[preset])
    for pipeline in found.values():
        pipeline.check()
    same = [{"table-5-both", "table-6-ours", "figure-8-ours"}, {"table-5-dropout", "figure-8-s3"}]
    for one, other in itertools.combinations(found, 2):
        equal = any({one, other} <= names for names in same)
        assert (found[one] == found[other]) == equal, (one, other)


def values(pipeline: Pipeline, name: str) -> list[Any]:
    """What a parameter of the image network is in every stage."""
    return [pipeline.in_stage(stage).slots["image_prior"][0].params[name] for stage in pipeline.stages]


@pytest.mark.parametrize("preset", ["balanced", "paper"])
def test_an_ablation_holds_in_every_stage(preset: str) -> None:
    found = ablations(NETWORKS[preset])
    stages = len(NETWORKS[preset].stages)
    assert values(found["table-5-neither"], "noise") == values(found["table-5-neither"], "dropout") == [0.0] * stages
    assert values(found["table-5-dropout"], "noise") == [0.0] * stages
    assert values(found["table-5-noise"], "noise") == [((0.0, 0.01), (0.7, 0.001))] * stages
    assert values(found["figure-8-s1"], "dropout") == [0.5] * stages


def test_ablations_change_only_what_they_say() -> None:
    paper = PRESETS["paper"]
    assert ABLATIONS["table-6-ours"].in_stage(Stage(1)).slots["forward_model"] == paper.slots["forward_model"]
    ren, trained = ABLATIONS["table-6-ren"], ABLATIONS["table-6-ren-mc"]
    assert [part.name for part in ren.slots["image_prior"]] == ["encoder-decoder", "tv"]
    assert [part.name for part in ren.slots["kernel_prior"]] == ["fully-connected"]
    assert ren.slots["estimator"][0].name == "joint-adam"
    assert [part.name for part in trained.slots["kernel_prior"]] == ["fully-connected", "l2"]
    assert trained.slots["estimator"] == paper.slots["estimator"]


def begun(prior: str, start: str) -> unblur.Result:
    """One timid step of a network after five of hyper-Laplacian deconvolution."""
    network = Pipeline(
        ["convolution", "squared"],
        (prior, {"channels": (8, 8), "levels": 2, "start": start}),
        "known",
        ("mc-mapk", {"image_rate": 1e-6, "draws": 0}),
        stages=[Stage(steps=1)],
    )
    return restore(PRESETS["balanced"].replace(then=SECOND.replace(then=network)))


@pytest.mark.parametrize("prior", ["random-unet", "encoder-decoder"])
def test_a_network_begins_with_the_image_of_the_stages_before(prior: str) -> None:
    image = restore(PRESETS["balanced"].replace(then=SECOND)).image
    assert np.abs(begun(prior, "estimate").image - image).mean() < 0.03
    assert np.abs(begun(prior, "nothing").image - image).mean() > 0.1


def test_a_network_without_an_image_to_begin_with_says_so() -> None:
    result = restore(PRESETS["paper"].set({"image_prior.start": "estimate"}))
    notes = result.report["planes"][0]["notes"]
    assert any("no stages before `then` made an image" in note for note in notes)
    np.testing.assert_array_equal(result.image, restore(PRESETS["paper"]).image)


def test_the_second_stage_receives_the_kernel_of_the_first_and_counts_the_distance() -> None:
    blind, both = restore(PRESETS["paper"]), restore(TWO_STAGE["paper"])
    np.testing.assert_allclose(both.kernel, blind.kernel, atol=1e-7)
    assert not np.allclose(both.image, blind.image, atol=1e-3)
    assert blind.uncertainty is not None
    assert both.uncertainty is not None
    moved = gaussian_filter((both.image - blind.image).astype(float) ** 2, 2, mode="nearest", radius=6)
    np.testing.assert_allclose(both.uncertainty, np.sqrt(blind.uncertainty**2 + moved), rtol=1e-3)
    notes = both.report["planes"][0]["notes"]
    assert any("is handed to what follows" in note for note in notes)
    assert any("the standard deviation counts how far" in note for note in notes)


@pytest.mark.parametrize(
    "settings",
    [
        {"then.estimator": "wiener"},
        {"then.estimator": "richardson-lucy"},
        {"then.estimator": "unsupervised-wiener"},
        {
            "then.forward_model": ["convolution", "squared", "saturation"],
            "then.image_prior": ["pixels", "tv"],
            "then.estimator": "joint-adam",
        },
    ],
    ids=lambda settings: settings["then.estimator"],
)
def test_any_non_blind_method_can_follow(settings: dict[str, Any]) -> None:
    pipeline = TWO_STAGE["paper"].set(settings)
    pipeline.check()
    assert np.isfinite(restore(pipeline).image).all()


def test_colour() -> None:
    result = restore(PRESETS["paper"], channels=3)
    assert result.image.shape == (48, 52, 3)
    assert result.uncertainty is not None
    assert result.uncertainty.shape == (48, 52, 3)
    assert result.kernel.shape == (5, 5)


def test_same_seed_same_bits() -> None:
    first, again, other = (restore(PRESETS["balanced"], seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.uncertainty, again.uncertainty)
    assert not np.array_equal(first.image, other.image)
