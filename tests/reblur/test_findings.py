"""What a report warns of: motion out of range, curved motion, collapse to the identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.reblur.small import moving, outcome, pipeline
from unblur.components import Batch, Estimate
from unblur.operators.flow_blur import flow_blur
from unblur.problem import Observation
from unblur_reblur import weights
from unblur_reblur.dvd import Dvd
from unblur_reblur.models import FlowBlur
from unblur_reblur.params import FlowBlurParams

MODEL = FlowBlur(FlowBlurParams())
PAIR = FlowBlur(FlowBlurParams(frames=2))


def blurred(frames: Tensor, flow: Tensor) -> Tensor:
    paths = 0.5 * flow.view(1, 2, 2, *flow.shape[1:])
    return torch.cat([flow_blur(frame[None], paths) for frame in frames])


def found(flow: Tensor, change: float = 1.0) -> list[str]:
    """The warnings, where the estimate lies between the observed frames (0) and the sharp ones (1)."""
    frames, _ = moving()
    seen = blurred(frames, moving()[1])
    return MODEL.findings(Estimate(seen + change * (frames - seen), flow), Batch(seen))


def test_a_good_explanation_has_no_findings() -> None:
    assert found(moving()[1]) == []


def test_motion_beyond_the_range() -> None:
    flow = moving()[1]
    flow[:, :8] *= 8
    [warning] = found(flow)
    assert "beyond the range: 25%" in warning
    assert "16 pixels" in warning


@pytest.mark.parametrize("degrees", [0, 30, 60, 120])
def test_curved_motion(degrees: float) -> None:
    flow = moving()[1]
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    u, v = flow[2].clone(), flow[3].clone()
    flow[2], flow[3] = u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos()
    warnings = found(flow)
    assert bool(warnings) == (degrees > 45)
    assert not warnings or "curved motion: 100%" in warnings[0]


def test_frames_that_are_returned_although_they_move() -> None:
    [warning] = found(moving()[1], change=0.02)
    assert warning.startswith("collapse to the identity")


def test_frames_that_are_returned_because_nothing_moves() -> None:
    [warning] = found(torch.zeros_like(moving()[1]), change=0)
    assert "collapsed to the identity" in warning
    assert found(torch.zeros_like(moving()[1])) == []


def test_two_frames_have_findings_as_well() -> None:
    frames, flow = moving()
    seen = blurred(frames, flow)
    assert PAIR.findings(Estimate(frames[:2], flow[:2]), Batch(seen[:2])) == []
    [warning] = PAIR.findings(Estimate(seen[:2], flow[:2]), Batch(seen[:2]))
    assert "collapse" in warning


@pytest.mark.parametrize("collapsed", [True, False])
def test_a_report_has_them(collapsed: bool, tmp_path: Path) -> None:
    """A network whose weights are nought returns its input; the flow says that it moves."""
    frames, flow = moving()
    network = Dvd(torch.Generator().manual_seed(0), 4, "none")
    for parameter in network.parameters():
        parameter.data.mul_(0 if collapsed else 3)
    weights.save(tmp_path / "dvd.safetensors", network, {})
    np.save(tmp_path / "flow.npy", flow.numpy())
    image = ("dvd", {"width": 4, "norm": "none", "weights": str(tmp_path / "dvd.safetensors")})
    kernel = ("known-flow", {"file": str(tmp_path / "flow.npy")})
    pipe = pipeline("flow-blur", image, kernel, 1, image_rate=0.0, kernel_rate=0.0)
    warnings = outcome(pipe, Observation(blurred(frames, flow), white_level=1.0)).warnings
    assert [one.startswith("collapse to the identity") for one in warnings] == [True] * collapsed
