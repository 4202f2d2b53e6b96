"""Fine-tuning: the hybrid loss, what it moves, what it mixes, and that it explains the frames better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.reblur.small import CPU, DEBLURGAN, DVD, REBLUR, SIZE, clip, observation, outcome, pipeline, run
from unblur.components import Batch, Clock, Draw, Info
from unblur.composition import resolve
from unblur.optimise import AdamGroups
from unblur.problem import Observation, Problem, build
from unblur.registry import default_registry
from unblur_reblur.estimator import ReblurState
from unblur_reblur.pairs import GeneratedPairs, by_shape, sample
from unblur_reblur.windows import counted, middle_window, random_window


def problem(seen: Observation, **more: Any) -> Problem:
    pipe = pipeline(**more)
    return build(resolve(pipe, default_registry()), pipe.stages[0], seen, CPU, 0, [])


def with_pairs(frames: int = 1) -> Observation:
    seen, other = observation(), clip(9)
    seen.pairs = [(other.blurred[:frames], other.sharp[:frames])]
    return seen


def parameters(one: Problem) -> tuple[list[Tensor], list[Tensor]]:
    return [p.detach().clone() for p in one.image.parameters()], [p.detach().clone() for p in one.kernels.parameters()]


def moved(before: list[Tensor], after: list[Tensor]) -> bool:
    return any(not torch.equal(first, second) for first, second in zip(before, after, strict=True))


def stepped(one: Problem, step: int = 0) -> Info:
    state = one.estimator.init(one, None)
    return one.estimator.step(one, state, one.batch, Clock(step, 10))


@pytest.mark.parametrize("alpha", [0.1, 0.7])
def test_the_loss_is_that_of_equation_10(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One window, which is the whole frames, and one pair of their size: nothing is left to chance."""
    one = problem(with_pairs(), alpha=alpha, patch=SIZE, margin=4, agreement=0.0)
    lost: list[Tensor] = []
    monkeypatch.setattr(AdamGroups, "step", lambda self, loss, fraction: lost.append(loss.detach()))
    stepped(one)
    clock = Clock(0, 10)
    with torch.no_grad():
        [pair] = one.pairs
        supervised = (one.draw(pair, clock, None).latent - pair.truth).square().mean()
        latent = one.draw(one.batch, clock, None).latent
        predicted = one.predict(latent, one.kernel(latent, clock, None))
        unsupervised = (predicted - one.batch.observed[1:2])[..., 4:-4, 4:-4].square().mean()
    torch.testing.assert_close(lost[0], supervised + alpha * unsupervised)


def test_alpha_zero_is_training_with_pairs_alone() -> None:
    """The flow network stays, and the user's frames do not matter."""
    one, other = problem(with_pairs(), alpha=0.0, patch=SIZE), problem(with_pairs(), alpha=0.0, patch=SIZE)
    other.batch = Batch(other.batch.observed.flip(-1), other.batch.frames)
    image, kernel = parameters(one)
    for each in (one, other):
        stepped(each)
    assert moved(image, parameters(one)[0])
    assert not moved(kernel, parameters(one)[1])
    assert not moved(parameters(one)[0], parameters(other)[0])


@pytest.mark.parametrize("name", [DVD, DEBLURGAN], ids=["dvd", "deblurgan"])
@pytest.mark.parametrize("forward", ["flow-blur", "flow-warp", ("flow-blur", {"frames": 2})])
def test_both_networks_are_tuned(name: Any, forward: Any) -> None:
    one = problem(observation(), image=name, forward=forward)
    image, kernel = parameters(one)
    stepped(one)
    assert moved(image, parameters(one)[0])
    assert moved(kernel, parameters(one)[1])


def test_a_rate_of_zero_leaves_a_network_as_it_is() -> None:
    for still in ("image", "kernel"):
        one = problem(observation(), **{f"{still}_rate": 0.0})
        image, kernel = parameters(one)
        stepped(one)
        assert moved(image, parameters(one)[0]) == (still != "image")
        assert moved(kernel, parameters(one)[1]) == (still != "kernel")


def test_networks_that_are_not_tuned_give_what_they_gave() -> None:
    still = outcome(pipeline(steps=2, image_rate=0.0, kernel_rate=0.0), observation())
    one = problem(observation())
    with torch.no_grad():
        latent = one.draw(one.batch, Clock(0, 1), None).latent
    torch.testing.assert_close(still.estimate.image, latent)
    assert any("without fine-tuning" in note for note in still.notes)


@pytest.mark.parametrize("kernel", ["known-flow", "classical-flow"])
def test_flows_without_a_network_tune_the_deblurring_one(kernel: str) -> None:
    one = problem(observation(), kernel=kernel)
    image, none = parameters(one)
    assert not none
    stepped(one)
    assert moved(image, parameters(one)[0])


def test_tuning_explains_the_frames_better() -> None:
    """With the true flow, and no pairs: the frames, blurred again, come nearer to what was observed."""
    one = problem(observation(2), pairs="none", alpha=1.0, image_rate=3e-3, kernel="known-flow", patch=SIZE)
    one.kernels.flow = clip(2).flow.flatten(0, 1)  # type: ignore[attr-defined]
    state = one.estimator.init(one, None)
    misfits = [float(one.estimator.step(one, state, one.batch, Clock(n, 40)).misfit) for n in range(40)]
    assert np.mean(misfits[-5:]) < 0.8 * np.mean(misfits[:2])


