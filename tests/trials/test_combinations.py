"""Every combination of the trial parts: what the pipeline accepts learns, what it refuses names both parts."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.trials.plugin import blurred, compute, registry, video
from unblur import Pipeline, Stage
from unblur.driver import Run, finish
from unblur.errors import CompositionError

REGISTRY = registry()
FORWARDS = {
    "valid": ["valid", "squares"],
    "located": ["located", "huber", "ssim"],
    "periodic": "periodic",
    "svola": [("svola", {"grid": 2}), "squares"],
    "flow": ["flow", "squares"],
}
IMAGES = {
    "pixels": "pixels",
    "network": ["network", "tv"],
    "random-network": "random-network",
    "replaced": "replaced",
    "deblurrer": "deblurrer",
}
KERNELS = ("known", "logits", "free-kernel", "siren", "flow-network")
ESTIMATORS = ("joint", "ensemble", "alternating", "langevin", "fine-tune", "rl", "blind-rl")
ALL = [
    Pipeline(forward, image, kernel, estimator, stages=[Stage(3)])
    for forward, image, kernel, estimator in itertools.product(FORWARDS.values(), IMAGES.values(), KERNELS, ESTIMATORS)
]


def names(pipeline: Pipeline) -> list[str]:
    return [part.name for parts in pipeline.slots.values() for part in parts]


def verdict(pipeline: Pipeline) -> CompositionError | None:
    try:
        pipeline.check(REGISTRY)
    except CompositionError as error:
        return error
    return None


ACCEPTED = [pipeline for pipeline in ALL if verdict(pipeline) is None]


def test_there_are_combinations_of_both_kinds() -> None:
    assert len(ACCEPTED) > 60
    assert len(ALL) - len(ACCEPTED) > 300


def test_every_refusal_names_both_parts() -> None:
    for pipeline in ALL:
        if (error := verdict(pipeline)) is None:
            continue
        named = {name for name in names(pipeline) if f"'{name}" in str(error) or f"+ {name}'" in str(error)}
        assert len(named) >= 2, f"{names(pipeline)}: {error}"
        assert "what would fit" in str(error)
        assert "trials" in str(error)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("forward", FORWARDS)
def test_every_accepted_combination_learns(forward: str, estimator: str) -> None:
    for pipeline in ACCEPTED:
        if (pipeline.slots["forward_model"][0].name, pipeline.slots["estimator"][0].name) != (forward, estimator):
            continue
        known = pipeline.slots["kernel_prior"][0].name == "known"
        if forward == "flow":
            observation = video()
        else:
            observation = blurred(psf=known)
            if known and forward == "svola":
                observation.psf = observation.psf.expand(4, 5, 5).clone()  # type: ignore[union-attr]
        _learns(pipeline, observation)


def _learns(pipeline: Pipeline, observation) -> None:  # type: ignore[no-untyped-def]
    run = Run(pipeline, observation, REGISTRY, compute())
    events = run.events()
    started = {}

    def parameters(what: str) -> list[torch.Tensor]:
        return [value.detach().clone() for value in getattr(run._problem, what).parameters()]

    next(events)
    started = {what: parameters(what) for what in ("image", "kernels")}
    kernel = run.preview().kernel
    outcome = finish(events)
    for what in ("image", "kernels"):
        for before, after in zip(started[what], parameters(what), strict=True):
            moved = not torch.equal(before, after)
            assert moved, f"{names(pipeline)}: {what} {tuple(before.shape)} did not move"
    assert started["image"], names(pipeline)
    if not started["kernels"]:
        assert torch.equal(outcome.estimate.kernel, kernel), names(pipeline)
