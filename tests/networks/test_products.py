"""Convolutions by matrix products against the library's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from unblur.networks import blocks, products
from unblur.networks.encoder_decoder import EncoderDecoder


@settings(max_examples=60, deadline=None)
@given(
    dims=st.integers(2, 3),
    batch=st.integers(1, 2),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    taps=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    beyond=st.tuples(*[st.integers(0, 9)] * 3),
    biased=st.booleans(),
)
def test_convolution_and_its_gradients_are_the_librarys(
    dims: int,
    batch: int,
    inputs: int,
    outputs: int,
    taps: int,
    stride: int,
    padding: int,
    beyond: tuple[int, int, int],
    biased: bool,
) -> None:
    rng = Generator().manual_seed(0)
    x = blocks.channels_last(torch.randn(batch, inputs, *(taps + more for more in beyond[:dims]), generator=rng))
    weight = torch.randn(outputs, inputs, *(taps,) * dims, generator=rng)
    leaves = [x, weight] + [torch.randn(outputs, generator=rng)] * biased
    for leaf in leaves:
        leaf.requires_grad_()
    bias = leaves[2] if biased else None
    # In float64: with AVX2 the library's float32 form writes past the gradient of a weight with one tap and a stride.
    library = F.conv2d if dims == 2 else F.conv3d
    expected = library(x.double(), weight.double(), None if bias is None else bias.double(), stride, padding).float()
    result = products.convolve(x, weight, bias, stride, padding)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    probe = torch.randn(expected.shape, generator=rng)
    gradients = torch.autograd.grad((result * probe).sum(), leaves)
    for one, other in zip(gradients, torch.autograd.grad((expected * probe).sum(), leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("taps", [1, 3])
def test_bfloat16_is_the_librarys(rng: Generator, taps: int) -> None:
    x = blocks.channels_last(torch.randn(1, 6, 20, 17, generator=rng))
    weight = torch.randn(4, 6, taps, taps, generator=rng)
    bias = torch.randn(4, generator=rng)
    leaves = [x, weight, bias]
    for leaf in leaves:
        leaf.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = F.conv2d(x, weight, bias, 1, 1)
        result = products.convolve(x, weight, bias, 1, 1)
    assert result.dtype == expected.dtype == torch.bfloat16
    # Neither may be off by more than the rounding of a sum to eight bits.
    torch.testing.assert_close(result, expected, rtol=2**-7, atol=2**-7)
    probe = torch.randn(expected.shape, generator=rng)
    gradients = torch.autograd.grad((result * probe).sum(), leaves)
    for leaf, one, other in zip(leaves, gradients, torch.autograd.grad((expected * probe).sum(), leaves), strict=True):
        assert one.dtype == leaf.dtype
        torch.testing.assert_close(one, other, rtol=2**-6, atol=2**-4)


def test_small_volumes_take_them_on_any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    weight = torch.zeros(16, 16, 3, 3, 3)
    assert products.pays(torch.zeros(1, 16, 8, 32, 32), weight, 1)
    assert not products.pays(torch.zeros(1, 16, 64, 32, 32), weight, 1)
    assert not products.pays(torch.zeros(1, 16, 8, 32, 32), weight, 2)


def test_many_blocks_of_pixels_add_up(rng: Generator) -> None:
    x = blocks.channels_last(torch.randn(1, 3, 120, 100, generator=rng))
    gradient = torch.randn(1, 2, 118, 98, generator=rng)
    weight = torch.zeros(2, 3, 3, 3)
    expected = torch.nn.grad.conv2d_weight(x.double(), weight.shape, gradient.double())
    torch.testing.assert_close(
        products.weight_gradient(x, gradient, (3, 3), 1).double(), expected, rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize(
    ("capability", "dtype", "used"),
    [("AVX2", "float32", True), ("AVX512", "float32", False), ("AVX2", "bfloat16", True)],
)
def test_networks_take_them_where_they_pay(
    monkeypatch: pytest.MonkeyPatch, capability: str, dtype: str, used: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    calls = []
    real = products.convolve

    def watched(*arguments: object) -> object:
        calls.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(products, "convolve", watched)
    network = EncoderDecoder(4, 1, rng=Generator().manual_seed(0), levels=2, channels=8)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        network(torch.rand(1, 4, 20, 20, generator=Generator().manual_seed(1))).sum().backward()
    assert bool(calls) == used


def test_a_network_does_not_depend_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for capability in ("AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        network = EncoderDecoder(4, 1, rng=Generator().manual_seed(0), levels=2, channels=8)
        target = torch.rand(1, 1, 21, 19, generator=Generator().manual_seed(1))
        (network(torch.rand(1, 4, 21, 19, generator=Generator().manual_seed(2))) - target).square().mean().backward()
        gradients.append([weight.grad for weight in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
