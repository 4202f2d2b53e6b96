"""What a plugin hands over is held against what a record must be, so that it cannot fail later on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any, cast

from unblur.errors import PluginError
from unblur.params import fields_of
from unblur.records import PRESETS, ROLES, SLOTS, Calibration, Component, Method, Provenance, Registered, Slot


def checked_component(record: Any, slot: str, hook: str, provenance: Provenance) -> Registered:
    """A component as it is registered.

    Raises:
        PluginError: it breaks a rule of records.
    """
    if not isinstance(record, Component):
        raise PluginError(f"{hook} gave {record!r}; expected unblur.Component records")
    _check_name(slot, record.name)
    place = cast(Slot, slot)
    registered = Registered(record, place, provenance)
    if registered.role not in ROLES[place]:
        raise PluginError(f"component {record.name!r}: role {record.role!r}; {slot} has {', '.join(ROLES[place])}")
    for what in ("target", "summary", "source"):
        if not isinstance(getattr(record, what), str):
            raise PluginError(f"component {record.name!r}: {what} = {getattr(record, what)!r}; expected a text")
    if record.target.count(":") != 1:
        raise PluginError(f"component {record.name!r}: target {record.target!r}; expected 'package.module:Class'")
    for what, kind in (("provides", str), ("requires", str), ("dims", int)):
        values = getattr(record, what)
        if not (isinstance(values, frozenset) and all(isinstance(value, kind) for value in values)):
            raise PluginError(
                f"component {record.name!r}: {what} = {values!r}; expected a frozenset of {kind.__name__}"
            )
    for need in record.requires:
        target, _, trait = need.partition(":")
        if target not in SLOTS or not trait:
            raise PluginError(f"component {record.name!r}: requires {need!r}; expected 'slot:trait'")
    try:
        fields_of(record.params)
    except TypeError as error:
        raise PluginError(f"component {record.name!r}: {error}") from error
    return registered


def check_method_record(record: Any) -> None:
    """Hold a method against the rules of records.

    Raises:
        PluginError: it breaks one.
    """
    from unblur.pipeline import Pipeline  # pipelines look components up in the registry

    if not isinstance(record, Method):
        raise PluginError(f"unblur_methods gave {record!r}; expected unblur.Method records")
    _check_name("method", record.name)
    _check_types(record)
    if "balanced" not in record.presets:
        raise PluginError(f"method {record.name!r} has no preset 'balanced'")
    for preset, pipeline in record.presets.items():
        if preset not in PRESETS:
            raise PluginError(f"method {record.name!r}: preset {preset!r}; there are {', '.join(PRESETS)}")
        if not isinstance(pipeline, Pipeline):
            raise PluginError(f"method {record.name!r}, preset {preset!r}: {pipeline!r} is no unblur.Pipeline")
    if unknown := set(record.calibrations) - set(record.presets):
        raise PluginError(f"method {record.name!r} has a calibration of {min(unknown)!r}, which is no preset of it")


def _check_types(method: Method) -> None:
    for what in ("summary", "good_for", "reference", "trainer"):
        if not isinstance(getattr(method, what), str):
            raise PluginError(f"method {method.name!r}: {what} = {getattr(method, what)!r}; expected a text")
    for what, kind in (("presets", object), ("calibrations", Calibration)):
        mapping = getattr(method, what)
        if not isinstance(mapping, Mapping) or not all(isinstance(preset, str) for preset in mapping):
            raise PluginError(f"method {method.name!r}: {what} = {mapping!r}; expected a mapping by names of presets")
        for preset, one in mapping.items():
            if not isinstance(one, kind):
                raise PluginError(f"method {method.name!r}, {what} of {preset!r}: {one!r} is no {kind.__name__}")
    for preset, calibration in method.calibrations.items():
        if not _is_factor(calibration.factor):
            raise PluginError(
                f"method {method.name!r}, calibration of {preset!r}: factor = {calibration.factor!r}; expected a "
                "number above 0, or pairs of noise and factor above 0, the noise rising"
            )
    try:
        fields_of(method.trainer_params)
    except TypeError as error:
        raise PluginError(f"method {method.name!r}, trainer_params: {error}") from error


def _is_factor(factor: Any) -> bool:
    if not isinstance(factor, tuple):
        return isinstance(factor, int | float) and factor > 0
    try:
        numbers = [(float(noise), float(scale)) for noise, scale in factor]
    except (TypeError, ValueError):
        return False
    rising = all(earlier < later for (earlier, _), (later, _) in itertools.pairwise(numbers))
    return bool(numbers) and rising and all(number > 0 for pair in numbers for number in pair)


def _check_name(kind: str, name: object) -> None:
    if not (isinstance(name, str) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)):
        raise PluginError(f"{kind} {name!r}: a name has lower-case letters, digits and hyphens")
