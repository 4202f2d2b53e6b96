"""Blur along flows: against direct sums, by adjoints and gradients, in time and memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from skimage.data import astronaut
from torch import Tensor

from unblur.compute import saved_bytes
from unblur.errors import ImageError
from unblur.operators.convolution import convolve
from unblur.operators.flow_blur import flow_blur, flow_warp
from unblur.operators.flow_table import line_kernels, table_blur

HEIGHT, WIDTH = 9, 11
BLURS = {
    "lines": flow_blur,
    "warp-1": flow_warp,
    "warp-3": lambda image, ends: flow_warp(image, ends, 3),
    "table": lambda image, ends: table_blur(image, ends, 4),
}
each_blur = pytest.mark.parametrize("blur", BLURS.values(), ids=BLURS)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ends_of(frames: int = 1, reach: float = 3.4, seed: int = 1) -> Tensor:
    return (random(frames, 2, 2, HEIGHT, WIDTH, seed=seed) * 2 - 1) * reach


def at(image: np.ndarray, x: float, y: float) -> float:
    """Bilinear interpolation with border values outside, by its definition."""
    x, y = min(max(x, 0), image.shape[1] - 1), min(max(y, 0), image.shape[0] - 1)
    column, row = min(int(x), image.shape[1] - 2), min(int(y), image.shape[0] - 2)
    a, b = x - column, y - row
    top = (1 - a) * image[row, column] + a * image[row, column + 1]
    return (1 - b) * top + b * ((1 - a) * image[row + 1, column] + a * image[row + 1, column + 1])


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_paths_to_nowhere_give_nan_and_no_error(wrong: float) -> None:
    """So that a run sees it in its misfit, and goes back."""
    image, ends = random(1, 1, HEIGHT, WIDTH), ends_of().requires_grad_()
    for blur in (flow_blur, flow_warp):
        blurred = blur(image, torch.where(torch.arange(WIDTH) == 3, wrong, ends))
        assert bool(blurred.isnan().any())
        blurred.sum().backward()


def test_lines_are_the_direct_sum() -> None:
    image, ends = random(1, 1, HEIGHT, WIDTH), ends_of()
    pixels, paths = image[0, 0].numpy(), ends[0].numpy()
    wanted = np.zeros((HEIGHT, WIDTH))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for u, v in paths[:, :, y, x]:
                points = 1 + math.ceil(max(abs(u), abs(v)))
                for number in range(points):
                    s = (number + 0.5) / points
                    wanted[y, x] += at(pixels, x + s * u, y + s * v) / points / len(paths)
    np.testing.assert_allclose(flow_blur(image, ends)[0, 0], wanted, atol=1e-12)


@pytest.mark.parametrize(("samples", "places"), [(1, [1.0]), (2, [0.25, 0.75])])
def test_warps_are_the_direct_sum(samples: int, places: list[float]) -> None:
    image, ends = random(1, 1, HEIGHT, WIDTH), ends_of()
    pixels, paths = image[0, 0].numpy(), ends[0].numpy()
    wanted = np.zeros((HEIGHT, WIDTH))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for u, v in paths[:, :, y, x]:
                for s in places:
                    wanted[y, x] += at(pixels, x + s * u, y + s * v) / len(places) / len(paths)
    np.testing.assert_allclose(flow_warp(image, ends, samples)[0, 0], wanted, atol=1e-12)


def test_the_table_is_the_direct_sum_of_equation_9() -> None:
    reach = 4
    side = 2 * reach + 1
    image, ends = random(1, 1, HEIGHT, WIDTH), ends_of()
    kernels = line_kernels(reach).view(side, side, side, side).numpy()
    bordered = np.pad(image[0, 0].numpy(), reach, mode="edge")
    wanted = np.zeros((HEIGHT, WIDTH))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for u, v in ends[0, :, :, y, x].numpy() + reach:
                column, row = int(u), int(v)
                a, b = u - column, v - row
                kernel = (
                    (1 - a) * (1 - b) * kernels[row, column]
                    + a * (1 - b) * kernels[row, column + 1]
                    + (1 - a) * b * kernels[row + 1, column]
                    + a * b * kernels[row + 1, column + 1]
                )
                wanted[y, x] += 0.5 * np.sum(kernel * bordered[y : y + side, x : x + side])
    np.testing.assert_allclose(table_blur(image, ends, reach)[0, 0], wanted, atol=1e-12)


def test_the_table_has_33_by_33_kernels_of_lines() -> None:
    table = line_kernels()
    assert table.shape == (33 * 33, 33, 33)
    assert float(table.min()) >= 0
    torch.testing.assert_close(table.sum((1, 2)), torch.ones(33 * 33, dtype=torch.float64))
    point = torch.zeros(33, 33, dtype=torch.float64)
    point[16, 16] = 1
    assert torch.equal(table[16 * 33 + 16], point)
    horizontal = table[16 * 33 + 20]  # ends at (4, 0): half a pixel at both ends
    np.testing.assert_allclose(horizontal[16, 15:22], [0, 0.125, 0.25, 0.25, 0.25, 0.125, 0], atol=1e-12)
    x, y = torch.meshgrid(torch.arange(-16.0, 17), torch.arange(-16.0, 17), indexing="xy")
    centroid = torch.stack([(table * x).sum((1, 2)), (table * y).sum((1, 2))])
    torch.testing.assert_close(centroid, torch.stack([x.flatten(), y.flatten()]).double() / 2)


def test_table_and_lines_agree_where_flows_are_whole() -> None:
    image, ends = random(2, 3, HEIGHT, WIDTH), ends_of(frames=2, reach=4).round()
    torch.testing.assert_close(table_blur(image, ends, 4), flow_blur(image, ends, density=32), atol=1e-3, rtol=0)


def test_warping_to_many_points_becomes_the_lines() -> None:
    image, ends = random(1, 2, HEIGHT, WIDTH), ends_of()
    torch.testing.assert_close(flow_warp(image, ends, 200), flow_blur(image, ends, 50), atol=1e-3, rtol=0)


def test_a_uniform_flow_is_a_convolution_with_the_line_seen_from_behind() -> None:
    image = random(1, 1, 40, 42)
    ends = torch.tensor([[5.0, 2.0], [-4.0, 3.0]], dtype=torch.float64)[None, :, :, None, None].expand(1, 2, 2, 40, 42)
    table = line_kernels()
    kernel = 0.5 * (table[(2 + 16) * 33 + 5 + 16] + table[(3 + 16) * 33 - 4 + 16])
    wanted = convolve(image, kernel.flip(0, 1)[None])
    got = flow_blur(image, ends, density=32)[..., 16:-16, 16:-16]
    torch.testing.assert_close(got, wanted, atol=1e-3, rtol=0)


def test_a_known_flow_on_a_known_image_is_the_average_of_the_warped_image() -> None:
    """The photograph, warped along a smooth flow to 101 times of the exposure by scipy, and averaged."""
    pixels = astronaut()[40:240, 120:330].mean(-1) / 255
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(float)
    before = np.stack([9 * np.sin(y / 60) - 6, 7 * np.cos(x / 50)])
    after = np.stack([6 - 9 * np.sin(y / 60), 5 - 3 * np.cos(x / 70)])
    wanted = np.zeros_like(pixels)
    times = (np.arange(50) + 0.5) / 50
    for u, v in (before, after):
        for s in times:
            wanted += map_coordinates(pixels, [y + s * v, x + s * u], order=1, mode="nearest") / (2 * len(times))
    image = torch.from_numpy(pixels)[None, None].float()
    ends = torch.from_numpy(np.stack([before, after]))[None].float()
    inside = (slice(16, -16), slice(16, -16))
    for blurred in (flow_blur(image, ends), flow_warp(image, ends, 20)):
        assert np.abs(blurred[0, 0].numpy() - wanted)[inside].max() < 1e-2
    assert np.abs(table_blur(image, ends)[0, 0].numpy() - wanted)[inside].mean() < 1e-2


@each_blur
def test_adjoint(blur) -> None:  # type: ignore[no-untyped-def]
    image, ends, residual = random(2, 3, HEIGHT, WIDTH), ends_of(2), random(2, 3, HEIGHT, WIDTH, seed=5)
    leaf = torch.zeros_like(image).requires_grad_()
    [back] = torch.autograd.grad(blur(leaf, ends), leaf, residual)
    torch.testing.assert_close((blur(image, ends) * residual).sum(), (image * back).sum(), rtol=1e-12, atol=0)


@each_blur
def test_gradients(blur) -> None:  # type: ignore[no-untyped-def]
    image, ends = random(1, 2, 4, 5).requires_grad_(), ends_of()[..., :4, :5].clone().requires_grad_()
    assert torch.autograd.gradcheck(blur, (image, ends), eps=1e-7, atol=1e-5)


@each_blur
def test_no_motion_is_no_blur(blur) -> None:  # type: ignore[no-untyped-def]
    image = random(2, 3, HEIGHT, WIDTH)
    torch.testing.assert_close(blur(image, torch.zeros(2, 2, 2, HEIGHT, WIDTH)), image)


@each_blur
def test_a_constant_image_stays(blur) -> None:  # type: ignore[no-untyped-def]
    image = torch.full((1, 1, HEIGHT, WIDTH), 0.3)
    torch.testing.assert_close(blur(image, ends_of().float()), image)


@each_blur
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), reach=st.floats(0.1, 4.0))
def test_frames_paths_and_precision(blur, seed: int, reach: float) -> None:  # type: ignore[no-untyped-def]
    image, ends = random(3, 2, HEIGHT, WIDTH, seed=seed), ends_of(3, reach, seed + 1)
    whole = blur(image, ends)
    apart = torch.cat([blur(image[n : n + 1], ends[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(whole, apart)
    torch.testing.assert_close(whole, blur(image, ends.flip(1)))
    single = blur(image.float(), ends.float())
    assert single.dtype == torch.float32
    assert float(image.min()) - 1e-6 <= float(single.min())
    assert float(single.max()) <= float(image.max()) + 1e-6


def test_memory_grows_with_pixels_and_not_with_paths() -> None:
    def kept(size: int, reach: float) -> int:
        image = torch.rand(1, 3, size, size).requires_grad_()
        ends = ((torch.rand(1, 2, 2, size, size) - 0.5) * 2 * reach).requires_grad_()
        return saved_bytes(lambda: flow_blur(image, ends))

    assert kept(40, 2) == kept(40, 16) == 4 * 7 * 40 * 40
    assert kept(80, 16) == 4 * kept(40, 16)


def test_shapes_that_do_not_fit_are_refused() -> None:
    image = torch.rand(1, 1, 8, 9)
    for blur in BLURS.values():
        for ends in (torch.rand(1, 2, 2, 9, 8), torch.rand(2, 2, 2, 8, 9), torch.rand(1, 4, 8, 9)):
            with pytest.raises(ImageError, match="expected"):
                blur(image, ends)
