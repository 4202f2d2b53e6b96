"""From stage to stage: what was found keeps its meaning on the next grid."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.trials.plugin import blurred, compute, kernel, registry
from unblur import Pipeline, Stage
from unblur.components import Estimate
from unblur.composition import resolve
from unblur.operators.convolution import convolve
from unblur.operators.resample import resize
from unblur.problem import Observation, Problem, build
from unblur.stages import hand_over, next_shape, support, transfer

REGISTRY = registry()


def smooth(*shape: int) -> Tensor:
    """A latent image without sharp edges, so that resampling keeps it."""
    grids = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    waves = sum(torch.sin(grid / (5.0 + axis)) for axis, grid in enumerate(grids))
    return (0.5 + 0.15 * torch.as_tensor(waves))[None, None]


def blob(size: int, centre: tuple[float, ...], sigma: float = 1.5) -> Tensor:
    grids = torch.meshgrid(*(torch.arange(size, dtype=torch.float32) for _ in centre), indexing="ij")
    squares = sum((grid - c) ** 2 for grid, c in zip(grids, centre, strict=True))
    weights = torch.exp(-torch.as_tensor(squares) / (2 * sigma**2))
    return (weights / weights.sum())[None]


def problem(stage: Stage, observed: Tensor, size: int, forward: str = "valid", shape=None) -> Problem:  # type: ignore[no-untyped-def]
    pipeline = Pipeline((forward, {"kernel_size": size}), "pixels", "logits", "joint", stages=[stage])
    observation = Observation(observed, white_level=1.0)
    return build(resolve(pipeline, REGISTRY), stage, observation, compute(), 0, [], shape)


def inner(image: Tensor, margin: int = 6) -> Tensor:
    return image[(slice(None), slice(None), *(slice(margin, -margin) for _ in image.shape[2:]))]


@pytest.mark.parametrize("size", [9, 12])
@pytest.mark.parametrize("side", [48, 51])
def test_half_the_scale_and_back_predicts_the_same(size: int, side: int) -> None:
    latent = smooth(side + size - 1, side + size - 1)
    truth = blob(size, (size // 2 + 1.0, size // 2 - 1.0))
    observed = convolve(latent, truth)
    full = problem(Stage(1), observed, size)
    half = problem(Stage(1, scale=0.5), observed, size)
    down = transfer(full, half, (0.0, 0.0))
    small, small_kernel = down.latent(latent), down.kernel(truth)
    assert tuple(small.shape) == half.latent_shape
    assert small_kernel.shape[1:] == half.spec.shape
    wanted = resize(observed, half.batch.observed.shape[2:])
    assert float(inner(convolve(small, small_kernel) - wanted, 3).abs().max()) < 0.01
    up = transfer(half, full, (0.0, 0.0))
    back, back_kernel = up.latent(small), up.kernel(small_kernel)
    assert back.shape == latent.shape
    assert float(inner(convolve(back, back_kernel) - observed).abs().max()) < 0.02
    torch.testing.assert_close(back_kernel.flatten(1).sum(1), torch.ones(1))


def test_a_single_pixel_survives_the_way_down() -> None:
    """A delta at an odd displacement lies between the pixels of the coarse grid."""
    observed = smooth(32, 32)
    full, half = problem(Stage(1), observed, 9), problem(Stage(1, scale=0.5), observed, 9)
    delta = torch.zeros(1, 9, 9)
    delta[0, 4, 7] = 1
    moved = transfer(full, half, (0.0, 0.0)).kernel(delta)
    assert float(moved.sum()) == pytest.approx(1)
    places = torch.arange(moved.shape[-1], dtype=torch.float32) - moved.shape[-1] // 2
    assert float((moved[0].sum(0) * places).sum()) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("support_of_stage", ["shrink", "keep"])
@pytest.mark.parametrize(("forward", "periodic"), [("valid", False), ("periodic", True)])
def test_centring_a_learned_kernel_keeps_the_prediction(forward: str, periodic: bool, support_of_stage: str) -> None:
    """k'(d) = k(d + c) with x'(p) = x(p - c), cut to its support or not."""
    latent = smooth(*((48, 48) if periodic else (62, 62)))
    truth = blob(15, (10.0, 4.0), sigma=0.8)
    observed = convolve(latent, truth, "periodic" if periodic else "valid")
    first = problem(Stage(1), observed, 15, forward)
    stage = Stage(1, support=support_of_stage)  # type: ignore[arg-type]
    shape, centre = next_shape(first, Estimate(latent, truth), stage)
    assert shape is not None
    assert (max(shape) < 15) == (support_of_stage == "shrink")
    assert centre == (3.0, -3.0)
    second = problem(stage, observed, 15, forward, shape)
    moved = transfer(first, second, centre)
    image, small = moved.latent(latent), moved.kernel(truth)
    assert tuple(image.shape) == second.latent_shape
    peak = torch.nonzero(small[0] == small[0].max())[0].tolist()
    assert peak == [n // 2 for n in shape]
    again = convolve(image, small, "periodic" if periodic else "valid")
    assert float(inner(again - observed, 8 if periodic else 1).abs().max()) < 5e-3


def test_a_known_kernel_stays_where_it_is() -> None:
    latent, truth = smooth(62, 62), blob(15, (10.0, 4.0), sigma=0.8)
    pipeline = Pipeline("valid", "pixels", "known", "joint", stages=[Stage(1)])
    observation = Observation(convolve(latent, truth), white_level=1.0, psf=truth)
    known = build(resolve(pipeline, REGISTRY), Stage(1), observation, compute(), 0, [])
    assert next_shape(known, Estimate(latent, truth), Stage(1)) == ((15, 15), (0.0, 0.0))


def test_shrinking_on_the_way_up_keeps_the_prediction() -> None:
    latent, truth = smooth(88, 88), blob(25, (16.0, 8.0), sigma=1.0)
    observed = convolve(latent, truth)
    half = problem(Stage(1, scale=0.5), observed, 25)
    full = problem(Stage(1), observed, 25)
    down = transfer(full, half, (0.0, 0.0))
    small, small_kernel = down.latent(latent), down.kernel(truth)
    stage = Stage(1, support="shrink")
    shape, centre = next_shape(half, Estimate(small, small_kernel), stage)
    later = problem(stage, observed, 25, shape=shape)
    assert max(later.spec.shape) < 25
    up = transfer(half, later, centre)
    again = convolve(up.latent(small), up.kernel(small_kernel))
    assert float(inner(again - observed).abs().max()) < 0.03


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1, 0.25])
@pytest.mark.parametrize("dims", [2, 3])
def test_support_finds_an_off_centre_blob_in_noise(noise: float, dims: int) -> None:
    size, centre = (31, (9.0, 20.0)) if dims == 2 else (17, (6.0, 10.0, 8.0))
    kernel = blob(size, centre)
    rng = torch.Generator().manual_seed(1)
    kernel = kernel + noise * kernel.max() * torch.rand(kernel.shape, generator=rng)
    shape, found = support(kernel)
    assert all(n % 2 == 1 and n <= 15 for n in shape), shape
    for offset, place, n in zip(found, centre, shape, strict=True):
        assert abs(offset + size // 2 - place) <= 1
        assert n >= 5


def test_support_keeps_separate_strokes_and_drops_specks() -> None:
    weights = torch.zeros(1, 31, 31)
    weights[0, 4, 4:12] = 1.0
    weights[0, 20, 8:14] = 0.6
    shape, _ = support(weights)
    assert shape[0] >= 17
    weights[0, 29, 29] = 0.3
    assert support(weights)[0] == shape
    assert support(weights, wide=True) == ((3, 13), (-11.0, -8.0))


@pytest.mark.parametrize(("size", "found"), [(15, 15), (31, 31), (45, 13)])
def test_a_wide_support_is_not_held_open_by_a_ghost(size: int, found: int) -> None:
    """A second blob of 0.4 of the weight: a part of the kernel, unless the support is far larger than kernels are."""
    truth = torch.zeros(1, size, size)
    truth[0, 3:7, 3:7] = 1.0
    truth[0, -5:-2, -4:-2] = 1.0
    truth = truth / truth.sum()
    observed = smooth(128, 128)
    first = problem(Stage(1), observed, size)
    shape, _ = next_shape(first, Estimate(observed, truth), Stage(1, support="shrink"))
    assert shape is not None
    assert (shape[0] == size) == (found == size)
    assert shape[0] <= found


@pytest.mark.parametrize("wide", [False, True])
def test_support_keeps_a_broken_stroke(wide: bool) -> None:
    """A gap within a kernel is none between two."""
    weights = torch.zeros(1, 31, 31)
    weights[0, 15, 8:18] = 1.0
    weights[0, 15, 21:24] = 1.0
    shape, (_, across) = support(weights, wide)
    assert shape[1] == 25
    assert across == 0.0


def test_specks_beside_a_narrow_kernel_do_not_move_it() -> None:
    """Each is next to nothing; together they are no part of it unless it is a pixel or two away."""
    weights = torch.zeros(1, 51, 51)
    weights[0, 22:28, 22:28] = 1.0
    weights[0, 2:20:5, 25] = 0.3
    shape, centre = support(weights)
    assert shape == (11, 11)
    assert centre == (-1.0, -1.0)


def test_support_of_a_full_kernel_is_the_kernel() -> None:
    assert support(torch.full((1, 9, 8), 1 / 72)) == ((9, 8), (0.0, 0.0))
    assert support(torch.zeros(1, 5, 5))[0] == (5, 5)


def test_one_kernel_becomes_a_grid() -> None:
    pipeline = Pipeline(
        "svola", "pixels", "logits", "joint", stages=[Stage(1), Stage(1, set={"forward_model.grid": 3})]
    )
    one, grid = (
        build(resolve(pipeline.in_stage(stage), REGISTRY), stage, blurred(), compute(), 0, [])
        for stage in pipeline.stages
    )
    image = torch.rand(one.latent_shape, generator=torch.Generator().manual_seed(0))
    hand_over(one, grid, (0.0, 0.0), Estimate(image, kernel()))
    assert grid.spec.count == 9
    assert torch.equal(grid.image.parameters()[0], image)
    expected = kernel().expand(9, 5, 5)
    torch.testing.assert_close(grid.kernels.kernel(image, None, None), expected, atol=1e-4, rtol=0)  # type: ignore[arg-type]
    torch.testing.assert_close(grid.forward.predict(image, expected), one.forward.predict(image, kernel()))


def test_another_region_takes_only_the_kernel() -> None:
    observed = blurred(frames=2).pixels
    first = problem(Stage(1, frames=(0,), crop=((0, 16), (4, 32))), observed, 5)
    second = problem(Stage(1), observed, 5)
    before = second.image.parameters()[0].clone()
    hand_over(first, second, (0.0, 0.0), Estimate(torch.rand(first.latent_shape), kernel()))
    assert torch.equal(second.image.parameters()[0], before)
    found = second.kernels.kernel(before, None, None)  # type: ignore[arg-type]
    torch.testing.assert_close(found, kernel(), atol=1e-4, rtol=0)


def test_regions_outside_of_the_image_are_refused() -> None:
    from unblur.errors import ImageError

    observed = blurred().pixels
    for stage in (Stage(1, frames=(1,)), Stage(1, crop=((0, 33), (0, 8))), Stage(1, crop=((0, 8),))):
        with pytest.raises(ImageError, match="a stage uses"):
            problem(stage, observed, 5)
    with pytest.raises(ImageError, match=r"32x32 pixels, smaller than .* 41x41; .* at most 32x32, .* at least 41x41"):
        problem(Stage(1), observed, 41, "periodic")
    with pytest.raises(ImageError, match=r"8x8 at 0.25 .* kernel of 11x11; .* at most 28x28, .* at least 43x43"):
        problem(Stage(1, scale=0.25), observed, 41, "periodic")
    assert problem(Stage(1, scale=0.25), observed, 28, "periodic").spec.shape == (7, 7)
    with pytest.raises(ImageError, match=r"2x2 at 0.0625 .* smallest that works here is 41x41"):
        problem(Stage(1, scale=0.0625), observed, 5)
    assert problem(Stage(1, scale=0.0625), torch.rand(1, 1, 41, 41), 5).batch.observed.shape[2:] == (3, 3)
    assert math.prod(problem(Stage(1), observed, 41).latent_shape) == 72**2


def test_at_lower_resolutions_pixels_count_by_what_is_known_of_them() -> None:
    observed, valid = smooth(48, 48), torch.ones(1, 1, 48, 48)
    valid[..., ::3, ::3] = 0  # one in each block of nine
    valid[..., 24:, 24:] = 0
    stage = Stage(steps=1, scale=1 / 3)
    spoilt = torch.where(valid > 0, observed, 9.0)
    pipeline = Pipeline("valid", "pixels", "logits", "joint", stages=[stage])
    observation = Observation(spoilt, white_level=1.0, valid=valid)
    made = build(resolve(pipeline, REGISTRY), stage, observation, compute(), 0, [])
    counts = made.batch.valid
    assert counts is not None
    assert torch.equal(counts[..., 8:, 8:], torch.zeros(1, 1, 8, 8))
    assert float(counts.sum()) == 16**2 - 8**2
    error = (made.batch.observed - resize(observed, (16, 16))) * counts
    assert float(error.abs().max()) < 0.02
