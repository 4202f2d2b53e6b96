from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve

from unblur.errors import ImageError
from unblur.operators.convolution import Boundary, Convolution, convolve, convolve_adjoint, kernel_adjoint
from unblur.operators.fourier import fast_length

BOUNDARIES: tuple[Boundary, ...] = ("valid", "same", "periodic")


def tensors(seed: int, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=rng, dtype=dtype) for s in shapes]


@st.composite
def problems(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], Boundary]:
    """Latent (frames, channels, *n), explicit kernel (frames or 1, channels or 1, *k) and a boundary."""
    dims = draw(st.sampled_from((2, 3)))
    kernel = tuple(draw(st.integers(1, 6)) for _ in range(dims))
    latent = tuple(k + draw(st.integers(0, 12 if dims == 2 else 6)) for k in kernel)
    frames, channels = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    lead = (draw(st.sampled_from((1, frames))), draw(st.sampled_from((1, channels))))
    return (frames, channels, *latent), (*lead, *kernel), draw(st.sampled_from(BOUNDARIES))


@given(problems(), st.sampled_from([(torch.float64, 1e-6), (torch.float32, 1e-4)]), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_adjoints(
    problem: tuple[tuple[int, ...], tuple[int, ...], Boundary], precision: tuple[torch.dtype, float], seed: int
) -> None:
    latent_shape, kernel_shape, boundary = problem
    dtype, tolerance = precision
    x, k = tensors(seed, latent_shape, kernel_shape, dtype=dtype)
    y = convolve(x, k, boundary)
    (r,) = tensors(seed + 1, tuple(y.shape), dtype=dtype)
    inner = (y * r).sum()
    scale = y.norm() * r.norm() + 1e-30
    back = convolve_adjoint(r, k, latent_shape[2:], boundary)
    to_kernel = kernel_adjoint(r, x, kernel_shape, boundary)
    assert y.dtype == back.dtype == to_kernel.dtype == dtype
    assert back.shape == x.shape
    assert to_kernel.shape == k.shape
    assert abs((x * back).sum() - inner) < tolerance * scale
    assert abs((k * to_kernel).sum() - inner) < tolerance * scale
    operator = Convolution(k, latent_shape, boundary)
    torch.testing.assert_close(operator.forward(x), y)
    torch.testing.assert_close(operator.adjoint(r), back)


@given(problems(), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_gradients_are_the_adjoints(problem: tuple[tuple[int, ...], tuple[int, ...], Boundary], seed: int) -> None:
    latent_shape, kernel_shape, boundary = problem
    x, k = (t.requires_grad_() for t in tensors(seed, latent_shape, kernel_shape))
    y = convolve(x, k, boundary)
    (r,) = tensors(seed + 1, tuple(y.shape))
    gx, gk = torch.autograd.grad(y, (x, k), r)
    torch.testing.assert_close(gx, convolve_adjoint(r, k, latent_shape[2:], boundary))
    torch.testing.assert_close(gk, kernel_adjoint(r, x, kernel_shape, boundary))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("size", "kernel"), [((4, 5), (3, 4)), ((3, 4, 2), (2, 3, 1))])
def test_gradcheck(size: tuple[int, ...], kernel: tuple[int, ...], boundary: Boundary) -> None:
    x, k = (t.requires_grad_() for t in tensors(3, (1, 1, *size), (1, *kernel)))
    assert torch.autograd.gradcheck(lambda a, b: convolve(a, b, boundary), (x, k))
    operator = Convolution(k.detach(), size, boundary)
    assert torch.autograd.gradcheck(operator.forward, (x,))
    assert torch.autograd.gradgradcheck(operator.forward, (x,))


@pytest.mark.parametrize("kernel", [(5, 5), (4, 6), (1, 3), (3, 4, 5), (2, 2, 2)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_agrees_with_scipy(kernel: tuple[int, ...], boundary: Boundary) -> None:
    size = (17, 14, 9)[: len(kernel)]
    x, k = tensors(5, (1, 1, *size), (1, *kernel))
    full = fftconvolve(x[0, 0].numpy(), k[0].numpy(), mode="full")
    if boundary == "valid":
        expected = fftconvolve(x[0, 0].numpy(), k[0].numpy(), mode="valid")
    elif boundary == "same":
        expected = full[tuple(slice(n // 2, n // 2 + m) for n, m in zip(kernel, size, strict=True))]
    else:
        expected = np.zeros(size)
        for index in np.ndindex(*kernel):
            step = tuple(i - n // 2 for i, n in zip(index, kernel, strict=True))
            expected += k[0][index].item() * np.roll(x[0, 0].numpy(), step, range(len(size)))
    np.testing.assert_allclose(convolve(x, k, boundary)[0, 0].numpy(), expected, atol=1e-10)


def test_same_with_a_kernel_larger_than_the_image() -> None:
    x, k = tensors(5, (1, 1, 4, 5), (1, 9, 14))
    full = fftconvolve(x[0, 0].numpy(), k[0].numpy(), mode="full")
    np.testing.assert_allclose(convolve(x, k, "same")[0, 0].numpy(), full[4:8, 7:12], atol=1e-10)


@pytest.mark.parametrize("kernel", [(5, 5), (4, 6), (3, 4, 5)])
@pytest.mark.parametrize("boundary", ["same", "periodic"])
def test_delta_at_the_origin_is_the_identity(kernel: tuple[int, ...], boundary: Boundary) -> None:
    (x,) = tensors(5, (1, 2, *(11, 12, 13)[: len(kernel)]), dtype=torch.float32)
    k = torch.zeros(1, *kernel)
    k[(0, *(n // 2 for n in kernel))] = 1
    torch.testing.assert_close(convolve(x, k, boundary), x)


def test_periodic_keeps_the_flux_and_valid_a_constant() -> None:
    (k,) = tensors(5, (1, 7, 8), dtype=torch.float32)
    k = k.abs() / k.abs().sum()
    x = torch.rand(1, 1, 33, 41, generator=torch.Generator().manual_seed(0))
    assert abs(convolve(x, k, "periodic").sum() / x.sum() - 1) < 1e-5
    torch.testing.assert_close(convolve(torch.ones_like(x), k, "valid"), torch.ones(1, 1, 27, 34))


def test_counted_kernels() -> None:
    x, k = tensors(5, (2, 3, 9, 9), (3, 3, 3))
    per_channel = convolve(x, k)
    per_frame = convolve(x, k[:2])
    torch.testing.assert_close(per_channel[:, 1:2], convolve(x[:, 1:2], k[1:2]))
    torch.testing.assert_close(per_frame[1:], convolve(x[1:], k[1:2]))
    torch.testing.assert_close(
        kernel_adjoint(per_channel, x, (3, 3, 3)), kernel_adjoint(per_channel, x, (1, 3, 3, 3))[0]
    )
    assert kernel_adjoint(per_channel, x, (3, 3)).shape == (1, 3, 3)


def test_one_image_under_many_kernels_sums_its_gradient() -> None:
    x, k = tensors(5, (1, 1, 9, 9), (4, 1, 3, 3))
    operator = Convolution(k, (4, 1, 9, 9), "same")
    x.requires_grad_()
    assert operator.forward(x).shape == (4, 1, 9, 9)
    assert torch.autograd.gradcheck(operator.forward, (x,))


@pytest.mark.parametrize(
    ("latent", "kernel", "boundary", "says"),
    [
        ((1, 1, 5, 5), (1, 7, 7), "valid", "smaller than the kernel"),
        ((1, 1, 5, 5), (1, 7, 7), "periodic", "smaller than the kernel"),
        ((1, 1, 9, 9), (2, 3, 3), "valid", "do not fit"),
        ((2, 2, 9, 9), (2, 3, 3), "valid", "give the kernels as"),
        ((1, 1, 9, 9, 9), (1, 3, 3), "valid", "do not fit"),
        ((1, 9, 9), (1, 3, 3), "valid", "expected (frames, channels"),
        ((1, 1, 9, 9), (1, 3, 3), "mirror", "choose one of"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    latent: tuple[int, ...], kernel: tuple[int, ...], boundary: Boundary, says: str
) -> None:
    with pytest.raises(ImageError) as caught:
        convolve(torch.zeros(latent), torch.zeros(kernel), boundary)
    assert says in str(caught.value)


def test_residual_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ImageError, match="residual"):
        convolve_adjoint(torch.zeros(1, 1, 9, 9), torch.zeros(1, 3, 3), (9, 9), "valid")
    with pytest.raises(ImageError, match="latent image"):
        Convolution(torch.zeros(1, 3, 3), (9, 9)).forward(torch.zeros(1, 1, 8, 9))


def test_half_precision_is_computed_in_float32() -> None:
    x, k = tensors(5, (1, 1, 20, 20), (1, 5, 5), dtype=torch.float32)
    half = x.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = convolve(half, k.bfloat16())
        operator = Convolution(k, (20, 20))
        z = operator.forward(half)
    (gradient,) = torch.autograd.grad(y.sum() + z.sum(), half)
    assert y.dtype == z.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(y, convolve(x.bfloat16().float(), k.bfloat16().float()))


@given(st.integers(1, 5000))
def test_fast_lengths(n: int) -> None:
    length = fast_length(n)
    assert n <= length <= max(n + 1, round(1.13 * n))
    assert length % 2 == 0 or length <= 16
    for prime in (2, 3, 5, 7):
        while length % prime == 0:
            length //= prime
    assert length in (1, 11)
