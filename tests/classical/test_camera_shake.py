"""The prior `camera-shake`: kernels everywhere from the poses of one camera."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.classical.parts import context, part, rand
from unblur.components import Clock, KernelSpec, Transfer
from unblur.errors import CompositionError
from unblur.kernel_grid import KernelGrid
from unblur.metrics import kernel_similarity
from unblur.testing.camera_shake import drawn_shake, kernels
from unblur_classical.camera_shake import CameraShake

LAYOUT, SIZE, SHAPE = KernelGrid((2, 3)), (90, 120), (15, 15)
SPEC = KernelSpec(SHAPE, 6, "grid", layout=LAYOUT, image=SIZE)
CLOCK = Clock(0, 1)


def made(spec: KernelSpec = SPEC, psf: Tensor | None = None, **params: float) -> CameraShake:
    prior: CameraShake = part("kernel_prior", "camera-shake", **params)
    prior.init(spec, context(psf=psf))
    return prior


def drawn(seed: int = 0) -> Tensor:
    """The kernels of a drawn shake, in the places of the grid."""
    offsets = LAYOUT.centres(SIZE) - (np.array(SIZE) - 1) / 2
    field = kernels(drawn_shake(seed, SIZE, move=2.5, turn=4.0), offsets, SHAPE)
    return torch.from_numpy(field.reshape(-1, *SHAPE)).float()


def middles(found: Tensor) -> np.ndarray:
    """The centroid of each kernel from its origin."""
    axes = [torch.arange(size) - size // 2 for size in SHAPE]
    return np.stack([(found.sum(2) * axes[0]).sum(1).numpy(), (found.sum(1) * axes[1]).sum(1).numpy()], axis=-1)


@pytest.mark.parametrize("index", [0, 3, -1])
def test_one_pose_moves_every_kernel_as_turning_does(index: int) -> None:
    prior = made()
    angles = prior.shape[1]
    weights = torch.zeros(prior.shape)
    weights[0, index, 7 + 1, 7 - 2] = 1
    with torch.no_grad():
        prior.weights.copy_(weights)
    found = prior.kernel(torch.empty(0), CLOCK, None).detach()
    largest = 7.5 / (math.hypot(*SIZE) / 2)
    angle = (index % angles - angles // 2) / (angles // 2) * largest
    places = LAYOUT.centres(SIZE).reshape(-1, 2) - (np.array(SIZE) - 1) / 2
    turned = places @ np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]).T
    np.testing.assert_allclose(middles(found), places - turned + [1, -2], atol=1e-4)


def test_kernels_of_a_drawn_shake_are_fitted() -> None:
    true = drawn()
    found = made(psf=true).kernel(torch.empty(0), CLOCK, None).detach()
    similar = [kernel_similarity(a.numpy(), b.numpy()) for a, b in zip(found, true, strict=True)]
    mean = [kernel_similarity(true.mean(0).numpy(), b.numpy()) for b in true]
    assert min(similar) > 0.95
    assert np.mean(mean) < 0.9


def test_it_takes_over_from_one_kernel() -> None:
    one = rand(1, *SHAPE)
    one = one / one.sum()
    prior = made()
    with torch.no_grad():
        prior.start_from(part("kernel_prior", "free"), one.expand(6, *SHAPE), Transfer(lambda t: t, lambda t: t))
    assert torch.allclose(prior.kernel(torch.empty(0), CLOCK, None), one.expand(6, *SHAPE), atol=1e-3)


def test_centred_takes_the_mean_turn_out() -> None:
    prior = made(turn=4.0)
    weights = rand(*prior.shape) * (torch.arange(prior.shape[1]) > prior.shape[1] // 2).float().view(1, -1, 1, 1)
    shares = prior.centred(weights)[0].sum((1, 2))
    places = torch.arange(len(shares)) - len(shares) // 2
    assert float((shares * places).sum() / shares.sum()) == pytest.approx(0, abs=0.3)
    assert float(shares.sum()) == pytest.approx(float(weights.sum()), rel=0.05)


def test_one_kernel_knows_of_no_turning() -> None:
    prior = made(KernelSpec(SHAPE))
    assert prior.shape == (1, 1, *SHAPE)
    assert torch.equal(prior.expand(prior.weights), prior.weights[0])


def test_lower_resolutions_need_fewer_angles() -> None:
    half = KernelSpec((9, 9), 6, "grid", 0.5, LAYOUT, SIZE)
    assert 1 < made(half).shape[1] < made().shape[1]


def test_kernels_without_places_are_refused() -> None:
    with pytest.raises(CompositionError, match="does not say where its kernels hold"):
        made(KernelSpec(SHAPE, 6, "grid"))
