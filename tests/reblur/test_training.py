"""The training, run small: same seed same losses and bits, resumed or not, and files that say how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from tests.reblur.small import CPU, observation, outcome, pipeline
from unblur.cli import main
from unblur.driver import CancelToken
from unblur.errors import CheckpointError, FileError, ParameterError
from unblur.training import trainer_of
from unblur_reblur import weights
from unblur_reblur.flownet import FlowNetS
from unblur_reblur.photographs import LICENCES
from unblur_reblur.training import CHECKPOINT, repeated

SMALL: dict[str, Any] = {
    "width": 4,
    "flow_width": 2,
    "steps": 6,
    "flow_steps": 5,
    "batch": 2,
    "patch": 16,
    "flow_batch": 2,
    "flow_patch": 32,
    "size": 32,
    "clips": 4,
    "first_clips": 2,
    "renewal": 2,
    "flow_renewal": 2,
}


def train(folder: Path, seed: int = 0, stop: int | None = None, resume: bool = False, **more: Any) -> list[Path]:
    """Train small networks; cancelled after `stop` steps of all networks together."""
    trainer, token = trainer_of("reblur2deblur", SMALL | more), CancelToken()
    events = trainer.events(folder, seed=seed, compute=CPU, command="train", resume=resume, cancel=token)
    number = 0
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value
        number += 1
        if number == stop:
            token.cancel("stopped")


def losses(path: Path) -> list[float]:
    return json.loads(weights.header(path)["first_losses"])


def test_the_same_seed_gives_the_same_losses_and_weights(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
    one, two, other = train(tmp_path / "one"), train(tmp_path / "two"), train(tmp_path / "other", seed=1)
    assert [path.name for path in one] == ["flownet-2.safetensors", "dvd-4.safetensors"]
    for first, second, third in zip(one, two, other, strict=True):
        assert losses(first) == losses(second) != losses(third)
        assert len(losses(first)) == (5 if "flownet" in first.name else 6)
        stored, again = load_file(first), load_file(second)
        assert all(torch.equal(stored[name], again[name]) for name in stored)
        assert all(value.dtype == torch.float16 for value in stored.values())
    assert not (tmp_path / "one" / CHECKPOINT).exists()


def test_a_file_says_how_it_was_made_and_its_first_losses_come_again(tmp_path: Path) -> None:
    for path in train(tmp_path):
        facts = weights.header(path)
        assert facts["command"] == "train"
        assert facts["seed"] == "0"
        assert facts["commit"]
        assert set(json.loads(facts["photographs"])) == set(LICENCES)
        assert "SHA-256" in facts["clips"]
        named, now = repeated(path, 3)
        assert named == now == losses(path)[:3]


def test_a_network_is_trained_alike_alone_and_with_others(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    [_, together] = train(tmp_path)
    [alone] = train(tmp_path / "alone", networks=["dvd"])
    assert losses(alone) == losses(together)


@pytest.mark.parametrize("stop", [3, 5, 8])
def test_training_that_is_resumed_gives_the_same_bits(stop: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole")
    train(tmp_path, stop=stop)
    assert (tmp_path / CHECKPOINT).exists()
    resumed = train(tmp_path, resume=True)
    assert [path.name for path in resumed] == [path.name for path in whole]
    for first, second in zip(whole, resumed, strict=True):
        before, after = weights.header(first), weights.header(second)
        assert before == after
        one, two = load_file(first), load_file(second)
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    train(tmp_path, stop=2)
    with pytest.raises(CheckpointError, match="made with another command"):
        train(tmp_path, resume=True, rate=0.5)
    (tmp_path / CHECKPOINT).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        train(tmp_path, resume=True)


def test_every_weight_of_all_three_networks_is_trained(tmp_path: Path) -> None:
    paths = train(tmp_path, networks=["flownet", "dvd", "deblurgan"], half=False)
    (tmp_path / "one").mkdir()
    less = train(tmp_path / "one", networks=["flownet", "dvd", "deblurgan"], half=False, flow_steps=1, steps=1)
    assert [path.name for path in paths] == ["flownet-2.safetensors", "dvd-4.safetensors", "deblurgan-4.safetensors"]
    for path, earlier in zip(paths, less, strict=True):
        before, after = load_file(earlier), load_file(path)
        assert not [name for name in before if torch.equal(before[name], after[name])], path.name


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"patch": 64}, "smaller than a patch"),
        ({"networks": ["dvd", "dvd"]}, "at most once"),
        ({"networks": ["unet"]}, "networks"),
        ({"widht": 3}, "widht"),
        ({"steps": 0}, "steps"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        trainer_of("reblur2deblur", SMALL | setting)


def test_weights_that_the_trainer_did_not_write_are_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    weights.save(path, torch.nn.Conv2d(1, 1, 1), {"network": "dvd"})
    with pytest.raises(FileError, match="does not say how it was trained"):
        repeated(path)


def test_the_command_trains_and_its_weights_deblur(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [f"{name}={value}" for name, value in SMALL.items()]
    arguments = [word for one in settings for word in ("--set", one)]
    with pytest.raises(SystemExit) as end:
        main(["train", "reblur2deblur", "-o", str(tmp_path), "--seed", "4", *arguments])
    said = capsys.readouterr().out
    assert end.value.code == 0, said
    assert "flownet: 5 of 5, loss" in said
    assert f"{tmp_path / 'dvd-4.safetensors'}: written" in said
    facts = weights.header(tmp_path / "dvd-4.safetensors")
    assert facts["command"].startswith("unblur train reblur2deblur --seed 4 --set width=4")

    pipe = pipeline(
        image=("dvd", {"width": 4, "weights": str(tmp_path / "dvd-4.safetensors")}),
        kernel=("flownet", {"width": 2, "weights": str(tmp_path / "flownet-2.safetensors")}),
        steps=1,
    )
    notes = outcome(pipe, observation()).notes
    assert sum("made by `unblur train reblur2deblur --seed 4" in note for note in notes) == 2


def test_an_interrupted_training_is_not_begun_anew_without_a_word(tmp_path: Path) -> None:
    train(tmp_path, stop=3)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(CheckpointError, match="--resume goes on from it"):
        train(tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_the_flow_is_padded_as_the_network_pads_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that cells of the coarser levels cover the same pixels."""
    trainer: Any = trainer_of("reblur2deblur", {})
    trainer.compute = CPU
    network = FlowNetS(torch.Generator().manual_seed(0), 2)
    flow = torch.zeros(1, 2, 96, 96)
    flow[..., 40:, :] = 1
    whole = F.pad(flow, (0, 32, 0, 32), "replicate")
    truth = [F.adaptive_avg_pool2d(whole, side) for side in (2, 4, 8, 16, 32)]
    monkeypatch.setattr("unblur_reblur.training.movements", lambda *_: (torch.zeros(1, 3, 96, 96),) * 2 + (flow,))
    monkeypatch.setattr(network, "levels", lambda *_: [*truth, flow])
    assert float(trainer._flow_loss(network, None, None)) == pytest.approx(0, abs=1e-6)
