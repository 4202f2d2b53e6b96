"""Rules for forward models and camera responses."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from unblur.components import Batch, Estimate, KernelSpec
from unblur.operators.convolution import convolve
from unblur.testing.case import Case
from unblur.testing.worlds import smooth


class _Setup:
    """A forward model with observed frames, and a latent image and kernels that it takes.

    A video has two frames more, so that as many as are asked for have neighbours.
    """

    def __init__(self, case: Case, frames: int = 1, channels: int = 2) -> None:
        self.model: Any = case.instance()
        self.batch = case.batch(frames + 2 if "video" in case.traits else frames, channels)
        shape = tuple(self.batch.observed.shape)
        self.spec: KernelSpec = self.model.spec(shape, case.context())
        self.latent_shape = tuple(self.model.latent_shape(shape, self.spec))
        self.latent = case.smooth(self.latent_shape, 1)
        if self.spec.kind == "flow":
            self.kernel = 4 * case.smooth((1, self.spec.count, *self.spec.shape), 2)[0] - 2
        else:
            self.kernel = case.kernels(self.spec.count, self.spec.shape, 2)

    def predict(self) -> Tensor:
        return self.model.predict(self.latent, self.kernel)  # type: ignore[no-any-return]


def predict_shape(case: Case) -> None:
    """the prediction has the shape of the frames that it explains, float32, and is finite"""
    for frames, channels in ((1, 1), (2, 3)):
        setup = _Setup(case, frames, channels)
        case.expect(len(setup.spec.shape) == case.dims, f"kernels of shape {setup.spec.shape} in {case.dims}-D")
        case.expect(len(setup.latent_shape) == case.dims + 2, f"latent image of shape {setup.latent_shape}")
        predicted = setup.predict()
        case.shaped(predicted, setup.model.target(setup.batch).observed.shape, "the prediction")
        case.finite(predicted, "the prediction")


def linear_is_linear(case: Case) -> None:
    """with the trait `linear`, the prediction is linear in the latent image and in the kernel"""
    if "linear" not in case.traits:
        return
    setup = _Setup(case)
    predict, latent, kernel = setup.model.predict, setup.latent, setup.kernel
    other, another = case.smooth(setup.latent_shape, 4), case.kernels(setup.spec.count, setup.spec.shape, 5)
    mixed = 2 * predict(latent, kernel) - 3 * predict(other, kernel)
    case.close(predict(2 * latent - 3 * other, kernel), mixed, "in the latent image", 1e-4)
    mixed = 2 * predict(latent, kernel) - 3 * predict(latent, another)
    case.close(predict(latent, 2 * kernel - 3 * another), mixed, "in the kernel", 1e-4)


def image_adjoint(case: Case) -> None:
    """<predict(x, k), r> = <x, adjoint(r, k)>"""
    if "linear" not in case.traits:
        return
    setup = _Setup(case, frames=2)
    predicted = setup.predict()
    residual = case.noise(predicted.shape, 6)
    back = setup.model.adjoint(residual, setup.kernel, setup.latent_shape)
    case.shaped(back, setup.latent_shape, "the adjoint")
    latent = case.noise(setup.latent_shape, 7)
    _same_product(case, setup.model.predict(latent, setup.kernel), residual, latent, back)


def kernel_adjoint(case: Case) -> None:
    """<predict(x, k), r> = <k, kernel_adjoint(r, x)>"""
    if "linear" not in case.traits:
        return
    setup = _Setup(case, frames=2)
    predicted = setup.predict()
    residual = case.noise(predicted.shape, 6)
    back = setup.model.kernel_adjoint(residual, setup.latent, setup.spec)
    case.shaped(back, setup.kernel.shape, "the adjoint")
    kernel = case.noise(setup.kernel.shape, 7)
    _same_product(case, setup.model.predict(setup.latent, kernel), residual, kernel, back)


def _same_product(case: Case, predicted: Tensor, residual: Tensor, value: Tensor, back: Tensor) -> None:
    left = float((predicted.double() * residual.double()).sum())
    right = float((value.double() * back.double()).sum())
    scale = float(predicted.double().norm() * residual.double().norm())
    case.expect(abs(left - right) <= 1e-5 * scale, f"the left side is {left:.6g}, the right side {right:.6g}")


def gradients(case: Case) -> None:
    """gradients in latent image and kernel are finite and agree with differences"""
    setup = _Setup(case)
    weights = case.noise(setup.predict().shape, 8)
    case.slope(lambda x, k: (setup.model.predict(x, k) * weights).sum(), setup.latent, setup.kernel)


def prepared_agrees(case: Case) -> None:
    """the operator from `prepared` gives what `predict` and `adjoint` give"""
    setup = _Setup(case, frames=2)
    operator = setup.model.prepared(setup.kernel, setup.latent_shape)
    predicted = setup.predict()
    case.close(operator.forward(setup.latent), predicted, "forward", 1e-5)
    residual = case.noise(predicted.shape, 6)
    wanted = setup.model.adjoint(residual, setup.kernel, setup.latent_shape)
    case.close(operator.adjoint(residual), wanted, "adjoint", 1e-5)


def crop_is_the_window(case: Case) -> None:
    """`crop` returns the observed window of image and spread alike, and kernels of the same number"""
    setup = _Setup(case, frames=2)
    estimate = setup.model.crop(Estimate(setup.latent, setup.kernel, setup.latent.clone()), setup.batch)
    observed = setup.batch.observed.shape
    case.shaped(estimate.image, (*setup.latent_shape[:2], *observed[2:]), "the cropped image")
    count = estimate.kernel.shape[0]
    case.expect(count == setup.spec.count, f"{count} kernels; expected {setup.spec.count}")
    case.expect(estimate.spread is not None, "the spread is lost")
    case.same(estimate.spread, estimate.image, "spread and image cropped alike")


def crop_keeps_the_explanation(case: Case) -> None:
    """with the trait `stationary`, the cropped image under the cropped kernel explains the observed, off centre too"""
    if "stationary" not in case.traits:
        return
    setup = _Setup(case)
    if setup.spec.count != 1:
        return
    for shift in (0, 1):
        kernel = torch.zeros_like(setup.kernel)
        kernel[(0, *(n // 2 + (shift if n > 3 else 0) for n in setup.spec.shape))] = 1.0
        predicted = setup.model.predict(setup.latent, kernel)
        estimate = setup.model.crop(Estimate(setup.latent.clone(), kernel.clone()), setup.batch)
        again = convolve(estimate.image, estimate.kernel, "same")
        inside: Any = (..., *(slice(n, -n) for n in setup.spec.shape))
        case.close(again[inside], predicted[inside], f"a point kernel {shift} pixels off centre", 1e-4)


RULES = (
    predict_shape,
    linear_is_linear,
    image_adjoint,
    kernel_adjoint,
    gradients,
    prepared_agrees,
    crop_is_the_window,
    crop_keeps_the_explanation,
)


def _camera(case: Case) -> tuple[Any, Tensor, float]:
    """A response set up as a problem does it, with photon noise to calibrate on; the calibrated data and their peak."""
    response, context = case.instance(), case.context()
    light = 400 * smooth((1, 1, *(64 if case.dims == 2 else 24,) * case.dims), 3)
    raw = case.compute.tensor(100 + 2 * torch.poisson(light, generator=torch.Generator().manual_seed(1)))
    data = response.calibrate(raw, context)
    case.shaped(data, raw.shape, "the calibrated data")
    case.finite(data, "the calibrated data")
    context.photons = peak = float(data.max())
    response.init(Batch(data / peak), context)
    return response, data, peak


def restore_undoes_calibrate(case: Case) -> None:
    """`restore` undoes `calibrate`, but for a curve that the result is to show; its inverses and `spread` match"""
    response, data, peak = _camera(case)
    shown = response.calibrate(response.restore(data), case.context())
    curve = response(data / peak) * peak
    nearest = min((data, curve), key=lambda wanted: float((shown - wanted).abs().max()))
    case.close(shown, nearest, "restored and calibrated again", 1e-4)
    again = response.unrestored(response.restore(data), dataclasses.replace(case.context(), photons=peak))
    case.close(again, data, "restored and unrestored again", 1e-4)
    seen = response(data / (2 * peak))
    case.close(response.linearised(seen), data / (2 * peak), "what was predicted, linearised", 1e-3)
    exact, gap = data.double(), 1e-4 * peak
    slope = (response.restore(exact + gap) - response.restore(exact - gap)) / (2 * gap)
    case.close(response.spread(torch.ones_like(exact), exact), slope.abs(), "the spread", 1e-3)


def response_is_monotone(case: Case) -> None:
    """the response keeps shape and order of intensities, and its gradient is finite, at zero and above white too"""
    response, data, _ = _camera(case)
    ramp = case.compute.tensor(torch.linspace(0, 1.5, data.numel()).view(data.shape)).requires_grad_()
    seen = response(ramp)
    case.shaped(seen, ramp.shape, "the response")
    case.finite(seen, "the response")
    case.expect(bool((seen.flatten().diff() >= -1e-6).all()), "a brighter prediction gave a darker observation")
    case.expect(seen.requires_grad, "no gradient passes through")
    case.finite(torch.autograd.grad(seen.sum(), ramp)[0], "the gradient")


RESPONSE_RULES = (restore_undoes_calibrate, response_is_monotone)
