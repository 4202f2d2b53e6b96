"""Pixel replacement, eq. 6, against a direct computation."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.sadropout.small import generator
from unblur.errors import ImageError
from unblur_sadropout.seeds import fixed_masks, replaced


def directly(image: Tensor, kept: Tensor) -> Tensor:
    """Pixel by pixel: the mean over the kept pixels of the smallest neighbourhood that has one."""
    result = image.clone()
    for place in itertools.product(*map(range, image.shape)):
        if kept[place]:
            continue
        radius = 1
        while True:
            box = tuple(slice(max(0, at - radius), at + radius + 1) for at in place[2:])
            around, mask = image[place[:2]][box], kept[place[:2]][box]
            if mask.any():
                result[place] = around[mask > 0].mean()
                break
            radius *= 2
    return result


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([(1, 1, 6, 9), (2, 3, 5, 4), (1, 2, 3, 4, 5)]), st.floats(0.05, 0.95), st.integers(0, 99))
def test_as_computed_pixel_by_pixel(shape: tuple[int, ...], replacing: float, seed: int) -> None:
    image = torch.rand(shape, generator=generator(seed))
    kept = (torch.rand(shape, generator=generator(seed + 100)) >= replacing).float()
    kept.flatten(2)[..., 0] = 1
    torch.testing.assert_close(replaced(image, kept), directly(image, kept))


def test_what_is_replaced_leaves_no_trace() -> None:
    image, kept = torch.rand((1, 1, 16, 16), generator=generator()), torch.ones(1, 1, 16, 16)
    kept[..., 3:6, 7] = 0
    other = torch.where(kept > 0, image, image + 5)
    torch.testing.assert_close(replaced(other, kept), replaced(image, kept))


def test_zeros_count_as_pixels() -> None:
    """The mean is over kept pixels; that one of them is black does not take it out."""
    image, kept = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    image[..., 0, 0] = 1.0
    kept[..., 0, 0] = kept[..., 2, 2] = 1
    assert replaced(image, kept)[0, 0, 1, 1] == 0.5


def test_nothing_kept_is_refused() -> None:
    with pytest.raises(ImageError, match="no pixel"):
        replaced(torch.rand(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize(("count", "replacing"), [(10, 0.3), (4, 0.5), (7, 0.3)])
def test_over_fixed_masks_every_pixel_has_its_share(count: int, replacing: float) -> None:
    image = torch.zeros(1, 2, 60, 50)
    masks = torch.stack(fixed_masks(image, count, replacing, generator()))
    times = (1 - masks).sum(0)
    assert int(times.min()) >= int(count * replacing)
    assert int(times.max()) <= math.ceil(count * replacing)
    for mask in masks:
        assert float(1 - mask.mean()) == pytest.approx(replacing, abs=0.03)
        neighbours = torch.corrcoef(torch.stack([mask[..., :-1].flatten(), mask[..., 1:].flatten()]))[0, 1]
        assert abs(float(neighbours)) < 0.06
