"""Networks as wholes: shapes, determinism, gradients, precision, and that they learn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor, nn

from unblur.errors import ImageError, ParameterError
from unblur.networks.encoder_decoder import EncoderDecoder
from unblur.networks.fully_connected import FullyConnected
from unblur.networks.initialise import seeded
from unblur.networks.kernel_unet import KernelUNet
from unblur.networks.siren import Siren, pixel_positions
from unblur.networks.unet import UNet

Make = Callable[[Generator], nn.Module]
SMALL: dict[str, Make] = {
    "encoder-decoder": lambda rng: EncoderDecoder(4, 2, rng=rng, levels=3, channels=16, skip_channels=4),
    "without skips": lambda rng: EncoderDecoder(4, 2, rng=rng, levels=2, channels=16, skip_channels=0),
    "nearest": lambda rng: EncoderDecoder(4, 2, rng=rng, levels=2, channels=[8, 16], upsampling="nearest"),
    "u-net": lambda rng: UNet(4, 2, rng=rng, levels=2, channels=[8, 16], convolutions=2),
    "kernel u-net": lambda rng: KernelUNet(4, rng=rng, count=2, levels=2, channels=[8, 16]),
}
each_network = pytest.mark.parametrize("make", SMALL.values(), ids=SMALL.keys())


def generator(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def noise(rng: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=rng)


@each_network
@pytest.mark.parametrize("size", [(1, 1), (3, 8), (13, 17), (32, 32)])
def test_output_has_the_size_of_the_input(rng: Generator, make: Make, size: tuple[int, int]) -> None:
    out = make(rng)(noise(rng, 1, 4, *size))
    assert out.shape == (1, 2, *size)
    assert out.isfinite().all()


@pytest.mark.parametrize("size", [(1, 9, 12), (5, 7, 6)])
@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_volumes(rng: Generator, size: tuple[int, int, int], upsampling: str) -> None:
    network = EncoderDecoder(3, 1, rng=rng, levels=2, channels=8, skip_channels=4, dims=3, upsampling=upsampling)  # type: ignore[arg-type]
    assert network(noise(rng, 1, 3, *size)).shape == (1, 1, *size)
    kernels = KernelUNet(3, rng=rng, count=2, levels=2, channels=8, dims=3)
    assert kernels(noise(rng, 1, 3, *size)).shape == (1, 2, *size)


@each_network
def test_same_seed_same_bits(make: Make) -> None:
    def run(seed: int) -> Tensor:
        rng = generator(seed)
        network = make(rng)
        return network(noise(rng, 1, 4, 12, 12), rng=rng, dropout=0.3)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


@each_network
def test_gradient_reaches_every_parameter(rng: Generator, make: Make) -> None:
    network = make(rng)
    out = network(noise(rng, 1, 4, 16, 16))
    (out * noise(rng, *out.shape)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not name.endswith(".0.bias"):
            assert parameter.grad.abs().max() > 0, name


@each_network
def test_dropout_only_with_a_generator(rng: Generator, make: Make) -> None:
    network, z = make(rng), noise(rng, 1, 4, 12, 12)
    still = network(z)
    assert torch.equal(network(z, dropout=0.3), still)
    assert torch.equal(network(z, rng=rng), still)
    one, other = network(z, rng=rng, dropout=0.3), network(z, rng=rng, dropout=0.3)
    assert not torch.equal(one, other)


def test_bfloat16_is_close_to_float32(rng: Generator) -> None:
    network, z = EncoderDecoder(8, 1, rng=rng, levels=3, channels=32), noise(rng, 1, 8, 40, 40)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    exact = network(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(z)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 0.06
    assert torch.corrcoef(torch.stack([rounded.flatten(), exact.flatten()]))[0, 1] > 0.999


def test_weights_serve_every_size_and_survive_saving(rng: Generator) -> None:
    network, other = (EncoderDecoder(4, 1, rng=rng, levels=2, channels=8) for _ in range(2))
    other.load_state_dict(network.state_dict())
    for size in (16, 33):
        z = noise(rng, 1, 4, size, size)
        assert torch.equal(network(z, rng=generator(1), dropout=0.2), other(z, rng=generator(1), dropout=0.2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fits_a_smooth_image(dtype: torch.dtype) -> None:
    rng = generator(0)
    row = torch.linspace(0, 1, 32)
    image = 0.5 + 0.4 * torch.sin(5 * row[:, None]) * torch.cos(4 * row[None])
    network = EncoderDecoder(4, 1, rng=rng, levels=3, channels=16, skip_channels=4)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    z = noise(rng, 1, 4, 32, 32)
    for _ in range(120):
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = network(z)
        loss = (out[0, 0] - image).square().mean()
        loss.backward()
        optimiser.step()
    assert loss.item() < 2e-3 < image.var().item() / 20


def test_impossible_requests_are_refused(rng: Generator) -> None:
    with pytest.raises(ParameterError, match="dims 4"):
        EncoderDecoder(1, 1, rng=rng, dims=4)
    with pytest.raises(ParameterError, match="one for each of 5 levels"):
        EncoderDecoder(1, 1, rng=rng, channels=[32, 64])
    with pytest.raises(ParameterError, match="at least one"):
        UNet(1, 1, rng=rng, levels=0)
    network = EncoderDecoder(1, 1, rng=rng, levels=1, channels=8)
    with pytest.raises(ImageError, match="2 spatial axes"):
        network(torch.zeros(1, 8, 8))
    with pytest.raises(ParameterError, match="outside"):
        network(torch.zeros(1, 1, 8, 8), rng=rng, dropout=1.5)


def test_heads_spread_from_the_first_kernel(rng: Generator) -> None:
    network, z = KernelUNet(4, rng=rng, levels=2, channels=8), noise(rng, 1, 4, 11, 11)
    single = network(z)
    network.spread(6)
    many = network(z)
    assert many.shape == (1, 6, 11, 11)
    torch.testing.assert_close(many, single.expand(1, 6, 11, 11))
    many[:, 3].sum().backward()
    gradient = network.head.weight.grad
    assert gradient is not None
    assert gradient[3].abs().max() > 0
    assert gradient[[0, 1, 2, 4, 5]].abs().max() == 0


def test_fully_connected(rng: Generator) -> None:
    network = FullyConnected((9, 11), rng=rng, hidden=50)
    assert network(noise(rng, 200)).shape == (9, 11)
    assert sum(p.numel() for p in network.parameters()) == 200 * 50 + 50 + 50 * 99 + 99


@pytest.mark.parametrize("shape", [(9, 8), (5, 4, 7)])
def test_siren_on_a_finer_grid_and_a_smaller_support_agrees_where_they_meet(
    rng: Generator, shape: tuple[int, ...]
) -> None:
    network = Siren(shape, rng=rng, hidden=16)
    coarse = network(pixel_positions(shape))
    fine_shape = tuple(2 * n for n in shape)
    fine = network(pixel_positions(fine_shape, 0.5, [2 * (n // 2) for n in shape]))
    torch.testing.assert_close(fine[tuple(slice(None, None, 2) for _ in shape)], coarse)
    small = network(pixel_positions((3,) * len(shape)))
    window = tuple(slice(n // 2 - 1, n // 2 + 2) for n in shape)
    torch.testing.assert_close(small, coarse[window])


def test_siren_starts_with_unit_variance_before_every_sine(rng: Generator) -> None:
    """Sitzmann et al., section 3.2: the initialisation keeps the distribution of activations through the layers."""
    network = Siren((101, 101), rng=rng, hidden=256, layers=5)
    scaled = 2 * pixel_positions((101, 101)) / network.extent
    x = torch.sin(network.frequencies[0] * nn.functional.linear(scaled, network.weights[0], network.biases[0]))
    for weight, frequency in zip(list(network.weights)[1:-1], network.frequencies[1:], strict=True):
        before = frequency * nn.functional.linear(x, weight)
        assert before.std().item() == pytest.approx(1, rel=0.25)
        x = torch.sin(before)


def test_guard_gives_the_same_weights_and_leaves_the_global_generator(rng: Generator) -> None:
    with seeded(generator(5)):
        one = nn.Linear(3, 3)
    with seeded(generator(5)):
        other = nn.Linear(3, 3)
    assert torch.equal(one.weight, other.weight)


def test_guard_leaves_the_global_generator_after_an_error(rng: Generator) -> None:
    with pytest.raises(RuntimeError, match="shape"), seeded(rng):
        torch.rand(5).view(4)
