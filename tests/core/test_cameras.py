"""A camera whose gain and offset the image tells: once for all planes and tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from unblur.cameras import gain_and_offset
from unblur.errors import ImageError
from unblur.jobs import Job

PSF = np.full((3, 3), 1 / 9)


def counts(*shape: int) -> np.ndarray:
    """Photons behind a camera of gain 2 and offset 100, dark in the upper left corner."""
    random = np.random.default_rng(0)
    scene = gaussian_filter(random.random(shape), [0] * (len(shape) - 2) + [12, 12])
    light = 400 * (scene - scene.min()) / np.ptp(scene)
    light[..., :64, :64] = 2.0
    return (100 + 2 * random.poisson(light)).astype(np.float32)


def job(image: np.ndarray, **wishes: Any) -> Job:
    return Job(image, method="richardson-lucy", psf=PSF, offset="auto", gain="auto", threads=1, **wishes)


def camera(one: Job) -> dict[str, float]:
    return next(dict(part.params) for part in one.pipeline.slots["forward_model"] if part.name == "camera")


def test_tiles_have_one_camera_and_a_dark_one_does_not_fail() -> None:
    one = job(counts(192, 192), tile=64, settings={"stages.0.steps": 2})
    assert len(one.tasks) > 4
    assert camera(one)["gain"] == pytest.approx(2, rel=0.2)
    assert any("gain" in text and "estimated from the image" in text for text in one.assumptions)
    for _ in one.events():
        pass
    assert one.result.report["status"] == "done"
    assert np.isfinite(one.result.image).all()


def test_tiles_of_several_channels_have_the_camera_of_their_channel() -> None:
    channels = np.stack([counts(192, 192), 3 * counts(192, 192)])
    one = job(channels, axes="CYX", tile=64, settings={"stages.0.steps": 2})
    assert one.cameras[1][0] == pytest.approx(3 * one.cameras[0][0])
    for _ in one.events():
        pass
    assert one.result.report["status"] == "done"
    np.testing.assert_allclose(one.result.image[1], 3 * one.result.image[0], rtol=1e-3)


def test_planes_have_that_of_the_middle_one_and_channels_their_own() -> None:
    planes = counts(3, 96, 96)
    assert camera(job(planes, axes="TYX")) == camera(job(planes[1]))
    assert camera(job(planes, axes="CYX")) == {}


def test_what_is_given_stays_and_the_other_follows_from_it() -> None:
    image = counts(192, 192)
    found = camera(Job(image, method="richardson-lucy", psf=PSF, gain=2.0, threads=1))
    assert found["gain"] == 2.0
    assert found["offset"] == pytest.approx(100, abs=15)


def test_an_image_that_does_not_tell_is_refused_before_any_work() -> None:
    with pytest.raises(ImageError, match=r"cannot be told .* set forward_model\.camera\.gain"):
        job(np.full((96, 96), 100.0, np.float32) + np.arange(96, dtype=np.float32))


def test_planes_that_are_constant_do_not_tell() -> None:
    planes = counts(3, 96, 96)
    planes[1] = 100
    assert camera(job(planes, axes="TYX")) == camera(job(planes[2]))


def test_an_offset_above_the_image_is_what_is_wrong() -> None:
    with pytest.raises(ImageError, match=r"offset 5000, what is read in darkness, is not below the image's mean"):
        Job(counts(96, 96), method="richardson-lucy", psf=PSF, offset=5000.0, gain="auto", threads=1)


def test_saturated_pixels_tell_nothing_of_the_camera() -> None:
    """Their noise is cut off: a gain that counted them would be too low."""
    pixels = counts(192, 192)
    white = float(np.quantile(pixels, 0.88))
    clipped = job(np.minimum(pixels, white), white_level=white)
    assert camera(clipped)["gain"] == pytest.approx(camera(job(pixels))["gain"], rel=0.05)


@pytest.mark.parametrize(("gain", "read_noise"), [(2.17, 0.0), (2.17, 3.0), (0.46, 1.6), (1.0, 10.0)])
def test_a_given_offset_leaves_the_gain_as_it_is(gain: float, read_noise: float) -> None:
    """Read noise moves the line's own zero, and not its slope."""
    random = np.random.default_rng(0)
    scene = gaussian_filter(random.random((256, 256)), 12)
    light = 400 * (scene - scene.min()) / np.ptp(scene)
    image = 100 + gain * random.poisson(light) + random.normal(0, read_noise, light.shape)
    found, offset, _ = gain_and_offset(torch.from_numpy(image)[None, None].float(), None, 100.0)
    assert offset == 100
    assert found == pytest.approx(gain, rel=0.15)
