"""The ablations of the paper as compositions that run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unblur
from unblur import Pipeline
from unblur.testing.worlds import photograph
from unblur_sadropout.ablations import ablations
from unblur_sadropout.presets import SA_DROPOUT

SMALL: dict[str, Any] = {"image_prior.levels": 2, "image_prior.channels": (8,), "stages.0.steps": 6}


def restore(pipeline: Pipeline) -> Any:
    observation = photograph((24, 21), (5, 3))
    return unblur.deblur(
        observation.pixels[0, 0].numpy(),
        pipeline=pipeline.set(SMALL),
        psf=observation.psf[0].numpy(),
        white_level=1.0,
        threads=1,
    )


@pytest.mark.parametrize("name", ablations(SA_DROPOUT["balanced"]))
def test_they_run_and_are_uncertain_where_something_is_drawn(name: str) -> None:
    result = restore(ablations(SA_DROPOUT["balanced"])[name])
    assert np.isfinite(result.image).all()
    assert (result.uncertainty is None) == (name == "no-aggregation")


@pytest.mark.parametrize("preset", SA_DROPOUT)
def test_they_change_what_they_say(preset: str) -> None:
    base = SA_DROPOUT[preset]
    found = ablations(base)
    assert found["sa-dropout"] == base
    assert len({str(pipeline.to_dict()) for pipeline in found.values()}) == len(found)
    prior = {name: pipeline.slots["image_prior"][0].params for name, pipeline in found.items()}
    assert (
        prior["no-dropout"]["dropout"]
        == prior["no-replacement"]["replaced"]
        == prior["plain-dropout"]["adapt_every"]
        == 0
    )
    assert prior["no-masking"]["masked"] is False
    assert found["no-aggregation"].slots["estimator"][0].params["inferences"] == 0
