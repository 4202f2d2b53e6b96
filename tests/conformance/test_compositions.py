"""Every combination of the registered parts: what the pipeline accepts learns, what it refuses names both parts."""

from __future__ import annotations

import math
import re

import pytest
import torch

from tests.conformance.small import SMALL
from unblur import default_registry
from unblur.compute import Compute
from unblur.testing import Composition, compositions
from unblur.testing.case import Case
from unblur.testing.trial import Trial

REGISTRY = default_registry()
CPU = Compute(torch.device("cpu"), "float32", threads=1)
ALL = list(compositions(REGISTRY, SMALL))
ACCEPTED = [composition for composition in ALL if composition.refusal is None]
PAIRS = sorted({(c.parts[1].name, c.parts[3].name) for c in ACCEPTED})


def trial(composition: Composition) -> Trial:
    return Trial(composition, Case(composition.parts[-1], REGISTRY, 2, CPU, SMALL))


def test_all_combinations_are_there() -> None:
    slots = ("forward_model", "image_prior", "kernel_prior", "estimator")
    bases = [[part for part in REGISTRY.components(slot).values() if part.role == "base"] for slot in slots]
    assert len(ALL) == math.prod(map(len, bases))
    assert len({composition.name for composition in ALL}) == len(ALL)
    assert 40 < len(ACCEPTED) < len(ALL)


def test_every_part_is_accepted_somewhere() -> None:
    used = {(part.slot, part.name) for composition in ACCEPTED for part in composition.parts}
    assert used == {(part.slot, part.name) for composition in ALL for part in composition.parts}


def test_every_refusal_names_both_parts() -> None:
    for composition in ALL:
        if composition.refusal is None:
            continue
        message = str(composition.refusal)
        named = [part.name for part in composition.parts if re.search(rf"['+] ?{part.name}\b", message)]
        assert len(named) >= 2, f"{composition.name}: {message}"
        assert "what would fit" in message


@pytest.mark.parametrize(("image", "estimator"), PAIRS, ids=["+".join(pair) for pair in PAIRS])
def test_every_accepted_combination_learns(image: str, estimator: str) -> None:
    for composition in ACCEPTED:
        if (composition.parts[1].name, composition.parts[3].name) == (image, estimator) and not repeats(composition):
            with CPU.running():
                check_learning(composition)


def repeats(composition: Composition) -> bool:
    """Whether it differs from another by where its known kernel comes from alone: one image prior has them all."""
    _, image, kernel, _ = composition.parts
    return "takes-psf" not in kernel.component.provides and (
        "fixed" in kernel.component.provides
        and image.name != "pixels"
        and not composition.has("forward_model", "video")
    )


def check_learning(composition: Composition) -> None:
    run = trial(composition)
    problem = run.problem
    started = {what: copies(getattr(problem, what)) for what in ("image", "kernels")}
    kernel, before = run.look().kernel.clone(), run.residual()
    run.run(5)
    misfits = [float(info.misfit) for info in run.infos]
    assert all(map(math.isfinite, misfits)), composition.name
    assert run.fell(before), f"{composition.name}: {misfits}, {before}, {run.residual()}"
    for what, learns in (("image", True), ("kernels", composition.learns("kernel_prior"))):
        now = copies(getattr(problem, what))
        moved = [not torch.equal(old, new) for old, new in zip(started[what], now, strict=True)]
        assert any(moved) == learns, f"{composition.name}: {what}"
    if composition.has("kernel_prior", "fixed"):
        assert torch.equal(run.look().kernel, kernel), composition.name


def copies(prior: object) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in prior.parameters()]  # type: ignore[attr-defined]


FREE = ("forward_model", "kernel_prior")


def test_a_slot_can_be_held() -> None:
    held = list(compositions(REGISTRY, SMALL, estimator="joint-adam", image_prior="pixels"))
    assert {composition.parts[3].name for composition in held} == {"joint-adam"}
    assert {composition.parts[1].name for composition in held} == {"pixels"}
    bases = [[p for p in REGISTRY.components(slot).values() if p.role == "base"] for slot in FREE]
    assert len(held) == math.prod(map(len, bases))


NETWORKS = sorted(
    (name, image.provenance.plugin)
    for method in REGISTRY.methods().values()
    for name, image in REGISTRY.components("image_prior").items()
    if name == method.pipeline().slots["image_prior"][0].name and "pixels" not in image.component.provides
)


@pytest.mark.parametrize(("name", "plugin"), NETWORKS)
def test_network_priors_serve_estimators_of_others(name: str, plugin: str) -> None:
    accepting = {c.parts[3] for c in ACCEPTED if c.parts[1].name == name}
    others = sorted(part.name for part in accepting if part.provenance.plugin != plugin)
    assert len(others) >= 2, f"{name} of {plugin} is accepted only by {others} of other plugins"
