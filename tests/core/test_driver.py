"""The driver: events, preview, cancel, divergence, checkpoints and their resumption, reproducibility."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trials import parts
from tests.trials.plugin import METHODS, NONBLIND, blurred, compute, observation_for, registry
from unblur import Pipeline, Stage, default_registry
from unblur.components import Context, KernelSpec
from unblur.driver import CancelToken, Event, Outcome, Run, finish
from unblur.errors import CheckpointError, DivergedError, PluginError
from unblur.problem import Observation
from unblur_classical import penalties, responses

REGISTRY = registry()
BLIND = Pipeline(["valid", "squares"], "random-network", "logits", "joint", ["best-misfit"], [Stage(8)])
STAGED = Pipeline(
    [("valid", {"kernel_size": 9}), "squares"],
    "random-network",
    "logits",
    "joint",
    ["moving-variance"],
    [Stage(6, scale=0.5), Stage(6), Stage(6, support="shrink")],
    then=NONBLIND.with_steps([4]),
)


def make(pipeline: Pipeline, observation: Observation | None = None, **more: Any) -> Run:
    return Run(pipeline, observation or blurred(), REGISTRY, compute(), **more)


def run(pipeline: Pipeline, observation: Observation | None = None, **more: Any) -> Outcome:
    return finish(make(pipeline, observation, **more).events())


def same(one: Outcome, other: Outcome) -> bool:
    pairs = [(one.estimate.image, other.estimate.image), (one.estimate.kernel, other.estimate.kernel)]
    facts = [(o.misfit, o.residual, o.selected_step, o.executed, o.reason, o.notes, o.warnings) for o in (one, other)]
    return all(torch.equal(a, b) for a, b in pairs) and facts[0] == facts[1]


def abandon(pipeline: Pipeline, after: int, path: Path, **more: Any) -> None:
    """A run that dies between two steps, with checkpoints after each."""
    events = make(pipeline, checkpoint=path, interval=0, **more).events()
    for _ in range(after):
        next(events)
    events.close()


def test_events_count_steps_and_seconds() -> None:
    events = list(make(STAGED).events())
    assert [event.step for event in events] == list(range(1, 23))
    assert {event.planned for event in events} == {22}
    assert [event.stage for event in events] == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 4
    assert all(later.elapsed >= earlier.elapsed for earlier, later in itertools.pairwise(events))
    assert all(event.remaining > 0 for event in events[:-1])
    assert events[-1].remaining == 0


def test_the_time_left_counts_stages_to_come_at_their_own_pace() -> None:
    pipeline = BLIND.replace(stages=[Stage(2, scale=0.5), Stage(100)])
    measured = list(make(pipeline, paces=(1.0, 7.0)).events())
    assert measured[1].remaining == pytest.approx(700)
    unknown = make(pipeline)
    *_, last_coarse = itertools.islice(unknown.events(), 2)
    assert last_coarse.remaining == pytest.approx(100 * 4 * unknown._pace[0])


def test_a_stage_that_ends_early_shortens_the_plan() -> None:
    pipeline = STAGED.replace(stopping=[("ends-stage", {"step": 2, "stage": 1}), "last"])
    events = list(make(pipeline).events())
    assert events[-1].planned == events[-1].step == 6 + 2 + 6 + 4
    assert run(pipeline).executed == [6, 2, 6, 4]


@pytest.mark.parametrize("name", ["sa-dropout", "mc-mapk", "mcem", "reblur2deblur"])
def test_looking_changes_nothing(name: str) -> None:
    plain = run(METHODS[name], observation_for(name))
    watched = make(METHODS[name], observation_for(name))
    events, previews = watched.events(), []
    while True:
        try:
            event: Event = next(events)
        except StopIteration as stop:
            outcome = stop.value
            break
        first, again = event.preview(), event.preview()
        assert torch.equal(first.image, again.image)
        previews.append(first)
    assert same(plain, outcome)
    assert torch.equal(previews[-1].image, outcome.estimate.image)  # the last iterate is the one selected here


def test_cancel_keeps_the_selected_result() -> None:
    token = CancelToken()
    running = make(BLIND.with_steps([50]), cancel=token)
    events = running.events()
    misfits = [next(events).misfit for _ in range(7)]
    token.cancel("the user said stop")
    token.cancel("too late")
    outcome = finish(events)
    assert outcome.reason == "the user said stop"
    assert outcome.executed == [7]
    assert outcome.selected_step == 1 + misfits.index(min(misfits))
    assert outcome.estimate.image.shape == (1, 1, 32, 32)


def test_cancel_while_the_kernel_is_corrected_keeps_the_image_before() -> None:
    """Steps that only look for a kernel have an image of flat regions."""
    last = default_registry().method("hyper-laplacian").pipeline()
    edges = default_registry().method("l0-gradient").pipeline().replace(stages=[Stage(steps=4)], then=last)
    first = Pipeline(
        forward_model=[("convolution", {"kernel_size": (5,)}), "squared"],
        image_prior="pixels",
        kernel_prior="free",
        estimator="joint-adam",
        stages=[Stage(steps=6)],
        then=edges.replace(forward_model=[("convolution", {"kernel_size": (5,)})]),
    )
    token = CancelToken()
    running = Run(first, blurred(), default_registry(), compute(), cancel=token)
    events = running.events()
    image = None
    for event in iter(lambda: next(events), None):
        if event.stage == 0:
            image = running.preview().image
        if event.step == 8:
            token.cancel("enough")
            break
    outcome = finish(events)
    assert outcome.executed == [6, 2, 0]
    assert image is not None
    assert torch.equal(outcome.estimate.image, image)
    assert any("the image is that of the stages before" in note for note in outcome.notes)


def test_the_selected_iterate_is_returned_whole() -> None:
    """An estimator whose result lives in its own state (an average) must come back as it was at the selected step."""
    pipeline = Pipeline(["valid", "squares"], "pixels", "known", "averaging", ["best-misfit"], [Stage(30)])
    pipeline = pipeline.set({"estimator.image_rate": ((0.0, 1e-2), (0.4, 0.5))})  # gets worse from 40 % on
    outcome = run(pipeline, blurred(psf=True))
    assert outcome.selected_step < 30
    events = make(pipeline, blurred(psf=True)).events()
    previews = [next(events).preview() for _ in range(outcome.selected_step)]
    assert torch.equal(previews[-1].image, outcome.estimate.image)


def test_a_divergence_is_stepped_back_from_once() -> None:
    diverging = Pipeline(["valid", "squares"], "pixels", "known", ("diverging", {"at": 104}), stages=[Stage(120)])
    outcome = run(diverging, blurred(psf=True))
    assert outcome.rewinds == 1
    assert outcome.executed == [120]
    assert any("went back to step 100" in note for note in outcome.notes)
    assert bool(torch.isfinite(outcome.estimate.image).all())


def test_a_state_that_is_already_spoilt_is_never_the_one_to_go_back_to() -> None:
    """The update of step 99 leaves NaN, which the misfit of step 100 shows: after the safe state of step 100."""
    diverging = Pipeline(["valid", "squares"], "pixels", "known", ("diverging", {"at": 99}), stages=[Stage(103)])
    outcome = run(diverging, blurred(psf=True))
    assert any("went back to step 0" in note for note in outcome.notes)
    assert bool(torch.isfinite(outcome.estimate.image).all())


def test_a_second_divergence_ends_the_run() -> None:
    hopeless = Pipeline(["valid", "squares"], "pixels", "known", ("diverging", {"rate": 1e-9}), stages=[Stage(20)])
    with pytest.raises(DivergedError, match=r"'diverging'.*after 1 return.*smaller learning rate"):
        run(hopeless, blurred(psf=True))


@pytest.mark.parametrize("after", [3, 8, 20])
def test_what_a_part_warned_of_before_a_checkpoint_is_warned_of(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = parts.Logits.init

    def warn(self: parts.Logits, spec: KernelSpec, context: Context) -> None:
        init(self, spec, context)
        context.warn(f"at {spec.scale:g}")

    monkeypatch.setattr(parts.Logits, "init", warn)
    abandon(STAGED, after, tmp_path / "run.pt")
    resumed = finish(make(STAGED, checkpoint=tmp_path / "run.pt").events(resume=True))
    assert resumed.warnings == ["at 0.5", "at 1"]


@pytest.mark.parametrize("after", [1, 5, 6, 7, 12, 15, 18, 19, 21, 22])
def test_resumed_runs_give_the_same_bits(tmp_path: Path, after: int) -> None:
    whole = run(STAGED, seed=3)
    abandon(STAGED, after, tmp_path / "run.pt", seed=3)
    resumed = finish(make(STAGED, seed=3, checkpoint=tmp_path / "run.pt").events(resume=True))
    assert same(whole, resumed)


@pytest.mark.parametrize("name", ["sa-dropout", "mcem", "reblur2deblur", "practical-bid", "shared-kernel"])
def test_every_method_resumes(tmp_path: Path, name: str) -> None:
    whole = run(METHODS[name], observation_for(name))
    more = {"observation": observation_for(name)}
    for after in (4, 17):
        abandon(METHODS[name], after, tmp_path / "run.pt", **more)
        events = make(METHODS[name], checkpoint=tmp_path / "run.pt", **more).events(resume=True)
        assert same(whole, finish(events))


def test_resumed_around_a_divergence(tmp_path: Path) -> None:
    diverging = Pipeline(["valid", "squares"], "pixels", "known", ("diverging", {"at": 104}), stages=[Stage(120)])
    whole = run(diverging, blurred(psf=True))
    for after in (103, 105, 109):  # before it, and after having gone back to step 100
        abandon(diverging, after, tmp_path / "run.pt", observation=blurred(psf=True))
        again = make(diverging, blurred(psf=True), checkpoint=tmp_path / "run.pt")
        assert same(whole, finish(again.events(resume=True)))


def test_cancel_in_the_step_in_which_a_rule_ended_the_stage(tmp_path: Path) -> None:
    pipeline = STAGED.replace(stopping=[("ends-stage", {"step": 3, "stage": 1}), "last"])
    whole, token = run(pipeline), CancelToken()
    events = make(pipeline, cancel=token, checkpoint=tmp_path / "run.pt").events()
    for _ in range(9):
        next(events)
    token.cancel()
    assert finish(events).executed == [6, 3, 0, 0]
    resumed = finish(make(pipeline, checkpoint=tmp_path / "run.pt").events(resume=True))
    assert same(whole, resumed)


def test_plan_and_elapsed_survive_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    events = make(BLIND.with_steps([9]), checkpoint=path, interval=0).events()
    time.sleep(0.05)
    seen = [next(events) for _ in range(5)]
    events.close()
    rest = list(make(BLIND.with_steps([400]), checkpoint=path).events(resume=True))
    assert rest[-1].planned == rest[-1].step == 9  # the plan of the run that was begun, not of this one
    assert rest[0].elapsed > seen[3].elapsed
    with pytest.raises(CheckpointError, match=r"1 stages.*4"):
        next(make(STAGED, checkpoint=path).events(resume=True))


def test_short_stages_are_saved_too(tmp_path: Path) -> None:
    """The time between two checkpoints counts across stages."""
    path = tmp_path / "run.pt"
    stages = [Stage(2) for _ in range(6)]
    events = make(BLIND.replace(stages=stages), checkpoint=path, interval=0.06).events()
    for _ in range(12):
        next(events)
        time.sleep(0.02)
    assert path.exists()


def test_checkpoints_of_other_runs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    abandon(BLIND, 3, path, fingerprint="mine")
    with pytest.raises(CheckpointError, match="another input"):
        next(make(BLIND, checkpoint=path, fingerprint="yours").events(resume=True))
    other = Pipeline(["valid", "squares"], "pixels", "logits", "joint", "best-misfit", [Stage(8)])
    with pytest.raises(CheckpointError, match="does not fit these parts"):
        next(make(other, checkpoint=path, fingerprint="mine").events(resume=True))
    for damaged in (b"", b"PK\x03\x04 nothing", path.read_bytes()[:1000], b"\x80\x02cos\nsystem\n."):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            next(make(BLIND, checkpoint=path).events(resume=True))
    path.unlink()
    assert next(make(BLIND, checkpoint=path).events(resume=True)).step == 1


def test_a_budget_that_ends_at_a_coarse_stage_still_gives_the_full_size() -> None:
    outcome = run(STAGED.replace(stopping=[("ends-run", {"step": 3})]))
    assert outcome.reason == "budget used"
    assert outcome.executed == [3, 0, 0, 0]
    assert outcome.estimate.image.shape == (1, 1, 32, 32)
    assert bool(torch.isfinite(outcome.estimate.image).all())
    assert any("0.5 of the resolution" in text for text in outcome.warnings)


def test_a_budget_that_ends_in_a_part_of_the_image_leaves_the_rest_nan() -> None:
    pipeline = METHODS["shared-kernel"].replace(stopping=[("ends-run", {"step": 3})])
    running = make(pipeline, observation_for("shared-kernel"))
    events = running.events()
    assert next(events).preview().image.shape == (3, 1, 32, 32)
    outcome = finish(events)
    known = torch.isfinite(outcome.estimate.image)
    expected = torch.zeros_like(known)
    expected[1, :, 2:30, 0:28] = True
    assert torch.equal(known, expected)
    assert any("NaN outside" in note for note in outcome.notes)


def test_same_seed_same_bits_and_other_seed_other_bits() -> None:
    one, again, other = run(STAGED, seed=5), run(STAGED, seed=5), run(STAGED, seed=6)
    assert same(one, again)
    assert not torch.equal(one.estimate.image, other.estimate.image)


def test_the_estimate_is_drawn_with_the_runs_own_seed() -> None:
    """Two planes must not share the noise of their ensembles."""
    pipeline = METHODS["sa-dropout"].with_steps([1]).set({"estimator.image_rate": 1e-9})
    spreads = [run(pipeline, observation_for("sa-dropout"), seed=seed).estimate.spread for seed in (1, 2)]
    assert spreads[0] is not None
    assert spreads[1] is not None
    images = [make(pipeline, observation_for("sa-dropout"), seed=seed) for seed in (1, 2)]
    for image in images:
        next(image.events())
    with torch.no_grad():
        for one, other in zip(*(image._problem.image.parameters() for image in images), strict=True):
            other.copy_(one)
    first, second = (image.preview().spread for image in images)
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)


def test_parts_are_not_set_up_with_the_numbers_of_the_first_step() -> None:
    running = make(BLIND, seed=4)
    next(running.events())
    problem = running._problem
    assert problem.rng.initial_seed() != problem.context.rng.initial_seed()


def test_global_state_is_left_alone() -> None:
    torch.manual_seed(7)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(False)
    one = run(METHODS["mc-mapk"])
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(8)
    assert same(one, run(METHODS["mc-mapk"]))


def test_a_run_in_a_hurry_goes_on_with_then_and_can_be_repeated() -> None:
    hurried = make(STAGED)
    events = hurried.events()
    for event in iter(lambda: next(events), None):
        if event.step == 8:
            hurried.go_on("no time")
            break
    outcome = finish(events)
    assert outcome.executed == [6, 2, 0, 4]
    assert outcome.reason == "planned steps done"
    assert "no time: on to what follows after 2 of 6 steps of stage 2" in outcome.notes
    assert outcome.estimate.image.shape == blurred().pixels.shape
    again = run(STAGED, limit=outcome.executed)
    assert torch.equal(again.estimate.image, outcome.estimate.image)
    assert again.executed == outcome.executed


@pytest.mark.parametrize(("at", "executed", "said"), [(6, [6, 0, 0, 4], 2), (18, [6, 6, 6, 4], 0)])
def test_a_run_in_a_hurry_at_the_end_of_a_stage_says_which_stages_it_leaves_out(
    at: int, executed: list[int], said: int
) -> None:
    hurried = make(STAGED)
    for event in (events := hurried.events()):
        if event.step == at:
            hurried.go_on("no time")
            break
    outcome = finish(events)
    assert outcome.executed == executed
    assert sum("no time" in note for note in outcome.notes) == said
    assert outcome.late == (said > 0)


def test_the_last_stages_do_not_hurry() -> None:
    patient = make(STAGED)
    events = patient.events()
    for event in iter(lambda: next(events), None):
        if event.stage == 3:
            patient.go_on("no time")
            break
    assert finish(events).executed == [6, 6, 6, 4]


def test_the_plan_alone_repeats_a_run() -> None:
    whole = run(STAGED.with_steps([3, 2, 4, 2]), seed=1)
    assert whole.plan == whole.executed == [3, 2, 4, 2]
    assert same(whole, run(STAGED.with_steps(whole.plan), seed=1))


def test_intensities_come_back_in_their_units() -> None:
    photo = blurred(psf=True)
    science = dataclasses.replace(photo, pixels=photo.pixels * 1000 - 50, white_level=None)
    one, other = run(NONBLIND, photo).estimate.image, run(NONBLIND, science).estimate.image
    assert any("below zero" in note for note in run(NONBLIND, science).notes) == bool((science.pixels < 0).any())
    assert not one.requires_grad
    assert float((one * 1000 - 50 - other).abs().mean()) < 30


def test_a_rule_that_answers_with_anything_but_a_reason_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.EndsRun, "update", lambda self, info, clock: False)
    with pytest.raises(PluginError, match=r"ends-run.*False; expected None to go on"):
        run(BLIND.replace(stopping=[("ends-run", {"step": 3})]))


@pytest.mark.parametrize("crop", [lambda self, estimate, batch: estimate, lambda self, estimate, batch: None])
def test_a_forward_model_that_does_not_cut_its_image_is_named(crop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.Valid, "crop", crop)
    with pytest.raises(PluginError, match=r"'valid'.*crop"):
        run(BLIND)


@pytest.mark.parametrize(
    ("owner", "method", "given", "said"),
    [
        (responses.Gamma, "__call__", None, r"forward_model 'gamma'.*gave a prediction of NoneType"),
        (responses.Camera, "calibrate", torch.zeros(1), r"forward_model 'camera'.*gave calibrated frames of \(1,\)"),
        (penalties.TotalVariation, "__call__", 0.0, r"image_prior 'tv'.*gave a value of float; expected a scalar"),
        (penalties.KernelL2, "__call__", torch.zeros(2), r"kernel_prior 'l2'.*gave a value of \(2,\)"),
    ],
)
def test_what_responses_and_penalties_give_is_their_fault(
    owner: type, method: str, given: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, method, lambda *_: given)
    camera = ("camera", {"gain": 1.0, "offset": 0.0})
    model = ["convolution", "squared", "gamma", camera]
    pipeline = Pipeline(model, ["pixels", "tv"], ["free", "l2"], "joint-adam", stages=[Stage(2)])
    with pytest.raises(PluginError, match=said):
        finish(Run(pipeline, blurred(), default_registry(), compute()).events())


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode", "autocast", "float64"])
def test_the_modes_of_the_callers_thread_do_not_change_a_run(mode: str) -> None:
    expected, observation = run(STAGED), blurred()
    torch.set_default_dtype(torch.float64 if mode == "float64" else torch.float32)
    try:
        with contextlib.ExitStack() as modes:
            if mode == "autocast":
                modes.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
            elif mode != "float64":
                modes.enter_context(getattr(torch, mode)())
            kept = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
            events = make(STAGED, observation).events()
            next(events)
            between = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
            outcome = finish(events)
        assert torch.get_default_dtype() == (torch.float64 if mode == "float64" else torch.float32)
    finally:
        torch.set_default_dtype(torch.float32)
    assert between == kept
    assert same(outcome, expected)
