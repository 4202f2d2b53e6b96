"""What a run costs, and the plan of steps that a budget allows."""

from __future__ import annotations

import time
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.trials import estimators
from tests.trials.plugin import METHODS, NONBLIND, blurred, compute, observation_for, registry
from unblur import Pipeline, Stage, default_registry, planning
from unblur.composition import resolve
from unblur.compute import Compute
from unblur.driver import CancelToken, Run, finish
from unblur.errors import CancelledError, ParameterError, ResourceError
from unblur.footprint import peak_bytes
from unblur.forecast import RESERVE, needed_after, within_budget
from unblur.jobs import Job
from unblur.planning import Cost, measure

REGISTRY = registry()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_measured(name: str) -> None:
    cost = measure(METHODS[name], observation_for(name), REGISTRY, compute())
    stages = [stage for segment in METHODS[name].segments() for stage in segment.stages]
    assert cost.steps == tuple(stage.steps for stage in stages)
    assert len(cost.seconds_per_step) == len(stages)
    assert all(pace > 0 for pace in cost.seconds_per_step)
    assert cost.seconds > 0
    assert cost.memory > 0


def test_measuring_changes_nothing() -> None:
    pipeline, observation = METHODS["mc-mapk"], blurred()
    plain = finish(Run(pipeline, observation, REGISTRY, compute()).events())
    state = torch.get_rng_state()
    measure(pipeline, observation, REGISTRY, compute())
    assert torch.equal(torch.get_rng_state(), state)
    again = finish(Run(pipeline, observation, REGISTRY, compute()).events())
    assert torch.equal(plain.estimate.image, again.estimate.image)
    assert observation.psf is None


def test_a_budget_leaves_each_stage_a_hundred_steps_and_then_cuts_in_proportion() -> None:
    cost = Cost((300, 200, 40), (0.1, 1.0, 0.5), memory=0, spent=1.0)
    assert cost.seconds == pytest.approx(250)
    assert cost.within(None) is cost
    assert cost.within(300) is cost
    half = cost.within(1.0001 + 190 / RESERVE)
    assert half.steps == (200, 150, 40)
    assert half.seconds <= 191
    assert cost.within(1.0001 + 130 / RESERVE).steps == (100, 100, 40)
    assert cost.within(1.0001 + 65 / RESERVE).steps == (50, 50, 20)
    assert cost.within(0.5).steps == (1, 1, 1)


def test_what_follows_must_have_its_time_and_within_then_one_step_of_each() -> None:
    """And half of the time that is not planned, since what is short may well be slower than it was measured."""
    cost = Cost(
        (30, 70, 6, 20, 100), (0.1, 0.2, 0.3, 0.1, 0.2), memory=0, spent=0.0, main=(0, 2), setup=(0, 0, 1, 0, 1)
    )
    rest = 6 * 0.3 + 20 * 0.1 + 100 * 0.2 + 2
    slack = (1 - RESERVE) / 2 * 80
    expected = [rest + slack, rest + slack, 0.1 + 0.2 + 1 + slack / 2, 0.2 + 1 + slack / 4, 0]
    assert needed_after(cost, [2, 1, 1, 1], 80.0) == pytest.approx(expected)


def test_edges_before_networks_are_not_cut_for_them_and_what_follows_the_networks_is_whole() -> None:
    cost = Cost((10, 10, 300, 6, 20), (0.1, 0.9, 0.4, 0.3, 0.1), memory=0, spent=0.0, main=(2, 3))
    share = 56 / RESERVE
    assert cost.within(share).steps == (10, 10, 105, 6, 20)
    slack = (1 - RESERVE) / 2 * share
    expected = [0.4 + 0.3 + 0.1 + slack / 2] * 2 + [6 * 0.3 + 2 + slack, 0.1 + slack / 2, 0]
    assert needed_after(cost, [2, 1, 1, 1], share) == pytest.approx(expected)


@pytest.mark.parametrize("then", [6, 400])
def test_a_run_on_schedule_is_not_hurried(then: int) -> None:
    """Also where what follows takes most of the time."""
    share = 20.0
    cost = Cost((1000, 6, then), (0.1, 0.05, 0.1), memory=0, spent=0.0, main=(0, 1)).within(share)
    own, short = cost.seconds - cost.seconds_from(1), cost.seconds - cost.seconds_from(2)
    first, second, _ = needed_after(cost, [1, 1, 1], share)
    assert own < share - first < share - cost.seconds_from(1)
    assert short < share - second < share


def test_what_then_does_keeps_its_steps_unless_it_takes_much_of_the_budget() -> None:
    cost = Cost((100, 20, 10), (0.1, 0.05, 0.1), memory=0, spent=0.0, main=(0, 1))
    assert cost.seconds_from(1) == pytest.approx(2)
    assert cost.within(9.31 / RESERVE).steps == (73, 20, 10)
    assert cost.within(3.81 / RESERVE).steps == (31, 6, 3)


