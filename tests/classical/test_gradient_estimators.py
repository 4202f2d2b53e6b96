"""Alternating Adam and L-BFGS, on free pixels and on a network that draws at random."""

from __future__ import annotations

import copy
import io
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.classical import parts
from tests.classical.restoring import blocks, observe, streak
from unblur.components import Clock, Draw
from unblur.problem import Problem

STEPS = 20
NETWORK = (
    "encoder-decoder",
    {"levels": 1, "channels": [8], "skip_channels": 4, "input_channels": 4, "noise": 0.02, "dropout": 0.1},
)
FREE_PIXELS = ("pixels", {"nonnegative": False})
NEW = ["alternating-adam", "l-bfgs"]


def problem(estimator: Any, image: Any = "pixels", known: bool = False, misfit: Any = "squared") -> Problem:
    kernel = streak()
    observed, _ = observe(blocks((30, 33)), kernel, noise=0.003)
    forward = [("convolution", {"kernel_size": [7, 9]}), misfit]
    psf = kernel if known else None
    return parts.problem(observed, psf=psf, forward_model=forward, image_prior=image, estimator=estimator)


def advance(trial: Problem, state: Any, start: int, stop: int) -> list[float]:
    steps = range(start, stop)
    return [float(trial.estimator.step(trial, state, trial.batch, Clock(n, STEPS)).misfit) for n in steps]


def begun(trial: Problem) -> tuple[Problem, Any]:
    return trial, trial.estimator.init(trial, None)


def snapshot(trial: Problem, state: Any) -> dict[str, Any]:
    return {"problem": trial.state_dict(), "estimator": state.state_dict()}


def values(trial: Problem, slot: str) -> Tensor:
    parameters = getattr(trial, slot).parameters()
    return torch.cat([parameter.detach().flatten().clone() for parameter in parameters])


@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize("image", ["pixels", NETWORK])
@pytest.mark.parametrize("estimator", NEW)
def test_saved_runs_go_on_with_the_same_bits(estimator: str, image: Any, anew: bool) -> None:
    trial, state = begun(problem(estimator, image))
    advance(trial, state, 0, 3)
    file = io.BytesIO()
    torch.save(snapshot(trial, state), file)
    expected = advance(trial, state, 3, 6)
    wanted = values(trial, "image"), values(trial, "kernels")
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    if anew:
        trial, state = begun(problem(estimator, image))
    trial.load_state_dict(saved["problem"])
    state.load_state_dict(copy.deepcopy(saved["estimator"]))
    assert advance(trial, state, 3, 6) == expected
    assert torch.equal(values(trial, "image"), wanted[0])
    assert torch.equal(values(trial, "kernels"), wanted[1])


@pytest.mark.parametrize("estimator", ["joint-adam", *NEW])
def test_without_any_term_nothing_moves(estimator: str) -> None:
    trial, state = begun(problem(estimator, misfit=("squared", {"weight": 0.0})))
    before = values(trial, "image"), values(trial, "kernels")
    assert advance(trial, state, 0, 2) == [0, 0]
    assert torch.equal(values(trial, "image"), before[0])
    assert torch.equal(values(trial, "kernels"), before[1])


