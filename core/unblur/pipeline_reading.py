"""A pipeline from plain values, such as those of a TOML file: keys and forms are checked, parts are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unblur.errors import ParameterError
from unblur.pipeline import MAX_DEPTH, OTHERS, STAGE_KEYS, Part, Pipeline, Stage, frozen
from unblur.records import SLOTS


def _keys(table: Any, where: str, known: Iterable[str], needed: Iterable[str] = ()) -> Mapping[str, Any]:
    if not isinstance(table, Mapping):
        raise ParameterError(f"{where}: {table!r}; expected a table")
    for key in table:
        if key not in known:
            raise ParameterError(f"{where}.{key}: no such key; choose one of: {', '.join(known)}")
    for key in needed:
        if key not in table:
            raise ParameterError(f"{where}: key {key!r} is missing")
    return table


def _read_part(table: Any, where: str) -> Part:
    table = _keys(table, where, ("name", "params", "modifiers"), ("name",))
    if not isinstance(table["name"], str):
        raise ParameterError(f"{where}.name = {table['name']!r}: expected text")
    params = table.get("params", {})
    if not isinstance(params, Mapping):
        raise ParameterError(f"{where}.params = {params!r}: expected a table")
    return Part(table["name"], {key: frozen(value) for key, value in params.items()})


def _read_list(table: Any, where: str) -> list[Any]:
    if not isinstance(table, list):
        raise ParameterError(f"{where}: {table!r}; expected a list of tables")
    return table


def read_pipeline(content: Any, where: str = "pipeline", depth: int = 0) -> Pipeline:
    """The pipeline that a table of plain values describes.

    Raises:
        ParameterError: a key is unknown or missing, or a value has the wrong form.
    """
    if depth > MAX_DEPTH:
        raise ParameterError(f"{where}: more than {MAX_DEPTH} pipelines one after the other")
    content = _keys(content, where, (*SLOTS, "stages", *OTHERS), [slot for slot in SLOTS if slot != "stopping"])
    slots: dict[str, Any] = {}
    for slot in SLOTS:
        if slot == "stopping":
            rules = _read_list(content.get(slot, []), f"{where}.{slot}")
            slots[slot] = [_read_part(rule, f"{where}.{slot}") for rule in rules]
            continue
        base = _read_part(content[slot], f"{where}.{slot}")
        modifiers = _read_list(content[slot].get("modifiers", []), f"{where}.{slot}.modifiers")
        slots[slot] = [base, *(_read_part(item, f"{where}.{slot}.modifiers") for item in modifiers)]
    if "stages" in content:
        tables = _read_list(content["stages"], f"{where}.stages")
        slots["stages"] = [
            Stage(
                **{key: frozen(value) for key, value in _keys(table, f"{where}.stages", STAGE_KEYS, ["steps"]).items()}
            )
            for table in tables
        ]
    for name in OTHERS:
        if name in content:
            slots[name] = read_pipeline(content[name], f"{where}.{name}", depth + 1)
    return Pipeline(**slots)
