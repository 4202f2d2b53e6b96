"""PSF models against what optics and geometry say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.classical.restoring import gaussian
from unblur.components import Clock, Context, KernelSpec
from unblur.compute import Compute
from unblur.errors import ParameterError
from unblur.params import validate
from unblur.registry import default_registry
from unblur_classical.gibson_lanni import Objective, best_focus, radial_intensity

MODELS: dict[str, dict[str, Any]] = {
    "gaussian-psf": {},
    "disc-psf": {},
    "motion-psf": {"angle": 30.0},
    "microscope-psf": {},
}


def psf(
    name: str,
    shape: tuple[int, ...],
    pixels: tuple[float, ...] | None = None,
    given: torch.Tensor | None = None,
    scale: float = 1.0,
    warnings: list[str] | None = None,
    **params: Any,
) -> torch.Tensor:
    """The kernel (*shape) of a model."""
    registered = default_registry().component("kernel_prior", name)
    prior = registered.load()(validate(registered.component.params, params, name))
    context = Context(Compute.choose("cpu"), torch.Generator().manual_seed(0), psf=given, pixel_size=pixels)
    context.warnings = [] if warnings is None else warnings
    prior.init(KernelSpec(shape, scale=scale), context)
    kernel: torch.Tensor = prior.kernel(torch.zeros(1, 1, 64, 64), Clock(0, 1), None)
    assert kernel.shape == (1, *shape)
    assert kernel.dtype == torch.float32
    return kernel[0]


def spread(kernel: torch.Tensor, axis: int) -> float:
    """Standard deviation along an axis, about the origin."""
    profile = kernel.double().sum([other for other in range(kernel.ndim) if other != axis])
    places = torch.arange(len(profile)) - len(profile) // 2
    return float((profile * places**2).sum().sqrt())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(31, 33), (30, 32)])
def test_sum_and_symmetry_about_the_origin(name: str, shape: tuple[int, int]) -> None:
    kernel = psf(name, shape, pixels=(0.1, 0.1), **MODELS[name])
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    assert float(kernel.min()) >= 0
    y, x = shape[0] // 2, shape[1] // 2
    odd = kernel[y - 12 : y + 13, x - 12 : x + 13]
    torch.testing.assert_close(odd, odd.flip((0, 1)), atol=1e-6, rtol=1e-4)


def test_gaussian_widths_per_axis_and_unit() -> None:
    kernel = psf("gaussian-psf", (21, 31, 41), sigma=(1.0, 2.0, 3.0))
    for axis, sigma in enumerate((1.0, 2.0, 3.0)):
        assert spread(kernel, axis) == pytest.approx(math.sqrt(sigma**2 + 1 / 12), rel=0.01)
    in_micrometres = psf("gaussian-psf", (21, 31, 41), (0.3, 0.1, 0.1), sigma=(0.3, 0.2, 0.3), unit="µm")
    torch.testing.assert_close(in_micrometres, kernel)


def test_disc_radius() -> None:
    kernel = psf("disc-psf", (21, 21), radius=6.0)
    assert spread(kernel, 0) == pytest.approx(3.0, rel=0.01)
    assert 1 / float(kernel.max()) == pytest.approx(math.pi * 36, rel=0.01)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_motion_length_and_direction(angle: float) -> None:
    kernel = psf("motion-psf", (25, 25), length=16.0, angle=angle).double()
    places = torch.arange(25.0, dtype=torch.float64) - 12
    xx = float((kernel * places[None, :] ** 2).sum())
    yy = float((kernel * places[:, None] ** 2).sum())
    xy = float((kernel * places[:, None] * places[None, :]).sum())
    tilt = math.degrees(math.atan2(-2 * xy, xx - yy)) / 2 % 180
    assert min(abs(tilt - angle), 180 - abs(tilt - angle)) < 1
    largest = (xx + yy) / 2 + math.hypot((xx - yy) / 2, xy)
    assert math.sqrt(12 * largest) == pytest.approx(16, rel=0.03)


def test_no_motion_is_a_delta() -> None:
    kernel = psf("motion-psf", (5, 5), length=0.0)
    assert float(kernel[2, 2]) == pytest.approx(1)


@pytest.mark.parametrize(("na", "wavelength"), [(0.5, 0.6), (1.2, 0.5)])
def test_first_dark_ring_is_airys(na: float, wavelength: float) -> None:
    """First zero of the Airy pattern: 0.61 wavelength / NA."""
    radii = np.linspace(0, wavelength / na, 4001)
    profile = radial_intensity(Objective(na, wavelength, 1.515, 1.515), radii, np.zeros(1))[0]
    dark = radii[np.argmax(np.diff(profile) > 0)]
    assert dark == pytest.approx(0.60983 * wavelength / na, rel=2e-3)
    kernel = psf("microscope-psf", (41, 41), (dark / 10,) * 2, na=na, wavelength=wavelength, immersion_index=1.515)
    assert float(kernel[20, 30] / kernel[20, 20]) < 0.003


@pytest.mark.parametrize("na", [0.3, 0.8, 1.2])
def test_axial_width(na: float) -> None:
    """Full width at half maximum 0.886 wavelength / (n - sqrt(n² - NA²)), on the axis, without aberration."""
    z = np.linspace(-20, 20, 40001) * (0.3 / na) ** 2
    profile = radial_intensity(Objective(na, 0.52, 1.515, 1.515), np.zeros(1), z)[:, 0]
    half = z[profile > profile.max() / 2]
    expected = 0.886 * 0.52 / (1.515 - math.sqrt(1.515**2 - na**2))
    assert half[-1] - half[0] == pytest.approx(expected, rel=0.06)


def test_every_plane_of_a_widefield_psf_has_the_same_light() -> None:
    """Parseval, up to what leaves the frame and to the wave being sampled by pixels."""
    objective = Objective(0.8, 0.52, 1.33, 1.33)
    radii = np.linspace(0, 12, 6001)
    light = (radial_intensity(objective, radii, np.array([0.0, 0.7, 2.0])) * radii).sum(1)
    np.testing.assert_allclose(light / light[0], 1, rtol=0.02)


def test_depth_in_watery_specimens_brings_spherical_aberration() -> None:
    ideal, deep = Objective(1.3, 0.52, 1.515, 1.33), Objective(1.3, 0.52, 1.515, 1.33, depth=10.0)
    z, axis = np.linspace(-6, 6, 1201), np.zeros(1)
    plain = radial_intensity(ideal, axis, z)[:, 0]
    aberrated = radial_intensity(deep, axis, z + best_focus(deep))[:, 0]
    np.testing.assert_allclose(plain, plain[::-1], rtol=1e-6)
    assert aberrated.max() < 0.7 * plain.max()
    assert abs(z[np.argmax(aberrated)]) < 0.02
    assert np.abs(aberrated - aberrated[::-1]).max() > 0.2 * aberrated.max()


def test_microscope_psf_in_3d_is_longest_along_the_axis_and_confocal_is_tighter() -> None:
    size = (0.1, 0.05, 0.05)
    wide = psf("microscope-psf", (21, 31, 31), size, na=1.2)
    confocal = psf("microscope-psf", (21, 31, 31), size, na=1.2, excitation=0.488)
    assert np.unravel_index(int(wide.argmax()), wide.shape) == (10, 15, 15)
    torch.testing.assert_close(wide, wide.flip(0), atol=1e-7, rtol=1e-3)
    torch.testing.assert_close(wide, wide.transpose(1, 2), atol=1e-7, rtol=1e-3)
    assert spread(wide, 0) * 0.1 > spread(wide, 1) * 0.05
    assert spread(confocal, 0) < 0.8 * spread(wide, 0)


def test_both_lights_of_a_confocal_microscope_are_focused_at_one_place() -> None:
    given = {"na": 1.3, "sample_index": 1.33, "depth": 20.0}
    size = (0.1, 0.05, 0.05)
    found = psf("microscope-psf", (81, 1, 1), size, wavelength=0.7, excitation=0.4, **given)[:, 0, 0].numpy()
    detected, exciting = (Objective(1.3, light, 1.515, 1.33, 20.0) for light in (0.7, 0.4))
    z, axis = (np.arange(81) - 40) * 0.1 + best_focus(detected), np.zeros(1)
    product = radial_intensity(detected, axis, z)[:, 0] * radial_intensity(exciting, axis, z)[:, 0]
    assert np.corrcoef(found, product)[0, 1] > 0.99


def test_the_direction_of_a_stack_turns_an_aberrated_psf_over() -> None:
    given = {"na": 1.3, "sample_index": 1.33, "depth": 10.0}
    one, other = (
        psf("microscope-psf", (21, 15, 15), (0.2, 0.05, 0.05), z_direction=direction, **given)
        for direction in ("to the cover slip", "into the specimen")
    )
    torch.testing.assert_close(one, other.flip(0))
    assert float((one - other).abs().max()) > 0.1 * float(one.max())


@pytest.mark.parametrize(
    ("name", "params", "given"),
    [
        ("disc-psf", {"radius": 10.0}, None),
        ("gaussian-psf", {"sigma": (6.0,)}, None),
        ("motion-psf", {"length": 30.0}, None),
        ("measured-psf", {"pixel_size": (0.2,)}, gaussian((13, 13), 2.5)),
    ],
)
def test_a_psf_that_the_kernel_does_not_hold_is_said(name: str, params: dict[str, Any], given: Any) -> None:
    warnings: list[str] = []
    psf(name, (13, 13), (0.1, 0.1), given=given, warnings=warnings, **params)
    assert any("lies outside a kernel of (13, 13)" in text for text in warnings)
    larger: list[str] = []
    psf(name, (45, 45), (0.1, 0.1), given=given, warnings=larger, **params)
    assert larger == []


def test_scale_of_a_stage_makes_kernels_smaller() -> None:
    for name, params in {**MODELS, "gaussian-psf": {"sigma": (3.0,)}}.items():
        full = psf(name, (41, 41), (0.05, 0.05), **params)
        half = psf(name, (21, 21), (0.05, 0.05), scale=0.5, **params)
        assert spread(half, 1) == pytest.approx(spread(full, 1) / 2, rel=0.15)


@pytest.mark.parametrize("params", [{"sigma": (0.2,), "unit": "µm"}, {}])
def test_physical_models_ask_for_the_pixel_size(params: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="--pixel-size"):
        psf("gaussian-psf" if params else "microscope-psf", (15, 15), **params)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ParameterError, match="immersion index"):
        psf("microscope-psf", (15, 15), (0.1, 0.1), na=1.4, immersion_index=1.33)
    with pytest.raises(ParameterError, match="2 spatial axes"):
        psf("gaussian-psf", (15, 15), sigma=(1.0, 1.0, 1.0))


def test_measured_psf_on_the_pixels_of_the_image() -> None:
    measured = gaussian((41, 41), 6.0)
    kernel = psf("measured-psf", (41, 41), (0.1, 0.2), given=measured, pixel_size=(0.05,))
    assert spread(kernel, 0) == pytest.approx(3.0, rel=0.05)
    assert spread(kernel, 1) == pytest.approx(1.5, rel=0.1)
    with pytest.raises(ParameterError, match="--psf"):
        psf("measured-psf", (15, 15), (0.1, 0.1))


@pytest.mark.parametrize("radius", [0.5, 0.7, 1.0, 3.0])
def test_nothing_of_a_small_disc_lies_outside(radius: float) -> None:
    warnings: list[str] = []
    psf("disc-psf", (31, 31), radius=radius, warnings=warnings)
    assert warnings == []
    psf("disc-psf", (5, 5), radius=5.0, warnings=warnings)
    assert warnings


def test_a_measured_psf_says_its_pixels() -> None:
    with pytest.raises(ParameterError, match=r"kernel_prior\.pixel_size"):
        psf("measured-psf", (15, 15), (0.1, 0.1), given=torch.ones(1, 9, 9))
