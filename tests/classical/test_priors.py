from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.classical.parts import batch, context, kernel, number, part, rand
from unblur.components import Clock, KernelSpec, Transfer
from unblur.errors import CompositionError, ImageError, ParameterError

CLOCK = Clock(0, 10)
SAME = Transfer(lambda t: t, lambda t: t)


def drawn(prior: Any) -> Tensor:
    return prior.kernel(torch.empty(0), CLOCK, None)


def test_pixels_begin_with_the_observed_image_and_its_edge() -> None:
    observed = rand(2, 3, 6, 7)
    prior = part("image_prior", "pixels")
    prior.init((2, 3, 10, 10), batch(observed), context())
    image = prior.draw(batch(observed), CLOCK, None).latent
    assert image is prior.parameters()[0]
    assert torch.equal(image[..., 2:8, 1:8], observed)
    assert torch.equal(image[..., 0, 1:8], observed[..., 0, :])


def test_pixels_that_do_not_count_begin_with_the_mean_of_the_others() -> None:
    observed, valid = torch.full((1, 1, 4, 4, 4), 0.5), torch.ones(1, 1, 4, 4, 4)
    observed[..., 0], valid[..., 0] = 1000.0, 0
    for start in ("observed", "flat"):
        prior = part("image_prior", "pixels", start=start)
        prior.init((1, 1, 6, 6, 6), batch(observed, valid), context())
        torch.testing.assert_close(prior.parameters()[0].detach(), torch.full((1, 1, 6, 6, 6), 0.5))


def test_pixels_below_zero_are_projected_when_learning_and_left_alone_when_looking() -> None:
    data = batch(rand(1, 1, 4, 4))
    prior = part("image_prior", "pixels")
    prior.init((1, 1, 4, 4), data, context())
    with torch.no_grad():
        prior.parameters()[0][..., 0] = -1
        assert number(prior.draw(data, CLOCK, None).latent.min()) == 0
        assert number(prior.parameters()[0].min()) == -1
    assert number(prior.draw(data, CLOCK, None).latent.min()) == 0
    assert number(prior.parameters()[0].min()) == 0
    free = part("image_prior", "pixels", nonnegative=False)
    free.init((1, 1, 4, 4), batch(data.observed - 1), context())
    assert number(free.draw(data, CLOCK, None).latent.detach().max()) < 0


def test_known_needs_a_psf_and_fits_it_to_the_support() -> None:
    with pytest.raises(CompositionError, match="give one with --psf"):
        part("kernel_prior", "known").init(KernelSpec((5, 5)), context())
    with pytest.raises(ImageError, match=r"2 kernel.*wants 1"):
        part("kernel_prior", "known").init(KernelSpec((5, 5)), context(psf=kernel(5, 5).expand(2, 5, 5)))
    psf, cut = kernel(7, 7), context()
    prior = part("kernel_prior", "known")
    cut.psf = psf
    prior.init(KernelSpec((5, 9)), cut)
    inner = psf[:, 1:6]
    torch.testing.assert_close(drawn(prior)[..., 1:8], inner / inner.sum())
    assert "cut from 7x7 to 5x9" in cut.notes[0]
    assert not prior.parameters()
    grid = part("kernel_prior", "known")
    grid.init(KernelSpec((7, 7), count=4, kind="grid"), context(psf=psf))
    torch.testing.assert_close(drawn(grid), psf.expand(4, 7, 7))


LEARNERS = [
    ("free", {}),
    ("free", {"start": "flat"}),
    ("gaussian", {}),
    ("gaussian", {"isotropic": True}),
    ("disc", {}),
]


@pytest.mark.parametrize(("name", "params"), LEARNERS)
@pytest.mark.parametrize("shape", [(7, 9), (5, 6, 7)])
def test_learned_kernels_are_kernels_and_follow_their_gradient(
    name: str, params: dict[str, Any], shape: tuple[int, ...]
) -> None:
    prior = part("kernel_prior", name, **params)
    prior.init(KernelSpec(shape), context())
    wanted = kernel(*shape)
    before = drawn(prior)
    assert before.shape == (1, *shape)
    assert number(before.min()) >= 0
    assert number(before.sum()) == pytest.approx(1, abs=1e-5)
    loss = (before - wanted).square().sum()
    (slope,) = torch.autograd.grad(loss, prior.parameters()[0])
    with torch.no_grad():
        prior.parameters()[0].sub_(1e-3 * slope / slope.norm())
    assert number((drawn(prior) - wanted).square().sum()) < number(loss)


@pytest.mark.parametrize(("name", "params"), LEARNERS)
def test_learned_kernels_come_back_from_their_state(name: str, params: dict[str, Any]) -> None:
    prior, other = part("kernel_prior", name, **params), part("kernel_prior", name, **params)
    for each in (prior, other):
        each.init(KernelSpec((5, 5)), context())
    with torch.no_grad():
        prior.parameters()[0].mul_(1 + 0.3 * rand(*prior.parameters()[0].shape))
    other.load_state_dict(prior.state_dict())
    assert torch.equal(drawn(other), drawn(prior))


