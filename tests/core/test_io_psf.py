from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import j1

from unblur.errors import FileError, ImageError
from unblur.image import Image
from unblur.io import Psf, prepare_psf, write
from unblur.io.psf import GridPsf, without_margins
from unblur.jobs import Job
from unblur.kernel_grid import KernelGrid
from unblur.psfs import take_psf


def gaussian(shape: tuple[int, ...], centre: tuple[float, ...] | None = None, sigma: float = 1.0) -> np.ndarray:
    """A PSF with its peak at ``centre``, by default the origin floor(n / 2)."""
    centre = centre or tuple(size // 2 for size in shape)
    grid = np.meshgrid(*(np.arange(size) - place for size, place in zip(shape, centre, strict=True)), indexing="ij")
    return np.exp(-sum(axis**2 for axis in grid) / (2 * sigma**2)).astype(np.float32)


def taken(path: Path) -> Psf:
    """A PSF from a file, for an image that is large enough for any of these."""
    return take_psf(path, Image.from_array(np.zeros((9, 64, 64), np.float32), "ZYX"), None, False)


@pytest.mark.parametrize("name", ["k.tif", "k.ome.tif"])
@pytest.mark.parametrize(("shape", "axes"), [((31, 30), "YX"), ((5, 9, 8), "ZYX")])
def test_a_written_kernel_comes_back_bit_by_bit(tmp_path: Path, name: str, shape: tuple[int, ...], axes: str) -> None:
    first = prepare_psf(np.random.default_rng(0).random(shape), axes)
    write(tmp_path / name, Image.from_array(first.kernel[0], axes))
    again = taken(tmp_path / name)
    assert again.kernel.dtype == np.float32
    assert again.kernel.tobytes() == first.kernel.tobytes()
    assert again.flux[0] == pytest.approx(1, abs=1e-6)


def test_several_kernels_come_back_bit_by_bit(tmp_path: Path) -> None:
    first = prepare_psf(np.random.default_rng(0).random((4, 9, 9)), "CYX")
    assert first.kernel.shape == (4, 9, 9)
    assert len(first.flux) == 4
    np.testing.assert_allclose(first.kernel.sum(axis=(1, 2)), 1, rtol=1e-6)
    write(tmp_path / "k.tif", Image.from_array(first.kernel, "CYX"))
    np.testing.assert_array_equal(taken(tmp_path / "k.tif").kernel, first.kernel)


@pytest.mark.parametrize("shape", [(9, 9), (8, 8), (9, 8)])
def test_a_good_psf_is_only_normalised(shape: tuple[int, int]) -> None:
    psf = gaussian(shape)
    kernel, flux, notes, *_ = prepare_psf(psf * 7)
    assert flux[0] == pytest.approx(7 * psf.sum(), rel=1e-6)
    np.testing.assert_allclose(kernel[0], psf / psf.sum(), rtol=1e-5)
    assert np.unravel_index(kernel[0].argmax(), shape) == (shape[0] // 2, shape[1] // 2)
    assert len(notes) == 1
    assert "divided" in notes[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float64"])
def test_numbers_of_any_real_kind(dtype: str) -> None:
    kernel = prepare_psf((gaussian((9, 9)) * 200).astype(dtype)).kernel
    assert kernel.dtype == np.float32
    assert kernel.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("psf", "message"),
    [
        (np.full((5, 5), np.nan), "25 NaN or Inf"),
        (np.array([[0, np.inf], [1, 2]]), "1 NaN or Inf"),
        (np.zeros((5, 5)), "needs light"),
        (gaussian((9, 9)) - 0.2, "subtract its background"),
        (-gaussian((9, 9)), "negative in 81 pixels"),
        (np.ones((5, 5), complex), "real numbers"),
        (np.ones((5, 5), bool), "real numbers"),
        (np.ones((0, 5)), "real numbers"),
        (np.ones((3, 5, 5)), "needs axes: ZYX for a volume"),
    ],
)
def test_what_is_no_psf(psf: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        prepare_psf(psf)


def test_one_dark_psf_among_several() -> None:
    with pytest.raises(ImageError, match="PSF 1 sums to 0"):
        prepare_psf(np.stack([gaussian((9, 9)), np.zeros((9, 9))]), "CYX")


def test_axes_that_are_not_a_psf() -> None:
    with pytest.raises(ImageError, match="expected YX, ZYX"):
        prepare_psf(np.ones((5, 5, 3)), "YXS")


@pytest.mark.parametrize("axes", ["ZCYX", "YXC", "XY", "XYZ", "CYX", "YXT"])
def test_axes_in_any_order_are_those_of_the_same_psf(axes: str) -> None:
    sizes = {"C": 2, "T": 2, "Z": 5, "Y": 7, "X": 9}
    order = "".join(axis for axis in "CTZYX" if axis in axes)
    psf = np.random.default_rng(0).random([sizes[axis] for axis in order])
    straight = prepare_psf(psf, order)
    turned = prepare_psf(psf.transpose([order.index(axis) for axis in axes]), axes)
    np.testing.assert_array_equal(turned.kernel, straight.kernel)
    assert turned.along == straight.along


def test_a_background_is_said() -> None:
    """A bead on a camera's offset: its rim is dark beside the bead, and yet most of the light."""
    place = np.arange(31) - 15
    bead = 1000 * np.exp(-(place[:, None] ** 2 + place**2) / 8)
    assert not [note for note in prepare_psf(bead).notes if "background" in note]
    (note,) = [note for note in prepare_psf(bead + 100).notes if "background" in note]
    assert "9.1% of the peak" in note
    assert "79% of its light" in note
    moved = prepare_psf(np.roll(bead, (1, 1), (0, 1)) + 100, centre=True)
    assert [note for note in moved.notes if "background" in note]
    (note,) = [
        note for note in prepare_psf(np.stack([bead, bead + 100, bead + 50]), "CYX").notes if "light at the rim" in note
    ]
    assert "2 of 3 PSFs" in note


def test_a_faint_background_is_said_and_does_not_pull_the_centre() -> None:
    """Half a percent of the peak in every pixel of a large frame, with noise, is most of the light."""
    rng = np.random.default_rng(0)
    bead = np.roll(gaussian((65, 65)) / gaussian((65, 65)).max(), (9, -14), (0, 1))
    psf = bead + 0.005 + 0.0003 * rng.standard_normal(bead.shape)
    made = prepare_psf(psf, centre=True)
    (note,) = [note for note in made.notes if "background" in note]
    assert "0.5% of the peak" in note
    kernel = made.kernel[0]
    assert np.unravel_index(kernel.argmax(), kernel.shape) == tuple(size // 2 for size in kernel.shape)
    assert not any("off centre" in note for note in made.notes)


@pytest.mark.parametrize(
    ("level", "peak", "slope"), [(100, 200, 0.0), (50, 100, 0.0), (100, 1000, 0.01), (100, 200, 0.05)]
)
@pytest.mark.parametrize("seed", range(4))
def test_noise_and_slope_of_a_background_do_not_pull_the_centre(
    level: float, peak: float, slope: float, seed: int
) -> None:
    """Counts of a bead that lies in the middle already."""
    across = np.linspace(-1, 1, 65)
    expected = level * (1 + slope * across) + peak * gaussian((65, 65), sigma=1.3)
    psf = np.random.default_rng(seed).poisson(expected).astype(np.float32)
    made = prepare_psf(psf, centre=True)
    shift = (
        np.array(np.unravel_index(made.kernel[0].argmax(), made.kernel.shape[1:]))
        - np.array(made.kernel.shape[1:]) // 2
    )
    assert np.abs(shift).max() <= 1
    assert made.kernel.shape[1] <= 67
    assert not any("off centre" in note for note in made.notes)


def test_light_at_the_rim_that_is_the_psfs_own_is_not_said() -> None:
    far = np.hypot(*np.mgrid[-16:17, -16:17]) * 0.3 + 1e-9
    airy = (2 * j1(far) / far) ** 2
    row, column = np.mgrid[-7:8, -7:8]
    cone = np.stack([(row**2 + column**2 <= 4 * z**2 + 1).astype(float) for z in range(-5, 6)])
    for psf, axes in (
        (np.ones((13, 13)), "YX"),
        (np.outer([1, 2, 1], [1, 2, 1]), "YX"),
        (1 / (1.0 + row**2 + column**2), "YX"),
        ((1 + (row**2 + column**2) / 4) ** -1.5, "YX"),
        (np.exp(-np.hypot(row, column) / 1.5), "YX"),
        (airy, "YX"),
        (cone, "ZYX"),
    ):
        assert not [note for note in prepare_psf(psf, axes).notes if "background" in note]


def test_slightly_negative_is_noise() -> None:
    psf = gaussian((15, 15))
    psf[0, 0] = -1e-3
    kernel, _, notes, *_ = prepare_psf(psf)
    assert kernel.min() == 0
    assert "1 negative pixels" in notes[0]


def test_off_centre_is_said_and_moved_only_on_request() -> None:
    psf = gaussian((15, 16), (4, 11))
    kept = prepare_psf(psf)
    assert np.unravel_index(kept.kernel[0].argmax(), (15, 16)) == (4, 11)
    assert "off centre by Y -3.0, X +3.0 pixels" in kept.notes[0]
    moved = prepare_psf(psf, centre=True)
    place = np.unravel_index(moved.kernel[0].argmax(), moved.kernel.shape[1:])
    assert place == tuple(size // 2 for size in moved.kernel.shape[1:])
    assert moved.flux == pytest.approx(kept.flux)
    assert "centred by a move of (3, -3)" in moved.notes[0]
    assert not any("off centre" in note for note in moved.notes)


def test_larger_than_the_image() -> None:
    wide = gaussian((33, 33), sigma=3.0)
    cropped = prepare_psf(wide, image_shape=(16, 64))
    assert cropped.kernel.shape == (1, 16, 33)
    assert np.unravel_index(cropped.kernel[0].argmax(), (16, 33)) == (8, 16)
    assert "cropped" in cropped.notes[0]
    with pytest.raises(ImageError, match="larger than the image of 16 x 64"):
        prepare_psf(np.ones((33, 33)), image_shape=(16, 64))
    with pytest.raises(ImageError, match="same dimensions"):
        prepare_psf(wide, image_shape=(3, 16, 64))


def test_empty_margins_are_cut_where_they_would_cost_much() -> None:
    full = gaussian((32, 64, 64))
    psf = prepare_psf(full, "ZYX")
    cut = without_margins(psf, (32, 64, 64))
    assert cut.kernel.shape == (1, 9, 9, 9)
    assert np.unravel_index(cut.kernel[0].argmax(), (9, 9, 9)) == (4, 4, 4)
    np.testing.assert_allclose(cut.kernel[0], full[12:21, 28:37, 28:37] / full.sum(), rtol=2e-5)
    assert cut.flux == psf.flux
    assert "cut from (32, 64, 64) to (9, 9, 9)" in cut.notes[-1]
    assert without_margins(psf, (3000, 3000, 3000)).kernel is psf.kernel
    noisy = prepare_psf(full + 1e-4, "ZYX")
    assert without_margins(noisy, (32, 64, 64)).kernel is noisy.kernel


def test_a_point_far_out_in_the_psf_is_no_margin() -> None:
    psf = gaussian((41, 41))
    psf[20, 38] = 0.01
    assert without_margins(prepare_psf(psf), (50, 50)).kernel.shape == (1, 9, 37)


def test_of_several_psfs_the_widest_decides_and_a_grid_stays_one() -> None:
    several = prepare_psf(np.stack([gaussian((41, 41)), gaussian((41, 41), sigma=2.0)]), "CYX")
    cut = without_margins(GridPsf.of(several, KernelGrid((1, 2))), (50, 50))
    assert cut.kernel.shape == (2, 19, 19)
    assert cut.grid == KernelGrid((1, 2))
    np.testing.assert_allclose(cut.kernel.sum(axis=(1, 2)), 1, rtol=1e-6)


def test_only_a_kernel_that_is_taken_as_it_is_loses_its_margins() -> None:
    """One that begins with the PSF grows into them, and one that is resampled may need them."""
    psf, image = gaussian((41, 41)), np.random.default_rng(0).random((60, 60)).astype(np.float32)

    def shape(method: str, **settings: object) -> tuple[int, ...]:
        job = Job(image, method=method, psf=psf, pixel_size=0.1, settings=settings, threads=1)
        assert job.psf is not None
        return job.psf.kernel.shape[1:]

    assert shape("wiener") == (9, 9)
    assert shape("blind-richardson-lucy") == (41, 41)
    assert shape("wiener", **{"kernel_prior": "measured-psf", "kernel_prior.pixel_size": [0.2]}) == (41, 41)


def test_psf_from_a_colour_picture(tmp_path: Path) -> None:
    grey = (gaussian((9, 9)) * 255).astype(np.uint8)
    write(tmp_path / "grey.png", Image.from_array(np.stack([grey] * 3, -1), "YXS"))
    assert taken(tmp_path / "grey.png").kernel.shape == (1, 9, 9)
    write(tmp_path / "colour.png", Image.from_array(np.stack([grey, grey, grey.T * 0], -1), "YXS"))
    with pytest.raises(FileError, match="in colour"):
        taken(tmp_path / "colour.png")


def test_errors_name_the_file(tmp_path: Path) -> None:
    write(tmp_path / "dark.tif", Image.from_array(np.zeros((9, 9), np.float32)))
    with pytest.raises(FileError, match=r"dark\.tif: PSF 0 sums to 0"):
        taken(tmp_path / "dark.tif")


def test_a_psf_is_centred_before_it_is_cut_to_the_image() -> None:
    psf = np.zeros((64, 64))
    psf[11:14, 14:17] = 1
    psf[12, 15] = 3
    made = prepare_psf(psf, image_shape=(32, 32), centre=True)
    assert max(made.kernel.shape[1:]) <= 32
    origin = tuple(size // 2 for size in made.kernel.shape[1:])
    assert np.unravel_index(made.kernel[0].argmax(), made.kernel.shape[1:]) == origin


def test_a_psf_is_resampled_along_the_axes_whose_pixel_size_is_known() -> None:
    image = Image(np.ones((8, 32, 32), np.float32), "ZYX", {"Y": 0.1, "X": 0.1}, {"Y": "µm", "X": "µm"})
    sizes = {"Z": 0.2, "Y": 0.05, "X": 0.05}
    psf = Image(gaussian((5, 21, 21)), "ZYX", sizes, dict.fromkeys(sizes, "µm"))
    taken = take_psf(psf, image, None, False)
    assert taken.kernel.shape == (1, 5, 11, 11)
    assert any("along Z: the image's pixel size is not known" in note for note in taken.notes)
    assert any("along Y, X from a pixel size of 0.05 x 0.05 µm to 0.1 x 0.1 µm" in note for note in taken.notes)


def test_a_psf_that_fits_is_not_refused_for_being_centred() -> None:
    """Moving it adds a border, in which a faint background would count."""
    psf = np.full((64, 64), 1e-3)
    psf[20:23, 30:33] = 1
    made = prepare_psf(psf, image_shape=(64, 64), centre=True)
    assert not any("cropped" in note for note in made.notes)


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_pixel_sizes_that_cannot_be_right_are_refused(size: float) -> None:
    image = Image.from_array(np.zeros((64, 64), np.float32), pixel_size=size)
    with pytest.raises(ImageError, match="one of the two pixel sizes is wrong"):
        take_psf(Image.from_array(gaussian((31, 31)), pixel_size=0.1), image, None, False)


def test_a_masked_psf_is_refused() -> None:
    psf = np.ma.masked_greater(gaussian((5, 5)), 0.5)
    with pytest.raises(ImageError, match="would lose its mask"):
        take_psf(psf, Image.from_array(np.zeros((64, 64), np.float32)), None, False)
