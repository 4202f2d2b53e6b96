from __future__ import annotations

import math

import pytest
import torch

from tests.classical.parts import kernel, number, part, rand

IMAGE_PENALTIES = ["tv", "l1-l2", "l2-gradient"]


@pytest.mark.parametrize("name", IMAGE_PENALTIES)
@pytest.mark.parametrize("shape", [(1, 1, 9, 8), (2, 3, 6, 7), (1, 1, 5, 6, 7)])
def test_a_flat_image_costs_nothing_and_a_rough_one_learns(name: str, shape: tuple[int, ...]) -> None:
    penalty = part("image_prior", name)
    assert number(penalty(torch.full(shape, 0.4))) == 0
    image = rand(*shape).requires_grad_()
    (slope,) = torch.autograd.grad(penalty(image), image)
    assert bool(torch.isfinite(slope).all())
    assert number(penalty(image - 1e-2 * slope / slope.norm())) < number(penalty(image))


def test_an_edge_has_the_variation_of_its_height() -> None:
    image = torch.zeros(1, 1, 4, 10)
    image[..., 5:] = 0.6
    assert number(part("image_prior", "tv")(image)) == pytest.approx(0.6 * 4 / 40, rel=2e-3)
    assert number(part("image_prior", "l2-gradient")(image)) == pytest.approx(0.36 * 4 / 40)


def test_the_normalised_ratio_does_not_depend_on_the_size() -> None:
    tile = rand(1, 1, 16, 16)
    large = tile.tile(1, 1, 4, 4)
    plain, normalised = part("image_prior", "l1-l2"), part("image_prior", "l1-l2", normalised=True)
    assert number(plain(large)) == pytest.approx(4 * number(plain(tile)), rel=0.1)
    assert number(normalised(large)) == pytest.approx(number(normalised(tile)), rel=0.05)
    torch.testing.assert_close(plain(tile * 0.3), plain(tile), rtol=1e-4, atol=0)


def test_the_kernel_norm_prefers_spread_kernels() -> None:
    flat, delta = torch.full((1, 5, 5), 1 / 25), torch.zeros(1, 5, 5)
    delta[0, 2, 2] = 1
    norm, mean = part("kernel_prior", "l2"), part("kernel_prior", "l2", reduction="mean")
    assert number(norm(flat)) == pytest.approx(1 / 25)
    assert number(norm(delta)) == 1
    assert number(mean(delta)) == pytest.approx(1 / 25)
    torch.testing.assert_close(norm(torch.cat([flat, delta])), (norm(flat) + norm(delta)) / 2)


@pytest.mark.parametrize("shape", [(5, 5), (3, 4, 5)])
def test_the_variation_of_a_kernel_is_least_for_a_flat_one(shape: tuple[int, ...]) -> None:
    penalty = part("kernel_prior", "kernel-tv")
    assert number(penalty(torch.full((1, *shape), 1 / math.prod(shape)))) == 0
    values = kernel(*shape)
    torch.testing.assert_close(penalty(values.expand(3, *shape)), penalty(values))
    assert number(penalty(values)) > 0.1
