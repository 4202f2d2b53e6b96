from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operators.scenes import scene, streak
from unblur.errors import ImageError
from unblur.operators.convolution import convolve
from unblur.operators.resample import Method, fit_kernel, resample_kernel, resize, resize_latent, shift

METHODS: tuple[Method, ...] = ("area", "linear", "cubic")


def centroid(kernel: torch.Tensor) -> list[float]:
    """First moments of a kernel (1, *k) about its origin floor(k / 2)."""
    result = []
    for axis, n in enumerate(kernel.shape[1:], start=1):
        position = (torch.arange(n) - n // 2).reshape([-1 if a == axis else 1 for a in range(kernel.ndim)])
        result.append(float((kernel * position).sum() / kernel.sum()))
    return result


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("old", "new"), [((20, 31), (10, 12)), ((9, 8), (27, 13)), ((8, 12, 9), (4, 7, 9))])
def test_a_constant_stays_constant_and_a_ramp_a_ramp(
    old: tuple[int, ...], new: tuple[int, ...], method: Method
) -> None:
    torch.testing.assert_close(resize(torch.full((1, 2, *old), 0.3), new, method), torch.full((1, 2, *new), 0.3))
    position = (torch.arange(old[-1]) + 0.5) / old[-1]
    ramp = resize(position.expand(1, 1, *old), new, method)
    expected = (torch.arange(new[-1]) + 0.5) / new[-1]
    inner = slice(2, -2)
    torch.testing.assert_close(ramp[..., inner], expected.expand(1, 1, *new)[..., inner], atol=2e-3, rtol=0)


def test_halving_is_the_mean_of_blocks() -> None:
    x = torch.rand(1, 1, 8, 10, generator=torch.Generator().manual_seed(0))
    expected = x.reshape(1, 1, 4, 2, 5, 2).mean((3, 5))
    torch.testing.assert_close(resize(x, (4, 5), "area"), expected)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_aliased(method: Method) -> None:
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    inner = resize(stripes, (16, 16), method)[..., 3:-3]
    assert float((inner - 0.5).abs().max()) < 0.05


def test_resize_can_be_differentiated_and_runs_under_autocast() -> None:
    x = torch.rand(1, 1, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: resize(a, (4, 9), "cubic"), (x,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert resize(x.float(), (4, 9)).dtype == torch.float32


@given(
    st.tuples(st.integers(7, 16), st.integers(7, 16)),
    st.tuples(st.floats(0.4, 2.0), st.floats(0.4, 2.0)),
    st.sampled_from(("linear", "cubic")),
)
@settings(max_examples=30, deadline=None)
def test_kernels_keep_sum_and_origin(shape: tuple[int, int], scale: tuple[float, float], method: Method) -> None:
    kernel = torch.zeros(1, *shape)
    kernel[0, shape[0] // 2 - 1 : shape[0] // 2 + 2, shape[1] // 2 - 1 : shape[1] // 2 + 2] = 2 / 9
    new = resample_kernel(kernel, scale, (2 * shape[0] + 5, 2 * shape[1] + 4), method)
    assert abs(float(new.sum()) - 2) < 1e-5
    assert max(map(abs, centroid(new))) < 0.01


def test_kernels_in_3d_keep_their_displacement() -> None:
    kernel = torch.zeros(1, 9, 9, 9)
    kernel[0, 4, 6, 3] = 1
    new = resample_kernel(kernel, (1.0, 2.0, 0.5), (9, 19, 8), "linear")
    assert new.shape == (1, 9, 19, 8)
    assert centroid(new) == pytest.approx([0, 4, -0.5], abs=1e-5)
    assert resample_kernel(kernel, 1.0, (9, 9, 9)).equal(kernel)


@pytest.mark.parametrize("shape", [(5, 5), (4, 4), (9, 12), (3, 11)])
def test_fit_kernel_keeps_the_origin(shape: tuple[int, int]) -> None:
    for old in ((7, 7), (6, 8)):
        kernel = torch.zeros(1, *old)
        kernel[0, old[0] // 2, old[1] // 2] = 1
        fitted = fit_kernel(kernel, shape)
        assert fitted.shape == (1, *shape)
        assert float(fitted[0, shape[0] // 2, shape[1] // 2]) == 1


def test_a_cropped_kernel_keeps_its_sum() -> None:
    assert abs(float(fit_kernel(torch.ones(2, 7, 7) / 49, (3, 3))[1].sum()) - 1) < 1e-6


@pytest.mark.parametrize("scale", [0.5, 0.25, 2 / 3])
@pytest.mark.parametrize("size", [20, 21])
def test_blur_and_resampling_commute(scale: float, size: int) -> None:
    """The observation of a coarse stage is what the coarse latent image and kernel predict."""
    kernel = streak(size)
    latent = scene(120 + size - 1, 120 + size - 1)
    observed = convolve(latent, kernel)
    coarse = (round(120 * scale),) * 2
    for new in (round(size * scale) // 2 * 2 + 1, round(size * scale) // 2 * 2 + 2):
        small = resample_kernel(kernel, scale, (new, new))
        below = resize_latent(latent, (coarse[0] + new - 1,) * 2, scale, (size, size), (new, new))
        target = resize(observed, coarse)
        error = (convolve(below, small) - target)[..., 2:-2, 2:-2]
        moved = (convolve(below, shift(small[None], (0.5, 0.0))[0]) - target)[..., 2:-2, 2:-2]
        assert float(error.std()) < (0.04 if scale >= 0.5 else 0.07) * float(target.std())
        assert float(error.std()) < 0.5 * float(moved.std())


def test_up_and_down_again() -> None:
    kernel = streak(15)
    again = resample_kernel(resample_kernel(kernel, 2.0, (31, 31)), 0.5, (15, 15))
    assert float((again * kernel).sum() / (again.norm() * kernel.norm())) > 0.9


def test_shift() -> None:
    x = scene(30, 40)
    torch.testing.assert_close(shift(x, (2, -3))[..., 4:-4, 4:-4], x.roll((2, -3), (-2, -1))[..., 4:-4, 4:-4])
    ramp = torch.arange(20.0).expand(1, 1, 20, 20)
    torch.testing.assert_close(shift(ramp, (0.0, 0.25))[..., 3:-3], ramp[..., 3:-3] - 0.25)
    assert float(shift(torch.ones(1, 1, 8, 8), (3, 0), edge="zero")[..., :3, :].abs().max()) == 0


def test_what_does_not_fit_is_refused() -> None:
    x = torch.zeros(1, 1, 8, 8)
    for call in (
        lambda: resize(x, (4,)),
        lambda: resize(x, (4, 0)),
        lambda: resize(x, (4, 4), "sinc"),  # type: ignore[arg-type]
        lambda: resample_kernel(x[0], -1.0, (3, 3)),
        lambda: shift(x, (1.0,)),
    ):
        with pytest.raises(ImageError):
            call()
