"""The random image network and the kernel network as priors: schedules, randomness, shapes, parameters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.mapk.small import CPU, composition, generator, problem
from unblur import Part
from unblur.components import Clock, Context, KernelSpec, Transfer
from unblur.params import validate
from unblur.problem import Problem
from unblur_mapk.networks import KernelUNetPrior, RandomUNetPrior
from unblur_mapk.params import KernelUNetParams, RandomUNetParams
from unblur_mapk.presets import PRESETS

SMALL = {"levels": 2, "channels": (8,), "input_channels": 4}


def image_prior(**params: object) -> Problem:
    return problem(composition(image=params))


def draw(trial: Problem, fraction: float, seed: int | None) -> Tensor:
    rng = None if seed is None else generator(seed)
    return trial.draw(trial.batch, Clock(round(1000 * fraction), 1000), rng).latent.detach()


def kernel_prior(count: int = 1, shape: tuple[int, ...] = (7, 9), seed: int = 0, **params: object) -> KernelUNetPrior:
    prior = KernelUNetPrior(validate(KernelUNetParams, {**SMALL, **params}))
    kind = "single" if count == 1 else "grid"
    prior.init(KernelSpec(shape, count, kind), Context(CPU, generator(seed)))  # type: ignore[arg-type]
    return prior


def kernel(prior: KernelUNetPrior, fraction: float = 0.0, seed: int | None = None) -> Tensor:
    rng = None if seed is None else generator(seed)
    return prior.kernel(torch.zeros(1), Clock(round(1000 * fraction), 1000), rng).detach()


def spread(samples: list[Tensor]) -> float:
    return float(torch.stack(samples).std(0).mean())


@pytest.mark.parametrize(
    ("schedules", "drop"),
    [
        ({"noise": ((0.0, 0.05), (0.7, 0.001)), "dropout": 0.0}, 0.7),
        ({"noise": 0.0, "dropout": ((0.0, 0.3), (0.3, 0.001))}, 0.3),
    ],
    ids=["noise", "dropout"],
)
def test_samples_follow_their_schedule(schedules: dict[str, object], drop: float) -> None:
    trial = image_prior(**schedules)
    before, after = ([draw(trial, fraction, seed) for seed in range(8)] for fraction in (drop - 0.001, drop))
    assert spread(before) > 5 * spread(after) > 0
    assert torch.equal(before[0], draw(trial, 0.0, 0)), "the rate is constant until it drops"
    assert torch.equal(after[0], draw(trial, 1.0, 0)), "and after it"


def test_noise_and_dropout_of_the_paper() -> None:
    """Section 3.1 with 5000 steps: 0.3 for 1500 steps and 0.001 after, 0.01 for 3500 steps and 0.001 after."""
    params = RandomUNetParams()
    assert params.dropout == ((0.0, 0.3), (1500 / 5000, 0.001))
    assert params.noise == ((0.0, 0.01), (3500 / 5000, 0.001))
    assert PRESETS["paper"].stages[0].steps == 5000


def test_without_a_generator_both_networks_are_quiet() -> None:
    trial = image_prior()
    assert torch.equal(draw(trial, 0.0, None), draw(trial, 0.9, None))
    assert not torch.equal(draw(trial, 0.0, None), draw(trial, 0.0, 0))
    prior = kernel_prior(noise=0.05, dropout=0.1)
    assert torch.equal(kernel(prior), kernel(prior))


def test_kernel_network_is_random_only_where_asked() -> None:
    quiet = kernel_prior()
    assert torch.equal(kernel(quiet, seed=1), kernel(quiet, seed=2))
    for params in ({"noise": ((0.0, 0.05), (0.5, 0.0))}, {"dropout": ((0.0, 0.1), (0.5, 0.0))}):
        prior = kernel_prior(**params)
        assert not torch.equal(kernel(prior, seed=1), kernel(prior, seed=2))
        assert torch.equal(kernel(prior, 0.5, seed=1), kernel(prior, 0.5))


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (11, 27), (3, 5, 4)])
@pytest.mark.parametrize("count", [1, 3])
def test_kernels_are_positive_and_sum_to_one(shape: tuple[int, ...], count: int) -> None:
    found = kernel(kernel_prior(count, shape, levels=4))
    assert found.shape == (count, *shape)
    assert found.min() > 0 or found.numel() == count
    torch.testing.assert_close(found.flatten(1).sum(1), torch.ones(count))


def test_kernels_of_a_grid_share_a_trunk_and_have_heads_of_their_own() -> None:
    one, three = kernel_prior(1), kernel_prior(3)
    assert not torch.equal(*kernel(three)[:2])
    sizes = [sum(p.numel() for p in prior.parameters()) for prior in (one, three)]
    assert sizes[1] < 1.5 * sizes[0] * 3 / 2


@pytest.mark.parametrize("later", [(7, 9), (13, 17)])
def test_a_later_stage_begins_with_the_kernel_found(later: tuple[int, ...]) -> None:
    wanted = torch.zeros(1, *later)
    for step in range(5):
        wanted[0, 1 + step, 2 + step] = 1 + step
    wanted /= wanted.sum()
    prior = kernel_prior(shape=later, channels=(32,), seed=1)
    same = Transfer(lambda x: x, lambda x: x)
    with torch.no_grad():
        prior.start_from(kernel_prior(), wanted, same)
    found = kernel(prior)
    cosine = float((found * wanted).sum() / (found.norm() * wanted.norm()))
    assert cosine > 0.95


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_share_one_kernel(channels: int) -> None:
    trial = problem(composition(), channels=channels)
    assert draw(trial, 0.0, 0).shape == (1, channels, 34, 39)
    assert trial.kernel(draw(trial, 0.0, 0), Clock(0, 10), None).shape == (1, 5, 7)


def test_networks_of_the_paper() -> None:
    """Section 3.1: 6 levels of 128 channels, 4 levels of 64, LeakyReLU 0.1, inputs from U(0, 0.1)."""
    paper = PRESETS["paper"]
    assert (paper.slots["image_prior"][0], paper.slots["kernel_prior"][0]) == (Part("random-unet"), Part("kernel-unet"))
    prior = RandomUNetPrior(RandomUNetParams())
    network = prior.build(1, 2, "sigmoid", generator(0))
    assert len(network.levels) == 6  # type: ignore[arg-type]
    assert network.levels[0].up.weight.shape[0] == 128  # type: ignore[index, union-attr]
    assert network.levels[0].features[1].slope == 0.1  # type: ignore[index, union-attr]
    kernels = KernelUNetPrior(KernelUNetParams())
    kernels.init(KernelSpec((19, 19), 1, "single"), Context(CPU, generator(0)))
    assert len(kernels.network.levels) == 4  # type: ignore[arg-type]
    assert kernels.network.levels[0].up.weight.shape[0] == 64  # type: ignore[index, union-attr]
    assert 0 <= float(kernels.input.min()) < float(kernels.input.max()) <= 0.1
