from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal.windows import barthann

from unblur.errors import ImageError
from unblur.operators.convolution import convolve
from unblur.operators.svola import (
    Svola,
    SvolaBoundary,
    bartlett_hann,
    grid_centres,
    svola,
    svola_adjoint,
    svola_kernel_adjoint,
    tiling,
    windows,
)
from unblur.testing.worlds import kernels as made_kernels
from unblur.testing.worlds import noise

Shape = tuple[int, ...]
WORLDS: list[tuple[Shape, Shape, Shape]] = [
    ((37, 50), (7, 9), (3, 4)),
    ((37, 50), (4, 6), (2, 5)),
    ((30, 24), (5, 5), (1, 3)),
    ((20, 21), (15, 13), (2, 2)),
    ((14, 15, 16), (3, 5, 4), (2, 1, 3)),
]
"""Latent image, kernels, grid; odd and even kernels, kernels as large as a window, volumes."""


def defined(latent: torch.Tensor, kernels: torch.Tensor, grid: Shape, boundary: SvolaBoundary) -> torch.Tensor:
    """The sum over the kernels, each convolved with the whole image under its window."""
    masks = windows(tiling(tuple(latent.shape[2:]), tuple(kernels.shape[1:]), grid, boundary), latent)
    return torch.stack([convolve(m * latent, k[None], boundary) for m, k in zip(masks, kernels, strict=True)]).sum(0)


@pytest.mark.parametrize("boundary", ["valid", "same"])
@pytest.mark.parametrize(("latent", "kernel", "grid"), WORLDS)
def test_it_is_windows_then_blur(latent: Shape, kernel: Shape, grid: Shape, boundary: SvolaBoundary) -> None:
    image = noise((2, 3, *latent), 0).double()
    kernels = made_kernels(math.prod(grid), kernel).double()
    found = svola(image, kernels, grid, boundary)
    torch.testing.assert_close(found, defined(image, kernels, grid, boundary))


def test_the_window_comes_first() -> None:
    """A point between two centres, with a kernel that moves left and one that moves right, keeps its two shares."""
    kernels = torch.zeros(2, 1, 21)
    kernels[0, 0, 0] = kernels[1, 0, -1] = 1
    image = torch.zeros(1, 1, 2, 80)
    image[0, 0, :, 50] = 1
    found = svola(image, kernels, (1, 2))
    masks = windows(tiling((2, 80), (1, 21), (1, 2)))
    assert float(found[0, 0, 0, 50 - 20]) == pytest.approx(float(masks[0, 0, 50]), abs=1e-6)
    assert float(found[0, 0, 0, 50]) == pytest.approx(float(masks[1, 0, 50]), abs=1e-6)
    assert 0.05 < float(masks[0, 0, 50]) < 0.45


