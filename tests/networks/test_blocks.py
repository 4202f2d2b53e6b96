"""Layers against their plain definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from unblur.errors import ParameterError
from unblur.networks.blocks import Convolution, Head, Norm, UpsampledConvolution, Upsampling, pad


def plain_upsampled_convolution(layer: UpsampledConvolution, x: Tensor, skip: Tensor | None, mode: str) -> Tensor:
    dims = x.ndim - 2
    convolution = F.conv2d if dims == 2 else F.conv3d
    up = F.interpolate(x, scale_factor=2, mode=mode)
    result = convolution(F.pad(up, [1] * 2 * dims, mode="replicate"), layer.weight)
    if skip is not None and layer.skip_weight is not None:
        result = result + convolution(F.pad(skip, [1] * 2 * dims, mode="reflect"), layer.skip_weight)
    return result


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
@pytest.mark.parametrize(("dims", "size"), [(2, (5, 7)), (3, (3, 4, 5))])
@pytest.mark.parametrize("skips", [0, 3])
def test_upsampled_convolution_is_upsampling_concatenation_and_convolution(
    rng: Generator, upsampling: Upsampling, dims: int, size: tuple[int, ...], skips: int
) -> None:
    layer = UpsampledConvolution(4, skips, 6, rng, dims, upsampling)
    x = torch.randn(2, 4, *size, generator=rng, requires_grad=True)
    skip = torch.randn(2, skips, *(2 * n for n in size), generator=rng, requires_grad=True) if skips else None
    mode = upsampling if dims == 2 or upsampling == "nearest" else "trilinear"
    bordered = F.pad(x, (layer.margin,) * 2 * dims, mode="replicate")
    inside = (..., *(slice(layer.margin, layer.margin + 2 * n) for n in size))
    fast, plain = layer(bordered, skip)[inside], plain_upsampled_convolution(layer, x, skip, mode)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)
    probe = torch.randn(plain.shape, generator=rng)
    leaves = [x, layer.weight] + ([] if skip is None else [skip, layer.skip_weight])
    expected = torch.autograd.grad((plain * probe).sum(), leaves)
    for one, other in zip(torch.autograd.grad((fast * probe).sum(), leaves), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_row_too_many_serves_as_the_border(rng: Generator) -> None:
    layer = UpsampledConvolution(2, 0, 3, rng)
    x = torch.randn(1, 2, 6, 5, generator=rng)
    result = layer(x, None, (5, 5))
    assert result.shape == (1, 3, 10, 10)
    torch.testing.assert_close(result, layer(x)[..., :10, :])


def test_a_row_too_many_is_left_out(rng: Generator) -> None:
    layer = UpsampledConvolution(2, 0, 3, rng, upsampling="nearest")
    x = torch.randn(1, 2, 8, 7, generator=rng)
    torch.testing.assert_close(layer(x, None, (5, 5)), layer(x[..., :7, :]))


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_a_skip_of_odd_size_is_extended(rng: Generator, upsampling: Upsampling) -> None:
    layer = UpsampledConvolution(2, 3, 4, rng, 2, upsampling)
    low = 4 + 2 * layer.margin
    x, skip = torch.randn(1, 2, low, low, generator=rng), torch.randn(1, 3, 7, 8, generator=rng)
    result = layer(x, skip)
    assert result.shape == (1, 4, 8 + 2 * layer.margin, 8 + 2 * layer.margin)
    extended = torch.cat([skip, skip[:, :, -2:-1]], 2)
    counts = slice(layer.margin, layer.margin + 7)
    torch.testing.assert_close(result[..., counts, :], layer(x, extended)[..., counts, :])


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_short_axes_are_padded_by_the_border_value(size: int) -> None:
    x = torch.arange(float(size)).view(1, 1, size, 1).expand(1, 1, size, 4)
    padded = pad(x, (1, 1), (2, 2))[0, 0, :, 1]
    expected = {1: [0, 0, 0, 0], 2: [0, 0, 1, 1, 1], 3: [1, 0, 1, 2, 1, 0], 8: [1, *range(8), 6, 5]}[size]
    assert padded.tolist() == expected


@given(
    st.lists(st.tuples(st.integers(4, 7), st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=3),
    st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_gradient_of_reflection_is_its_adjoint(axes: list[tuple[int, int, int]], seed: int) -> None:
    rng = Generator().manual_seed(seed)
    sizes, before, after = zip(*axes, strict=True)
    x = torch.randn(1, 2, *sizes, generator=rng, dtype=torch.float64, requires_grad=True)
    padded = pad(x, before, after)
    probe = torch.randn(padded.shape, generator=rng, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(padded, x, probe)
    assert (gradient * x).sum().item() == pytest.approx((probe * padded).sum().item(), abs=1e-9)


@pytest.mark.parametrize(("stride", "expected"), [(1, (7, 10)), (2, (4, 5))])
def test_sizes_of_convolutions(rng: Generator, stride: int, expected: tuple[int, int]) -> None:
    assert Convolution(2, 3, rng, stride=stride)(torch.zeros(1, 2, 7, 10)).shape == (1, 3, *expected)


def test_norm_has_zero_mean_and_unit_variance(rng: Generator) -> None:
    out = Norm(4)(3 + 5 * torch.randn(1, 4, 20, 20, generator=rng))
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.var((0, 2, 3), correction=0), torch.ones(4), rtol=0, atol=1e-4)


def test_norm_of_a_single_pixel_keeps_its_value() -> None:
    pixel = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1)
    assert Norm(2, 0.5)(pixel).flatten().tolist() == [1.0, -1.0]


def test_head_stays_float32_under_autocast(rng: Generator) -> None:
    features = torch.randn(1, 16, 5, 5, generator=rng)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = Head(16, 2, rng)(features.bfloat16())
    assert out.dtype == torch.float32
    assert out.shape == (1, 2, 5, 5)


@pytest.mark.parametrize("spatial", [(70, 71), (5, 6, 7)])
def test_head_of_narrow_features_has_the_gradients_of_wide_ones(rng: Generator, spatial: tuple[int, ...]) -> None:
    features = torch.randn(2, 8, *spatial, generator=rng).bfloat16().requires_grad_()
    wide = features.detach().float().requires_grad_()
    head, slope = Head(8, 3, rng), torch.randn(2, 3, *spatial, generator=rng)
    narrow_image, wide_image = head(features), head(wide)
    torch.testing.assert_close(narrow_image, wide_image)
    parts = [head.weight, head.bias]
    narrow = torch.autograd.grad(narrow_image, [features, *parts], slope)
    expected = torch.autograd.grad(wide_image, [wide, *parts], slope)
    for one, other in zip(narrow, expected, strict=True):
        assert one.dtype == (torch.bfloat16 if one.shape == features.shape else torch.float32)
        assert (one.float() - other).norm() < 0.01 * other.norm()


def test_unknown_names_are_refused(rng: Generator) -> None:
    with pytest.raises(ParameterError, match="head 'tanh': choose one of sigmoid"):
        Head(4, 1, rng, "tanh")
    with pytest.raises(ParameterError, match="upsampling 'cubic': choose one of bilinear"):
        UpsampledConvolution(4, 0, 4, rng, 2, "cubic")  # type: ignore[arg-type]
