"""Guarded discovery: every plugin through its entry point, one after the other, so that a broken one harms nobody."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pluggy

from unblur import hookspecs
from unblur.errors import PluginError, UnknownNameError
from unblur.params import fields_of
from unblur.records import ROLES, SLOTS, Component, Method, Provenance, Registered, Slot

BLOCK_VARIABLE = "UNBLUR_BLOCK_PLUGINS"
"""Environment variable: plugins that are not loaded, separated by commas; ``third-party`` stands for all but ours."""

OWN_DISTRIBUTION = "napari-deblur"


@dataclass(frozen=True)
class Failure:
    """A plugin that was left out, and why."""

    provenance: Provenance
    cause: str


class Registry:
    """All components and methods of the loaded plugins.

    Args:
        block: names of plugins that are not loaded; ``"third-party"`` blocks every distribution but this one.
    """

    def __init__(self, block: Iterable[str] = ()) -> None:
        self._manager = pluggy.PluginManager("unblur")
        self._manager.add_hookspecs(hookspecs)
        self._block = frozenset(block)
        self._components: dict[Slot, dict[str, Registered]] = {slot: {} for slot in SLOTS}
        self._methods: dict[str, tuple[Method, Provenance]] = {}
        self.plugins: list[Provenance] = []
        self.blocked: list[Provenance] = []
        self.failures: list[Failure] = []

    def discover(self) -> Registry:
        """Load every plugin announced in the entry point group ``unblur.plugins``, in order of name."""
        for entry in sorted(importlib.metadata.entry_points(group=hookspecs.GROUP), key=lambda entry: entry.name):
            name = entry.dist.name if entry.dist else "unknown"
            version = entry.dist.version if entry.dist else "unknown"
            provenance = Provenance(entry.name, name, version)
            if entry.name in self._block or ("third-party" in self._block and name != OWN_DISTRIBUTION):
                self.blocked.append(provenance)
                continue
            try:
                plugin = entry.load()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin that raises SystemExit must not end the host
                self.failures.append(Failure(provenance, f"import failed: {type(error).__name__}: {error}"))
                continue
            self.register(plugin, provenance)
        return self

    def register(self, plugin: object, provenance: Provenance) -> None:
        """Take in one plugin's records; a plugin that breaks a rule is left out whole and listed in `failures`."""
        try:
            if provenance.plugin in {known.plugin for known in self.plugins}:
                raise PluginError(f"a plugin named {provenance.plugin!r} is already loaded")
            self._check_hooks(plugin)
            components, methods = self._records(plugin, provenance)
            self._check_new(components, methods)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            words = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            self.failures.append(Failure(provenance, words))
            return
        for registered in components:
            self._components[registered.slot][registered.name] = registered
        for method in methods:
            self._methods[method.name] = (method, provenance)
        self.plugins.append(provenance)

    def _check_hooks(self, plugin: object) -> None:
        """pluggy checks signatures on registration and, in `check_pending`, misspelt names."""
        try:
            self._manager.register(plugin)
            self._manager.check_pending()
        except Exception as error:
            raise PluginError(f"wrong hook: {error}") from error
        finally:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)

    def _records(self, plugin: object, provenance: Provenance) -> tuple[list[Registered], list[Method]]:
        components = [
            _checked(record, slot, hook, provenance)
            for hook, slot in hookspecs.HOOKS.items()
            for record in _call(plugin, hook)
        ]
        methods = []
        for record in _call(plugin, "unblur_methods"):
            if not isinstance(record, Method):
                raise PluginError(f"unblur_methods gave {record!r}; expected unblur.Method records")
            if "balanced" not in record.presets:
                raise PluginError(f"method {record.name!r} has no preset 'balanced'")
            methods.append(record)
        return components, methods

    def _check_new(self, components: list[Registered], methods: list[Method]) -> None:
        seen: dict[tuple[str, str], Provenance] = {
            (slot, name): registered.provenance for slot in SLOTS for name, registered in self._components[slot].items()
        }
        seen |= {("method", name): provenance for name, (_, provenance) in self._methods.items()}
        for kind, name, mine in [(c.slot, c.name, c.provenance) for c in components] + [
            ("method", method.name, None) for method in methods
        ]:
            if (kind, name) in seen:
                other = seen[kind, name]
                whose = f"{other.distribution} (plugin {other.plugin!r})" if other else "this plugin itself"
                raise PluginError(f"{kind} {name!r} is already registered by {whose}; names must be unique")
            seen[kind, name] = cast(Provenance, mine)

    def components(self, slot: Slot) -> Mapping[str, Registered]:
        """The components of a slot by name, sorted."""
        return dict(sorted(self._components[slot].items()))

    def component(self, slot: Slot, name: str) -> Registered:
        """One component.

        Raises:
            UnknownNameError: no such name; the message lists the choices and the plugins that failed.
        """
        try:
            return self._components[slot][name]
        except KeyError:
            raise UnknownNameError(slot, name, self._components[slot], self._failed()) from None

    def methods(self) -> Mapping[str, Method]:
        """The methods by name, sorted."""
        return {name: method for name, (method, _) in sorted(self._methods.items())}

    def method(self, name: str) -> Method:
        """One method.

        Raises:
            UnknownNameError: no such name; the message lists the choices and the plugins that failed.
        """
        try:
            return self._methods[name][0]
        except KeyError:
            raise UnknownNameError("method", name, self._methods, self._failed()) from None

    def method_provenance(self, name: str) -> Provenance:
        """Where a method comes from."""
        self.method(name)
        return self._methods[name][1]

    def _failed(self) -> str:
        names = ", ".join(failure.provenance.plugin for failure in self.failures)
        return f"These plugins failed to load: {names} (see `unblur plugins`)" if names else ""


def _call(plugin: object, hook: str) -> Iterable[Any]:
    implementation = getattr(plugin, hook, None)
    return list(implementation()) if implementation is not None else []


def _checked(record: Any, slot: str, hook: str, provenance: Provenance) -> Registered:
    if not isinstance(record, Component):
        raise PluginError(f"{hook} gave {record!r}; expected unblur.Component records")
    place = cast(Slot, slot)
    registered = Registered(record, place, provenance)
    if registered.role not in ROLES[place]:
        raise PluginError(f"component {record.name!r}: role {record.role!r}; {slot} has {', '.join(ROLES[place])}")
    if record.target.count(":") != 1:
        raise PluginError(f"component {record.name!r}: target {record.target!r}; expected 'package.module:Class'")
    for need in record.requires:
        if need.partition(":")[0] not in SLOTS:
            raise PluginError(f"component {record.name!r}: requires {need!r}; expected 'slot:trait'")
    try:
        fields_of(record.params)
    except TypeError as error:
        raise PluginError(f"component {record.name!r}: {error}") from error
    return registered


@functools.cache
def default_registry() -> Registry:
    """The registry of this process, made on first use; `UNBLUR_BLOCK_PLUGINS` names plugins to leave out."""
    blocked = os.environ.get(BLOCK_VARIABLE, "")
    return Registry(block=[name.strip() for name in blocked.split(",") if name.strip()]).discover()
