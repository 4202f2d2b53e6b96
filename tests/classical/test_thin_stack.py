"""A microscope's PSF may reach farther in depth than the stack; a kernel that is estimated may not."""

from __future__ import annotations

import numpy as np
import pytest

from unblur import Job
from unblur.errors import ImageError

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


def test_an_unknown_kernel_is_not() -> None:
    with pytest.raises(ImageError, match="wider than the image"):
        next(
            Job(STACK, axes="ZYX", planes="volume", method="blind-richardson-lucy", kernel_size=13, threads=1).events()
        )
