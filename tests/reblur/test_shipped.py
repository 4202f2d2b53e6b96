"""The weights that come with the package: small, made by the command that they name, of use on clips of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reblur.small import CPU
from unblur.components import Batch, Clock, Context, KernelSpec
from unblur.metrics import psnr
from unblur.part_files import file_hashes
from unblur.registry import default_registry
from unblur_reblur import weights
from unblur_reblur.clips import Clip, make_clip
from unblur_reblur.photographs import hashes
from unblur_reblur.shipped import shipped
from unblur_reblur.training import FIRST, repeated

SHIPPED = sorted(shipped("any").parent.glob("*.safetensors"))
UNSEEN = range(10**9, 10**9 + 8)
SIZE = 128
CLOCK = Clock(0, 1)

each = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [make_clip(seed, SIZE) for seed in UNSEEN]


def part(slot: str, name: str):  # type: ignore[no-untyped-def]
    component = default_registry().component(slot, name)  # type: ignore[arg-type]
    return component.load()(component.component.params())


def test_they_are_there_and_small() -> None:
    assert {path.stem for path in SHIPPED} >= {"dvd-16", "flownet-8"}
    assert sum(path.stat().st_size for path in SHIPPED) < 10e6


@each
def test_each_says_how_it_was_made(path: Path) -> None:
    facts = weights.header(path)
    assert facts["command"].startswith("unblur train reblur2deblur --seed ")
    assert len(facts["commit"]) == 40
    assert json.loads(facts["photographs"]) == dict(hashes())
    losses = json.loads(facts["first_losses"])
    assert len(losses) == FIRST
    assert float(facts["last_loss"]) < 0.95 * np.mean(losses)


@each
def test_its_first_losses_come_again(path: Path) -> None:
    """Within what another processor's bfloat16 makes of them; the benchmark compares all of them."""
    named, now = repeated(path, 2)
    np.testing.assert_allclose(now, named, rtol=2e-2)


@pytest.mark.parametrize("name", [path.stem.split("-")[0] for path in SHIPPED if "flow" not in path.name])
def test_a_deblurring_network_is_nearer_to_the_truth_than_its_input(name: str, clips: list[Clip]) -> None:
    network = part("image_prior", name)
    gains = []
    for clip in clips:
        context = Context(CPU, torch.Generator(), notes=[])
        context.bounded = True
        network.init((3, 3, SIZE, SIZE), Batch(clip.blurred), context)
        with torch.no_grad():
            found = network.draw(Batch(clip.blurred), CLOCK, None).latent
        sharp = clip.sharp.clamp(0, 1).numpy()
        gains.append(psnr(found.numpy(), sharp) - psnr(clip.blurred.numpy(), sharp))
    assert np.mean(gains) > 0.3
    assert np.median(gains) > 0.1


def test_the_flow_network_is_nearer_to_the_truth_than_no_motion(clips: list[Clip]) -> None:
    flow = part("kernel_prior", "flownet")
    flow.init(KernelSpec((SIZE, SIZE), 4, "flow"), Context(CPU, torch.Generator(), notes=[]))
    errors, lengths = [], []
    for clip in clips:
        with torch.no_grad():
            found = flow.kernel(clip.sharp, CLOCK, None).view(2, 2, SIZE, SIZE)
        errors.append(float((found - clip.flow).norm(dim=1).mean()))
        lengths.append(float(clip.flow.norm(dim=1).mean()))
    assert np.mean(errors) < 0.6 * np.mean(lengths)


def test_shipped_weights_belong_to_what_a_run_follows_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights that are trained anew make another run."""
    pipeline = default_registry().method("reblur2deblur").pipeline("fast")
    before = file_hashes(pipeline, default_registry())
    assert len(before) == 2
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"retrained")
    monkeypatch.setattr("unblur_reblur.shipped.shipped", lambda name: other)
    assert file_hashes(pipeline, default_registry()) != before
