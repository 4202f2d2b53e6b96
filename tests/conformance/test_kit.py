"""The kit itself: sound components pass, and every rule can fail, with a message that names component and plugin."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from tests.conformance import broken
from tests.conformance.plugin import LEARNS, MODEL, NEEDS, PIPELINE, SOUND, USES, registered, registry_with
from unblur.errors import ConformanceError
from unblur.params import NoParams
from unblur.records import Method, Registered
from unblur.testing import check_component, check_method, conformance_cases, declarations, rules_of

IMAGE = {"slot": "image_prior", "role": "base", "provides": LEARNS}
KERNEL = {"slot": "kernel_prior", "role": "base", "provides": LEARNS | {"single"}}
FORWARD = {"slot": "forward_model", "role": "base", "provides": MODEL, "requires": {"kernel_prior:single"}}
MISFIT = {"slot": "forward_model", "role": "misfit", "params": broken.Weight}
PENALTY = {"slot": "image_prior", "role": "penalty", "params": broken.Weight}
RESPONSE = {"slot": "forward_model", "role": "response"}
ESTIMATOR = {"slot": "estimator", "role": "base", "provides": USES, "requires": NEEDS}
RULE = {"slot": "stopping", "role": "rule"}
SELECTOR = {"slot": "stopping", "role": "selector"}

# rule → components that break it, and what the message says
BREAKING: dict[str, list[tuple[type, dict[str, Any], str]]] = {
    "target_is_of_its_kind": [
        (broken.Latent, KERNEL, "is no KernelPrior"),
        (broken.ForwardModel, {**FORWARD, "target": "unblur.components:ForwardModel"}, "does not implement adjoint"),
    ],
    "summary_and_dims": [
        (broken.Latent, {**IMAGE, "summary": "no sentence"}, "no sentence"),
        (broken.Latent, {**IMAGE, "dims": frozenset({1})}, r"dims are \[1\]"),
    ],
    "traits_are_of_use": [
        (broken.Latent, {**IMAGE, "requires": {"kernel_prior:singel"}}, "kernel_prior:singel"),
        (broken.Descent, {**ESTIMATOR, "provides": {"uses-misfits"}}, "uses-misfits"),
    ],
    "defaults_are_valid": [
        (broken.Latent, {**IMAGE, "params": broken.BadDefault}, "share = 'half'"),
        (broken.Latent, {**IMAGE, "params": broken.BadDoc}, "expected a sentence"),
    ],
    "params_survive_toml": [(broken.Latent, {**IMAGE, "params": broken.Forgetful}, "came back as")],
    "weight_is_declared": [(broken.Unmasked, {**MISFIT, "params": NoParams}, "weight is not there")],
    "predict_shape": [(broken.TooLarge, FORWARD, "the prediction has shape")],
    "linear_is_linear": [(broken.Squaring, FORWARD, "in the latent image")],
    "image_adjoint": [(broken.Correlating, FORWARD, "the left side is")],
    "kernel_adjoint": [(broken.CorrelatingKernel, FORWARD, "the left side is")],
    "gradients": [(broken.Detached, FORWARD, "no gradient reaches input 2 of 2")],
    "prepared_agrees": [(broken.OtherOperator, FORWARD, "forward: relative difference")],
    "crop_is_the_window": [(broken.ForgetsSpread, FORWARD, "the spread is lost")],
    "crop_keeps_the_explanation": [(broken.Shifted, FORWARD, "a point kernel 0 pixels off centre")],
    "restore_undoes_calibrate": [(broken.Halving, RESPONSE, "restored and calibrated again")],
    "response_is_monotone": [(broken.Clipping, RESPONSE, "darker observation")],
    "perfect_prediction_is_best": [(broken.Misplaced, MISFIT, "at a perfect prediction")],
    "weight_masks": [(broken.Unmasked, MISFIT, "outside the weight")],
    "misfit_gradients": [(broken.InfiniteSlope, MISFIT, "the gradient at a perfect prediction is not finite")],
    "penalty_is_finite": [(broken.Norm, PENALTY, "the gradient at a constant image is not finite")],
    "penalty_gradients": [(broken.WrongSlope, PENALTY, "slope by autograd")],
    "misfit_changes_nothing": [(broken.Greedy, MISFIT, "the weight")],
    "penalty_changes_nothing": [(broken.Clamping, PENALTY, "an image")],
    "image_shape": [(broken.Transposed, IMAGE, "the latent image has shape")],
    "kernel_is_a_kernel": [
        (broken.Unnormalised, KERNEL, "expected 1"),
        (broken.Negative, KERNEL, "negative weight"),
    ],
    "same_seed_same_bits": [
        (broken.Unseeded, IMAGE, "without rng"),
        (broken.Guarded, IMAGE, "without rng"),
        (broken.NumpySeeded, IMAGE, "NumPy's global random state changed"),
    ],
    "quiet_without_rng": [(broken.Drifting, IMAGE, "second outcome")],
    "random_is_declared": [(broken.SecretlyRandom, IMAGE, "with a generator")],
    "state_round_trip": [
        (broken.Amnesiac, IMAGE, "state after loading"),
        (broken.Replacing, IMAGE, "copy into them in place"),
        (broken.Remembering, IMAGE, "does not come back from a checkpoint"),
    ],
    "start_from_comes_nearer": [
        (broken.Backwards, IMAGE, "its distance was"),
        (broken.Cornered, IMAGE, "the earlier stage at 0.6 of the resolution"),
    ],
    "gradient_reaches_parameters": [
        (broken.Severed, IMAGE, "no gradient reaches parameter 0 of 1"),
        (broken.Latent, {**IMAGE, "provides": set()}, "the trait `learns` is missing"),
    ],
    "pixels_are_the_parameter": [(broken.Doubled, {**IMAGE, "provides": LEARNS | {"pixels"}}, "parameter and outcome")],
    "weights_are_linear": [(broken.OneWay, {**KERNEL, "provides": LEARNS | {"weights", "single"}}, "<expand")],
    "resolution_is_followed": [(broken.Gauss, {**KERNEL, "provides": {"single"}}, "at half the resolution it differs")],
    "fixed_is_fixed": [(broken.Bare, {**KERNEL, "provides": {"fixed", "single"}}, "it has 1")],
    "misfit_falls": [(broken.Ascent, ESTIMATOR, "the misfits are")],
    "what_learns_moves": [(broken.ImageOnly, ESTIMATOR, "the kernel stayed as it was")],
    "standard_deviations_are_declared": [(broken.Spreading, ESTIMATOR, "the trait is missing")],
    "looking_changes_nothing": [(broken.Touching, ESTIMATOR, "the state after a look")],
    "resumes_with_the_same_bits": [(broken.Hurrying, ESTIMATOR, "the state at the end")],
    "softening": [(broken.Unsure, ESTIMATOR, "it gave None")],
    "works_in_colour": [(broken.FirstChannel, ESTIMATOR, "channel 1 stayed as it was")],
    "what_does_not_count_changes_nothing": [(broken.Trusting, ESTIMATOR, "the pixels bright in place of dark")],
    "what_it_uses_counts": [
        (broken.Descent, {**ESTIMATOR, "provides": USES | {"uses-image-penalty"}}, "with the penalty 'tv'"),
    ],
    "a_later_stage_goes_on": [(broken.Clinging, ESTIMATOR, "the image stayed as it was in a second stage")],
    "answers_are_of_their_kind": [
        (broken.Boolean, RULE, "it gave False; expected None or a text"),
        (broken.Numeric, SELECTOR, "expected True or False"),
    ],
    "answers_survive_a_resume": [
        (broken.Restarting, RULE, "instead of 'seen enough'"),
        (broken.Numbering, RULE, "does not come back from a checkpoint: UnpicklingError"),
        (broken.Best, SELECTOR, "instead of False, resumed at step 3"),
    ],
    "looks_on_only": [(broken.Meddling, RULE, "the Info")],
}

CASES = [
    pytest.param(rule, target, record, words, id=f"{rule}-{target.__name__}-{index}")
    for rule, broken_parts in BREAKING.items()
    for index, (target, record, words) in enumerate(broken_parts)
]


def run(part: Registered, rule: str) -> None:
    for name, case in conformance_cases(registry_with(part), plugin="broken", devices=["cpu"]):
        if name.rsplit("/", 1)[1] == rule:
            case()


@pytest.mark.parametrize(("rule", "target", "record", "words"), CASES)
def test_rule_fails(rule: str, target: type, record: dict[str, Any], words: str) -> None:
    part = registered(part=target, **record)
    with pytest.raises(ConformanceError, match=words) as caught:
        run(part, rule)
    message = str(caught.value)
    assert repr(part.name) in message
    assert "'broken'" in message
    assert "breaks the rule" in message


def test_every_rule_is_shown_to_fail() -> None:
    kinds = [registered(slot, role, target) for slot, role, target, *_ in SOUND]
    kinds += [registered(part=broken.Norm, **each) for each in (MISFIT, PENALTY, RESPONSE, SELECTOR)]
    rules = {rule.__name__ for kind in kinds for rule in (*declarations.RULES, *rules_of(kind))}
    assert rules == set(BREAKING)


def test_every_rule_has_a_wording() -> None:
    for slot, role, target, *_ in SOUND:
        for rule in (*declarations.RULES, *rules_of(registered(slot, role, target))):
            assert inspect.getdoc(rule)


@pytest.mark.parametrize("sound", SOUND, ids=lambda sound: sound[2].__name__)
def test_sound_component_passes(sound: Any) -> None:
    part = registered(*sound)
    check_component(part, registry_with(part))


def test_a_component_that_raises_breaks_the_rule() -> None:
    part = registered(part=broken.Latent, **{**IMAGE, "target": "tests.conformance.broken:NotThere"})
    with pytest.raises(ConformanceError, match="it raised PluginError: component 'latent' of plugin 'broken'"):
        check_component(part, registry_with(part))


def test_a_component_with_a_filter_of_its_own_passes() -> None:
    part = registered(part=broken.Laplacian, **PENALTY)
    check_component(part, registry_with(part))


def test_a_component_that_prints_breaks_the_rule() -> None:
    part = registered(part=broken.Talking, **MISFIT)
    with pytest.raises(ConformanceError, match="it printed 'a misfit of"):
        check_component(part, registry_with(part))


def test_methods() -> None:
    good = Method("good", "A method.", "Tests.", {"balanced": PIPELINE}, needs_psf=True)
    refused = PIPELINE.replace(kernel_prior="fully-connected", estimator="richardson-lucy")
    methods = [
        good,
        dataclasses.replace(good, name="refused", presets={"balanced": refused}),
        dataclasses.replace(good, name="blind", blind=True),
        dataclasses.replace(good, name="silent", summary=""),
        dataclasses.replace(good, name="modest", needs_psf=False),
    ]
    registry = registry_with(methods=methods)
    check_method("good", registry)
    for name, words in (
        ("refused", "does not fit"),
        ("blind", "is fixed"),
        ("silent", "summary"),
        ("modest", "takes one"),
    ):
        with pytest.raises(ConformanceError, match=words) as caught:
            check_method(name, registry)
        assert f"method {name!r} (plugin 'broken'" in str(caught.value)
