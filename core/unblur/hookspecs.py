"""The hooks. A plugin implements those it needs; each returns an iterable of frozen records."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from unblur.records import Component, Method

GROUP = "unblur.plugins"
"""Entry point group in which plugins announce their module."""

hookspec = pluggy.HookspecMarker("unblur")
hookimpl = pluggy.HookimplMarker("unblur")


@hookspec
def unblur_forward_models() -> Iterable[Component]:  # type: ignore[empty-body]
    """Forward models, and their modifiers: misfits and camera responses.

    ::

        @unblur.hookimpl
        def unblur_forward_models():
            yield unblur.Component(
                name="log-cosh", role="misfit", target="unblur_example.parts:LogCosh",
                params=LogCoshParams, summary="Smooth absolute difference.",
            )
    """


@hookspec
def unblur_image_priors() -> Iterable[Component]:  # type: ignore[empty-body]
    """Image priors (parameterisations of the latent image) and their penalties.

    ::

        @unblur.hookimpl
        def unblur_image_priors():
            yield unblur.Component(
                name="positive-pixels", target="unblur_example.parts:PositivePixels",
                provides=frozenset({"learns"}), summary="Free pixels behind a softplus.",
            )
    """


@hookspec
def unblur_kernel_priors() -> Iterable[Component]:  # type: ignore[empty-body]
    """Kernel priors (parameterisations of the kernel) and their penalties.

    ::

        @unblur.hookimpl
        def unblur_kernel_priors():
            yield unblur.Component(
                name="learned-gaussian", target="unblur_example.parts:LearnedGaussian",
                params=LearnedGaussianParams, provides=frozenset({"learns", "single"}),
                summary="A Gaussian whose width is learned.",
            )
    """


@hookspec
def unblur_estimators() -> Iterable[Component]:  # type: ignore[empty-body]
    """Estimators: how the unknowns are found.

    ::

        @unblur.hookimpl
        def unblur_estimators():
            yield unblur.Component(
                name="sign-descent", target="unblur_example.parts:SignDescent", params=SignDescentParams,
                provides=unblur.GRADIENT_TRAITS, requires=unblur.GRADIENT_NEEDS,
                summary="Steps of fixed size against the sign of the gradient.",
            )
    """


@hookspec
def unblur_stopping_rules() -> Iterable[Component]:  # type: ignore[empty-body]
    """Stopping rules, and selectors (``role="selector"``), of which a run has exactly one.

    ::

        @unblur.hookimpl
        def unblur_stopping_rules():
            yield unblur.Component(
                name="small-misfit", target="unblur_example.parts:SmallMisfit", params=SmallMisfitParams,
                summary="Stops when the misfit is below a level.",
            )
    """


@hookspec
def unblur_methods() -> Iterable[Method]:  # type: ignore[empty-body]
    """Methods: named compositions with their presets.

    ::

        @unblur.hookimpl
        def unblur_methods():
            yield unblur.Method(
                name="sign-blind", summary="Blind, by sign descent.", good_for="An example.", blind=True,
                presets={"balanced": unblur.Pipeline(
                    forward_model=["convolution", "log-cosh"], image_prior="positive-pixels",
                    kernel_prior="learned-gaussian", estimator=("sign-descent", {"rate": 0.02}),
                    stopping=["small-misfit", "last"], stages=[unblur.Stage(steps=50)],
                )},
            )
    """


HOOKS = {
    "unblur_forward_models": "forward_model",
    "unblur_image_priors": "image_prior",
    "unblur_kernel_priors": "kernel_prior",
    "unblur_estimators": "estimator",
    "unblur_stopping_rules": "stopping",
}
"""The component hooks and the slot that each fills."""
