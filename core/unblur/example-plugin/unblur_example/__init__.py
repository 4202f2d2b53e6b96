"""Hooks, records and parameters of the example plugin."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from typing_extensions import Doc

from unblur import GRADIENT_NEEDS, GRADIENT_TRAITS, Component, Method, Pipeline, Stage, hookimpl
from unblur.params import Schedule, Unit


@dataclass(frozen=True)
class LogCoshParams:
    weight: Annotated[Schedule, Ge(0), Doc("Factor of this misfit in the sum of all.")] = 1.0
    scale: Annotated[float, Gt(0), Doc("Residual at which squares turn into absolute values."), Unit("intensity")] = 0.1


@dataclass(frozen=True)
class LearnedGaussianParams:
    sigma: Annotated[float, Gt(0), Doc("Standard deviation to begin with."), Unit("px")] = 2.0


@dataclass(frozen=True)
class SignDescentParams:
    rate: Annotated[Schedule, Gt(0), Doc("Change of every parameter in a step.")] = 1e-3


@dataclass(frozen=True)
class SmallMisfitParams:
    level: Annotated[float, Gt(0), Doc("Misfit below which the stage ends.")] = 1e-3


@hookimpl
def unblur_forward_models() -> Iterable[Component]:
    target, summary = "unblur_example.parts:LogCosh", "Smooth absolute difference."
    yield Component("log-cosh", target, summary, LogCoshParams, role="misfit")


@hookimpl
def unblur_image_priors() -> Iterable[Component]:
    target, summary = "unblur_example.parts:PositivePixels", "Free pixels behind a softplus."
    yield Component("positive-pixels", target, summary, provides=frozenset({"learns"}))


@hookimpl
def unblur_kernel_priors() -> Iterable[Component]:
    target, summary = "unblur_example.parts:LearnedGaussian", "A Gaussian whose width is learned."
    traits = frozenset({"learns", "single"})
    yield Component("learned-gaussian", target, summary, LearnedGaussianParams, provides=traits)


@hookimpl
def unblur_estimators() -> Iterable[Component]:
    target, summary = "unblur_example.parts:SignDescent", "Steps of fixed size against the sign of the gradient."
    provides, requires = GRADIENT_TRAITS, GRADIENT_NEEDS
    yield Component("sign-descent", target, summary, SignDescentParams, provides=provides, requires=requires)


@hookimpl
def unblur_stopping_rules() -> Iterable[Component]:
    target, summary = "unblur_example.parts:SmallMisfit", "Stops when the misfit is below a level."
    yield Component("small-misfit", target, summary, SmallMisfitParams)


@hookimpl
def unblur_methods() -> Iterable[Method]:
    parts = ["convolution", "log-cosh"], "positive-pixels", "learned-gaussian", ("sign-descent", {"rate": 0.02})
    balanced = Pipeline(*parts, stopping=["small-misfit", "last"], stages=[Stage(steps=50)])
    yield Method("sign-blind", "Blind, by sign descent.", "An example.", {"balanced": balanced}, blind=True)
