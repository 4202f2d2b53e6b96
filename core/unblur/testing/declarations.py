"""Rules for every component: what the record declares."""

from __future__ import annotations

import tomllib

import tomli_w

from unblur.components import BASES
from unblur.composition import USES
from unblur.errors import ParameterError
from unblur.params import Schedule, fields_of, plain, validate
from unblur.records import ROLES, SLOTS
from unblur.testing.case import Case


def target_is_of_its_kind(case: Case) -> None:
    """the target is a concrete subclass of its kind's base class"""
    target = case.registered.load()
    base = BASES[case.registered.slot, case.registered.role]
    named = case.registered.component.target
    case.expect(isinstance(target, type) and issubclass(target, base), f"{named} is no {base.__name__}")
    missing = ", ".join(sorted(getattr(target, "__abstractmethods__", ())))
    case.expect(not missing, f"{named} does not implement {missing}")


def summary_and_dims(case: Case) -> None:
    """the summary is one sentence, and the numbers of dimensions are 2, 3 or both"""
    record = case.registered.component
    summary = record.summary
    case.expect(summary.endswith(".") and summary == summary.strip() and "\n" not in summary, f"it reads {summary!r}")
    case.expect(bool(record.dims) and record.dims <= {2, 3}, f"dims are {sorted(record.dims)}; expected 2 and/or 3")


def traits_are_of_use(case: Case) -> None:
    """every required trait is offered by some registered component, and no `uses-` trait is misspelt"""
    for need in sorted(case.registered.component.requires):
        slot, _, trait = need.partition(":")
        place = next(known for known in SLOTS if known == slot)
        offered = {name for other in case.registry.components(place).values() for name in other.component.provides}
        there = trait in offered | set(ROLES[place])
        case.expect(there, f"nothing registered offers {need!r}; there is {_list(offered)}")
    for trait in sorted(case.traits):
        known = trait in USES.values() or not trait.startswith("uses-")
        case.expect(known, f"it provides {trait!r}; choose one of: {_list(set(USES.values()))}")


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def defaults_are_valid(case: Case) -> None:
    """every parameter has a doc that is a sentence, and a default inside its own bounds"""
    for field in fields_of(case.registered.component.params):
        case.expect(field.doc.endswith("."), f"the doc of {field.name} reads {field.doc!r}; expected a sentence")
        try:
            parsed = field.parse(field.default)
        except ParameterError as error:
            case.expect(False, str(error))
        case.expect(parsed == field.default, f"the default of {field.name} is {field.default!r}, read as {parsed!r}")


def params_survive_toml(case: Case) -> None:
    """parameters come back the same from a TOML file"""
    params = case.registered.component.params
    for value in (params(), case.params):
        text = tomli_w.dumps(plain(value))
        again = validate(params, tomllib.loads(text))
        case.expect(again == value, f"{value} came back as {again}")


def weight_is_declared(case: Case) -> None:
    """misfits and penalties have a parameter `weight: Schedule`, with which the problem multiplies their value"""
    hints = {field.name: field.hint for field in fields_of(case.registered.component.params)}
    case.expect(hints.get("weight") == Schedule, f"weight is {hints.get('weight', 'not there')}")


RULES = (
    target_is_of_its_kind,
    summary_and_dims,
    traits_are_of_use,
    defaults_are_valid,
    params_survive_toml,
)
TERM_RULES = (weight_is_declared,)
