"""Deblurring networks and flows: frames on their own, colours, sizes, directions of motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.data import camera

from tests.reblur.small import CPU, DEBLURGAN, DVD
from unblur.components import Batch, Clock, Context, KernelSpec
from unblur.errors import FileError, ImageError
from unblur.registry import default_registry
from unblur_reblur.deblurgan import DeblurGan
from unblur_reblur.dvd import Dvd
from unblur_reblur.flow_priors import ClassicalFlow, FlowNetPrior, KnownFlow
from unblur_reblur.flownet import FlowNetS
from unblur_reblur.flows import agreeing, flow_count, flows_of, pairs_of
from unblur_reblur.params import ClassicalFlowParams, FlowNetParams, KnownFlowParams

CLOCK = Clock(0, 1)


def context(bounded: bool = True) -> Context:
    made = Context(CPU, torch.Generator().manual_seed(0), notes=[])
    made.bounded = bounded
    return made


def prior(part: Any, frames: torch.Tensor, bounded: bool = True, more: int = 0) -> Any:
    record = default_registry().component("image_prior", part[0])
    made = record.load()(record.component.params(**part[1]))
    shape = (*frames.shape[:2], *(size + more for size in frames.shape[2:]))
    made.init(shape, Batch(frames), context(bounded))
    return made


each_network = pytest.mark.parametrize("part", [DVD, DEBLURGAN], ids=["dvd", "deblurgan"])


@each_network
def test_every_frame_is_deblurred_by_itself(part: Any) -> None:
    frames = torch.rand(4, 3, 21, 30, generator=torch.Generator().manual_seed(1))
    network = prior(part, frames)
    together = network.draw(Batch(frames), CLOCK, None).latent
    apart = torch.cat([network.draw(Batch(frame), CLOCK, None).latent for frame in frames.split(1)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(network.draw(Batch(frames), CLOCK, None).latent, apart, atol=1e-5, rtol=0)


@each_network
def test_grey_frames_are_equal_colours_and_channels_do_not_mix(part: Any) -> None:
    frames = 0.3 + 0.4 * torch.rand(2, 2, 16, 18)
    network = prior(part, frames)
    both = network.draw(Batch(frames), CLOCK, None).latent
    assert both.shape == frames.shape
    one = network.draw(Batch(frames[:, 1:]), CLOCK, None).latent
    torch.testing.assert_close(both[:, 1:], one, atol=1e-5, rtol=0)
    colours = network.draw(Batch(frames[:, 1:].expand(-1, 3, -1, -1)), CLOCK, None).latent
    torch.testing.assert_close(colours.mean(1, keepdim=True), one, atol=1e-5, rtol=0)


@each_network
def test_photographs_end_at_white_and_other_data_at_zero(part: Any) -> None:
    frames = 2 * torch.rand(1, 1, 16, 16)
    ends, free = (prior(part, frames, bounded).draw(Batch(frames), CLOCK, None).latent.detach() for bounded in (1, 0))
    assert float(ends.max()) <= 1
    assert float(free.max()) > 1.2
    assert float(free.min()) >= 0


@each_network
def test_a_latent_image_that_is_larger_goes_on_with_the_border(part: Any) -> None:
    frames = torch.rand(1, 3, 16, 16)
    assert prior(part, frames, more=5).draw(Batch(frames), CLOCK, None).latent.shape == (1, 3, 21, 21)


@each_network
def test_weights_go_on_from_stage_to_stage(part: Any) -> None:
    frames = torch.rand(1, 3, 16, 16)
    earlier, later = prior(part, frames), prior(part, frames)
    with torch.no_grad():
        for parameter in earlier.parameters():
            parameter.add_(0.01)
    later.start_from(earlier, frames, None)
    assert torch.equal(later.draw(Batch(frames), CLOCK, None).latent, earlier.draw(Batch(frames), CLOCK, None).latent)


def test_untrained_networks_begin_near_their_input() -> None:
    frames = torch.rand(2, 3, 32, 32)
    for part in (DVD, DEBLURGAN):
        assert (
            float((prior(part, frames).draw(Batch(frames), CLOCK, None).latent.detach() - frames).abs().mean()) < 0.05
        )


def test_sizes_are_those_of_the_papers() -> None:
    def millions(network: torch.nn.Module) -> float:
        return sum(parameter.numel() for parameter in network.parameters()) / 1e6

    rng = torch.Generator()
    assert millions(FlowNetS(rng, 64)) == pytest.approx(38.7, abs=0.1)
    assert millions(DeblurGan(rng, 64)) == pytest.approx(11.4, abs=0.1)
    assert millions(Dvd(rng, 64)) == pytest.approx(15.3, abs=0.1)


def test_which_frames_flow_is_between() -> None:
    frames = torch.arange(5.0)[:, None, None, None]
    pairs = [(int(first), int(second)) for first, second in pairs_of(frames)]
    assert pairs == [(1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 4)]
    assert [(int(first), int(second)) for first, second in pairs_of(frames[:2])] == [(1, 0)]
    assert [flow_count(n) for n in (2, 3, 5)] == [2, 4, 12]
    assert flows_of(torch.zeros(12, 4, 5)).shape == (3, 2, 2, 4, 5)
    assert flows_of(torch.zeros(2, 4, 5)).shape == (1, 1, 2, 4, 5)


def test_where_the_motion_since_both_neighbours_is_the_same() -> None:
    before = torch.tensor([8.0, 0.0])[:, None].expand(2, 6)
    after = torch.tensor([[-8.0, -10, -17, 8, 0, -8], [0, 0, 0, 0, 8, -5.5]])
    kernel = torch.cat([before, after])[:, None]
    assert agreeing(kernel, 0.5)[0, 0, 0].tolist() == [1, 1, 1, 0, 0, 1]
    assert agreeing(kernel, 0.5).shape == (1, 1, 1, 6)
    assert agreeing(0.05 * kernel, 0.5).all()
    assert agreeing(kernel[:2], 0.5).all()


@pytest.mark.parametrize("algorithm", ["ilk", "tvl1"])
def test_classical_flow_finds_a_shift(algorithm: Any) -> None:
    """The picture moves by (3, -2) from frame to frame: from the one before by that, from the one after by its
    opposite."""
    picture = torch.from_numpy(camera()[100:260, 150:330].astype(np.float32) / 255)
    frames = torch.stack([picture[30 + 2 * t : 110 + 2 * t, 30 - 3 * t : 120 - 3 * t] for t in range(3)])[:, None]
    flow = ClassicalFlow(ClassicalFlowParams(algorithm=algorithm))
    flow.init(KernelSpec((80, 90), 4, "flow"), context())
    found = flow.kernel(frames, CLOCK, None)
    assert found.shape == (4, 80, 90)
    middle = found[:, 15:-15, 15:-15].flatten(1).median(1).values
    torch.testing.assert_close(middle, torch.tensor([3.0, -2.0, -3.0, 2.0]), atol=0.3, rtol=0)


def test_the_flow_network_has_a_flow_for_every_frame_that_is_explained() -> None:
    flow = FlowNetPrior(FlowNetParams(width=2, weights="none"))
    flow.init(KernelSpec((40, 50), 12, "flow"), context())
    frames = torch.rand(5, 3, 40, 50)
    whole = flow.kernel(frames, CLOCK, None)
    assert whole.shape == (12, 40, 50)
    torch.testing.assert_close(whole[4:8], flow.kernel(frames[1:4], CLOCK, None), atol=1e-4, rtol=0)
    assert flow.kernel(frames[:2, :1], CLOCK, None).shape == (2, 40, 50)


def known(path: Path | str, shape: tuple[int, int] = (6, 7), count: int = 4, notes: Context | None = None) -> KnownFlow:
    flow = KnownFlow(KnownFlowParams(file=str(path)))
    flow.init(KernelSpec(shape, count, "flow"), notes or context())
    return flow


def test_a_known_flow_is_read_and_none_is_no_motion(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((2, 4, 6, 7))
    np.save(tmp_path / "flow.npy", values)
    found = known(tmp_path / "flow.npy", count=8).kernel(torch.zeros(4, 1, 6, 7), CLOCK, None)
    np.testing.assert_allclose(found, values.reshape(8, 6, 7), rtol=1e-6)
    made = context()
    assert not known("", notes=made).kernel(torch.zeros(3, 1, 6, 7), CLOCK, None).any()
    assert any("nothing moves" in note for note in made.notes)


def test_a_flow_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flow.npy"
    with pytest.raises(FileError, match="cannot be read as a NumPy file"):
        known(path)
    path.write_text("no array")
    with pytest.raises(FileError, match="cannot be read as a NumPy file"):
        known(path)
    for wrong in (np.zeros((4, 7, 6)), np.zeros((8, 6, 7)), np.zeros((4, 6, 7), complex)):
        np.save(path, wrong)
        with pytest.raises(ImageError, match=r"expected \(4, 6, 7\)"):
            known(path)
    np.save(path, np.full((4, 6, 7), np.nan))
    with pytest.raises(ImageError, match="not finite"):
        known(path)


def test_a_known_flow_that_was_handed_over_follows_the_resolution() -> None:
    made = context()
    made.psf = torch.full((4, 12, 14), 3.0)
    torch.testing.assert_close(
        known("", notes=made).kernel(torch.zeros(3, 1, 6, 7), CLOCK, None), torch.full((4, 6, 7), 1.5)
    )
    made.psf = torch.ones(8, 12, 14)
    assert not known("", notes=made).kernel(torch.zeros(3, 1, 6, 7), CLOCK, None).any()
    assert any("where a flow has (4, 6, 7)" in note for note in made.notes)
