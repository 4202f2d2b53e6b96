"""The ingredients of Chen et al. 2022 (Tables 8 and 9), each left out, as compositions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unblur import Pipeline

_LEFT_OUT: Mapping[str, Mapping[str, Any]] = {
    "no-dropout": {"image_prior.dropout": 0.0},
    "no-aggregation": {"estimator.inferences": 0, "estimator.average_from": 1.0},
    "no-replacement": {"image_prior.replaced": 0.0, "image_prior.sparing": False},
    "no-masking": {"image_prior.masked": False},
    "plain-dropout": {"image_prior.adapt_every": 0},
}


def ablations(base: Pipeline) -> dict[str, Pipeline]:
    """The compositions by name.

    Without aggregation the image is that of one pass without dropout. Without replacement nothing is masked, either.

    Args:
        base: a pipeline of `sa-dropout`: that of the preset ``paper``, or a faster one.
    """
    return {"sa-dropout": base, **{name: base.set(dict(settings)) for name, settings in _LEFT_OUT.items()}}
