"""Every command in the documentation exists as it is written there."""

from __future__ import annotations

import itertools
import re
import shlex
from typing import Any

import numpy as np
import pytest
import typer

from tests.docs.pages import PAGES, ROOT, commands
from unblur import Image
from unblur.choice import compose
from unblur.cli import options
from unblur.cli.app import app
from unblur.errors import UnblurError
from unblur.records import PRESETS
from unblur.registry import default_registry

UNBLUR = commands("unblur")
COMMAND = typer.main.get_command(app)


def parsed(arguments: list[str]) -> tuple[Any, dict[str, Any]]:
    """The command that these arguments call, and what its options become; raises for what does not exist."""
    command: Any = COMMAND
    while hasattr(command, "commands") and arguments and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    context = command.make_context(command.name, list(arguments))
    return command, context.params


def composed(method: str, preset: str, settings: dict[str, Any]) -> None:
    """The pipeline that `unblur run` makes of a method and settings; raises where it makes none."""
    registry = default_registry()
    compose(
        image=Image.from_array(np.zeros((8, 8), np.float32)),
        white_level=1.0,
        volume=False,
        window=None,
        psf=registry.method(method).needs_psf and "kernel_prior" not in settings,
        method=method,
        pipeline=None,
        preset=preset,
        settings=settings,
        kernel_size=None,
        max_seconds=None,
        offset=None,
        gain=None,
        registry=registry,
    )


def test_there_are_commands() -> None:
    assert len(UNBLUR) > 15


@pytest.mark.parametrize(("where", "arguments"), UNBLUR, ids=[where for where, _ in UNBLUR])
def test_a_command_and_its_options_exist(where: str, arguments: list[str]) -> None:
    command, values = parsed(arguments)
    registry = default_registry()
    methods = (values.get("methods") or values.get("method") or "").split(",")
    for name in filter(None, methods):
        registry.method(name)
    assert values.get("preset") in (None, *PRESETS)
    options.kernel_size(values["kernel_size"] if values.get("kernel_size") not in (None, "exact", "half") else None)
    options.pixel_size(values.get("pixel_size"))
    options.crop(values.get("crop"))
    if values.get("assign") and command.name != "train":
        composed(methods[0], values.get("preset") or "balanced", options.settings(values["assign"]))


PROSE = {page.name: re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S) for page in PAGES}
SPANS = sorted(
    {(name, span) for name, text in PROSE.items() for span in re.findall(r"`([^`]+)`", text) if "--" in span}
)
FOREIGN = {"--help", "--index-url"}
"""Options that every command has, and of pip."""

MENTIONED = sorted({(name, option) for name, span in SPANS for option in re.findall(r"--[a-z][a-z-]+", span)})
SETTINGS = sorted({span for _, span in SPANS if "--set " in span and "slot." not in span})


def options_of(command: Any) -> set[str]:
    own = {name for parameter in command.params for name in parameter.opts}
    return own.union(*map(options_of, getattr(command, "commands", {}).values()))


@pytest.mark.parametrize(("page", "option"), MENTIONED)
def test_an_option_that_a_page_mentions_exists(page: str, option: str) -> None:
    assert option in options_of(COMMAND) | FOREIGN


@pytest.mark.parametrize("span", SETTINGS)
def test_settings_that_a_page_mentions_fit_a_method(span: str) -> None:
    words = shlex.split(span)
    values = options.settings([value for flag, value in itertools.pairwise(words) if flag == "--set"])
    named = [value for flag, value in itertools.pairwise(words) if flag == "--method"]
    [preset] = [value for flag, value in itertools.pairwise(words) if flag == "--preset"] or ["balanced"]
    fits = []
    for method in default_registry().methods().values():
        try:
            composed(method.name, preset, values)
        except UnblurError:
            continue
        fits.append(method.name)
    assert fits
    assert set(named) <= set(fits)


def test_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = {words[0] for _, words in commands("make") if words}
    mentioned = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8"))}
    for target in called | mentioned:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_scripts_exist() -> None:
    for where, words in commands("python"):
        if words and words[0].endswith(".py"):
            assert (ROOT / words[0]).is_file(), where
