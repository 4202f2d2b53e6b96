"""Guarded discovery: every plugin through its entry point, one after the other, so that a broken one harms nobody."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from unblur import hookspecs
from unblur.errors import PluginError, UnknownNameError, described
from unblur.record_checks import check_method_record, checked_component
from unblur.records import SLOTS, Method, Provenance, Registered, Slot, quiet

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
        """Load every plugin announced in the entry point group ``unblur.plugins``: ours first, then by name."""
        for entry, provenance in self._announced():
            third_party = provenance.distribution != OWN_DISTRIBUTION
            if entry.name in self._block or ("third-party" in self._block and third_party):
                self.blocked.append(provenance)
                continue
            try:
                with quiet():
                    plugin = entry.load()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin that raises SystemExit must not end the host
                self.failures.append(Failure(provenance, f"import failed: {described(error)}"))
                continue
            self.register(plugin, provenance)
        return self

    def _announced(self) -> list[tuple[importlib.metadata.EntryPoint, Provenance]]:
        """The entry points of all installed distributions; one whose metadata are damaged is listed in `failures`."""
        found: dict[str, list[tuple[importlib.metadata.EntryPoint, Provenance]]] = {}
        for distribution in importlib.metadata.distributions():
            where = str(getattr(distribution, "_path", "unknown"))
            try:
                if not (text := distribution.read_text("entry_points.txt")) or hookspecs.GROUP not in text:
                    continue
                name, version = distribution.metadata["Name"], distribution.version
                if not (name and version):
                    raise ValueError("no name or no version")
                entries = list(distribution.entry_points.select(group=hookspecs.GROUP))
            except Exception as error:
                words = f"its metadata cannot be read: {described(error)}"
                self.failures.append(Failure(Provenance("unknown", where, "unknown"), words))
                continue
            found.setdefault(name, [(entry, Provenance(entry.name, name, version)) for entry in entries])
        return sorted(
            itertools.chain.from_iterable(found.values()),
            key=lambda pair: (pair[1].distribution != OWN_DISTRIBUTION, pair[0].name, pair[1].distribution),
        )

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
            words = str(error) if isinstance(error, PluginError) else described(error)
            self.failures.append(Failure(provenance, words))
            return
        for registered in components:
            self._components[registered.slot][registered.name] = registered
        for method in methods:
            self._methods[method.name] = (method, provenance)
        self.plugins.append(provenance)

    def _check_hooks(self, plugin: object) -> None:
        """Names and marks here, so that no misspelt hook is passed over in silence; signatures by pluggy."""
        hooks = (*hookspecs.HOOKS, "unblur_methods")
        for name, member in inspect.getmembers(plugin, inspect.isroutine):
            if name.startswith("unblur_") and name not in hooks:
                raise PluginError(f"wrong hook: no hook is named {name!r}; choose one of: {', '.join(hooks)}")
            if name in hooks and not hasattr(member, "unblur_impl"):
                raise PluginError(f"wrong hook: {name} is not marked with @unblur.hookimpl")
        try:
            self._manager.register(plugin)
            self._manager.check_pending()
        except Exception as error:
            raise PluginError(f"wrong hook: {' '.join(str(error).split())}") from error
        finally:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)

    def _records(self, plugin: object, provenance: Provenance) -> tuple[list[Registered], list[Method]]:
        components = [
            checked_component(record, slot, hook, provenance)
            for hook, slot in hookspecs.HOOKS.items()
            for record in _call(plugin, hook)
        ]
        methods = []
        for record in _call(plugin, "unblur_methods"):
            check_method_record(record)
            methods.append(record)
        return components, methods

    def _check_new(self, components: list[Registered], methods: list[Method]) -> None:
        seen: dict[tuple[str, str], Provenance | None] = {
            (slot, name): registered.provenance for slot in SLOTS for name, registered in self._components[slot].items()
        }
        seen |= {("method", name): provenance for name, (_, provenance) in self._methods.items()}
        mine = [(str(registered.slot), registered.name) for registered in components]
        for kind, name in mine + [("method", method.name) for method in methods]:
            if (kind, name) in seen:
                other = seen[kind, name]
                whose = f"{other.distribution} (plugin {other.plugin!r})" if other else "this plugin itself"
                raise PluginError(f"{kind} {name!r} is already registered by {whose}; names must be unique")
            seen[kind, name] = None

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
    if implementation is None:
        return []
    with quiet():
        records = implementation()
        records = list(records) if isinstance(records, Iterable) else records
    if not isinstance(records, Iterable):
        raise PluginError(f"{hook} gave {records!r}; expected records one after the other (yield)")
    return records


@functools.cache
def default_registry() -> Registry:
    """The registry of this process, made on first use; `UNBLUR_BLOCK_PLUGINS` names plugins to leave out."""
    blocked = os.environ.get(BLOCK_VARIABLE, "")
    return Registry(block=[name.strip() for name in blocked.split(",") if name.strip()]).discover()
