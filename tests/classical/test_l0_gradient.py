"""l0-gradient: the kernel by sharp edges; hyper-laplacian held to an image; what `then` hands on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.classical.parts import kernel as lopsided
from tests.classical.parts import problem, rand
from tests.classical.restoring import blocks, observe, pipeline, restore, streak
from unblur import Pipeline, Stage, deblur
from unblur.components import Clock
from unblur.composition import check
from unblur.errors import CompositionError
from unblur.metrics import align, kernel_similarity
from unblur.operators.convolution import convolve
from unblur.registry import default_registry
from unblur.testing.worlds import photograph
from unblur_classical.kernel_step import _QuadraticForm, _roughened, connected, explaining

REGISTRY = default_registry()


def l0(steps: int = 4, **params: float) -> Pipeline:
    return Pipeline(
        forward_model="convolution",
        image_prior="pixels",
        kernel_prior="free",
        estimator=("l0-gradient", params),
        stages=[Stage(steps=steps)],
    )


@pytest.mark.parametrize("shape", [(20, 25), (9, 10, 11)])
def test_the_quadratic_form_is_the_energy_of_the_blurred_gradients(shape: tuple[int, ...]) -> None:
    image, kernel = rand(1, 2, *shape), rand(*(3, 5, 3)[: len(shape)], seed=2)
    form = _QuadraticForm(image, kernel.shape)
    energy = 0.0
    for axis in range(2, image.ndim):
        padding = [width for k in reversed(kernel.shape) for width in (k - 1, k - 1)]
        whole = torch.nn.functional.pad(image.diff(dim=axis), padding)
        energy += float(convolve(whole, kernel[None]).square().sum())
    assert float((kernel * form.apply(kernel)).sum()) == pytest.approx(energy, rel=1e-4)
    assert form.diagonal == pytest.approx(sum(float(image.diff(dim=a).square().sum()) for a in range(2, image.ndim)))


def test_residuals_are_roughened_by_differences_and_their_adjoint() -> None:
    residual, valid = rand(1, 1, 6, 7), (rand(1, 1, 6, 7, seed=3) > 0.3).float()
    energy = 0.0
    for axis in (2, 3):
        size = residual.shape[axis] - 1
        both = valid.narrow(axis, 0, size) * valid.narrow(axis, 1, size)
        energy += float((residual.diff(dim=axis).square() * both).sum())
    assert float((residual * _roughened(residual, valid)).sum()) == pytest.approx(energy, rel=1e-5)
    assert float(_roughened(torch.ones(1, 1, 6, 7), None).abs().max()) == 0


def test_the_kernel_that_explains_the_sharp_image_is_the_true_one() -> None:
    sharp, true = blocks((70, 80)), streak()
    observed = convolve(sharp, true)
    setup = problem(observed, psf=None, estimator="l0-gradient", forward_model=("convolution", {"kernel_size": [7, 9]}))
    start = setup.kernel(sharp, Clock(0, 1), None).detach()
    with torch.no_grad():
        found = connected(explaining(setup, sharp, setup.batch, inertia=0.0, coupling=0.0), 0.0, 0.0)
    assert float((found - true).abs().sum()) < 0.05 < float((start - true).abs().sum())
    assert float(found.min()) >= 0
    assert float(found.sum()) == pytest.approx(1)


def test_specks_and_islands_are_dropped_and_the_largest_stays() -> None:
    kernel = torch.zeros(1, 7, 7)
    kernel[0, 1, 1:4] = 0.3
    kernel[0, 5, 5] = 0.05
    kernel[0, 3, 6] = 0.001
    kept = connected(kernel, 0.02, 0.1)
    assert torch.nonzero(kept[0]).tolist() == [[1, 1], [1, 2], [1, 3]]
    assert float(kept.sum()) == pytest.approx(1)
    assert int((connected(kernel, 0.02, 0.0) > 0).sum()) == 4
    scattered = torch.eye(9)[None, ::2, ::2].contiguous()
    assert int((connected(scattered, 0.0, 0.9) > 0).sum()) == 5  # touching corners are connected


@pytest.mark.parametrize("seed", [0, 1])
def test_kernel_and_image_are_recovered_without_a_start(seed: int) -> None:
    true = streak()
    observed, truth = observe(blocks((96, 110), seed), true, noise=0.002)
    blind = REGISTRY.method("l0-gradient").pipeline("fast").set({"forward_model.convolution.kernel_size": [11, 11]})
    outcome = restore(blind, observed, None)
    image, sharp = outcome.estimate.image[0, 0].numpy(), truth[0, 0].numpy()
    assert kernel_similarity(outcome.estimate.kernel[0].numpy(), true[0].numpy()) > 0.85
    assert align(image, sharp).psnr() > align(observed[0, 0].numpy(), sharp).psnr() + 3


def test_the_last_kernel_is_the_refined_one_and_notes_say_where_it_began() -> None:
    true = streak()
    observed, _ = observe(blocks((80, 90)), true, noise=0.002)
    start = (true + 2 * lopsided(7, 9)) / 3
    outcome = restore(l0(8, weight_first=0.01, weight_last=0.001, inertia=0.01, cutoff=0.01), observed, start)
    kernels = (start, outcome.estimate.kernel.detach())
    before, after = (kernel_similarity(kernel[0].numpy(), true[0].numpy()) for kernel in kernels)
    assert after > before + 0.05
    assert any("begins with the PSF" in note for note in outcome.notes)


def test_impulses_are_left_out_on_request() -> None:
    true = streak()
    observed, truth = observe(blocks((80, 90)), true, noise=0.002)
    hit = torch.rand(observed.shape, generator=torch.Generator().manual_seed(3)) < 0.03
    spoilt = torch.where(hit, 1 - observed.round(), observed)
    sharp = truth[0, 0].numpy()

    def psnr(seen: Tensor, robust: bool) -> float:
        then = pipeline("hyper-laplacian", 15, robust=robust)
        blind = l0(8, weight_first=0.01, weight_last=0.001, inertia=0.01, robust=robust).replace(then=then)
        outcome = restore(blind, seen, (true + lopsided(7, 9)) / 2)
        assert any("% outliers left out" in note for note in outcome.notes) == robust
        return float(align(outcome.estimate.image[0, 0].numpy(), sharp).psnr())

    assert psnr(spoilt, robust=False) + 5 < psnr(spoilt, robust=True)
    assert psnr(spoilt, robust=True) > psnr(observed, robust=False) - 1.5


def test_noise_makes_the_kernel_yield_less() -> None:
    true = streak()
    observed, _ = observe(blocks((80, 90)), true, noise=0.05)
    start = (true + 2 * lopsided(7, 9)) / 3

    def moved(**noisy: float) -> float:
        found = restore(l0(4, inertia=0.01, cutoff=0.0, island=0.0, **noisy), observed, start)
        return float((found.estimate.kernel.detach() - start).abs().sum())

    assert moved(noise_inertia=1e4) < 0.1 * moved()
    assert moved(noise_inertia_each=1e4 / start.numel()) == pytest.approx(moved(noise_inertia=1e4))


def test_hyper_laplacian_keeps_the_image_before_where_the_blur_left_nothing() -> None:
    """The kernel removes one frequency; only the image of the stages before has it."""
    observed, truth = observe(blocks((64, 72)), torch.full((1, 1, 8), 1 / 8), noise=0.001)
    wave = 0.05 * torch.sin(2 * math.pi * torch.arange(truth.shape[3]) / 8).expand_as(truth)
    setup = problem(
        observed,
        psf=torch.full((1, 1, 8), 1 / 8),
        forward_model="convolution",
        estimator=("hyper-laplacian", {"image_error": 0.01}),
    )
    setup.context.estimate = truth + wave
    state = setup.estimator.init(setup, None)
    for step in range(20):
        setup.estimator.step(setup, state, setup.batch, Clock(step, 20))
    image = setup.image.parameters()[0].detach()
    inner = image[..., 3 : 3 + truth.shape[3]] - truth
    share = float((inner * wave).sum() / wave.square().sum())
    assert 0.5 < share < 1.05


def test_then_hands_on_the_image_before_one_that_only_served_the_kernel() -> None:
    observed, _ = observe(blocks((64, 72)), streak(), noise=0.002)
    last = pipeline("hyper-laplacian", 3, fidelity=1e-6, image_error=1e-3)
    first = pipeline("wiener", 3)
    direct = restore(first.replace(then=last), observed, streak()).estimate.image
    through = restore(first.replace(then=l0(2).replace(then=last)), observed, streak()).estimate.image
    filtered = restore(first, observed, streak()).estimate.image
    assert float((direct - filtered).abs().max()) < 1e-3
    assert float((through - filtered).abs().max()) < 1e-3


def test_what_follows_takes_the_kernel_that_is_handed_over() -> None:
    after = Pipeline(
        forward_model=["convolution", "squared"],
        image_prior="pixels",
        kernel_prior="gaussian",
        estimator="joint-adam",
        stages=[Stage(steps=1)],
    )
    with pytest.raises(CompositionError, match=r"does not take the kernel that is handed over.*free.*known"):
        check(l0().replace(then=after), REGISTRY)
    check(l0().replace(then=after.replace(kernel_prior="fully-connected")), REGISTRY)
    check(l0().replace(then=l0()), REGISTRY)


@pytest.mark.parametrize("known", [0.9, 0.02])
def test_scattered_pixels_that_are_not_known_leave_edges_at_every_resolution(known: float) -> None:
    """Of some there may be next to nothing at any of them: the kernel then stays as it is."""
    truth = photograph((96, 97), (5, 5))
    pixels = np.asarray(truth.pixels[0, 0]).copy()
    pixels[np.random.default_rng(0).random(pixels.shape) > known] = np.nan
    result = deblur(pixels, method="l0-gradient", preset="fast", kernel_size=5, nan="mask", white_level=1.0, threads=1)
    assert np.isfinite(result.image).all()
    assert np.isfinite(result.kernel).all()
