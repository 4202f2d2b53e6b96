"""Alternating Monte-Carlo estimation: what is drawn, what moves, and the moments of the samples."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.mapk.small import STEPS, advance, begun, composition, generator
from tests.watching import values, watched_draws
from unblur import Pipeline
from unblur.components import Clock
from unblur.moments import Moments


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.floats(-100, 100), st.integers(0, 1000))
def test_moments_are_those_of_the_samples(count: int, offset: float, seed: int) -> None:
    samples = offset + torch.randn((count, 3, 4), generator=generator(seed), dtype=torch.float64)
    moments = Moments()
    for sample in samples:
        moments.add(sample)
    assert moments.mean is not None
    torch.testing.assert_close(moments.mean, samples.mean(0))
    torch.testing.assert_close(moments.std(), samples.std(0))


def test_one_sample_has_no_deviation() -> None:
    moments = Moments()
    assert moments.std() is None
    moments.add(torch.ones(2))
    assert moments.std() is None
    assert torch.equal(moments.mean, torch.ones(2))  # type: ignore[arg-type]


@pytest.mark.parametrize("samples", [1, 3])
def test_each_half_leaves_the_other_network_untouched(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, state = begun(composition({"samples": samples, "kernel_steps": 2}))
    moved: list[tuple[bool, bool]] = []
    descend = state.step

    def watch(loss: Tensor, fraction: float) -> None:
        before = values(trial, "image"), values(trial, "kernels")
        descend(loss, fraction)
        after = values(trial, "image"), values(trial, "kernels")
        moved.append((not torch.equal(before[0], after[0]), not torch.equal(before[1], after[1])))

    monkeypatch.setattr(state, "step", watch)
    advance(trial, state, 0, 2)
    assert moved == [(False, True), (False, True), (True, False)] * 2


def test_one_draw_serves_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Algorithm 1, line 4: noise and dropout are drawn once in each step, for every sample."""
    trial, state = begun(composition({"samples": 3}))
    drawn = watched_draws(trial, monkeypatch)
    seen: list[Tensor] = []
    misfit = trial.misfit
    monkeypatch.setattr(
        trial, "misfit", lambda draw, *rest: (seen.append(draw.latent.detach()), misfit(draw, *rest))[1]
    )
    advance(trial, state, 0, 1)
    assert len(drawn) == 3
    assert len(seen) == 6
    assert all(torch.equal(one, other) for one, other in zip(seen, drawn * 2, strict=True))
    assert not torch.equal(drawn[0], drawn[1])


