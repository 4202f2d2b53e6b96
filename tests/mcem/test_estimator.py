"""Monte-Carlo EM: what is drawn, what moves, and what is kept."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.mcem.small import STEPS, advance, begun, composition, generator, problem
from tests.watching import values, watched_draws
from unblur import Stage
from unblur.components import Clock, Draw
from unblur.problem import Problem
from unblur_mcem.estimator import ASSUMED, FAINTEST


def watched_misfits(trial: Problem, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool, Tensor]]:
    """Whether image and kernel had gradients, and the image, of every misfit that was asked for."""
    seen: list[tuple[bool, bool, Tensor]] = []
    misfit = trial.misfit

    def watch(draw: Draw, kernel: Tensor, *rest: Any) -> Tensor:
        seen.append((draw.latent.requires_grad, kernel.requires_grad, draw.latent.detach().clone()))
        return misfit(draw, kernel, *rest)

    monkeypatch.setattr(trial, "misfit", watch)
    return seen


@pytest.mark.parametrize(("samples", "kernel_steps"), [(1, 1), (1, 3), (3, 1), (2, 2)])
def test_algorithm_1(samples: int, kernel_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """n_s Langevin steps with the kernels held, then n_l updates of the kernels on the n_s images drawn after them."""
    trial, state = begun(composition({"samples": samples, "kernel_steps": kernel_steps}))
    drawn, seen = watched_draws(trial, monkeypatch), watched_misfits(trial, monkeypatch)
    before = values(trial, "image"), values(trial, "kernels")
    advance(trial, state, 0, 1)
    assert len(drawn) == samples + 1
    assert [(image, kernel) for image, kernel, _ in seen[:samples]] == [(True, False)] * samples
    assert [(image, kernel) for image, kernel, _ in seen[samples:]] == [(False, True)] * (samples * kernel_steps)
    held = [latent for _, _, latent in seen[samples:]]
    assert all(torch.equal(one, other) for one, other in zip(held, drawn[1:] * kernel_steps, strict=True))
    assert state.langevin.steps == samples
    assert state.kernels.optimiser.state[trial.kernels.parameters()[0]]["step"] == kernel_steps
    assert not torch.equal(values(trial, "image"), before[0])
    assert not torch.equal(values(trial, "kernels"), before[1])


@pytest.mark.parametrize(("samples", "kernel_steps"), [(1, 1), (2, 3)])
def test_without_redrawing_one_pass_serves_both_steps(
    samples: int, kernel_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, state = begun(composition({"samples": samples, "kernel_steps": kernel_steps, "redraw": False}))
    drawn, seen = watched_draws(trial, monkeypatch), watched_misfits(trial, monkeypatch)
    slopes: list[list[Tensor]] = []
    follow = state.kernels.follow
    monkeypatch.setattr(
        state.kernels, "follow", lambda found, fraction: (slopes.append(found), follow(found, fraction))
    )
    kernel = copy.deepcopy(trial.kernels)
    clock = Clock(0, STEPS)
    advance(trial, state, 0, 1)
    assert len(drawn) == samples
    assert [(image, one) for image, one, _ in seen[:samples]] == [(True, True)] * samples
    assert len(seen) == samples * kernel_steps
    assert len(slopes) == kernel_steps
    found = kernel.kernel(drawn[0], clock, None)
    monkeypatch.undo()
    loss = torch.stack([trial.misfit(Draw(latent), found, trial.batch, clock) for latent in drawn]).mean()
    expected = torch.autograd.grad(loss, list(kernel.parameters()))
    for one, other in zip(slopes[0], expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-7)


def test_a_known_kernel_leaves_the_e_step() -> None:
    trial, state = begun(composition(kernel_prior="known"))
    before = values(trial, "image")
    infos = advance(trial, state, 0, 2)
    assert state.kernels is None
    assert not torch.equal(values(trial, "image"), before)
    assert torch.equal(infos[0].kernel, infos[1].kernel)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_noise_is_that_of_the_posterior(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """τ = 2 T σ² / N: with the drift of the mean square this is exp(-N misfit / (2 σ²))."""
    trial, state = begun(composition({"temperature": temperature, "noise": 0.02}))
    given: list[tuple[float, float]] = []
    monkeypatch.setattr(state.langevin, "step", lambda slopes, rate, heat, rng: given.append((rate, heat)))
    advance(trial, state, 0, 1)
    pixels = trial.batch.observed.numel()
    assert given == [pytest.approx((1e-2, temperature * 2 * 0.02**2 / pixels))]


def test_pixels_that_do_not_count_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, state = begun(composition({"noise": 0.02}))
    trial.batch.valid = (torch.rand(trial.batch.observed.shape, generator=generator(0)) > 0.4).float()
    given: list[float] = []
    monkeypatch.setattr(state.langevin, "step", lambda slopes, rate, heat, rng: given.append(heat))
    advance(trial, state, 0, 1)
    assert given == [pytest.approx(2 * 0.02**2 / float(trial.batch.valid.sum()))]


def test_the_noise_is_estimated_or_given() -> None:
    _, estimated = begun(composition())
    assert 0.004 < estimated.noise < 0.02  # of 0.01
    _, given = begun(composition({"noise": 0.03}))
    assert given.noise == 0.03
    coarse = composition({"noise": 0.03}).replace(stages=[Stage(steps=STEPS, scale=0.5)])
    _, averaged = begun(coarse)
    assert averaged.noise == pytest.approx(0.015)
    quarter = problem(composition().replace(stages=[Stage(steps=STEPS, scale=0.25)]))
    assert quarter.estimator.init(quarter, None).noise == ASSUMED
    assert any("too small" in note for note in quarter.context.notes)
    clean = problem(composition())
    clean.batch.observed = torch.full_like(clean.batch.observed, 0.5)
    assert clean.estimator.init(clean, None).noise == FAINTEST


@pytest.mark.parametrize(("start", "samples"), [(0.5, 1), (0.8, 2)])
def test_spread_and_mean_are_those_of_the_samples_after_burn_in(
    start: float, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, state = begun(composition({"burn_in": start, "samples": samples, "output": "mean"}))
    drawn = watched_draws(trial, monkeypatch)
    advance(trial, state, 0, STEPS)
    each = [drawn[step * (samples + 1) + 1 : (step + 1) * (samples + 1)] for step in range(STEPS)]
    kept = torch.stack([latent for step in range(int(start * STEPS), STEPS) for latent in each[step]])
    found = trial.estimator.estimate(trial, state, trial.batch, Clock(STEPS, STEPS), generator(1))
    torch.testing.assert_close(found.image, kept.mean(0))
    torch.testing.assert_close(found.spread, kept.std(0), rtol=1e-3, atol=1e-6)


def test_a_map_of_uncertainty_is_that_of_the_samples_whose_mean_the_image_is() -> None:
    """Stopped with few samples, image is a single pass, of which no sample tells the uncertainty."""
    trial, state = begun(composition({"burn_in": 0.5, "output": "mean"}))
    advance(trial, state, 0, 15)
    assert 2 <= state.kept.count < 10
    found = trial.estimator.estimate(trial, state, trial.batch, Clock(15, STEPS), generator(1))
    assert found.spread is None


def test_the_output_of_the_paper_is_the_last_sample_without_randomness() -> None:
    trial, state = begun(composition({"burn_in": 0.5}))
    advance(trial, state, 0, STEPS)
    clock = Clock(STEPS, STEPS)
    found = trial.estimator.estimate(trial, state, trial.batch, clock, generator(1))
    assert torch.equal(found.image, trial.draw(trial.batch, clock, None).latent)
    assert found.spread is not None
    _, fresh = begun(composition({"burn_in": 1.0}))
    advance(trial, fresh, 0, 3)
    assert trial.estimator.estimate(trial, fresh, trial.batch, clock, generator(1)).spread is None


def test_steps_at_the_same_resolution_go_on_with_the_preconditioner() -> None:
    pipeline = composition().replace(stages=[Stage(steps=2), Stage(steps=2), Stage(steps=2, scale=0.8)])
    trial, state = begun(pipeline)
    advance(trial, state, 0, 2)
    later = problem(pipeline, stage=1)
    assert later.estimator.init(later, state).langevin.steps == 2
    coarser = problem(pipeline, stage=2)
    assert coarser.estimator.init(coarser, state).langevin.steps == 0


def test_softer_steps_move_less() -> None:
    moves = []
    for soften in (False, True):
        trial, state = begun(composition({"temperature": 0.0}))
        before = values(trial, "image"), values(trial, "kernels")
        if soften:
            assert trial.estimator.soften(state)
        advance(trial, state, 0, 1)
        moves.append([float((values(trial, s) - b).norm()) for s, b in zip(("image", "kernels"), before, strict=True)])
    assert all(soft == pytest.approx(0.1 * hard, rel=0.05) for hard, soft in zip(*moves, strict=True))


@pytest.mark.parametrize(
    "estimator", [{}, {"redraw": False, "momentum": 0.9}, {"dynamics": "plain", "image_rate": 1.0}]
)
def test_same_seed_same_bits(estimator: dict[str, Any]) -> None:
    def run(seed: int) -> list[Tensor]:
        trial, state = begun(composition(estimator), seed=seed)
        misfits = [info.misfit for info in advance(trial, state, 0, 15)]
        return [*misfits, values(trial, "image"), values(trial, "kernels")]

    first, again, other = run(0), run(0), run(1)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[-1], other[-1])


@pytest.mark.parametrize("estimator", [{}, {"redraw": False, "momentum": 0.9, "samples": 2, "kernel_steps": 2}])
def test_resumed_with_the_same_bits(estimator: dict[str, Any]) -> None:
    pipeline = composition(estimator | {"burn_in": 0.1})
    trial, state = begun(pipeline)
    advance(trial, state, 0, 12)
    saved = copy.deepcopy({"problem": trial.state_dict(), "estimator": state.state_dict()})
    advance(trial, state, 12, 16)
    resumed, again = begun(pipeline, seed=3)
    resumed.load_state_dict(saved["problem"])
    again.load_state_dict(saved["estimator"])
    advance(resumed, again, 12, 16)
    assert torch.equal(values(resumed, "image"), values(trial, "image"))
    assert torch.equal(values(resumed, "kernels"), values(trial, "kernels"))
    assert again.kept.count == state.kept.count
    assert torch.equal(again.kept.mean, state.kept.mean)


@pytest.mark.parametrize(("slot", "penalty"), [("image_prior", "tv"), ("kernel_prior", "l2")])
def test_a_penalty_counts_in_the_step_of_its_own(slot: Any, penalty: str) -> None:
    """That of the kernel in the M-step alone; that of the image in the E-step, whose image the M-step sees later."""
    plain = composition({"temperature": 0.0, "redraw": False})
    penalised = plain.replace(**{slot: [plain.slots[slot][0], (penalty, {"weight": 10.0})]})
    (one, first), (other, second) = begun(plain), begun(penalised)
    for trial, state in ((one, first), (other, second)):
        advance(trial, state, 0, 1)
    changed = {part: not torch.equal(values(one, part), values(other, part)) for part in ("image", "kernels")}
    assert changed == {"image": slot == "image_prior", "kernels": slot == "kernel_prior"}
