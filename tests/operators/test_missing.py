"""Pixels that are not known are filled from those beside them, and are no noise."""

from __future__ import annotations

import pytest
import torch

from tests.sadropout.small import CPU
from unblur.components import Batch, Context
from unblur.noise import noise_of
from unblur.operators.missing import continued, filled


def test_unknown_pixels_take_the_nearest_known_value() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    valid = torch.ones_like(image)
    valid[..., 0, :2] = 0
    found = filled(image, valid)
    assert found[0, 0, 0].tolist() == [4.0, 5.0, 2.0, 3.0]
    assert torch.equal(found[valid > 0], image[valid > 0])
    assert filled(image, None) is image


def test_a_frame_of_which_nothing_is_known_stays() -> None:
    image = torch.rand((2, 1, 5, 5), generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(image)
    valid[1] = 0
    assert torch.equal(filled(image, valid)[1], image[1])


def test_scattered_unknown_pixels_are_no_noise() -> None:
    rng = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 1, 96).expand(1, 1, 96, 96)
    noisy = ramp + 0.01 * torch.randn(ramp.shape, generator=rng)
    valid = (torch.rand(ramp.shape, generator=rng) > 0.02).float()
    observed = torch.where(valid > 0, noisy, noisy.mean())

    def found(valid: torch.Tensor | None) -> float:
        return noise_of(Batch(observed, (0,), valid), Context(CPU, rng), "test", least=1e-4)

    assert found(valid) == pytest.approx(0.01, rel=0.1)
    assert found(None) > 0.02


def test_too_small_an_image_has_the_noise_that_is_assumed() -> None:
    context = Context(CPU, torch.Generator())
    small = Batch(torch.zeros(1, 1, 8, 40))
    assert noise_of(small, context, "test", least=1e-4, assumed=0.02) == 0.02
    assert "too small" in context.notes[0]


def test_what_lies_beyond_leads_back_to_the_first_pixels() -> None:
    image = torch.tensor([[1.0, 2.0, 4.0]]).view(1, 1, 1, 3)
    assert continued(image, (1, 5)).flatten().tolist() == pytest.approx([1, 2, 4, 3, 2])
