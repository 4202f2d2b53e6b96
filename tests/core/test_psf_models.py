"""PSF models: which they are, and their kernels without a run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unblur import default_registry
from unblur.errors import CompositionError, ParameterError
from unblur.pipeline import Part
from unblur.psfs import model_psf, psf_models


def test_models_need_no_psf() -> None:
    names = set(psf_models(default_registry()))
    assert {"gaussian-psf", "disc-psf", "motion-psf", "microscope-psf"} <= names
    assert not names & {"known", "measured-psf", "free", "l2"}


def test_a_gaussian_has_the_width_it_was_asked_for() -> None:
    kernel = model_psf(Part("gaussian-psf", {"sigma": (2.0,)}), (33, 33))
    assert kernel.shape == (33, 33)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    places = np.arange(33) - 16
    assert math.sqrt((kernel.sum(0) * places**2).sum()) == pytest.approx(2.0, rel=0.03)


def test_a_microscope_needs_the_pixel_size() -> None:
    with pytest.raises(ParameterError, match="pixel size"):
        model_psf(Part("microscope-psf"), (15, 15))
    assert model_psf(Part("microscope-psf"), (15, 15), (0.1, 0.1)).argmax() == 15 * 7 + 7


def test_wrong_values_and_dimensions_are_said() -> None:
    with pytest.raises(ParameterError, match="sigma"):
        model_psf(Part("gaussian-psf", {"sigma": (-1.0,)}), (9, 9))
    with pytest.raises(CompositionError, match="works in"):
        model_psf(Part("motion-psf"), (9, 9, 9))