@pytest.mark.parametrize("boundary", ["valid", "same"])
@given(
    st.tuples(st.integers(16, 60), st.integers(16, 60)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(max_examples=12, deadline=None)
def test_equal_kernels_are_one_convolution(boundary: SvolaBoundary, latent: Shape, kernel: Shape, grid: Shape) -> None:
    image, one = noise((1, 2, *latent), 3).abs(), made_kernels(1, kernel)
    found = svola(image, one.expand(math.prod(grid), *kernel), grid, boundary)
    torch.testing.assert_close(found, convolve(image, one, boundary), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("boundary", ["valid", "same"])
@pytest.mark.parametrize(("latent", "kernel", "grid"), WORLDS)
def test_adjoints(latent: Shape, kernel: Shape, grid: Shape, boundary: SvolaBoundary) -> None:
    image, kernels = noise((2, 3, *latent), 0).double(), noise((math.prod(grid), *kernel), 1).double()
    predicted = svola(image, kernels, grid, boundary)
    residual = noise(predicted.shape, 2).double()
    product = float((predicted * residual).sum())
    in_image = svola_adjoint(residual, kernels, latent, grid, boundary)
    in_kernels = svola_kernel_adjoint(residual, image, kernel, grid, boundary)
    assert in_image.shape == image.shape
    assert in_kernels.shape == kernels.shape
    assert float((image * in_image).sum()) == pytest.approx(product, rel=1e-9)
    assert float((kernels * in_kernels).sum()) == pytest.approx(product, rel=1e-9)
    operator = Svola(kernels, image.shape, grid, boundary)
    torch.testing.assert_close(operator.forward(image), predicted)
    torch.testing.assert_close(operator.adjoint(residual), in_image)


@pytest.mark.parametrize("boundary", ["valid", "same"])
@pytest.mark.parametrize(("latent", "kernel", "grid"), [((9, 11), (3, 4), (2, 3)), ((5, 4, 5), (2, 3, 2), (1, 2, 2))])
def test_gradients(latent: Shape, kernel: Shape, grid: Shape, boundary: SvolaBoundary) -> None:
    image = noise((1, 2, *latent), 0).double().requires_grad_()
    kernels = noise((math.prod(grid), *kernel), 1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, k: svola(x, k, grid, boundary), (image, kernels))


def test_it_is_float32_under_autocast() -> None:
    image, kernels = noise((1, 1, 30, 30), 0), made_kernels(4, (5, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(svola(image, kernels, (2, 2)), svola(image.clone(), kernels, (2, 2)))
        assert svola(image.bfloat16(), kernels, (2, 2)).dtype == torch.float32


@given(
    st.tuples(st.integers(4, 50), st.integers(4, 50)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(max_examples=12, deadline=None)
def test_windows_sum_to_one(observed: Shape, kernel: Shape, grid: Shape) -> None:
    latent = tuple(n + k - 1 for n, k in zip(observed, kernel, strict=True))
    masks = windows(tiling(latent, kernel, grid))
    assert masks.shape == (math.prod(grid), *latent)
    assert float(masks.min()) >= 0
    torch.testing.assert_close(masks.sum(0), torch.ones(latent))


def test_the_window_is_the_modified_bartlett_hann_window() -> None:
    positions = torch.linspace(-0.5, 0.5, 101, dtype=torch.float64)
    torch.testing.assert_close(bartlett_hann(positions), torch.from_numpy(barthann(101)), atol=1e-12, rtol=0)
    assert float(bartlett_hann(torch.tensor(0.7))) == 0


def test_a_window_is_one_at_its_centre_and_ends_at_the_next() -> None:
    """80 observed pixels, four kernels: centres at 9.5, 29.5, …; the latent image begins five pixels before."""
    assert grid_centres(80, 4) == [9.5, 29.5, 49.5, 69.5]
    masks = windows(tiling((10, 91), (1, 12), (1, 4)))[:, 0]
    second = masks[1]
    assert float(second[[34, 35]].min()) > 0.99
    assert float(second[:15].max()) < 1e-3
    assert float(second[55:].max()) < 1e-3
    assert float(masks[0, :14].min()) == 1
    torch.testing.assert_close(second[[24, 25]].sum(), torch.tensor(1.0))


def test_only_the_windows_are_transformed() -> None:
    tiles = tiling((414, 542), (31, 31), (5, 10))
    assert tiles.patch == (154, 103)
    assert math.prod(tiles.transform) < 1.1 * (154 + 30) * (103 + 30)


@pytest.mark.parametrize(
    ("kernels", "grid", "words"),
    [
        ((6, 5, 5), (2, 2), "kernels of shape"),
        ((4, 5, 5, 5), (2, 2), "kernels of shape"),
        ((9, 40, 5), (3, 3), "smaller than the kernel"),
        ((120, 3, 3), (40, 3), "take a coarser one"),
    ],
)
def test_it_refuses(kernels: Shape, grid: Shape, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        svola(torch.zeros(1, 1, 30, 30), torch.zeros(kernels), grid)


def test_adjoints_refuse_another_residual() -> None:
    kernels = torch.zeros(4, 5, 5)
    with pytest.raises(ImageError, match="residual of shape"):
        svola_adjoint(torch.zeros(1, 1, 30, 30), kernels, (30, 30), (2, 2))
    with pytest.raises(ImageError, match="boundary"):
        svola(torch.zeros(1, 1, 30, 30), kernels, (2, 2), "periodic")  # type: ignore[arg-type]
