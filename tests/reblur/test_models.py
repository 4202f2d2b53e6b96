"""The forward models on clips whose truth is known: what they predict, of how many frames, for which exposure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.reblur.small import CPU, moving
from tests.reblur.test_clips import MARGIN, MOMENTS, SIZE, inside, layers, picture, straight
from unblur.components import Batch, Context
from unblur.errors import CompositionError, ImageError
from unblur_reblur.clips import Clip, Layer, Path, record
from unblur_reblur.models import FlowBlur, FlowWarp
from unblur_reblur.params import FlowBlurParams, FlowWarpParams

TAUS = (0.2, 0.3, 0.4, 0.5)


def kernel_of(clip: Clip) -> Tensor:
    return clip.flow.flatten(0, 1)


def turning() -> Path:
    """Half a pixel of acceleration, a slow turn and a little zoom, about the middle."""
    none = np.zeros((2, 2))
    return Path(np.array([7.0, 3.0]), np.array([0.5, -0.5]), none, none, none, 0.02, 0.01, np.full(2, SIZE / 2))


@pytest.mark.parametrize("path", [straight(8, -5), turning()], ids=["straight", "turning"])
def test_a_known_flow_predicts_the_average_of_the_frames_of_the_exposure(path: Path) -> None:
    clip = record([Layer(picture(), None, path, MARGIN)], 0.5, 1.0, SIZE, None)
    during = record([Layer(picture(), None, path, MARGIN)], 0.5, 1.0, SIZE, None, times=0.5 * MOMENTS).sharp.mean(0)
    for model in (FlowBlur(FlowBlurParams()), FlowWarp(FlowWarpParams(samples=6))):
        predicted = model.predict(clip.sharp, kernel_of(clip))
        assert predicted.shape == (1, 3, SIZE, SIZE)
        assert float(inside(predicted[0] - during).abs().max()) < 1e-2


@pytest.mark.parametrize(("tau", "ends"), [(1.0, (3, -5)), (0.5, (1.75, -2.25)), (0.25, (0.9375, -1.0625))])
def test_the_lines_end_where_the_pixel_is_when_the_exposure_ends(tau: float, ends: tuple[float, float]) -> None:
    """It moves as x(t) = 4 t + t², and is seen at -x(t)."""
    kernel = torch.tensor([3.0, 0, -5, 0])[:, None, None]
    found = FlowBlur(FlowBlurParams(tau=tau)).ends(kernel)
    assert found[0, :, 0, 0, 0].tolist() == list(ends)
    assert not found[0, :, 1].any()


@pytest.mark.parametrize("tau", TAUS)
def test_the_residual_is_smallest_at_the_tau_of_the_clip(tau: float) -> None:
    clip = record(layers(), tau, 1.0, SIZE, None)
    models = [FlowBlur(FlowBlurParams(tau=one)) for one in TAUS]
    residuals = [
        float(inside(model.predict(clip.sharp, kernel_of(clip))[0] - clip.blurred[1]).square().mean())
        for model in models
    ]
    assert TAUS[int(np.argmin(residuals))] == tau


def test_the_true_flow_explains_more_than_none_or_another() -> None:
    clip = record(layers(), 0.5, 1.0, SIZE, None)
    flow = kernel_of(clip)
    model = FlowBlur(FlowBlurParams())
    shuffled = flow.flatten(1)[:, torch.randperm(SIZE * SIZE, generator=torch.Generator().manual_seed(0))]
    true, none, other = (
        float(inside(model.predict(clip.sharp, one.view_as(flow))[0] - clip.blurred[1]).square().mean())
        for one in (flow, torch.zeros_like(flow), shuffled)
    )
    assert true < 0.3 * none
    assert true < other


def test_the_table_of_the_paper_and_the_fast_lines_predict_the_same() -> None:
    clip = record([Layer(picture(), None, straight(8, -6), MARGIN)], 0.5, 1.0, SIZE, None)
    lines, table = (FlowBlur(FlowBlurParams(form=form)) for form in ("lines", "table"))
    flow = kernel_of(clip)
    torch.testing.assert_close(lines.predict(clip.sharp, flow), table.predict(clip.sharp, flow), atol=5e-3, rtol=0)


@pytest.mark.parametrize(("model", "params"), [(FlowBlur, FlowBlurParams), (FlowWarp, FlowWarpParams)])
def test_two_frames_take_the_motion_as_straight(model, params) -> None:  # type: ignore[no-untyped-def]
    frames, flow = moving()
    three, two = model(params(tau=0.25)), model(params(tau=0.25, frames=2))
    assert three.spec((3, 1, 32, 32), Context(CPU, torch.Generator())).count == 4
    torch.testing.assert_close(three.predict(frames, flow), two.predict(frames, flow))
    torch.testing.assert_close(three.predict(frames, flow), two.predict(frames[:2], flow[:2]))


def test_which_frames_are_explained() -> None:
    model = FlowBlur(FlowBlurParams())
    frames = torch.rand(5, 1, 8, 9)
    target = model.target(Batch(frames, range(5), torch.ones_like(frames)))
    assert torch.equal(target.observed, frames[1:4])
    assert tuple(target.frames) == (1, 2, 3)
    assert target.valid is not None
    assert len(target.valid) == 3
    assert model.predict(frames, torch.zeros(12, 8, 9)).shape == (3, 1, 8, 9)
    pair = FlowBlur(FlowBlurParams(frames=2)).target(Batch(frames[:2], range(2)))
    assert torch.equal(pair.observed, frames[1:2])


def test_motion_beyond_the_reach_is_cut_off() -> None:
    model = FlowBlur(FlowBlurParams(tau=0.5, reach=4))
    assert float(model.ends(torch.full((4, 8, 8), 30.0)).max()) == 4


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ImageError, match="2 frames: the motion is seen between at least 3"):
        FlowBlur(FlowBlurParams()).spec((2, 1, 32, 32), Context(CPU, torch.Generator()))
    with pytest.raises(ImageError, match="1 frame: the motion is seen between at least 2"):
        FlowBlur(FlowBlurParams(frames=2)).spec((1, 1, 32, 32), Context(CPU, torch.Generator()))


def test_the_flow_has_no_adjoint() -> None:
    frames, _ = moving()
    model = FlowBlur(FlowBlurParams())
    with pytest.raises(CompositionError, match="not linear in the flow"):
        model.kernel_adjoint(frames[1:2], frames, model.spec((3, 1, 32, 32), Context(CPU, torch.Generator())))
