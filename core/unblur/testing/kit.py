"""The rules of every kind of component, and how they are run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from unblur.composition import resolve
from unblur.compute import Compute
from unblur.errors import ConformanceError, UnblurError, described
from unblur.pipeline import Pipeline
from unblur.records import SLOTS, Registered
from unblur.registry import Registry
from unblur.testing import declarations, forward, priors, running, terms
from unblur.testing.case import Case, Settings, global_randomness_untouched

Rule = Callable[[Case], None]

_RULES: dict[tuple[str, str], tuple[Rule, ...]] = {
    ("forward_model", "base"): forward.RULES,
    ("forward_model", "response"): forward.RESPONSE_RULES,
    ("forward_model", "misfit"): declarations.TERM_RULES + terms.MISFIT_RULES,
    ("image_prior", "base"): priors.IMAGE_RULES,
    ("image_prior", "penalty"): declarations.TERM_RULES + terms.PENALTY_RULES,
    ("kernel_prior", "base"): priors.KERNEL_RULES,
    ("kernel_prior", "penalty"): declarations.TERM_RULES + terms.PENALTY_RULES,
    ("estimator", "base"): running.ESTIMATOR_RULES,
    ("stopping", "rule"): running.STOPPING_RULES,
    ("stopping", "selector"): running.STOPPING_RULES,
}


def rules_of(registered: Registered) -> tuple[Rule, ...]:
    """The rules for a component's slot and role, besides those of its declaration; worded by their docstrings."""
    return _RULES[registered.slot, registered.role]


def conformance_cases(
    registry: Registry,
    plugin: str | None = None,
    settings: Settings | None = None,
    devices: Sequence[str] | None = None,
) -> Iterator[tuple[str, Callable[[], None]]]:
    """One case for each component, rule, number of dimensions and device; a case raises `ConformanceError`.

    Args:
        plugin: only what this plugin registers; everything if None.
        settings: ``"slot.name"`` → parameters to test with, to keep large networks small.
        devices: all usable ones if None: the CPU, and CUDA where there is a GPU.
    """
    for slot in SLOTS:
        for registered in registry.components(slot).values():
            if plugin is None or registered.provenance.plugin == plugin:
                yield from _cases(registered, registry, settings or {}, devices)
    for name in registry.methods():
        if plugin is None or registry.method_provenance(name).plugin == plugin:
            yield f"method/{name}", functools.partial(check_method, name, registry)


def check_component(
    registered: Registered,
    registry: Registry,
    settings: Settings | None = None,
    devices: Sequence[str] | None = None,
) -> None:
    """Hold one component against all rules of its kind.

    Raises:
        ConformanceError: the first rule that is broken, with component, plugin and what was found.
    """
    for _, case in _cases(registered, registry, settings or {}, devices):
        case()


def _cases(
    registered: Registered, registry: Registry, settings: Settings, devices: Sequence[str] | None
) -> Iterator[tuple[str, Callable[[], None]]]:
    name = f"{registered.slot}/{registered.name}"
    cpu = Compute(torch.device("cpu"), "float32", threads=1)
    dims = min(registered.component.dims, default=2)
    for rule in declarations.RULES:
        yield f"{name}/{rule.__name__}", functools.partial(_hold, rule, Case(registered, registry, dims, cpu, settings))
    for device in _usable() if devices is None else devices:
        compute = dataclasses.replace(cpu, device=torch.device(device))
        for dims in sorted(registered.component.dims & {2, 3}):
            case = Case(registered, registry, dims, compute, settings)
            for held in rules_of(registered):
                yield f"{name}/{dims}d/{device}/{held.__name__}", functools.partial(_hold, held, case)


def _usable() -> tuple[str, ...]:
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def _hold(rule: Rule, case: Case) -> None:
    wording = " ".join((rule.__doc__ or rule.__name__).split())
    case = dataclasses.replace(case, rule=wording)
    said = io.StringIO()
    try:
        with case.compute.running(), global_randomness_untouched(case), contextlib.redirect_stdout(said):
            rule(case)
        case.expect(not said.getvalue(), f"it printed {said.getvalue()[:60]!r}; `context.note` is for what users read")
    except ConformanceError:
        raise
    except Exception as error:
        cause = described(error)
        raise ConformanceError(f"{case.who} breaks the rule {wording!r}: it raised {cause}") from error


def check_method(name: str, registry: Registry) -> None:
    """Hold one method against the rules for methods.

    Raises:
        ConformanceError: a preset is refused, does not survive TOML, or `blind` and `needs_psf` contradict its parts.
        UnknownNameError: no such method.
    """
    method = registry.method(name)
    origin = registry.method_provenance(name)
    who = f"method {name!r} (plugin {origin.plugin!r}, {origin.distribution})"
    for preset, pipeline in method.presets.items():
        try:
            pipeline.check(registry)
            again = _through_toml(pipeline)
        except UnblurError as error:
            raise ConformanceError(f"{who}, preset {preset!r}: {error}") from error
        if again != pipeline:
            raise ConformanceError(f"{who}, preset {preset!r}: it comes back from TOML as {again!r}")
        first = resolve(pipeline.in_stage(pipeline.stages[0]), registry).base("kernel_prior")
        known = "fixed" in first.registered.component.provides
        if method.blind == known:
            words = "is fixed" if known else "is not fixed"
            raise ConformanceError(f"{who}, preset {preset!r}: blind = {method.blind}, but {first.name!r} {words}")
        takes = "takes-psf" in first.registered.component.provides
        if method.needs_psf != takes:
            words = "takes one" if takes else "takes none"
            raise ConformanceError(
                f"{who}, preset {preset!r}: needs_psf = {method.needs_psf}, but {first.name!r} {words}"
            )
    if method.blind and method.needs_psf:
        raise ConformanceError(f"{who}: it is declared both blind and in need of a PSF")
    for text, what in ((method.summary, "summary"), (method.good_for, "good_for")):
        if not text.strip().endswith("."):
            raise ConformanceError(f"{who}: {what} reads {text!r}; expected sentences")


def _through_toml(pipeline: Pipeline) -> Pipeline:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.toml"
        path.write_text(pipeline.to_toml(), encoding="utf-8")
        return Pipeline.from_toml(path)
