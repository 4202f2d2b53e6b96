"""Whole runs: Poisson noise on float data, volumes, colour, gamma, and where the kernel may come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.sadropout.small import pipeline
from unblur import Pipeline, Stage
from unblur.image import Image
from unblur.jobs import Job
from unblur.operators.convolution import convolve
from unblur.testing.worlds import kernels, photograph, smooth


def restored(image: Any, pipe: Pipeline, **wishes: Any) -> Any:
    job = Job(image, pipeline=pipe, threads=1, precision="float32", **wishes)
    for _ in job.events():
        pass
    return job.result


def test_poisson_noise_on_science_data() -> None:
    """Photon counts without a white level: the mean is nearer to the truth than the observation is."""
    latent = 60 * smooth((1, 1, 44, 40), 3)
    psf = kernels(1, (5, 5), seed=1)
    truth = latent[0, 0, 2:-2, 2:-2].numpy()
    counts = torch.poisson(convolve(latent, psf), generator=torch.Generator().manual_seed(0))[0, 0].numpy()
    pipe = pipeline({"start": ("wiener",), "seeds": 8}, {"image_rate": 2e-3}, stages=[Stage(steps=100)])
    result = restored(counts, pipe, psf=psf[0].numpy())
    assert result.image.shape == counts.shape
    assert result.image.min() >= 0
    assert np.square(result.image - truth).mean() < 0.7 * np.square(counts - truth).mean()
    assert result.uncertainty.shape == counts.shape
    assert result.uncertainty.mean() > 0


@pytest.mark.parametrize("network", [{}, {"early": True, "start": ("richardson-lucy",), "adapt_every": 2}])
def test_a_volume_with_a_3d_psf(network: dict[str, Any]) -> None:
    observation = photograph((8, 13, 12), (3, 3, 5))
    volume = Image(observation.pixels[0, 0].numpy(), "ZYX")
    pipe = pipeline(network, stages=[Stage(steps=4)])
    result = restored(volume, pipe, psf=observation.psf[0].numpy())
    assert result.image.shape == (8, 13, 12)
    assert result.uncertainty.shape == (8, 13, 12)
    assert np.isfinite(result.image).all()


def test_colours_share_a_kernel() -> None:
    observation = photograph((24, 21), (5, 3), channels=3)
    image = Image(observation.pixels[0].permute(1, 2, 0).numpy(), "YXS")
    result = restored(image, pipeline(stages=[Stage(steps=4)]), psf=observation.psf[0].numpy(), white_level=1.0)
    assert result.image.shape == (24, 21, 3)
    assert result.kernel.shape == (5, 3)
    assert len({float(result.image[..., channel].mean()) for channel in range(3)}) == 3


def test_gamma_is_part_of_the_prediction() -> None:
    observation = photograph((24, 21), (5, 3))
    pipe = pipeline({"start": ("hyper-laplacian",)}, stages=[Stage(steps=4)])
    gamma = pipe.replace(forward_model=["convolution", "squared", ("gamma", {"gamma": 2.2})])
    observed = observation.pixels[0, 0].numpy()
    shown, linear = (
        restored(observed, one, psf=observation.psf[0].numpy(), white_level=1.0).image for one in (gamma, pipe)
    )
    assert np.abs(shown - observed).mean() < 0.1, "displayed as the observation is"
    assert np.abs(shown - linear).max() > 0.01


def test_a_parametric_psf_and_the_kernel_of_a_blind_method() -> None:
    observation = photograph((24, 21), (5, 3))
    image = observation.pixels[0, 0].numpy()
    parametric = pipeline(
        {"start": ("wiener",)}, kernel_prior=("gaussian-psf", {"sigma": (1.0,)}), stages=[Stage(steps=3)]
    )
    parametric = parametric.set({"forward_model.kernel_size": (7,)})
    result = restored(image, parametric, white_level=1.0)
    assert result.kernel.shape == (7, 7)
    blind = Pipeline("convolution", "pixels", "free", "blind-richardson-lucy", stages=[Stage(steps=3)])
    blind = blind.set({"forward_model.kernel_size": (5,)}).replace(then=pipeline(stages=[Stage(steps=3)]))
    result = restored(image, blind, white_level=1.0)
    assert result.kernel.shape == (5, 5)
    assert result.uncertainty is not None


def test_precision_bfloat16_changes_little() -> None:
    observation = photograph((24, 21), (5, 3))
    images = []
    for precision in ("float32", "bfloat16"):
        job = Job(
            observation.pixels[0, 0].numpy(),
            pipeline=pipeline(stages=[Stage(steps=3)]),
            psf=observation.psf[0].numpy(),
            white_level=1.0,
            threads=1,
            precision=precision,
        )
        for _ in job.events():
            pass
        images.append(job.result.image)
    assert 0 < np.abs(images[0] - images[1]).mean() < 0.05
