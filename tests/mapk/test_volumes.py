"""Random networks in volumes, with a known PSF in three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import unblur
from unblur import Pipeline, Stage
from unblur.operators.convolution import convolve
from unblur.testing.worlds import kernels, smooth

LATENT = smooth((1, 1, 12, 20, 22), 3)
PSF = kernels(1, (3, 5, 5), seed=1)
TRUTH = LATENT[0, 0, 1:-1, 2:-2, 2:-2].numpy()
NOISE = 0.02 * torch.randn(1, 1, *TRUTH.shape, generator=torch.Generator().manual_seed(2))
OBSERVED = (convolve(LATENT, PSF) + NOISE)[0, 0].numpy()


def composition(prior: str, start: str, steps: int) -> Pipeline:
    image: dict[str, Any] = {"levels": 2, "channels": (8, 16), "noise": 0.01, "start": start}
    return Pipeline(
        ["convolution", "squared"],
        (prior, image),
        "known",
        ("mc-mapk", {"image_rate": 3e-3, "average_from": 0.5}),
        stages=[Stage(steps=steps)],
    )


def restored(pipeline: Pipeline) -> unblur.Result:
    return unblur.deblur(OBSERVED, axes="ZYX", planes="volume", psf=PSF[0].numpy(), pipeline=pipeline, threads=1)


def error(image: np.ndarray) -> float:
    return float(np.square(image - TRUTH).mean())


@pytest.mark.parametrize("prior", ["random-unet", "encoder-decoder"])
def test_a_network_alone_explains_what_was_observed(prior: str) -> None:
    result = restored(composition(prior, "nothing", 60))
    assert result.report["planes"][0]["residual"] < 0.4 * OBSERVED.std()
    assert np.corrcoef(result.image.ravel(), TRUTH.ravel())[0, 1] > 0.85
    assert result.uncertainty is not None
    assert result.uncertainty.shape == OBSERVED.shape
    assert result.uncertainty.min() > 0


@pytest.mark.parametrize("prior", ["random-unet", "encoder-decoder"])
def test_a_network_goes_on_with_a_classical_image(prior: str) -> None:
    classical = Pipeline("convolution", "pixels", "known", "hyper-laplacian", stages=[Stage(steps=10)])
    start = restored(classical).image
    result = restored(classical.replace(then=composition(prior, "estimate", 40)))
    assert error(result.image) < 0.95 * error(OBSERVED)
    assert np.abs(result.image - start).mean() < np.abs(OBSERVED - start).mean()
    assert result.uncertainty is not None
    assert result.uncertainty.min() > 0
