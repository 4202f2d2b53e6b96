"""The synthetic camera shake: its kernels blur as it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unblur.operators.convolution import convolve
from unblur.operators.svola import svola
from unblur.testing.camera_shake import Shake, blurred, drawn_shake, kernels, shaken_scene
from unblur.testing.worlds import smooth


def sharp(shape: tuple[int, int], channels: int = 0) -> np.ndarray:
    drawn = smooth((1, max(1, channels), *shape), 3)[0].numpy().astype(float)
    lines = 0.7 * drawn + 0.3 * (np.sin(25 * drawn) > 0)
    return np.moveaxis(lines, 0, -1) if channels else lines[0]


def test_a_drawn_shake_reaches_as_far_as_asked_and_is_centred() -> None:
    shake = drawn_shake(0, (80, 120), move=3.0, turn=5.0)
    corner = np.array([40.0, 60.0])
    assert np.linalg.norm(shake.shifts, axis=1).max() == pytest.approx(3)
    still = Shake(np.zeros_like(shake.shifts), shake.angles)
    assert np.linalg.norm(still.displacements(corner[None])[:, 0], axis=1).max() == pytest.approx(5, rel=0.01)
    assert np.abs(shake.displacements(np.zeros((1, 2))).mean(0)).max() < 1e-9
    again, other = drawn_shake(0, (80, 120), 3.0, 5.0), drawn_shake(1, (80, 120), 3.0, 5.0)
    np.testing.assert_array_equal(shake.angles, again.angles)
    assert not np.allclose(shake.angles, other.angles)


def test_kernels_sum_to_one_and_sit_about_the_origin() -> None:
    scene = shaken_scene(sharp((90, 110)), (3, 4), (15, 15), move=3.0, turn=3.0)
    np.testing.assert_allclose(scene.kernels.sum((2, 3)), 1)
    places = np.arange(15) - 7
    for axis in (2, 3):
        weights = scene.kernels.sum(5 - axis)
        np.testing.assert_allclose((weights * places).sum(-1), 0, atol=0.05)


def test_a_shift_without_turning_is_one_convolution() -> None:
    """A step to the right moves the image's content to the left."""
    image = sharp((40, 50))
    shake = Shake(np.array([[0.0, 2.0]]), np.zeros(1))
    kernel = kernels(shake, np.zeros((1, 2)), (5, 5))
    assert kernel[0, 2, 0] == 1
    found = convolve(torch.from_numpy(image)[None, None], torch.from_numpy(kernel))[0, 0].numpy()
    np.testing.assert_allclose(found, blurred(image, shake)[2:-2, 2:-2], atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_kernels_explain_the_warped_image(seed: int) -> None:
    """Blurred by the true kernels, the sharp image is what was made by warping; by their mean it is not."""
    image = sharp((110, 150))
    scene = shaken_scene(image, (5, 7), (15, 15), seed=seed, move=2.5, turn=4.0, noise=0.0)
    latent, field = torch.from_numpy(image)[None, None], torch.from_numpy(scene.kernels.reshape(-1, 15, 15))
    grid = svola(latent, field, (5, 7))[0, 0].numpy()
    mean = convolve(latent, field.mean(0, keepdim=True))[0, 0].numpy()
    errors = [float(np.sqrt(np.mean((one - scene.blurred) ** 2))) for one in (grid, mean, scene.sharp)]
    assert errors[0] < 0.25 * errors[1] < 0.25 * errors[2]
    assert np.ptp(scene.kernels.reshape(35, -1), axis=0).max() > 0.05


def test_noise_and_colour() -> None:
    scene = shaken_scene(sharp((60, 70), channels=3), (2, 2), (9, 9), move=1.5, turn=1.5, noise=0.01)
    clean = shaken_scene(sharp((60, 70), channels=3), (2, 2), (9, 9), move=1.5, turn=1.5, noise=0.0)
    assert scene.blurred.shape == scene.sharp.shape == (52, 62, 3)
    assert float((scene.blurred - clean.blurred).std()) == pytest.approx(0.01, rel=0.05)


def test_kernels_that_do_not_reach_are_refused() -> None:
    with pytest.raises(ValueError, match="farther than kernels of"):
        shaken_scene(sharp((60, 70)), (2, 2), (5, 5), move=4.0, turn=4.0)