def test_a_long_last_stage_takes_no_steps_from_short_ones_before_it() -> None:
    """Six steps that correct a kernel are worth nothing when they become one."""
    cost = Cost((100, 6, 400), (0.1, 0.05, 0.1), memory=0, spent=0.0, main=(2, 3))
    assert cost.within(18.6 / RESERVE).steps == (91, 6, 91)
    assert cost.within(3.72 / RESERVE).steps == (18, 1, 18)


@pytest.mark.parametrize(
    ("steps", "then", "budget", "said"),
    [
        ((250, 250, 800, 20), 1, 3.72 / RESERVE, "pays for 33 of 1300 steps"),
        ((250, 250, 800, 20), 1, 10.0, None),
        ((20,), 0, 0.2, None),  # exactly a twentieth
        ((40,), 0, 0.15, "pays for 1 of 40 steps"),
        ((40,), 0, 0.05, "does not pay for a single step"),
        ((10,) * 9, 0, 0.85, "does not pay for a single step"),
        ((5000,), 0, 11.15 / RESERVE, "pays for 111 of 5000 steps"),
        ((5000,), 0, 13.02 / RESERVE, None),
    ],
)
def test_a_budget_for_next_to_no_steps_is_refused(
    steps: tuple[int, ...], then: int, budget: float, said: str | None
) -> None:
    """Networks that have made so few steps give a worse image than the input."""
    cost = Cost(steps, (0.1,) * len(steps), memory=0, spent=0.0, main=(0, len(steps) - then), from_nothing=True)
    if said is None:
        assert 0.1 * sum(within_budget({"plane": cost}, {"plane": 1}, budget, 0.0)["plane"]) <= budget
    else:
        with pytest.raises(ParameterError, match=rf"the budget of [\d.]+ seconds {said}"):
            within_budget({"plane": cost}, {"plane": 1}, budget, 0.0)


def test_a_budget_that_does_not_pay_for_the_setup_is_refused() -> None:
    """Such as that of a network which begins with images that a classical method makes first."""
    cost = Cost((100,), (0.1,), memory=0, spent=0.0, setup=(5.0,))
    with pytest.raises(ParameterError, match="does not pay for a single step"):
        within_budget({"plane": cost}, {"plane": 1}, 5.05, 0.0)
    assert within_budget({"plane": cost}, {"plane": 1}, 5.2 / RESERVE, 0.0) == {"plane": (2,)}


def test_what_begins_with_the_observed_image_may_make_few_steps() -> None:
    cost = Cost((5000,), (0.1,), memory=0, spent=0.0)
    assert within_budget({"plane": cost}, {"plane": 1}, 1.86 / RESERVE, 0.0) == {"plane": (18,)}


def test_networks_that_begin_from_nothing_are_the_main_stages_and_else_the_longest_segment() -> None:
    """However long what follows is: a network with next to no steps is refused."""
    networks, pixels = METHODS["coarse-to-fine"], NONBLIND.replace(stages=[Stage(2)])
    longer = NONBLIND.replace(stages=[Stage(10_000)])
    cost = measure(networks.replace(then=longer), blurred(), REGISTRY, compute())
    assert (cost.from_nothing, cost.main) == (True, (0, 3))
    cost = measure(pixels.replace(then=longer), blurred(psf=True), REGISTRY, compute())
    assert (cost.from_nothing, cost.main) == (False, (1, 2))
    cost = measure(longer.replace(then=networks), blurred(psf=True), REGISTRY, compute())
    assert (cost.from_nothing, cost.main) == (True, (1, 4))


def test_networks_that_begin_with_a_kernel_of_edges_still_make_their_image_from_nothing() -> None:
    """The one that is added to the image of the stages before does not."""
    whole = default_registry().method("mc-mapk").pipeline("fast").chained()
    counts = [len(segment.stages) for segment in whole.segments()]
    cost = measure(whole, blurred(size=48), default_registry(), compute())
    assert (cost.from_nothing, cost.main) == (True, (counts[0], counts[0] + counts[1]))
    added = list(whole.segments())[-1]
    cost = measure(
        NONBLIND.replace(forward_model="convolution", estimator="richardson-lucy", then=added),
        blurred(size=48, psf=True),
        default_registry(),
        compute(),
    )
    assert not cost.from_nothing


def test_a_plan_from_a_budget_runs_as_planned() -> None:
    pipeline = METHODS["coarse-to-fine"]
    cost = Cost((12, 12, 12), (1.0, 1.0, 1.0), memory=0, spent=0.0).within(13)
    outcome = finish(Run(pipeline.with_steps(cost.steps), blurred(), REGISTRY, compute()).events())
    assert outcome.executed == list(cost.steps) == [4, 4, 4]


