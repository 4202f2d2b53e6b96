"""A microscope's PSF may reach farther in depth than the stack; a kernel that is estimated may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import unblur
from unblur import Job
from unblur.errors import ImageError
from unblur.metrics import scaled_psnr

STACK = np.random.default_rng(0).random((5, 24, 24), dtype=np.float32) + 0.5


def test_a_model_that_is_taller_than_the_stack_is_used_whole() -> None:
    job = Job(
        STACK,
        axes="ZYX",
        planes="volume",
        method="richardson-lucy",
        settings={
            "forward_model.kernel_size": (13, 11, 11),
            "kernel_prior": ["gaussian-psf"],
            "kernel_prior.gaussian-psf.sigma": (3.0, 1.5, 1.5),
            "stopping": [("max-steps", {"steps": 3}), "last"],
        },
        threads=1,
    )
    for _ in job.events():
        pass
    assert job.result.kernel.shape == (13, 11, 11)
    assert np.isfinite(job.result.image).all()


def test_a_psf_that_is_deeper_than_the_stack_is_used_whole_and_restores_more_than_its_middle() -> None:
    """Each plane of a widefield PSF has as much light: what is cut off would be taken for light of the stack."""
    rng = np.random.default_rng(0)
    widths = 1 + 0.25 * np.abs(np.arange(-8, 9))
    place = np.arange(-6, 7) ** 2
    planes = np.stack([np.exp(-(place[:, None] + place) / (2 * width**2)) for width in widths])
    psf = planes / planes.sum(axis=(1, 2), keepdims=True) / len(planes)
    truth = np.zeros((40, 44, 48))
    truth[tuple(rng.integers(size, size=25) for size in truth.shape)] = 20_000
    truth = gaussian_filter(truth, 0.7)
    stack = (rng.poisson(np.clip(fftconvolve(truth, psf, "same"), 0, None) * 10) / 10)[14:22].astype(np.float32)
    found = {}
    for name, kernel in (("whole", psf), ("middle", psf[4:13] / psf[4:13].sum())):
        job = Job(stack, axes="ZYX", psf=kernel, psf_axes="ZYX", method="richardson-lucy", threads=1)
        for _ in job.events():
            pass
        assert job.result.kernel.shape == kernel.shape
        found[name] = scaled_psnr(job.result.image, truth[14:22]), job.result.image.sum() / truth[14:22].sum()
        assert any("the PSF has" in text for text in job.result.report["assumptions"])
    assert found["whole"][0] > found["middle"][0] + 1
    assert abs(found["whole"][1] - 1) < 0.1 < abs(found["middle"][1] - 1)


@pytest.mark.parametrize("boundary", ["same", "periodic"])
def test_a_psf_that_is_deeper_than_a_stack_whose_image_ends_with_it_is_cut_or_refused(boundary: str) -> None:
    wishes: dict[str, Any] = {"axes": "ZYX", "psf_axes": "ZYX", "method": "richardson-lucy", "threads": 1}
    wishes["settings"] = {"forward_model.boundary": boundary}
    place = np.arange(-5, 6)[:, None, None] ** 2
    narrow = np.exp(-place / 2) * np.ones((1, 3, 3))
    result = unblur.deblur(STACK, psf=narrow, **wishes)
    assert result.kernel.shape == (5, 3, 3)
    assert any("it was cut to it" in text for text in result.report["assumptions"])
    with pytest.raises(
        ImageError, match=r"stack 5, with which the image of .*convolution.*set forward_model.boundary=valid"
    ):
        unblur.deblur(STACK, psf=np.ones((9, 3, 3)) / 81, **wishes)


def test_an_unknown_kernel_is_not() -> None:
    with pytest.raises(ImageError, match="wider than the image"):
        next(
            Job(STACK, axes="ZYX", planes="volume", method="blind-richardson-lucy", kernel_size=13, threads=1).events()
        )