def test_the_weights_of_a_free_kernel_can_be_multiplied_in_place() -> None:
    prior = part("kernel_prior", "free", start="flat")
    prior.init(KernelSpec((4, 4)), context())
    factor = rand(1, 4, 4)
    with torch.no_grad():
        assert number(prior.parameters()[0].sum()) == pytest.approx(1)
        prior.parameters()[0].mul_(factor)
    torch.testing.assert_close(drawn(prior).detach(), factor / factor.sum())


def test_negative_weights_are_projected_when_learning_and_left_alone_when_looking() -> None:
    prior = part("kernel_prior", "free", start="flat")
    prior.init(KernelSpec((3, 3)), context())
    with torch.no_grad():
        prior.parameters()[0][0, 0, 0] = -1
        assert number(drawn(prior)[0, 0, 0]) == 0
        assert number(prior.parameters()[0].min()) == -1
    torch.testing.assert_close(drawn(prior).sum(), torch.tensor(1.0))
    assert number(prior.parameters()[0].min()) == 0


def test_a_free_kernel_begins_with_the_psf_where_there_is_one() -> None:
    psf, noted = kernel(5, 5), context()
    noted.psf = psf
    prior = part("kernel_prior", "free")
    prior.init(KernelSpec((5, 5)), noted)
    torch.testing.assert_close(drawn(prior).detach(), psf)
    assert noted.notes
    with pytest.raises(CompositionError, match="'free' needs a PSF"):
        part("kernel_prior", "free", start="psf").init(KernelSpec((5, 5)), context())


def gaussian(*sigmas: float) -> Tensor:
    prior = part("kernel_prior", "gaussian", sigma=sigmas)
    prior.init(KernelSpec((31,) * len(sigmas)), context())
    return drawn(prior).detach()


def disc(radius: float) -> Tensor:
    prior = part("kernel_prior", "disc", radius=radius)
    prior.init(KernelSpec((31, 31)), context())
    return drawn(prior).detach()


@pytest.mark.parametrize(
    ("name", "truth", "within"),
    [
        ("gaussian", lambda: gaussian(1.3, 2.6), 1e-5),
        ("gaussian", lambda: gaussian(1, 2, 3), 1e-5),
        ("disc", lambda: disc(6.4), 7e-4),
    ],
)
def test_parametric_kernels_take_over_what_an_earlier_stage_or_a_psf_says(
    name: str, truth: Callable[[], Tensor], within: float
) -> None:
    wanted = truth()
    spec = KernelSpec(tuple(wanted.shape[1:]))
    later = part("kernel_prior", name)
    later.init(spec, context())
    later.start_from(later, wanted, SAME)
    torch.testing.assert_close(drawn(later).detach(), wanted, atol=within, rtol=0)
    given = part("kernel_prior", name)
    given.init(spec, context(psf=wanted))
    torch.testing.assert_close(drawn(given).detach(), wanted, atol=within, rtol=0)


def test_widths_are_in_pixels_of_the_full_resolution() -> None:
    half = part("kernel_prior", "gaussian", sigma=[4.0])
    half.init(KernelSpec((31, 31), scale=0.5), context())
    torch.testing.assert_close(drawn(half).detach(), gaussian(2.0, 2.0))
    with pytest.raises(ParameterError, match=r"sigma = \[1.0, 2.0, 3.0\].*or 2"):
        part("kernel_prior", "gaussian", sigma=[1.0, 2.0, 3.0]).init(KernelSpec((9, 9)), context())


@pytest.mark.parametrize(("name", "truth"), [("disc", lambda: disc(5.0)), ("gaussian", lambda: gaussian(4.0, 4.0))])
def test_parametric_kernels_reach_another_size_at_the_rates_of_networks(name: str, truth: Callable[[], Tensor]) -> None:
    wanted, prior = truth(), part("kernel_prior", name)
    prior.init(KernelSpec((31, 31)), context())
    adam = torch.optim.Adam(prior.parameters(), lr=5e-4)
    for _ in range(200):
        adam.zero_grad()
        (drawn(prior) - wanted).square().sum().backward()
        adam.step()
    torch.testing.assert_close(drawn(prior).detach(), wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("radius", [0.2, 0.375, 0.5])
def test_a_disc_smaller_than_a_pixel_can_grow(radius: float) -> None:
    prior = part("kernel_prior", "disc", radius=radius)
    prior.init(KernelSpec((31, 31)), context())
    (drawn(prior) - disc(3.0)).square().sum().backward()
    assert float(prior.parameters()[0].grad) < -1e-4