@pytest.mark.parametrize("image", [FREE_PIXELS, NETWORK])
def test_each_half_leaves_the_other_untouched(image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, state = begun(problem(("alternating-adam", {"kernel_steps": 2, "image_steps": 3}), image))
    moved: list[tuple[bool, bool]] = []
    descend = state.step

    def watched(loss: Tensor, fraction: float) -> None:
        before = values(trial, "image"), values(trial, "kernels")
        descend(loss, fraction)
        after = values(trial, "image"), values(trial, "kernels")
        moved.append((not torch.equal(before[0], after[0]), not torch.equal(before[1], after[1])))

    monkeypatch.setattr(state, "step", watched)
    advance(trial, state, 0, 2)
    assert moved == ([(False, True)] * 2 + [(True, False)] * 3) * 2
    counts = {
        group["name"]: state.optimiser.state[group["params"][0]]["step"] for group in state.optimiser.param_groups
    }
    assert counts == {"image": 6, "kernel": 4}


def test_with_a_known_kernel_alternation_is_adam_on_the_image() -> None:
    found = [advance(*begun(problem(name, known=True)), 0, 6) for name in ("alternating-adam", "joint-adam")]
    assert found[0] == found[1]


def test_more_updates_get_further_in_a_step() -> None:
    few, many = (("alternating-adam", {"kernel_steps": count, "image_steps": count}) for count in (1, 4))
    assert advance(*begun(problem(many)), 0, 10)[-1] < 0.7 * advance(*begun(problem(few)), 0, 10)[-1]


def test_quadratic_is_solved_in_few_steps() -> None:
    kernel = torch.tensor([[[0.0, 0.05, 0.0], [0.1, 0.65, 0.15], [0.0, 0.05, 0.0]]])
    observed = parts.rand(1, 1, 20, 24)
    forward = [("convolution", {"boundary": "periodic"}), "squared"]
    trial = parts.problem(observed, psf=kernel, forward_model=forward, image_prior=FREE_PIXELS, estimator="l-bfgs")
    spread = torch.zeros(20, 24)
    spread[:3, :3] = kernel[0]
    transfer = torch.fft.rfft2(spread.roll((-1, -1), (0, 1)))
    solution = torch.fft.irfft2(torch.fft.rfft2(trial.batch.observed) / transfer, (20, 24))
    advance(*begun(trial), 0, 4)
    torch.testing.assert_close(trial.image.parameters()[0].detach(), solution, rtol=0, atol=1e-3)


def test_all_evaluations_of_a_step_draw_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, state = begun(problem(("l-bfgs", {"iterations": 3}), NETWORK))
    drawn: list[Tensor] = []
    draw = trial.image.draw

    def watched(*args: Any) -> Draw:
        drawn.append(trial.rng.get_state())
        return draw(*args)

    monkeypatch.setattr(trial.image, "draw", watched)
    steps = []
    for step in range(3):
        advance(trial, state, step, step + 1)
        steps.append(drawn.copy())
        drawn.clear()
    assert all(len(states) > 3 for states in steps)
    assert all(torch.equal(one, states[0]) for states in steps for one in states)
    assert not any(torch.equal(one[0], other[0]) for one, other in itertools.combinations(steps, 2))


def test_without_randomness_the_misfit_never_rises_and_bounds_do_not_end_it() -> None:
    trial, state = begun(problem("l-bfgs"))
    found = advance(trial, state, 0, STEPS)
    assert all(later <= earlier for earlier, later in itertools.pairwise(found))
    assert float(values(trial, "kernels").min()) <= 0, "no bound was met"
    assert found[-1] < 0.5 * found[STEPS // 2]


def test_l_bfgs_fits_a_network_better_than_adam_with_as_many_evaluations() -> None:
    image = (NETWORK[0], NETWORK[1] | {"noise": 0.0, "dropout": 0.0})
    counts, last = {}, {}
    for name, steps in (("l-bfgs", 6), ("joint-adam", 40)):
        trial, state = begun(problem(name, image, known=True))
        calls = itertools.count()
        misfit = trial.misfit
        trial.misfit = lambda *args, calls=calls, misfit=misfit: (next(calls), misfit(*args))[1]  # type: ignore[method-assign]
        last[name] = advance(trial, state, 0, steps)[-1]
        counts[name] = next(calls)
    assert counts["l-bfgs"] <= 50
    assert last["l-bfgs"] < last["joint-adam"]


def test_softened_line_search_begins_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_trial(soften: bool) -> float:
        trial, state = begun(problem("l-bfgs", FREE_PIXELS, known=True))
        advance(trial, state, 0, 1)
        state.optimiser.state.clear()
        if soften:
            assert trial.estimator.soften(state)
        points: list[Tensor] = []
        draw = trial.image.draw

        def watched(*args: Any) -> Draw:
            points.append(values(trial, "image").double())
            return draw(*args)

        monkeypatch.setattr(trial.image, "draw", watched)
        advance(trial, state, 1, 2)
        return float((points[1] - points[0]).norm())

    assert first_trial(soften=True) == pytest.approx(0.1 * first_trial(soften=False), rel=0.05)


@pytest.mark.parametrize(("image", "pairs"), [(FREE_PIXELS, 5), (NETWORK, 3)])
def test_history_holds_only_changes_of_one_function(image: Any, pairs: int) -> None:
    """Three steps of two searches make six points: five changes, less the two from one step's draw to the next's."""
    trial, state = begun(problem(("l-bfgs", {"iterations": 2}), image, known=True))
    advance(trial, state, 0, 3)
    (memory,) = state.optimiser.state.values()
    assert len(memory["old_dirs"]) == pairs
