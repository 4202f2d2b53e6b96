"""A plugin of test components, registered beside the real ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.conformance import broken
from unblur import Component, Pipeline, Registry, Stage, default_registry, hookimpl
from unblur.params import NoParams
from unblur.records import Method, Provenance, Registered, Role, Slot

LEARNS, MODEL = {"learns"}, {"linear", "stationary"}
NEEDS = {"image_prior:learns", "forward_model:misfit"}
USES = {"uses-misfit", "learns-kernel"}

# slot, role, class, params, provides, requires
SOUND: list[tuple[Slot, Role, type, type, set[str], set[str]]] = [
    ("forward_model", "base", broken.Model, NoParams, MODEL, {"kernel_prior:single"}),
    ("image_prior", "base", broken.Latent, NoParams, LEARNS, set()),
    ("kernel_prior", "base", broken.Bare, NoParams, LEARNS | {"single", "grid"}, set()),
    ("estimator", "base", broken.Descent, NoParams, USES, NEEDS),
    ("stopping", "rule", broken.Truthful, NoParams, set(), set()),
]


def registered(
    slot: Slot,
    role: Role,
    part: type,
    params: type = NoParams,
    provides: Iterable[str] = (),
    requires: Iterable[str] = (),
    **record: Any,
) -> Registered:
    """A component of the plugin ``broken``."""
    values: dict[str, Any] = {
        "name": part.__name__.lower(),
        "target": f"{broken.__name__}:{part.__name__}",
        "summary": "A component for tests.",
        "params": params,
        "role": role,
        "provides": frozenset(provides),
        "requires": frozenset(requires),
        "dims": frozenset({2}),
    }
    return Registered(Component(**{**values, **record}), slot, Provenance("broken", "unblur-broken", "0"))


def registry_with(*parts: Registered, methods: Iterable[Method] = ()) -> Registry:
    """The registered plugins and one more that registers these components."""
    hooks = {"image_prior": "image_priors", "kernel_prior": "kernel_priors", "estimator": "estimators"}
    hooks |= {"forward_model": "forward_models", "stopping": "stopping_rules"}

    class Plugin:
        pass

    plugin: Any = Plugin()
    for slot, hook in hooks.items():
        records = [part.component for part in parts if part.slot == slot]
        setattr(plugin, f"unblur_{hook}", hookimpl(_giving(records)))
    plugin.unblur_methods = hookimpl(_giving(list(methods)))
    registry = Registry().discover()
    registry.register(plugin, Provenance("broken", "unblur-broken", "0"))
    assert registry.failures == default_registry().failures == []
    return registry


def _giving(records: list[Any]) -> Any:
    return lambda: records


PIPELINE = Pipeline(["convolution", "squared"], "pixels", "known", "joint-adam", stages=[Stage(steps=3)])
