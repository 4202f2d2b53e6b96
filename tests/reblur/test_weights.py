"""Weights in files: what goes in comes out, and what does not fit is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.reblur.small import CPU
from unblur.components import Context
from unblur.errors import FileError
from unblur_reblur import weights
from unblur_reblur.deblurgan import DeblurGan
from unblur_reblur.dvd import Dvd
from unblur_reblur.flownet import FlowNetS


def network(seed: int = 0, width: int = 4, norm: str = "none") -> Dvd:
    return Dvd(torch.Generator().manual_seed(seed), width, norm)  # type: ignore[arg-type]


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
    weights.fill(network(1), str(path), "dvd-4", made)
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
        weights.fill(network(), str(path), "dvd-4", context())
    path.write_bytes(b"no weights at all")
    with pytest.raises(FileError, match="cannot be read as safetensors"):
        weights.fill(network(), str(path), "dvd-4", context())


def test_a_network_that_no_weights_come_with_is_refused() -> None:
    with pytest.raises(FileError, match=r"no weights come with the package for dvd-4; .*unblur train"):
        weights.fill(network(), weights.AUTO, "dvd-4", context())
    made = context()
    weights.fill(network(), weights.NONE, "dvd-4", made)
    assert "random" in made.notes[0]
