from __future__ import annotations

import pytest
import torch

from unblur.errors import ImageError
from unblur.operators.gradient import gradient, gradient_adjoint, l1_over_l2, total_variation


def random(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize(
    ("shape", "spacing"), [((2, 3, 7, 8), None), ((1, 2, 4, 5, 6), (3.0, 1.0, 0.5)), ((1, 1, 1, 9), None)]
)
def test_adjoint(
    shape: tuple[int, ...], spacing: tuple[float, ...] | None, dtype: torch.dtype, tolerance: float
) -> None:
    x, field = random(*shape, dtype=dtype), random(len(shape) - 2, *shape, dtype=dtype)
    forward = (gradient(x, spacing) * field).sum()
    back = (x * gradient_adjoint(field, spacing)).sum()
    assert abs(forward - back) < tolerance * (x.norm() * field.norm())


def test_gradient_of_a_ramp() -> None:
    ramp = torch.arange(6.0)[None, None, :, None].expand(1, 1, 6, 4)
    field = gradient(ramp, (2.0, 1.0))
    assert torch.equal(field[0, 0, 0, :-1], torch.full((5, 4), 0.5))
    assert float(field[0, ..., -1, :].abs().max()) == float(field[1].abs().max()) == 0


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradcheck(isotropic: bool, reduction: str) -> None:
    x = random(1, 2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: total_variation(a, isotropic, 0.1, reduction), (x,))  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(lambda a: l1_over_l2(a, reduction=reduction), (x,))  # type: ignore[arg-type]


def test_total_variation_of_an_edge_is_its_height_times_its_length() -> None:
    x = torch.zeros(1, 1, 10, 12, dtype=torch.float64)
    x[..., 6:] = 3
    for isotropic in (True, False):
        assert abs(float(total_variation(x, isotropic, 1e-9, "sum")) - 30) < 1e-6
        assert abs(float(total_variation(x, isotropic, 1e-9, "mean")) - 30 / 120) < 1e-8


def test_isotropic_variation_is_the_smaller_one() -> None:
    x = random(1, 1, 9, 9)
    assert float(total_variation(x, True)) < float(total_variation(x, False))


def test_ratio_ignores_contrast_and_prefers_sharp() -> None:
    sharp = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
    sharp[..., 10:] = 1
    soft = (sharp + sharp.roll(1, -1) + sharp.roll(2, -1)) / 3
    soft[..., :3] = 0
    assert float(l1_over_l2(sharp)) < float(l1_over_l2(soft))
    assert abs(float(l1_over_l2(7 * soft, 0)) - float(l1_over_l2(soft, 0))) < 1e-12
    tiled = random(1, 1, 30, 30)
    ratio = float(l1_over_l2(torch.cat([tiled, tiled.flip(-1)], -1)) / l1_over_l2(tiled))
    assert abs(ratio - 1) < 0.02


def test_a_constant_image_has_finite_gradients() -> None:
    x = torch.full((1, 1, 6, 6), 0.5).requires_grad_()
    value = total_variation(x) + l1_over_l2(x)
    (slope,) = torch.autograd.grad(value, x)
    assert float(value.detach()) == 0
    assert bool(slope.isfinite().all())


def test_spacing_must_fit() -> None:
    with pytest.raises(ImageError, match="spacing"):
        gradient(torch.zeros(1, 1, 4, 4), (1.0,))
