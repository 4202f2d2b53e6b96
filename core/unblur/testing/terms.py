"""Rules for misfits and penalties."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unblur.testing.case import Case


def _misfit(case: Case) -> tuple[Any, Tensor]:
    misfit, batch = case.instance(), case.batch()
    misfit.init(batch, case.context())
    return misfit, batch.observed


def perfect_prediction_is_best(case: Case) -> None:
    """a misfit is a finite scalar, and least at a perfect prediction"""
    misfit, observed = _misfit(case)
    best = case.number(misfit(observed, observed, None), "the misfit")
    others = {f"at a prediction {factor} times as bright": factor * observed for factor in (0.9, 0.98, 1.02, 1.1)}
    for size in (0.02, 0.2):
        others[f"with noise of {size}"] = (observed + size * case.noise(observed.shape, 1)).clamp_min(0)
    for what, other in others.items():
        value = case.number(misfit(other, observed, None), "the misfit")
        case.expect(value > best, f"{value:.6g} {what}, {best:.6g} at a perfect prediction")


def weight_masks(case: Case) -> None:
    """predictions where the weight is 0 do not matter, those elsewhere do, and weights of 1 change nothing"""
    misfit, observed = _misfit(case)
    predicted = (observed + 0.05 * case.noise(observed.shape, 1)).clamp_min(0.01)
    ones = torch.ones_like(observed)
    case.close(misfit(predicted, observed, ones), misfit(predicted, observed, None), "weights of 1", 1e-4)
    weight = ones.clone()
    half = observed.shape[-1] // 2
    weight[..., half:] = 0
    wanted = misfit(predicted, observed, weight)
    changed = predicted.clone()
    changed[..., half:] = 0.9 - 0.5 * changed[..., half:]
    case.close(misfit(changed, observed, weight), wanted, "another prediction outside the weight", 1e-4)
    changed = predicted.clone()
    changed[..., :half] = 0.9 - 0.5 * changed[..., :half]
    differs = float((misfit(changed, observed, weight) - wanted).abs())
    case.expect(differs > 1e-9, "another prediction inside the weight changes nothing")
    case.scalar(misfit(predicted, observed, torch.zeros_like(observed)), "the misfit with no pixel that counts")


def misfit_gradients(case: Case) -> None:
    """the gradient of a misfit agrees with differences, and is finite at a perfect prediction and at zero"""
    misfit, observed = _misfit(case)
    predicted = (observed + 0.1 * case.noise(observed.shape, 1)).clamp_min(0.02)
    case.slope(lambda value: misfit(value, observed.to(value.dtype), None), predicted)
    for what, start in (("a perfect prediction", observed), ("a prediction of zero", torch.zeros_like(observed))):
        leaf = start.clone().requires_grad_()
        gradient = torch.autograd.grad(case.scalar(misfit(leaf, observed, None), f"the misfit at {what}"), leaf)[0]
        case.finite(gradient, f"the gradient at {what}")


def misfit_changes_nothing(case: Case) -> None:
    """a misfit changes neither prediction, observation nor weight, which others use after it"""
    misfit, observed = _misfit(case)
    weight = torch.ones_like(observed)
    weight[..., : observed.shape[-1] // 2] = 0.5
    given = {"the observation": observed, "the weight": weight, "the prediction": observed - 0.5}
    before = {what: value.clone() for what, value in given.items()}
    misfit(given["the prediction"], observed, weight)
    for what, value in given.items():
        case.same(value, before[what], what)


MISFIT_RULES = (perfect_prediction_is_best, weight_masks, misfit_gradients, misfit_changes_nothing)


def _penalty(case: Case) -> Any:
    penalty = case.instance()
    penalty.init(case.context())
    return penalty


def _values(case: Case) -> dict[str, Tensor]:
    if case.registered.slot == "image_prior":
        image = case.smooth((1, 2, *case.latent_shape), 1)
        constant = {"a constant image": torch.full_like(image, 0.5), "zeros": torch.zeros_like(image)}
        return {"an image": image + 0.02 * case.noise(image.shape, 2), **constant}
    kernel = case.kernels(1, case.kernel_shape, 1)
    point = torch.zeros_like(kernel)
    point[(0, *(n // 2 for n in case.kernel_shape))] = 1
    return {"a kernel": kernel, "a flat kernel": torch.full_like(kernel, 1 / kernel.numel()), "a point": point}


def penalty_is_finite(case: Case) -> None:
    """a penalty is a finite scalar with a finite gradient, at a constant and at zero too"""
    penalty = _penalty(case)
    for what, value in _values(case).items():
        leaf = value.clone().requires_grad_()
        result = case.scalar(penalty(leaf), f"the penalty of {what}")
        case.expect(result.requires_grad, "it has no gradient")
        case.finite(torch.autograd.grad(result, leaf)[0], f"the gradient at {what}")


def penalty_gradients(case: Case) -> None:
    """the gradient of a penalty agrees with differences"""
    penalty = _penalty(case)
    case.slope(penalty, next(iter(_values(case).values())))


def penalty_changes_nothing(case: Case) -> None:
    """a penalty does not change what it looks at"""
    penalty = _penalty(case)
    for what, value in _values(case).items():
        before = value.clone()
        penalty(value)
        case.same(value, before, what)


PENALTY_RULES = (penalty_is_finite, penalty_gradients, penalty_changes_nothing)