def test_memory_follows_from_the_frames_that_a_stage_uses() -> None:
    pipeline = METHODS["shared-kernel"].replace(then=None)
    few = measure(pipeline, blurred(frames=2), REGISTRY, compute()).memory
    many = measure(pipeline, blurred(frames=12), REGISTRY, compute()).memory
    assert many < 2 * few


def test_a_kernel_larger_than_the_probe_is_measured() -> None:
    observation = blurred(size=128)
    observation.psf = torch.full((1, 101, 101), 1 / 101**2)
    pipeline = NONBLIND.replace(forward_model="periodic")
    assert measure(pipeline, observation, REGISTRY, compute()).memory > 0


def test_a_psf_as_large_as_the_image_is_counted_from_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    observation = blurred(size=128)
    observation.psf = torch.full((1, 101, 101), 1 / 101**2)
    pipeline = NONBLIND.replace(forward_model="valid")
    built: list[int] = []
    plain = planning.build

    def noted(*args: Any, **options: Any) -> Any:
        problem = plain(*args, **options)
        built.append(problem.latent_shape[-1])
        return problem

    def memory() -> int:
        stage = pipeline.stages[0]
        return planning.memory_of(resolve(pipeline, REGISTRY), stage, observation, compute(), None)

    monkeypatch.setattr(planning, "build", noted)
    from_the_middle = memory()
    monkeypatch.setattr(planning, "_PROBED_PSF", 201)
    from_the_whole = memory()
    assert built == [96 + 46, 96 + 100]
    assert from_the_middle == pytest.approx(from_the_whole, rel=0.2)


def test_a_kernel_of_half_the_image_is_counted_as_large_as_it_is_on_the_whole_image() -> None:
    """On the probe half the image is less."""

    def memory(**given: Any) -> int:
        networks = default_registry().method("selfdeblur").pipeline("fast")
        pipeline = networks.replace(forward_model=[("convolution", given), "ssim"], stages=[Stage(2)], then=None)
        stage, observation = pipeline.stages[0], blurred(size=160)
        resolved = resolve(pipeline, default_registry())
        return planning.memory_of(resolved, stage, observation, compute(), None) - planning._LIBRARY

    assert memory() == pytest.approx(memory(kernel_size=(81,)), rel=0.1)
    assert memory() > 1.5 * memory(kernel_size=(49,))


def test_a_network_that_begins_with_a_psf_is_counted_as_large_as_the_psf_makes_it() -> None:
    pipeline = default_registry().method("selfdeblur").pipeline("fast").replace(first=None, then=None)
    pipeline = pipeline.replace(stages=[Stage(2)])
    resolved, stage = resolve(pipeline, default_registry()), pipeline.stages[0]

    def memory(side: int) -> int:
        observation = blurred(size=160)
        observation.psf = torch.full((1, side, side), 1 / side**2)
        return planning.memory_of(resolved, stage, observation, compute(), None)

    weights = 1000 * (101**2 - 45**2)  # of the last layer of the kernel's network
    assert memory(101) - memory(45) > planning._COPIES * 4 * weights


@pytest.mark.parametrize("shape", [(9, 9), (31, 15), (3, 15, 15), (1, 1)])
def test_what_stands_for_an_unknown_kernel_is_a_streak(shape: tuple[int, ...]) -> None:
    kernels = planning.stand_in(2, shape)
    assert kernels.shape == (2, *shape)
    assert torch.allclose(kernels.flatten(1).sum(1), torch.ones(2))
    assert torch.equal(kernels, kernels.flip(*range(1, kernels.ndim)))
    assert float(kernels.max()) >= min(1, 3 / kernels[0].numel())


def test_a_support_that_shrinks_is_expected_to_be_small() -> None:
    """From the stage on where it shrinks; a bound that is small already stays."""

    def peak(size: int, *stages: Stage) -> int:
        pipeline = METHODS["coarse-to-fine"].replace(
            forward_model=[("valid", {"kernel_size": size}), "squares"], stages=list(stages), then=None
        )
        return measure(pipeline, blurred(size=160), REGISTRY, compute()).memory - planning._LIBRARY

    keeps, shrinks = [Stage(2)], [Stage(2, scale=0.25), Stage(2, scale=0.5, support="shrink"), Stage(2)]
    assert peak(129, *shrinks) == pytest.approx(peak(41, *keeps), rel=0.1)
    assert peak(129, *shrinks) < 0.7 * peak(129, *keeps)
    assert peak(21, *shrinks) == pytest.approx(peak(21, *keeps), rel=0.1)


