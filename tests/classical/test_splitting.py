"""The image for given gradients by conjugate gradients, and hyper-laplacian and l0-gradient for a grid of kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

import unblur
from tests.classical.parts import problem, rand
from tests.classical.restoring import blocks, gaussian, observe, psnr, restore, streak
from unblur import Pipeline, Stage
from unblur.components import Batch, Clock
from unblur.metrics import kernel_similarity
from unblur.operators.gradient import gradient
from unblur.operators.svola import svola
from unblur.testing.camera_shake import ShakenScene, shaken_scene
from unblur_classical.kernel_step import connected, explaining
from unblur_classical.splitting import OperatorSplitting, PeriodicSplitting, splitting

GRID = (2, 3)
SVOLA = ("svola", {"grid": GRID, "orientation": "fixed"})
KERNELS = torch.stack([rand(5, 5, seed=seed) for seed in range(6)])


def stage(estimator: str, kernel_prior: str, steps: int, forward: Any = SVOLA, **params: Any) -> Pipeline:
    return Pipeline(forward, "pixels", kernel_prior, (estimator, params), stages=[Stage(steps=steps)])


def scene() -> tuple[ShakenScene, Tensor, Tensor]:
    """A shaken scene of boxes, what was seen and what was there, (1, 1, *window)."""
    made = shaken_scene(blocks((130, 150), seed=3)[0, 0].double().numpy(), GRID, (15, 15), seed=2, move=1.5, turn=5.0)
    return made, torch.from_numpy(made.blurred).float()[None, None], torch.from_numpy(made.sharp).float()[None, None]


def test_the_solution_leaves_no_slope() -> None:
    observed, valid = rand(1, 2, 30, 36), (rand(1, 2, 30, 36, seed=2) > 0.2).float()
    kernels = KERNELS / KERNELS.sum((1, 2), keepdim=True)
    setup = problem(observed, psf=kernels, forward_model=SVOLA)
    target = Batch(observed, valid=valid)
    split = splitting(setup, target)
    assert isinstance(split, OperatorSplitting)
    wanted = [rand(*split.image.shape, seed=seed) - 0.5 for seed in (3, 4)]
    held = rand(*split.image.shape, seed=5)
    for _ in range(30):
        split.solve(2.0, wanted, held, 0.3)

    def cost(image: Tensor) -> Tensor:
        residual = (setup.forward.predict(image, kernels) - observed) * valid
        differences = gradient(image) - torch.stack(wanted)
        return 2.0 * residual.square().sum() + differences.square().sum() + 0.3 * (image - held).square().sum()

    image = split.image.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cost(image), image)
    assert float(slope.abs().max()) < 1e-3
    predicted = setup.forward.predict(split.image, kernels)
    assert torch.allclose(split.predicted, predicted, atol=1e-4)
    assert float(split.misfit()) == pytest.approx(
        float(((predicted - observed).square() * valid).sum() / valid.sum()), rel=1e-3
    )
    assert torch.equal(split.placed(observed)[..., 2:-2, 2:-2], observed)


def test_equal_kernels_restore_as_the_convolution_does() -> None:
    observed, truth = observe(blocks((64, 72)), streak(), noise=0.002)
    one = restore(stage("hyper-laplacian", "known", 12, "convolution"), observed, streak())
    many = restore(stage("hyper-laplacian", "known", 12), observed, streak().expand(6, 7, 9))
    assert psnr(many.estimate.image, truth) > psnr(one.estimate.image, truth) - 0.3
    setup = problem(observed, psf=streak(), forward_model="convolution")
    assert isinstance(splitting(setup, setup.batch), PeriodicSplitting)


def test_a_known_grid_restores_what_one_kernel_cannot() -> None:
    made, seen, truth = scene()
    field = torch.from_numpy(made.kernels.reshape(-1, 15, 15)).float()
    several = restore(stage("hyper-laplacian", "known", 12), seen, field)
    one = restore(stage("hyper-laplacian", "known", 12, "convolution"), seen, field.mean(0, keepdim=True))
    assert psnr(several.estimate.image, truth) > max(psnr(one.estimate.image, truth), psnr(seen, truth)) + 2


@pytest.mark.parametrize("prior", ["camera-shake", "free"])
def test_the_grid_that_explains_the_sharp_image_is_the_true_one(prior: str) -> None:
    picture = data.camera()[100:270, 130:300] / 255.0
    true = shaken_scene(picture, GRID, (15, 15), seed=0, move=2.0, turn=5.0).kernels.reshape(-1, 15, 15)
    latent = torch.from_numpy(picture).float()[None, None]
    seen = svola(latent, torch.from_numpy(true).float(), GRID)
    forward = (*SVOLA[:1], {**SVOLA[1], "kernel_size": [15]})
    setup = problem(seen, kernel_prior=prior, estimator="l0-gradient", forward_model=forward)
    similar = []
    for _ in range(4):
        with torch.no_grad():
            found = explaining(setup, latent, setup.batch, inertia=1e-3, coupling=0.0)
            setup.kernels.parameters()[0].copy_(connected(found, 0.01, 0.0))
        kernels = setup.kernel(latent, Clock(0, 1), None).detach().numpy()
        similar.append(np.mean([kernel_similarity(*pair) for pair in zip(kernels, true, strict=True)]))
    assert similar[0] < similar[-1]
    assert similar[-1] > 0.9
    assert np.mean([kernel_similarity(true.mean(0), one) for one in true]) < 0.8


@pytest.mark.parametrize(
    "estimator", [("wiener", {}), ("hyper-laplacian", {"model_error": 0.003}), "unsupervised-wiener"]
)
@pytest.mark.parametrize("hole", ["block", "column", "scattered"])
def test_a_few_unknown_pixels_cost_the_others_little(estimator: Any, hole: str) -> None:
    observed, truth = observe(blocks((88, 88)), gaussian((9, 9), 1.5), noise=0.001)
    masked = observed.numpy()[0, 0].copy()
    if hole == "block":
        masked[40:46, 30:40] = np.nan
    elif hole == "column":
        masked[:, 45] = np.nan
    else:
        masked[np.random.default_rng(0).random(masked.shape) < 0.02] = np.nan
    pipeline = Pipeline("convolution", "pixels", "known", estimator, stages=[Stage(steps=20)])
    psf = gaussian((9, 9), 1.5)[0].numpy()
    whole, holed = (
        unblur.deblur(image, pipeline=pipeline, psf=psf, white_level=1.0, nan="mask", threads=1).image
        for image in (observed.numpy()[0, 0], masked)
    )
    sharp = truth[0, 0].numpy()
    counted = np.isfinite(masked)
    before, after = (np.sqrt(np.mean(np.square(image - sharp)[counted])) for image in (whole, holed))
    assert after < 2 * before + 0.002, "and not twenty times as much"
