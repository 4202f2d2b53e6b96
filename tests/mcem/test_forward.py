"""The space-variant forward model: grids, orientation, sizes, the uniform case, and a camera that turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.mcem.small import CPU
from unblur.components import Batch, Context, Estimate
from unblur.errors import ImageError, ParameterError
from unblur.kernel_grid import KernelGrid
from unblur.operators.convolution import convolve
from unblur.operators.svola import svola
from unblur.params import validate
from unblur.testing.worlds import kernels, noise, smooth
from unblur_mcem.forward import SvolaModel
from unblur_mcem.params import SvolaParams

Shape = tuple[int, ...]


def model(**params: Any) -> SvolaModel:
    return SvolaModel(validate(SvolaParams, params))


def context(psf: torch.Tensor | None = None) -> Context:
    return Context(CPU, torch.Generator(), psf=psf)


@pytest.mark.parametrize(
    ("params", "spatial", "grid"),
    [
        ({}, (120, 200), (5, 10)),
        ({}, (200, 120), (10, 5)),
        ({}, (150, 150), (5, 10)),
        ({"grid": (10, 5)}, (120, 200), (5, 10)),
        ({"grid": (10, 5), "orientation": "fixed"}, (120, 200), (10, 5)),
        ({"grid": (3,)}, (120, 200), (3, 3)),
        ({"grid": (3,)}, (20, 120, 200), (3, 3, 3)),
        ({"grid": (2, 3)}, (20, 200, 120), (1, 3, 2)),
        ({"grid": (4, 2, 3)}, (20, 120, 200), (4, 2, 3)),
    ],
)
def test_the_grid_follows_the_image(params: dict[str, Any], spatial: Shape, grid: Shape) -> None:
    tested = model(kernel_size=(5,), **params)
    spec = tested.spec((1, 1, *spatial), context())
    assert (spec.count, spec.kind) == (np.prod(grid), "grid")
    assert spec.shape == (5,) * len(spatial)
    latent = torch.zeros(tested.latent_shape((1, 1, *spatial), spec))
    found = tested.crop(Estimate(latent, torch.zeros(spec.count, *spec.shape)), Batch(torch.zeros(1, 1, *spatial)))
    assert found.grid == KernelGrid(grid)
    assert found.image.shape[2:] == spatial


def test_the_grid_is_that_of_the_full_resolution() -> None:
    """A portrait that rounds to a square at half the resolution has the same grid there."""
    tested = model(grid=(2, 3), kernel_size=(5, 5))
    spec = tested.spec((1, 1, 60, 59), context())
    assert spec.layout == KernelGrid((3, 2))
    latent, many = smooth((1, 1, 34, 34), 0), kernels(6, (5, 5))
    assert torch.equal(tested.predict(latent, many), svola(latent, many, (3, 2)))


def test_predictions_are_those_of_the_operator() -> None:
    tested = model(grid=(2, 3), kernel_size=(5, 7))
    latent, many = smooth((1, 3, 40, 60), 0), kernels(6, (5, 7))
    assert torch.equal(tested.predict(latent, many), svola(latent, many, (2, 3)))
    turned = latent.transpose(2, 3).contiguous()
    assert torch.equal(tested.predict(turned, many), svola(turned, many, (3, 2)))


@pytest.mark.parametrize("boundary", ["valid", "same"])
def test_one_kernel_is_the_convolution(boundary: Any) -> None:
    """P = 1: predictions, adjoints and the prepared operator are those of the convolution, to the bit."""
    tested = model(grid=(1,), kernel_size=(5,), boundary=boundary)
    spec = tested.spec((1, 2, 20, 24), context())
    assert (spec.count, spec.kind) == (1, "single")
    latent, kernel = noise(tested.latent_shape((1, 2, 20, 24), spec), 0), kernels(1, (5, 5))
    predicted = tested.predict(latent, kernel)
    assert torch.equal(predicted, convolve(latent, kernel, boundary))
    torch.testing.assert_close(tested.prepared(kernel, tuple(latent.shape)).forward(latent), predicted)
    estimate = tested.crop(Estimate(latent, kernel), Batch(torch.zeros(1, 2, 20, 24)))
    assert estimate.grid is None


@pytest.mark.parametrize("boundary", ["valid", "same"])
def test_equal_kernels_are_the_convolution(boundary: Any) -> None:
    tested = model(grid=(3, 4), kernel_size=(7,), boundary=boundary)
    latent, kernel = smooth((1, 1, 60, 70), 0), kernels(1, (7, 7))
    found = tested.predict(latent, kernel.expand(12, 7, 7))
    torch.testing.assert_close(found, convolve(latent, kernel, boundary), rtol=0, atol=1e-5)


def test_the_size_of_kernels() -> None:
    shape = (1, 1, 100, 200)
    assert model(kernel_size=(9,)).spec(shape, context()).shape == (9, 9)
    assert model(kernel_size=(9, 11)).spec(shape, context()).shape == (9, 11)
    assert model().spec(shape, context(torch.ones(50, 7, 8))).shape == (7, 8)
    notes = context()
    assert model(grid=(2, 10)).spec(shape, notes).shape == (51, 41)
    assert "51x41 pixels were allowed for" in notes.notes[0]
    assert model(grid=(1,)).spec(shape, context()).shape == (51, 101)


def test_refusals() -> None:
    shape = (1, 1, 40, 60)
    with pytest.raises(ParameterError, match="kernel_size"):
        model(kernel_size=(3, 3, 3)).spec(shape, context())
    with pytest.raises(ParameterError, match="grid"):
        model(grid=(2, 2, 2)).spec(shape, context())
    with pytest.raises(ImageError, match="3-D"):
        model().spec(shape, context(torch.ones(1, 3, 3, 3)))
    tested = model(grid=(3, 50), kernel_size=(3,))
    with pytest.raises(ImageError, match="take a coarser one"):
        tested.predict(torch.zeros(1, 1, 30, 40), kernels(150, (3, 3)))