def test_losses_of_both_halves_are_those_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eq. 24-26, computed directly: means over the samples, mu ||k||² beside them, the image with the new k."""
    trial, state = begun(composition({"samples": 2}))
    drawn = watched_draws(trial, monkeypatch)
    clock = Clock(0, STEPS)
    kernels: list[Tensor] = []
    losses: list[float] = []
    descend = state.step

    def watch(loss: Tensor, fraction: float) -> None:
        kernels.append(trial.kernel(drawn[0], clock, None).detach())
        losses.append(float(loss.detach()))
        descend(loss, fraction)

    monkeypatch.setattr(state, "step", watch)
    [info] = advance(trial, state, 0, 1)
    fits = [
        torch.stack([(trial.predict(x, k) - trial.batch.observed).square().mean() for x in drawn]).mean()
        for k in kernels
    ]
    norms = [1e-4 * float(k.square().sum()) for k in kernels]
    assert losses == pytest.approx([float(fit) + norm for fit, norm in zip(fits, norms, strict=True)], rel=1e-5)
    assert not torch.equal(kernels[0], kernels[1])
    assert float(info.misfit) == pytest.approx(float(fits[1]), rel=1e-5)
    assert torch.equal(info.kernel, kernels[1])  # type: ignore[arg-type]
    assert torch.equal(info.draw.latent, drawn[-1])


def test_a_known_kernel_leaves_one_half() -> None:
    trial, state = begun(composition(), known=True)
    before = values(trial, "image")
    infos = advance(trial, state, 0, 2)
    assert not torch.equal(values(trial, "image"), before)
    assert state.optimiser.state[trial.image.parameters()[0]]["step"] == 2
    assert torch.equal(infos[0].kernel, infos[1].kernel)  # type: ignore[arg-type]


def test_where_fewer_were_kept_than_are_wanted_the_estimate_draws_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, state = begun(composition({"average_from": 0.8, "draws": 9}))
    advance(trial, state, 0, STEPS)
    drawn = watched_draws(trial, monkeypatch)
    found = trial.estimator.estimate(trial, state, trial.batch, Clock(STEPS, STEPS), generator(1))
    assert state.kept.count < len(drawn) == 9
    torch.testing.assert_close(found.image, torch.stack(drawn).mean(0))


@pytest.mark.parametrize(("start", "samples"), [(0.5, 1), (0.8, 2)])
def test_estimate_is_the_mean_of_what_was_drawn_at_the_end(
    start: float, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, state = begun(composition({"average_from": start, "samples": samples, "draws": 2}))
    drawn = watched_draws(trial, monkeypatch)
    advance(trial, state, 0, STEPS)
    kept = torch.stack(drawn[int(start * STEPS) * samples :])
    assert len(kept) == samples * round((1 - start) * STEPS)
    found = trial.estimator.estimate(trial, state, trial.batch, Clock(STEPS, STEPS), generator(1))
    torch.testing.assert_close(found.image, kept.mean(0))
    torch.testing.assert_close(found.spread, kept.std(0), rtol=1e-3, atol=1e-6)
    assert torch.equal(found.kernel, trial.kernel(found.image, Clock(STEPS, STEPS), None))


@pytest.mark.parametrize("drawn_at", [0.0, 1.0])
def test_estimate_draws_its_own_samples_where_none_were_kept(drawn_at: float) -> None:
    noise = ((0.0, 0.05), (0.5, 0.001))
    trial, state = begun(composition({"draws": 6, "drawn_at": drawn_at}, {"noise": noise, "dropout": 0.0}))
    advance(trial, state, 0, STEPS)
    found = trial.estimator.estimate(trial, state, trial.batch, Clock(STEPS, STEPS), generator(1))
    rng = generator(1)
    clock = Clock(round(drawn_at * STEPS), STEPS)
    samples = torch.stack([trial.draw(trial.batch, clock, rng).latent.detach() for _ in range(6)])
    torch.testing.assert_close(found.image.detach(), samples.mean(0))
    torch.testing.assert_close(found.spread, samples.std(0), rtol=1e-3, atol=1e-6)


def test_earlier_noise_spreads_samples_more() -> None:
    spreads = {}
    for drawn_at in (0.0, 1.0):
        trial, state = begun(composition({"drawn_at": drawn_at}))
        advance(trial, state, 0, STEPS)
        found = trial.estimator.estimate(trial, state, trial.batch, Clock(STEPS, STEPS), generator(1))
        spreads[drawn_at] = float(found.spread.mean())  # type: ignore[union-attr]
    assert spreads[0.0] > 3 * spreads[1.0]


@pytest.mark.parametrize(
    ("estimator", "image"), [({"draws": 0}, {}), ({}, {"noise": 0.0, "dropout": 0.0})], ids=["no draws", "not random"]
)
def test_without_samples_that_differ_it_is_one_pass_without_randomness(estimator: Any, image: Any) -> None:
    trial, state = begun(composition(estimator, image))
    advance(trial, state, 0, 3)
    clock = Clock(3, STEPS)
    found = trial.estimator.estimate(trial, state, trial.batch, clock, generator(1))
    assert found.spread is None
    assert torch.equal(found.image, trial.draw(trial.batch, clock, None).latent)


@pytest.mark.parametrize("average_from", [0.2, 1.0])
def test_same_seed_same_bits(average_from: float) -> None:
    def run(seed: int) -> list[Tensor]:
        trial, state = begun(composition({"average_from": average_from}), seed=seed)
        misfits = [info.misfit for info in advance(trial, state, 0, 8)]
        found = trial.estimator.estimate(trial, state, trial.batch, Clock(8, STEPS), generator(5))
        return [*misfits, found.image.detach(), found.kernel.detach(), found.spread]  # type: ignore[list-item]

    first, again, other = run(0), run(0), run(1)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[-3], other[-3])


def test_kept_samples_survive_a_checkpoint() -> None:
    pipeline = composition({"average_from": 0.1})
    trial, state = begun(pipeline)
    advance(trial, state, 0, 6)
    saved = copy.deepcopy({"problem": trial.state_dict(), "estimator": state.state_dict()})
    advance(trial, state, 6, 10)
    resumed, again = begun(pipeline, seed=3)
    resumed.load_state_dict(saved["problem"])
    again.load_state_dict(saved["estimator"])
    advance(resumed, again, 6, 10)
    assert again.kept.count == state.kept.count == 8
    assert torch.equal(again.kept.mean, state.kept.mean)
    assert torch.equal(again.kept.scatter, state.kept.scatter)


def test_monte_carlo_samples_of_other_priors() -> None:
    """Any prior that learns will do: free pixels, whose samples are all the same, and the network of another plugin."""
    narrow = ("encoder-decoder", {"levels": 1, "channels": [8], "skip_channels": 4, "noise": 0.05, "dropout": 0.2})
    for image, random in (("pixels", False), (narrow, True)):
        pipeline: Pipeline = composition({"samples": 2}).replace(image_prior=image, kernel_prior="free")
        trial, state = begun(pipeline)
        first, *_, last = advance(trial, state, 0, 10)
        assert last.misfit < first.misfit
        found = trial.estimator.estimate(trial, state, trial.batch, Clock(10, STEPS), generator(1))
        assert (found.spread is not None) == random
