from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unblur.errors import ImageError
from unblur.operators.convolution import Boundary, Convolution
from unblur.operators.folded import FoldedConvolution, folded


@st.composite
def operators(draw: st.DrawFn) -> tuple[Convolution, tuple[int, ...], torch.dtype]:
    """A convolution of 2-D or 3-D images of some frames and channels, with its latent shape and its precision."""
    boundary: Boundary = draw(st.sampled_from(("valid", "same")))
    kernel = tuple(draw(st.integers(1, 6)) for _ in range(draw(st.sampled_from((2, 3)))))
    smaller = 4 if boundary == "same" else 0
    latent = tuple(max(1, k + draw(st.integers(-smaller, 12))) for k in kernel)
    frames, channels = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    lead = (draw(st.sampled_from((1, frames))), draw(st.sampled_from((1, channels))))
    dtype = draw(st.sampled_from((torch.float32, torch.float64)))
    shape = (frames, channels, *latent)
    return Convolution(noise((*lead, *kernel), 0, dtype), shape, boundary), shape, dtype


def noise(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(operators(), st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_gives_what_the_convolution_gives(drawn: tuple[Convolution, tuple[int, ...], torch.dtype], seed: int) -> None:
    operator, shape, dtype = drawn
    folding = FoldedConvolution(operator)
    latent = noise(shape, seed, dtype)
    predicted = operator.forward(latent)
    residual = noise(tuple(predicted.shape), seed + 1, dtype)
    tolerance = {"rtol": 0.0, "atol": 1e-12 if dtype == torch.float64 else 2e-4}
    found = torch.empty_like(predicted)
    folding.unfold(folding.forward(folding.fold(latent)), found)
    torch.testing.assert_close(found, predicted, **tolerance)
    back = torch.empty_like(latent)
    folding.unfold(folding.adjoint(folding.fold(residual)), back)
    torch.testing.assert_close(back, operator.adjoint(residual), **tolerance)


@given(operators(), st.integers(1, 100))
@settings(max_examples=30, deadline=None)
def test_adjoint_on_the_whole_grid(drawn: tuple[Convolution, tuple[int, ...], torch.dtype], seed: int) -> None:
    operator, shape, dtype = drawn
    folding = FoldedConvolution(operator)
    grid = tuple(folding.fold(torch.zeros(shape, dtype=dtype)).shape)
    x, r = noise(grid, seed, dtype), noise(grid, seed + 1, dtype)
    y = folding.forward(x)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert abs((y * r).sum() - (x * folding.adjoint(r)).sum()) <= tolerance * y.norm() * r.norm()


@given(operators(), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_folding_loses_nothing(drawn: tuple[Convolution, tuple[int, ...], torch.dtype], seed: int) -> None:
    operator, shape, dtype = drawn
    folding = FoldedConvolution(operator)
    image = noise(shape, seed, dtype)
    again = torch.empty_like(image)
    form = folding.fold(image)
    folding.unfold(form, again)
    assert torch.equal(again, image)
    assert form.count_nonzero() == image.count_nonzero()


def test_what_cannot_be_folded_works_as_it_is() -> None:
    operator = Convolution(noise((1, 3, 3), 0, torch.float32), (8, 9), "periodic")
    with pytest.raises(ImageError, match="periodic"):
        FoldedConvolution(operator)
    same = folded(operator)
    image = noise((1, 1, 8, 9), 1, torch.float32)
    form = same.fold(image)
    assert torch.equal(same.forward(form), operator.forward(image))
    assert torch.equal(same.adjoint(form), operator.adjoint(image))
    form.zero_()
    assert bool(image.count_nonzero())
    same.unfold(form, image)
    assert not bool(image.count_nonzero())
