"""Noise and dropout from pools: statistics, repeatability, resuming."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor, nn

from unblur.errors import ParameterError
from unblur.networks.initialise import seeded
from unblur.networks.randomness import GaussianNoise, RandomPool, Sampler


def opened(pool: RandomPool, rng: Generator) -> Sampler:
    sampler = pool.open(rng)
    assert sampler is not None
    return sampler


def generator(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("rate", [0.001, 0.3, 0.75])
def test_dropout_drops_its_share_and_keeps_the_mean(rng: Generator, rate: float) -> None:
    out = opened(RandomPool(rng), rng).dropout(torch.ones(1_000_000), rate)
    dropped = (out == 0).float().mean().item()
    error = (rate * (1 - rate) / 1e6) ** 0.5
    assert abs(dropped - rate) < 5 * error + 1e-5
    torch.testing.assert_close(out[out != 0].unique(), torch.tensor([1 / (1 - rate)]), rtol=1e-4, atol=0)


def test_passes_and_calls_differ_and_are_uncorrelated(rng: Generator) -> None:
    pool, x = RandomPool(rng), torch.ones(8, 64, 64)
    first, second = opened(pool, rng), opened(pool, rng)
    masks = torch.stack([first.dropout(x, 0.5), first.dropout(x, 0.5), second.dropout(x, 0.5)]).flatten(1)
    assert (torch.corrcoef(masks) - torch.eye(3)).abs().max() < 0.03


def test_an_element_meets_all_values_over_many_passes(rng: Generator) -> None:
    pool, x = RandomPool(rng), torch.zeros(2, 3)
    draws = torch.stack([opened(pool, rng).normal(x) for _ in range(4000)]).flatten(1)
    assert draws.mean(0).abs().max() < 5 / 4000**0.5
    assert (draws.std(0) - 1).abs().max() < 0.06
    assert (torch.corrcoef(draws.T) - torch.eye(6)).abs().max() < 0.08


def test_normal_numbers_are_normal(rng: Generator) -> None:
    x = opened(RandomPool(rng), rng).normal(torch.zeros(1000, 1000)).flatten()
    assert abs(x.mean().item()) < 5e-3
    assert abs(x.std().item() - 1) < 5e-3
    assert abs((x.abs() < 1).float().mean().item() - 0.6827) < 5e-3


def test_rates_for_each_element(rng: Generator) -> None:
    rates = torch.tensor([0.0, 0.1, 0.45]).view(3, 1)
    out = opened(RandomPool(rng), rng).dropout(torch.ones(3, 200_000), rates)
    torch.testing.assert_close((out == 0).float().mean(1), rates.flatten(), rtol=0, atol=6e-3)
    torch.testing.assert_close(out.mean(1), torch.ones(3), rtol=0, atol=6e-3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 5))
def test_a_resumed_run_draws_the_same_bits(seed: int, steps: int) -> None:
    rng = generator(seed)
    noise, x = GaussianNoise(rng), torch.zeros(1, 2, 9, 9)
    for _ in range(steps):
        noise(x, 0.1, rng)
    buffer = io.BytesIO()
    torch.save({"network": noise.state_dict(), "rng": rng.get_state()}, buffer)
    expected = [noise(x, 0.1, rng) for _ in range(3)]

    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed, fresh = GaussianNoise(generator(1)), generator(2)
    resumed(x, 0.1, fresh)
    resumed.load_state_dict(saved["network"])
    fresh.set_state(saved["rng"])
    assert all(torch.equal(resumed(x, 0.1, fresh), one) for one in expected)


def test_looking_with_another_generator_and_size_changes_nothing(rng: Generator) -> None:
    def draws(look: bool) -> list[torch.Tensor]:
        own = generator(3)
        pool, x = RandomPool(own), torch.ones(2, 100)
        out = []
        for _ in range(3):
            out.append(opened(pool, own).dropout(x, 0.3))
            if look:
                opened(pool, rng).dropout(torch.ones(1200, 1000), 0.3)
        return out

    assert all(torch.equal(one, other) for one, other in zip(draws(True), draws(False), strict=True))


def test_without_a_generator_there_is_no_randomness(rng: Generator) -> None:
    noise, x = GaussianNoise(rng), torch.randn(1, 2, 4, 4, generator=rng)
    assert noise(x, 0.5, None) is x
    assert noise.pool.open(None) is None


def test_windows_follow_the_memory_format(rng: Generator) -> None:
    x = torch.ones(1, 4, 6, 6).contiguous(memory_format=torch.channels_last)
    out = opened(RandomPool(rng), rng).dropout(x, 0.5)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_impossible_rates_are_refused(rng: Generator, rate: float) -> None:
    with pytest.raises(ParameterError, match="outside"):
        opened(RandomPool(rng), rng).dropout(torch.ones(3), rate)


def test_a_negative_deviation_is_refused(rng: Generator) -> None:
    with pytest.raises(ParameterError, match="negative"):
        GaussianNoise(rng)(torch.ones(3), -1.0, rng)


def test_networks_made_in_threads_are_those_of_their_seeds() -> None:
    def made(seed: int) -> Tensor:
        with seeded(torch.Generator().manual_seed(seed)):
            return torch.cat([nn.Linear(40, 40).weight.detach() for _ in range(20)])

    alone = [made(seed) for seed in range(4)]
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(made, list(range(4)) * 5))
    for number, weights in enumerate(together):
        assert torch.equal(weights, alone[number % 4])
    assert torch.equal(torch.random.get_rng_state(), before)
