"""Adam's state where it is saved and read."""

from __future__ import annotations

import torch

from unblur.optimise import AdamGroups


def steps(groups: AdamGroups, weights: torch.Tensor, seeds: range) -> None:
    for seed in seeds:
        slope = torch.randn(weights.shape, generator=torch.Generator().manual_seed(seed))
        groups.step((weights * slope).sum(), 0.0)


def test_momenta_are_those_of_the_same_elements_whatever_the_layout_they_were_saved_in() -> None:
    results = []
    for saved in (torch.contiguous_format, torch.channels_last):
        first = torch.ones(4, 3, 3, 2).to(memory_format=saved).requires_grad_()  # type: ignore[call-overload]
        groups = AdamGroups({"image": [first]}, {"image": 0.1})
        steps(groups, first, range(3))
        second = first.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
        resumed = AdamGroups({"image": [second]}, {"image": 0.1})
        resumed.load_state_dict(groups.state_dict())
        steps(resumed, second, range(3, 6))
        results.append(second.detach())
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-6)


def test_gradients_move_the_same_elements_whatever_their_layout() -> None:
    """`torch.autograd.grad` gives them as they were computed, where `backward` lays them out as the parameter is."""
    start = torch.arange(72.0).reshape(4, 3, 3, 2)
    slopes = torch.randn(3, *start.shape, generator=torch.Generator().manual_seed(0))
    results = []
    for layout in (None, torch.contiguous_format, torch.channels_last):
        weights = start.contiguous(memory_format=torch.channels_last).requires_grad_()
        groups = AdamGroups({"kernel": [weights]}, {"kernel": 0.1})
        for slope in slopes:
            if layout is None:
                groups.step((weights * slope).sum(), 0.0)
            else:
                groups.follow([slope.contiguous(memory_format=layout)], 0.0)
        results.append(weights.detach())
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=1e-6)
