from __future__ import annotations

import pytest
import torch

from tests.classical.parts import batch, context, kernel, part, rand
from unblur.components import Estimate, KernelSpec
from unblur.errors import ImageError, ParameterError
from unblur.operators.convolution import convolve

SHAPES = [((2, 3, 14, 11), (5, 4)), ((1, 1, 8, 9, 7), (3, 4, 5))]


@pytest.mark.parametrize(("shape", "size"), SHAPES)
@pytest.mark.parametrize("boundary", ["valid", "periodic", "same"])
def test_adjoints_and_prepared_agree_with_predict(shape: tuple[int, ...], size: tuple[int, ...], boundary: str) -> None:
    model = part("forward_model", "convolution", kernel_size=size, boundary=boundary)
    spec = model.spec(shape, context())
    latent_shape = model.latent_shape(shape, spec)
    latent, blur, residual = rand(*latent_shape), kernel(*size), rand(*shape, seed=2) - 0.5
    predicted = model.predict(latent, blur)
    assert predicted.shape == shape
    inner = (predicted * residual).sum()
    torch.testing.assert_close((latent * model.adjoint(residual, blur, latent_shape)).sum(), inner)
    torch.testing.assert_close((blur * model.kernel_adjoint(residual, latent, spec)).sum(), inner)
    prepared = model.prepared(blur, latent_shape)
    torch.testing.assert_close(prepared.forward(latent), predicted)
    torch.testing.assert_close(prepared.adjoint(residual), model.adjoint(residual, blur, latent_shape))


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_a_centred_crop_lies_where_a_delta_leaves_the_image(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    model = part("forward_model", "convolution", kernel_size=size)
    latent = rand(*model.latent_shape(shape, KernelSpec(size)))
    delta = torch.zeros(1, *size)
    delta[(0, *KernelSpec(size).origin)] = 1
    observed = model.predict(latent, delta)
    cropped = model.crop(Estimate(latent, delta, spread=2 * latent), batch(observed))
    torch.testing.assert_close(cropped.image, observed)
    torch.testing.assert_close(cropped.spread, 2 * observed)
    assert torch.equal(cropped.kernel, delta)


def test_a_located_crop_finds_a_shifted_image_and_moves_the_kernel_back() -> None:
    sharp = rand(1, 1, 40, 44)
    small = torch.nn.functional.pad(kernel(3, 3), (4, 4, 4, 4))
    observed = convolve(sharp, small, "valid")
    true = sharp[..., 5:-5, 5:-5]
    moved = torch.roll(sharp, (3, -2), (2, 3))
    turned = torch.roll(small, (-3, 2), (1, 2))
    model = part("forward_model", "convolution", kernel_size=[11], placement="located")
    cropped = model.crop(Estimate(moved, turned), batch(observed))
    torch.testing.assert_close(cropped.image, true)
    torch.testing.assert_close(cropped.kernel, small)


def test_a_located_crop_leaves_a_kernel_that_fills_its_support_whole() -> None:
    sharp, full = rand(1, 1, 40, 44), kernel(7, 7)
    model = part("forward_model", "convolution", kernel_size=[7], placement="located")
    cropped = model.crop(Estimate(sharp, full), batch(convolve(torch.roll(sharp, (2, -2), (2, 3)), full, "valid")))
    torch.testing.assert_close(cropped.kernel, full)
    torch.testing.assert_close(cropped.image, sharp[..., 3:-3, 3:-3])


def test_the_kernel_size_follows_from_the_user_then_the_psf_then_the_image() -> None:
    blurred, volume = (1, 3, 20, 31), (1, 1, 9, 20, 20)
    assert part("forward_model", "convolution", kernel_size=[7]).spec(volume, context()).shape == (7, 7, 7)
    model = part("forward_model", "convolution")
    with_psf = context(psf=kernel(5, 8))
    assert model.spec(blurred, with_psf).shape == (5, 8)
    assert with_psf.notes == []
    without = context()
    assert model.spec(blurred, without).shape == (11, 17)
    assert "11x17" in without.notes[0]


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"kernel_size = \[3, 4, 5\].*or 2"):
        part("forward_model", "convolution", kernel_size=[3, 4, 5]).spec((1, 1, 20, 20), context())
    with pytest.raises(ImageError, match="a PSF in 3-D for an image in 2-D"):
        part("forward_model", "convolution").spec((1, 1, 20, 20), context(psf=kernel(3, 3, 3)))
    with pytest.raises(ParameterError, match="'located' with boundary 'periodic'"):
        part("forward_model", "convolution", placement="located", boundary="periodic")
