"""Spatially-adaptive dropout, eq. 15, against a direct computation, and what masks do."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.sadropout.small import generator
from unblur_sadropout.dropout import AdaptiveDropout, Variances, scaled
from unblur_sadropout.network import DropoutUNet, keep


def variances() -> list[torch.Tensor]:
    return [torch.rand((1, 4, 5, 6), generator=generator(1)), 10 * torch.rand((1, 2, 3, 3), generator=generator(2))]


def test_equation_15() -> None:
    dropout = AdaptiveDropout([0.1, 0.45], generator())
    dropout.adapt(variances())
    for ratio, variance, first in zip(dropout.ratios, variances(), (0.1, 0.45), strict=True):
        stretched = 0.5 + (variance - variance.min()) / (variance.max() - variance.min())
        torch.testing.assert_close(ratio, (stretched * first).clamp(max=0.5), atol=1e-5, rtol=0)


def test_ratios_multiply_the_initial_ones_unless_they_compound() -> None:
    once, twice, compound = (AdaptiveDropout([0.1, 0.4], generator()) for _ in range(3))
    once.adapt(variances())
    for _ in range(2):
        twice.adapt(variances())
        compound.adapt(variances(), compound=True)
    for first, again, letter, variance in zip(once.ratios, twice.ratios, compound.ratios, variances(), strict=True):
        torch.testing.assert_close(first, again)
        torch.testing.assert_close(letter, (scaled(variance) * first).clamp(max=0.5), atol=1e-4, rtol=0)


def test_a_layer_of_equal_variances_keeps_its_ratio() -> None:
    assert torch.equal(scaled(torch.full((1, 2, 2), 3.0)), torch.ones(1, 2, 2))


def test_masks_drop_the_share_of_each_neuron_and_keep_its_mean() -> None:
    dropout = AdaptiveDropout([0.3], generator())
    dropout.adapt([torch.linspace(0, 1, 12).view(1, 3, 2, 2)])
    rng, x = generator(3), torch.ones(1, 3, 2, 2)
    out = torch.stack([dropout.opened(rng)(0, x) for _ in range(20_000)])
    torch.testing.assert_close((out == 0).float().mean(0), dropout.ratios[0], atol=0.02, rtol=0)
    torch.testing.assert_close(out.mean(0), x, atol=0.03, rtol=0)


def test_variances_of_neurons_over_passes() -> None:
    network = DropoutUNet(1, 1, rng=generator(), widths=(4, 8, 5, 3), levels=2)
    dropout, watched = AdaptiveDropout(network.ratios, generator(1)), Variances(len(network.ratios))
    seen: dict[int, list[torch.Tensor]] = {}
    rng = generator(2)
    with torch.no_grad():
        for _ in range(5):
            drop = dropout.opened(rng)

            def look(layer: int, x: torch.Tensor, drop: object = drop) -> torch.Tensor:
                seen.setdefault(layer, []).append(x.clone())
                return drop(layer, x)  # type: ignore[operator]

            network(torch.rand((1, 1, 9, 10), generator=rng), watched.watching(look))
    assert sorted(seen) == list(range(len(network.ratios)))
    for layer, found in enumerate(watched.result()):
        wanted = torch.stack(seen[layer]).var(0, unbiased=False)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-3)


def test_a_saved_state_gives_the_same_masks() -> None:
    first, second = AdaptiveDropout([0.2, 0.3], generator(1)), AdaptiveDropout([0.2, 0.3], generator(2))
    first.adapt(variances())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    x = torch.ones(1, 4, 5, 6)
    assert torch.equal(first.opened(generator(5))(0, x), second.opened(generator(5))(0, x))


@pytest.mark.parametrize("early", [False, True])
def test_the_network_of_table_1(early: bool) -> None:
    network = DropoutUNet(1, 1, rng=generator(), early=early)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(0.99e6, rel=0.01)
    down = [0.075, 0.075, 0.15, 0.225, 0.3, 0.375, 0.45]
    up = [0.375, 0.375, 0.3, 0.3, 0.225, 0.225, 0.15, 0.15, 0.075, 0.075, 0.075]
    assert network.ratios[:7] == pytest.approx(down)
    if not early:
        assert network.ratios[7:] == pytest.approx(up)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("shape", [(33, 18), (7, 9), (5, 12, 10)])
def test_any_size_in_2d_and_3d(shape: tuple[int, ...], early: bool) -> None:
    network = DropoutUNet(2, 3, rng=generator(), widths=(4, 8, 5, 3), levels=3, early=early, dims=len(shape))
    layers: list[int] = []

    def note(layer: int, x: torch.Tensor) -> torch.Tensor:
        layers.append(layer)
        return keep(layer, x)

    out = network(torch.rand((2, 2, *shape), generator=generator(1)), note)
    assert out.shape == (2, 3, *shape)
    assert layers == list(range(len(network.ratios)))
    out.square().mean().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in network.parameters())
