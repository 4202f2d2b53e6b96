"""A plugin whose estimators fail in every way that one can, and others that go on until they are stopped."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt
from typing_extensions import Doc

from unblur import Component, Method, Pipeline, Registry, Stage, hookimpl
from unblur.components import Estimate, Estimator, Info
from unblur.records import Provenance

KINDS = ("torch", "memory", "nan", "exit", "bug", "late", "slow")


@dataclass(frozen=True)
class FaultParams:
    kind: Annotated[Literal["torch", "memory", "nan", "exit", "bug", "late", "slow"], Doc("What goes wrong.")] = "torch"
    seconds: Annotated[float, Gt(0), Doc("How long a step takes.")] = 0.01


class Fault(Estimator[FaultParams]):
    """Works for a few steps, if at all, and then does what it was made for."""

    def init(self, problem: Any, earlier: Any) -> Any:
        return self

    def soften(self, state: Any) -> bool:
        return True

    def step(self, problem: Any, state: Any, batch: Any, clock: Any) -> Info:
        kind = self.params.kind
        time.sleep(self.params.seconds)
        draw = problem.draw(batch, clock, problem.rng)
        misfit = torch.tensor(1.0 / (clock.step + 1))
        if clock.step >= 3 or kind == "memory":
            if kind == "torch":
                torch.ones(2, 3) @ torch.ones(2, 3)
            if kind == "memory":
                raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 TB")
            if kind == "exit":
                raise SystemExit(3)
            if kind == "bug":
                raise KeyError("a bug of the plugin's")
            if kind == "nan":
                misfit = torch.tensor(float("nan"))
        return Info(misfit, draw)

    def estimate(self, problem: Any, state: Any, batch: Any, clock: Any, rng: Any) -> Estimate:
        if self.params.kind == "late" and clock.step > 5:
            raise RuntimeError("torch fails when the result is drawn")
        return super().estimate(problem, state, batch, clock, rng)


class Plugin:
    @hookimpl
    def unblur_estimators(self) -> Iterable[Component]:
        target = f"{__name__}:Fault"
        provides = frozenset({"uses-misfit", "uses-response", "learns-kernel"})
        yield Component(name="fault", target=target, summary="Fails.", params=FaultParams, provides=provides)

    @hookimpl
    def unblur_methods(self) -> Iterable[Method]:
        for kind in KINDS:
            steps = 100_000 if kind == "slow" else 12
            pipeline = Pipeline(
                ("convolution", {"kernel_size": (5,)}),
                "pixels",
                "free",
                ("fault", {"kind": kind}),
                stages=[Stage(steps=steps)],
            )
            yield Method(f"fault-{kind}", "Fails.", "Tests.", {"balanced": pipeline}, blind=True)


def registry() -> Registry:
    """The default plugins, and the one that fails."""
    found = Registry().discover()
    found.register(Plugin(), Provenance("faults", "tests", "0"))
    assert not [failure for failure in found.failures if failure.provenance.plugin == "faults"]
    return found
