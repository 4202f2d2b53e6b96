"""The multi-head kernel network: what its heads share, and what it takes over from the warm-up."""

from __future__ import annotations

import torch

from tests.mcem.small import CPU, KERNEL, composition, problem
from unblur import Stage
from unblur.components import Clock, Context, Estimate, KernelSpec, Transfer
from unblur.params import validate
from unblur.stages import hand_over, next_shape
from unblur.testing.worlds import kernels
from unblur_mcem.networks import MultiHeadPrior
from unblur_mcem.params import MultiHeadParams

CLOCK = Clock(0, 10)
SAME = Transfer(lambda tensor: tensor, lambda tensor: tensor)


def prior(count: int, shape: tuple[int, ...] = (7, 9), seed: int = 0) -> MultiHeadPrior:
    made = MultiHeadPrior(validate(MultiHeadParams, KERNEL))
    spec = KernelSpec(shape, count, "single" if count == 1 else "grid")
    made.init(spec, Context(CPU, torch.Generator().manual_seed(seed)))
    return made


def value(one: MultiHeadPrior) -> torch.Tensor:
    return one.kernel(torch.zeros(1), CLOCK, None).detach()


def disturb(one: MultiHeadPrior) -> None:
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng))


def test_heads_share_the_trunk_and_nothing_else() -> None:
    """The first kernel depends on the trunk and on its own head, and not on the heads of the others."""
    one = prior(4)
    kernel = one.kernel(torch.zeros(1), CLOCK, None)
    probe = torch.randn(kernel.shape[1:], generator=torch.Generator().manual_seed(0))
    head = dict(one.network.head.named_parameters())
    trunk = [p for name, p in one.network.named_parameters() if not name.startswith("head.")]
    slopes = torch.autograd.grad((kernel[0] * probe).sum(), [*head.values(), *trunk])
    for name, slope in zip(head, slopes, strict=False):
        first, others = slope.reshape(4, -1)[:1], slope.reshape(4, -1)[1:]
        assert not others.any(), name
        if name != "bias":  # a softmax does not see what is added to all logits
            assert first.any(), name
    assert all(slope.any() for slope in slopes[len(head) :])


def test_the_end_of_the_warm_up_copies_the_head_exactly() -> None:
    """Algorithm 1, line 6: the trunk goes on, and every kernel is what the one kernel was, to the bit."""
    warm, later = prior(1), prior(6, seed=1)
    disturb(warm)
    later.start_from(warm, value(warm).expand(6, 7, 9), SAME)
    found = value(later)
    assert found.shape == (6, 7, 9)
    assert all(torch.equal(kernel, found[0]) for kernel in found)
    torch.testing.assert_close(found[0], value(warm)[0], rtol=1e-5, atol=1e-8)
    mine, theirs = later.network.state_dict(), warm.network.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine if not name.startswith(("head.", "pool.")))
    assert torch.equal(mine["head.weight"], theirs["head.weight"].expand(6, -1))
    disturb(later)
    assert not torch.allclose(value(later)[0], value(later)[1])


def test_a_network_of_as_many_kernels_goes_on_unchanged() -> None:
    earlier, later = prior(4), prior(4, seed=1)
    disturb(earlier)
    later.start_from(earlier, value(earlier), SAME)
    assert torch.equal(value(later), value(earlier))
    disturb(later)
    assert not torch.equal(value(later), value(earlier))


def test_kernels_that_changed_on_the_way_are_fitted() -> None:
    earlier, later = prior(1, (5, 5)), prior(4, (11, 11), seed=1)
    wanted = kernels(1, (11, 11), seed=2).expand(4, 11, 11)
    later.start_from(earlier, wanted, SAME)
    found = value(later)
    assert all(torch.equal(kernel, found[0]) for kernel in found)
    assert float((found - wanted).norm() / wanted.norm()) < 0.25
    different = kernels(4, (11, 11), seed=4)
    later.start_from(prior(4, (11, 11), seed=7), different, SAME)
    assert float((value(later) - different).norm() / different.norm()) < 0.35


def test_state_dictionaries_fit_after_the_copy() -> None:
    warm, later, fresh = prior(1), prior(6, seed=1), prior(6, seed=2)
    later.start_from(warm, value(warm).expand(6, 7, 9), SAME)
    disturb(later)
    fresh.load_state_dict(later.state_dict())
    assert torch.equal(value(fresh), value(later))


def test_stages_hand_the_warm_up_over() -> None:
    """Through the core's stages: one kernel, then a grid of 2 x 3, and the first prediction of the grid is the last of
    the one kernel."""
    warm = Stage(steps=2, set={"forward_model.grid": (1,)})
    pipeline = composition().replace(stages=[warm, Stage(steps=2)])
    first, second = problem(pipeline, stage=0), problem(pipeline, stage=1, seed=5)
    with torch.no_grad():
        latent = first.draw(first.batch, CLOCK, None).latent
        one = first.kernel(latent, CLOCK, None)
        _, centre = next_shape(first, Estimate(latent, one), second.stage)
        hand_over(first, second, (0.0, 0.0), Estimate(latent, one))
        again = second.draw(second.batch, CLOCK, None).latent
        many = second.kernel(again, CLOCK, None)
        torch.testing.assert_close(again, latent)
        torch.testing.assert_close(second.predict(again, many), first.predict(latent, one), rtol=0, atol=1e-5)
    assert len(centre) == 2
    assert (one.shape[0], many.shape[0]) == (1, 6)
