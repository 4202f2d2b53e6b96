"""Richardson-Lucy, with a known kernel and blind."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.restoration import richardson_lucy

import unblur
from tests.classical.restoring import blocks, gaussian, misfits, observe, pipeline, problem_of, psnr, restore, streak
from unblur import Pipeline, Stage
from unblur.components import Clock, Operator
from unblur.errors import CompositionError
from unblur.operators.folded import FoldedOperator, folded
from unblur_classical import richardson_lucy as richardson_lucy_module
from unblur_classical.blind_richardson_lucy import compare

SKIMAGE = {"image_prior": "pixels", "image_prior.start": "flat", "estimator.edge_correction": False}


@pytest.mark.parametrize(("shape", "kernel"), [((48, 53), streak()), ((12, 20, 21), gaussian((5, 7, 7), 1.2))])
def test_equals_scikit_image(shape: tuple[int, ...], kernel: torch.Tensor) -> None:
    observed, _ = observe(blocks(shape), kernel, noise=0.01)
    found = restore(pipeline("richardson-lucy", 30, boundary="same").set(SKIMAGE), observed, kernel)
    expected = richardson_lucy(observed[0, 0].numpy(), kernel[0].numpy(), num_iter=30, clip=False)
    np.testing.assert_allclose(found.estimate.image[0, 0].numpy(), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("boundary", ["valid", "periodic", "same"])
def test_likelihood_rises_and_image_gets_sharper(boundary: str) -> None:
    kernel = streak()
    observed, sharp = observe(blocks((60, 64)), kernel, noise=0.003)
    problem = problem_of(pipeline("richardson-lucy", 40, boundary), observed, kernel)
    found = misfits(problem, 40)
    assert all(later <= earlier * (1 + 1e-5) for earlier, later in itertools.pairwise(found))
    if boundary == "valid":
        result = restore(pipeline("richardson-lucy", 40, boundary), observed, kernel)
        assert psnr(result.estimate.image, sharp) > psnr(observed, sharp) + 3


def test_volume() -> None:
    kernel = gaussian((5, 7, 7), 1.5)
    observed, sharp = observe(blocks((20, 34, 36), seed=3), kernel, noise=0.003)
    result = restore(pipeline("richardson-lucy", 25), observed, kernel)
    assert result.estimate.image.shape == observed.shape
    assert psnr(result.estimate.image, sharp) > psnr(observed, sharp) + 1.2


def test_flux_is_conserved_exactly_when_periodic() -> None:
    observed, _ = observe(blocks((40, 41)), streak())
    result = restore(pipeline("richardson-lucy", 10, "periodic"), observed, streak())
    assert float(result.estimate.image.sum()) == pytest.approx(float(observed.sum()), rel=1e-5)


def test_borders_are_as_good_as_the_middle_where_a_periodic_model_rings() -> None:
    kernel = gaussian((15, 15), 2.5)
    ramp = torch.linspace(0.1, 0.9, 78).expand(1, 1, 78, 78)
    observed, sharp = observe(ramp, kernel)
    errors = {}
    for boundary in ("valid", "periodic"):
        result = restore(pipeline("richardson-lucy", 60, boundary), observed, kernel)
        errors[boundary] = float((result.estimate.image - sharp)[..., :4].abs().max())
    assert errors["valid"] < 0.03
    assert errors["periodic"] > 5 * errors["valid"]


class Unfolded:
    """Hides that an operator is a convolution."""

    def __init__(self, operator: Operator) -> None:
        self.forward, self.adjoint = operator.forward, operator.adjoint


def unfolded(operator: Operator) -> FoldedOperator:
    return folded(Unfolded(operator))


@pytest.mark.parametrize("boundary", ["valid", "same"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"estimator.edge_correction": False},
        {"estimator.acceleration": True},
        {"estimator.background": 0.05},
        {"image_prior": ["pixels", "tv"], "image_prior.tv.weight": 0.01},
    ],
    ids=lambda settings: ",".join(settings) or "plain",
)
def test_folded_images_change_nothing(boundary: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    observed, _ = observe(blocks((44, 47)), streak(), noise=0.02)
    valid = (torch.rand(observed.shape, generator=torch.Generator().manual_seed(2)) > 0.05).float()
    composed = pipeline("richardson-lucy", 8, boundary).set(settings)
    found = []
    for build in (richardson_lucy_module.folded, unfolded):
        monkeypatch.setattr(richardson_lucy_module, "folded", build)
        problem = problem_of(composed, observed, streak(), valid)
        found.append((misfits(problem, 8), problem.image.parameters()[0].detach()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4)
    well_seen = [image[..., 3:-3, 4:-4] for _, image in found]  # at the rim total variation enlarges rounding errors
    torch.testing.assert_close(*well_seen, rtol=1e-3, atol=1e-5 if "image_prior" not in settings else 1e-3)


def test_reports_the_mean_deviance_over_the_pixels_that_count() -> None:
    observed, _ = observe(blocks((40, 42)), streak(), noise=0.05)
    observed[..., 5:9, 5:9] = 0
    valid = torch.ones_like(observed)
    valid[..., 20:30, 3:9] = 0
    problem = problem_of(pipeline("richardson-lucy", 1), observed, streak(), valid)
    state = problem.estimator.init(problem, None)
    counts = problem.batch.observed.double()
    kernel = problem.kernel(problem.image.parameters()[0], Clock(0, 1), None)
    predicted = problem.predict(problem.image.parameters()[0], kernel).detach().double()
    deviance = 2 * (torch.xlogy(counts, counts / predicted) - counts + predicted)[valid > 0].mean()
    info = problem.estimator.step(problem, state, problem.batch, Clock(0, 1))
    assert float(info.misfit) == pytest.approx(float(deviance), rel=1e-4)


def test_intensities_below_zero_stay_finite() -> None:
    observed, _ = observe(blocks((30, 32)), streak())
    problem = problem_of(pipeline("richardson-lucy", 5), observed, streak())
    problem.batch.observed[..., 4:8, 4:8] = -0.01
    assert all(map(math.isfinite, misfits(problem, 5)))
    assert bool(torch.isfinite(problem.image.parameters()[0]).all())


def test_acceleration_gets_further_in_the_same_steps() -> None:
    observed, _ = observe(blocks((60, 64)), streak())
    plain = misfits(problem_of(pipeline("richardson-lucy", 20), observed, streak()), 20)
    fast = misfits(problem_of(pipeline("richardson-lucy", 20, acceleration=True), observed, streak()), 20)
    assert fast[-1] < 0.6 * plain[-1]


def test_acceleration_goes_on_from_its_saved_state() -> None:
    observed, _ = observe(blocks((30, 32)), streak())
    composed = pipeline("richardson-lucy", 8, acceleration=True)
    whole = problem_of(composed, observed, streak())
    expected = misfits(whole, 8)
    first = problem_of(composed, observed, streak())
    state = first.estimator.init(first, None)
    for step in range(4):
        first.estimator.step(first, state, first.batch, Clock(step, 8))
    second = problem_of(composed, observed, streak())
    again = second.estimator.init(second, None)
    second.load_state_dict(first.state_dict())
    again.load_state_dict(state.state_dict())
    found = [float(second.estimator.step(second, again, second.batch, Clock(step, 8)).misfit) for step in range(4, 8)]
    assert found == expected[4:]


def test_total_variation_one_step_late_flattens_noise() -> None:
    kernel = gaussian((9, 9), 1.5)
    observed, sharp = observe(blocks((60, 64)), kernel, noise=0.03)
    plain = pipeline("richardson-lucy", 60)
    smooth = plain.set({"image_prior": ["pixels", "tv"], "image_prior.tv.weight": 0.02})
    results = [restore(composed, observed, kernel).estimate.image for composed in (plain, smooth)]
    assert psnr(results[1], sharp) > psnr(results[0], sharp) + 2
    assert float(results[1].min()) >= 0


def test_a_penalty_too_strong_for_one_step_late_is_reported() -> None:
    observed, _ = observe(blocks((40, 42)), streak(), noise=0.01)
    gentle = pipeline("richardson-lucy", 10).set({"image_prior": ["pixels", "tv"], "image_prior.tv.weight": 0.002})
    assert not [note for note in restore(gentle, observed, streak()).notes if "too strong" in note]
    strong = restore(gentle.set({"image_prior.tv.weight": 3.0}), observed, streak())
    assert [note for note in strong.notes if "too strong" in note]


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (2.0, 100.0)])
def test_background_is_explained_and_left_out(gain: float, offset: float) -> None:
    """With a camera it is in the input's units as well, and lies on the camera's offset."""
    kernel = gaussian((9, 9), 1.5)
    sharp = torch.zeros(1, 1, 48, 48)
    sharp[..., 15:19, 20:30] = 200.0
    observed, truth = observe(sharp, kernel)
    composed = pipeline("richardson-lucy", 60, background=50.0 * gain)
    camera = ("camera", {"gain": gain, "offset": offset})
    composed = composed.replace(forward_model=[*composed.slots["forward_model"], camera])
    result = restore(composed, gain * (observed + 50.0) + offset, kernel)
    image = (result.estimate.image - offset) / gain
    assert float(image.min()) >= 0
    assert float(image.sum()) == pytest.approx(float(truth.sum()), rel=0.02)


def test_pixels_that_do_not_count_do_no_harm() -> None:
    kernel = gaussian((9, 9), 1.5)
    observed, sharp = observe(blocks((60, 64)), kernel)
    valid = torch.ones_like(observed)
    valid[..., 20:22, 30:33] = 0
    broken = torch.where(valid > 0, observed, 1.0)
    reference = restore(pipeline("richardson-lucy", 30), observed, kernel).estimate.image
    masked = restore(pipeline("richardson-lucy", 30), broken, kernel, valid=valid).estimate.image
    naive = restore(pipeline("richardson-lucy", 30), broken, kernel).estimate.image
    assert psnr(masked, sharp) > psnr(reference, sharp) - 0.5
    assert psnr(naive, sharp) < psnr(reference, sharp) - 3


def test_zeros_stay_finite() -> None:
    observed = torch.zeros(1, 1, 24, 24)
    observed[..., 12, 12] = 1000.0
    result = restore(pipeline("richardson-lucy", 50), observed, gaussian((7, 7), 1.0))
    assert bool(torch.isfinite(result.estimate.image).all())
    black = restore(pipeline("richardson-lucy", 5), torch.zeros(1, 1, 24, 24), gaussian((7, 7), 1.0))
    assert float(black.estimate.image.abs().max()) < 1e-3


def test_refuses_what_it_would_not_move() -> None:
    learned = pipeline("richardson-lucy", 5).set({"kernel_prior": "free"})
    with pytest.raises(CompositionError, match="needs 'fixed'"):
        learned.check()
    with pytest.raises(CompositionError, match="squared"):
        pipeline("richardson-lucy", 5).set({"forward_model": ["convolution", "squared"]}).check()


def width(kernel: torch.Tensor) -> float:
    """Standard deviation along the last axis."""
    profile = kernel.sum(tuple(range(kernel.ndim - 1)))
    places = torch.arange(len(profile), dtype=torch.float32)
    mean = (profile * places).sum()
    return float((profile * (places - mean) ** 2).sum().sqrt())


def test_blind_finds_the_width_of_a_gaussian() -> None:
    rng = torch.Generator().manual_seed(5)
    stars = torch.zeros(1, 1, 64, 64)
    stars[0, 0].view(-1)[torch.randint(64 * 64, (30,), generator=rng)] = 1.0
    truth = gaussian((13, 13), 1.8)
    observed, _ = observe(stars, truth)
    composed = Pipeline(
        forward_model=("convolution", {"kernel_size": (13,)}),
        image_prior="pixels",
        kernel_prior="free",
        estimator="blind-richardson-lucy",
        stages=[Stage(steps=30)],
    )
    result = restore(composed, observed, None)
    kernel = result.estimate.kernel
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-4)
    assert width(kernel) == pytest.approx(width(truth), rel=0.15)
    similarity = float((kernel * truth).sum() / kernel.norm() / truth.norm())
    assert similarity > 0.98


@pytest.mark.parametrize("weight", [0.0, ((0.0, 0.0), (0.5, 1e-3))])
def test_penalties_of_weight_zero_are_none(weight: Any) -> None:
    sharp = blocks((30, 31))
    observed, _ = observe(sharp, streak())
    plain = pipeline("richardson-lucy", steps=2)
    penalised = plain.replace(image_prior=["pixels", ("tv", {"weight": weight})])
    assert torch.isfinite(restore(penalised, observed, streak()).estimate.image).all()


def test_the_deviance_below_zero_is_that_of_no_photons() -> None:
    """Behind a camera noise lies below zero: a logarithm there would count a hundredfold."""
    observed, predicted = torch.tensor([[[[-0.01, 0.2]]]]), torch.tensor([[[[0.001, 0.2]]]])
    _, deviance = compare(observed, predicted.clone(), None, 2.0, 1e-9)
    assert float(deviance) == pytest.approx(2 * (0.01 + 0.001) / 2, rel=1e-4)


def test_intensities_below_darkness_do_not_make_the_rest_explode() -> None:
    """Background that was subtracted before, and an offset that is given as well."""
    random = np.random.default_rng(0)
    stars = np.zeros((80, 80))
    stars[tuple(random.integers(8, 72, (2, 20)))] = random.uniform(1000, 9000, 20)
    light = gaussian_filter(stars, 2)
    psf = np.zeros((13, 13))
    psf[6, 6] = 1
    psf = gaussian_filter(psf, 1.7)
    observed = (random.poisson(light) + random.normal(0, 3, light.shape) + 100).astype(np.float32)
    for offset in (100.0, 112.0):
        result = unblur.deblur(observed, method="richardson-lucy", psf=psf, offset=offset, gain=1.0, threads=1)
        assert result.image.max() < 100 + 2 * gaussian_filter(stars, 1.05).max()