def test_given_pairs_are_taken_and_others_are_generated_where_there_are_none() -> None:
    given, none = problem(with_pairs()), problem(observation())
    states = [one.estimator.init(one, None) for one in (given, none)]
    assert [isinstance(state, ReblurState) for state in states] == [True, True]
    assert states[0].pairs is given.pairs
    assert isinstance(states[1].pairs, GeneratedPairs)
    assert len(states[1].pairs) == REBLUR["generated"]
    forced = problem(with_pairs(), pairs="generated")
    assert isinstance(forced.estimator.init(forced, None).pairs, GeneratedPairs)
    alone = problem(with_pairs(), pairs="none")
    assert len(alone.estimator.init(alone, None).pairs) == 0
    assert any("end in the identity" in note for note in alone.context.notes)


def test_generated_pairs_are_blurred_and_sharp_and_follow_from_the_seed() -> None:
    def made(seed: int, channels: int) -> GeneratedPairs:
        return GeneratedPairs(3, 32, channels, torch.Generator().manual_seed(seed), lambda tensor: tensor)

    one, same, other = made(0, 3), made(0, 3), made(1, 3)
    assert torch.equal(one[1].observed, same[1].observed)
    assert not torch.equal(one[1].observed, other[1].observed)
    assert one[2].truth is not None
    assert one[2].observed.shape == one[2].truth.shape == (3, 3, 32, 32)
    grey = made(0, 2)[1]
    assert grey.observed.shape == (3, 2, 32, 32)
    torch.testing.assert_close(grey.observed[:, 0], one[1].observed.mean(1))


def test_samples_of_pairs_keep_blurred_and_sharp_together() -> None:
    small, large = torch.rand(2, 1, 20, 24), torch.rand(1, 1, 40, 30)
    batches = [Batch(image, truth=image + 1) for image in (small, large)]
    found = sample(batches, 12, 24, torch.Generator().manual_seed(0))
    for blurred, sharp in found:
        torch.testing.assert_close(blurred + 1, sharp)
    groups = by_shape(found)
    assert {tuple(blurred.shape[2:]) for blurred, _ in groups} == {(20, 24), (24, 24)}
    assert sum(len(blurred) for blurred, _ in groups) == 12


def test_windows_of_a_group_lie_anywhere_and_of_a_clip_at_one_place() -> None:
    rng = torch.Generator().manual_seed(0)
    group, single = torch.rand(8, 1, 40, 50), torch.rand(3, 1, 24, 24)
    windows = [random_window(group, 24, rng) for _ in range(100)]
    assert {window.start for window in windows} == set(range(6))
    assert {window.top for window in windows} >= {0, 16}
    assert max(window.left for window in windows) == 26
    assert all(window.of(group).shape == (3, 1, 24, 24) for window in windows)
    assert {random_window(single, 24, rng) for _ in range(5)} == {middle_window(single, 24)}


def test_a_window_of_a_known_flow_is_its_part() -> None:
    frames = torch.rand(5, 1, 20, 20)
    flow = torch.arange(12.0)[:, None, None] * 1000 + torch.arange(400.0).view(20, 20)
    rng = torch.Generator().manual_seed(1)
    for _ in range(5):
        window = random_window(frames, 8, rng)
        part = window.of_kernel(flow)
        assert part.shape == (4, 8, 8)
        assert float(part[0, 0, 0]) == 4000 * window.start + 20 * window.top + window.left


def test_the_border_of_a_window_does_not_count() -> None:
    weight = counted((1, 2, 40, 12), 8)
    assert float(weight.sum()) == 2 * 24 * 6
    assert float(weight[..., 8:-8, 3:-3].min()) == 1


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    one, same, other = (outcome(pipeline(), observation(), seed) for seed in (0, 0, 1))
    assert torch.equal(one.estimate.image, same.estimate.image)
    assert torch.equal(one.estimate.kernel, same.estimate.kernel)
    assert not torch.equal(one.estimate.image, other.estimate.image)


def test_what_a_step_shows_is_the_middle_of_time_and_space() -> None:
    seen = Observation(torch.cat([clip(1, 48).blurred, clip(2, 48).blurred]), white_level=1.0)
    one = problem(seen)
    info = stepped(one)
    assert isinstance(info.draw, Draw)
    assert info.draw.latent.shape == (3, 3, 24, 24)
    assert float(info.misfit) > 0
    last = run(pipeline(steps=2), seen)
    assert [event.step for event in last.events()] == [1, 2]


@pytest.mark.parametrize("through", [False, True])
def test_the_gradient_goes_through_the_flow_only_where_it_is_asked_for(through: bool) -> None:
    one = problem(observation(), kernel=("flownet", {"width": 2, "weights": "none", "through": through}))
    latent = one.batch.observed.clone().requires_grad_()
    flow = one.kernel(latent, Clock(0, 1), None).sum()
    [gradient] = torch.autograd.grad(flow, latent, allow_unused=True)
    assert (gradient is not None and bool(gradient.any())) == through


def test_penalties_count_without_the_frames_too() -> None:
    lost: list[float] = []
    for image in (DVD, [DVD, ("tv", {"weight": 10.0})]):
        one = problem(with_pairs(), image=image, alpha=0.0, patch=SIZE, image_rate=1e-3)
        state = one.estimator.init(one, None)
        for step in range(20):
            one.estimator.step(one, state, one.batch, Clock(step, 20))
        with torch.no_grad():
            latent = one.draw(one.batch, Clock(0, 1), None).latent
        lost.append(float(latent.diff(dim=-1).abs().mean() + latent.diff(dim=-2).abs().mean()))
    assert lost[1] < 0.9 * lost[0]
