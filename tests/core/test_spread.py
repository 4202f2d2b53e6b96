"""The standard deviation after `then`."""

from __future__ import annotations

import pytest
import torch

from unblur.spread import after_then


@pytest.mark.parametrize("shape", [(1, 1, 9, 7), (2, 3, 20, 21), (1, 1, 4, 5, 6)])
def test_variances_and_the_squared_distance_add_up(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    own, earlier = torch.full(shape, 0.3), torch.full(shape, 0.4)
    found = after_then(image, own, image + 1.2, earlier)
    assert found is not None
    torch.testing.assert_close(found, torch.full(shape, 1.3))


def test_the_distance_is_that_of_the_neighbourhood() -> None:
    image = torch.zeros(1, 1, 41, 41)
    before = image.clone()
    before[..., 20, 20] = 1
    found = after_then(image, torch.zeros_like(image), before, None)
    assert found is not None
    squares = found.square()
    assert float(squares.sum()) == pytest.approx(1, rel=1e-4)
    assert float(squares[..., 20, 20]) == pytest.approx(1 / (2 * torch.pi * 2.0**2), rel=0.05)
    assert float(squares[..., 0, 0]) == 0


def test_without_any_there_is_none_and_without_an_earlier_image_the_own() -> None:
    image, own = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    assert after_then(image, None, image + 1, None) is None
    assert after_then(image, own, None, None) is own
    assert after_then(image, own, torch.zeros(1, 1, 9, 9), None) is own


@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_intensities_of_any_size(unit: float) -> None:
    """Squares of fluxes and of large counts leave the range of float32."""
    image, before, spread = (torch.rand((1, 1, 20, 20), generator=torch.Generator().manual_seed(n)) for n in range(3))
    plain = after_then(image, spread, before, None)
    scaled = after_then(image * unit, spread * unit, before * unit, None)
    assert plain is not None
    assert scaled is not None
    torch.testing.assert_close(scaled / unit, plain, rtol=1e-4, atol=0)