def test_what_a_stage_takes_over_is_part_of_its_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = planning.hand_over

    def slow(*args: Any) -> None:
        time.sleep(0.1)
        plain(*args)

    monkeypatch.setattr(planning, "hand_over", slow)
    pipeline = METHODS["coarse-to-fine"]
    setup = measure(pipeline, blurred(), REGISTRY, compute()).setup
    stages = len(pipeline.stages)
    assert all(seconds > 0.1 for seconds in setup[1:stages])
    assert stages > 1


@pytest.mark.parametrize(("steps", "timed"), [(6, 2), (60, 6), (700, 12)])
def test_a_short_stage_is_timed_in_less_than_it_takes(monkeypatch: pytest.MonkeyPatch, steps: int, timed: int) -> None:
    """Two steps count its memory, and the first of those that are timed serves to warm up."""
    done = 0
    plain = estimators.Joint.step

    def counted(*args: Any) -> Any:
        nonlocal done
        done += 1
        return plain(*args)

    monkeypatch.setattr(estimators.Joint, "step", counted)
    pipeline = Pipeline(["valid", "squares"], "network", "logits", "joint", stages=[Stage(steps)])
    monkeypatch.setattr(planning, "_TIMED", (60.0, 1.0))
    measure(pipeline, blurred(), REGISTRY, compute())
    assert done == 2 + 1 + timed


def test_too_little_memory_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compute, "free_memory", lambda self: 1000)
    with pytest.raises(ResourceError, match=r"32x32 pixels would need .* 1 kB are free"):
        measure(NONBLIND, blurred(psf=True), REGISTRY, compute())


def test_a_stack_counts_all_of_its_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.random.default_rng(0).random((6, 32, 32), dtype=np.float32)
    wishes: dict[str, Any] = {"method": "richardson-lucy", "psf": np.ones((3, 3)) / 9, "threads": 1}
    one, all_of_them = Job(stack[0], **wishes), Job(stack, axes="TYX", **wishes)
    assert all_of_them.estimate().memory - one.estimate().memory == pytest.approx(8 * stack.size, rel=0.2)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=8 * stack.size - 1))
    with pytest.raises(
        ResourceError, match=r"an image of 6x32x32, restored in parts, .* restore a part of it at a time"
    ):
        all_of_them.estimate()
    with pytest.raises(ResourceError, match="restored in parts"):
        next(Job(stack, axes="TYX", plan=[3], **wishes).events())


def test_what_comes_before_the_steps_is_no_part_of_their_pace() -> None:
    cost = Cost((100, 20), (0.1, 0.05), memory=0, spent=0.0, main=(0, 1), setup=(4.0, 0.5))
    assert cost.seconds == pytest.approx(15.5)
    assert cost.seconds_from(1) == pytest.approx(1.5)
    assert cost.within(9.3 / RESERVE).steps == (38, 20)
    assert cost.within(9.3 / RESERVE).seconds <= 9.3
    assert cost.within(2).steps == (1, 1)


def test_the_peak_counts_what_is_there_at_one_time() -> None:
    def work() -> None:
        first = torch.zeros(1000)
        second = first.view(10, 100) + 1
        del first
        third = second.clone()
        third.add_(1)
        torch.zeros(10)

    assert peak_bytes(work) == 8040
    assert peak_bytes(lambda: None) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse, vector = torch.eye(1000).to_sparse_csr(), torch.ones(1000)
    assert peak_bytes(lambda: sparse @ vector) == 4000


def test_the_peak_includes_what_autograd_keeps() -> None:
    weights = torch.ones(1000, requires_grad=True)
    forward = peak_bytes(lambda: (weights * 2).exp())
    both = peak_bytes(lambda: (weights * 2).exp().exp().sum().backward())  # type: ignore[no-untyped-call]
    assert forward == 8000
    assert both >= 12000


def test_measuring_ends_when_the_run_is_cancelled_or_its_budget_is_over() -> None:
    looks: list[bool] = []

    def cancelled() -> bool:
        looks.append(len(looks) >= 2)
        return looks[-1]

    with pytest.raises(CancelledError):
        measure(METHODS["coarse-to-fine"], observation_for("coarse-to-fine"), REGISTRY, compute(), None, cancelled)
    assert looks == [False, False, True]
    with pytest.raises(ParameterError, match="budget of 1e-06 seconds was over"):
        measure(METHODS["coarse-to-fine"], observation_for("coarse-to-fine"), REGISTRY, compute(), 1e-6)


def test_a_job_that_is_cancelled_while_it_is_measured_runs_nothing() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        Job(np.zeros((40, 40)) + np.eye(40), method="selfdeblur", kernel_size=5, threads=1, cancel=token).estimate()
    job = Job(np.eye(40), method="selfdeblur", kernel_size=5, threads=1, cancel=token, max_seconds=60)
    for _ in job.events():
        pass
    assert [row["status"] for row in job.result.report["planes"]] == ["not run"]
