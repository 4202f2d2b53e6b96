"""Weights in files: what goes in comes out, and what does not fit is refused with a reason."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.reblur.small import CPU, observation, outcome, pipeline
from unblur.cli import main
from unblur.components import Context
from unblur.errors import FileError
from unblur_reblur import weights
from unblur_reblur.deblurgan import DeblurGan
from unblur_reblur.dvd import Dvd
from unblur_reblur.flownet import FlowNetS
from unblur_reblur.presets import PRESETS


def network(seed: int = 0, width: int = 4, norm: str = "none") -> Dvd:
    return Dvd(torch.Generator().manual_seed(seed), width, norm)  # type: ignore[arg-type]


def wanted() -> weights.Wanted:
    return weights.Wanted("image_prior", "dvd", 4, {"width": 4, "norm": "none"})


def context() -> Context:
    return Context(CPU, torch.Generator(), notes=[])


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
def test_weights_come_back(norm: str, half: bool, tmp_path: Path) -> None:
    path, before, after = tmp_path / "one.safetensors", network(norm=norm), network(1, norm=norm)
    weights.save(path, before, {"network": "dvd", "width": "4"}, half)
    assert weights.load(path, after) == {"network": "dvd", "width": "4"}
    for first, second in zip(before.state_dict().values(), after.state_dict().values(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3 if half else 0, atol=1e-5 if half else 0)


def test_a_file_of_weights_is_named_in_the_report(tmp_path: Path) -> None:
    path, made = tmp_path / "one.safetensors", context()
    weights.save(path, network(), {"command": "unblur train reblur2deblur", "commit": "abc"})
    weights.fill(network(1), str(path), wanted(), made)
    [note] = made.notes
    assert str(path) in note
    assert "unblur train reblur2deblur" in note
    assert "abc" in note


@pytest.mark.parametrize(
    "other", [network(width=5), network(norm="batch"), FlowNetS(torch.Generator(), 1), DeblurGan(torch.Generator(), 4)]
)
def test_weights_of_another_network_are_refused(other: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    weights.save(path, other, {"network": "some", "width": "5"})
    with pytest.raises(FileError, match=r"holds other weights \(network some, width 5\): .* expected") as error:
        weights.load(path, network())
    assert str(error.value).startswith(str(path))


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.safetensors"
    with pytest.raises(FileError, match="cannot be read as safetensors"):
        weights.fill(network(), str(path), wanted(), context())
    path.write_bytes(b"no weights at all")
    with pytest.raises(FileError, match="cannot be read as safetensors"):
        weights.fill(network(), str(path), wanted(), context())


def test_a_network_that_no_weights_come_with_is_refused() -> None:
    with pytest.raises(FileError, match=r"no weights come with the package for dvd-4; "):
        weights.fill(network(), weights.AUTO, wanted(), context())
    made = context()
    weights.fill(network(), weights.NONE, wanted(), made)
    assert "random" in made.notes[0]


def commands(error: BaseException) -> list[str]:
    """What the message quotes."""
    return re.findall("`(.+?)`", str(error))


@pytest.mark.parametrize(
    "parts",
    [
        {"image": ("dvd", {"width": 5, "norm": "batch"})},
        {"image": ("deblurgan", {"width": 4, "norm": "instance", "blocks": 2})},
        {"kernel": ("flownet", {"width": 3})},
    ],
    ids=["dvd", "deblurgan", "flownet"],
)
def test_the_error_has_the_command_that_makes_the_weights(parts: dict[str, Any], tmp_path: Path) -> None:
    """It is run, but for its steps, and what it writes is taken by the setting that the error names."""
    with pytest.raises(FileError, match="no weights come with the package") as error:
        outcome(pipeline(**parts), observation())
    train, setting = map(shlex.split, commands(error.value))
    assert train[:3] == ["unblur", "train", "reblur2deblur"]
    assert train[-2:] == ["-o", "weights"]
    small = {"steps": 1, "flow_steps": 1, "batch": 1, "patch": 16, "flow_batch": 1, "flow_patch": 32, "size": 32}
    few = [
        word for key, value in {**small, "clips": 1, "first_clips": 1}.items() for word in ("--set", f"{key}={value}")
    ]
    with pytest.raises(SystemExit) as end:
        main([*train[1:-1], str(tmp_path / "weights"), *few])
    assert end.value.code == 0
    address, _, path = setting[1].partition("=")
    [(slot, (name, params))] = parts.items()
    assert address == f"{slot}_prior.weights"
    taken = {slot: (name, params | {"weights": str(tmp_path / path)})}
    notes = outcome(pipeline(steps=1, **taken), observation()).notes
    assert any(f"weights of {tmp_path / path}" in note for note in notes)


def test_the_paper_s_preset_names_the_paper_s_networks() -> None:
    preset = PRESETS["paper"]
    wanted = []
    for part in ({}, {"image_prior.weights": "none"}):
        with pytest.raises(FileError) as error:
            outcome(preset.set(part), observation())
        wanted.append(commands(error.value)[0])
    assert wanted == [
        "unblur train reblur2deblur --set 'networks=[\"deblurgan\"]' --set width=64 --set norm=instance --set blocks=9 "
        "-o weights",
        "unblur train reblur2deblur --set 'networks=[\"flownet\"]' --set flow_width=64 -o weights",
    ]
