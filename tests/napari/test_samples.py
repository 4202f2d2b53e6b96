"""Sample data and preferences, through the manifest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from npe2 import PluginManifest
from scipy.signal import fftconvolve

from napari_deblur import layers, preferences
from unblur import samples
from unblur.metrics import aligned_psnr

AXES = {"clock": "YX", "camera": "YX", "colour": "YXS", "series": "TYX", "channels": "CYX", "volume": "ZYX"}


def test_every_sample_opens_with_its_axes_and_sizes(plugin: None, manifest: PluginManifest) -> None:
    assert {sample.key for sample in manifest.contributions.sample_data} == set(AXES)
    for key, axes in AXES.items():
        viewer = ViewerModel()
        added = viewer.open_sample("napari-deblur", key)
        source = layers.read(added[0])
        assert (source.axes, source.image.status["axes"]) in ((axes, "read"), (axes, "given")), key
        if key in ("series", "channels", "volume"):
            assert source.image.pixel_size["X"] == 0.1
            assert source.image.units["X"] == "µm"
        else:
            assert source.image.bit_depth == 8
        assert source.image.data.size < 1e6, "small enough to try things on"


def test_the_volume_comes_with_its_psf(plugin: None) -> None:
    image, psf = ViewerModel().open_sample("napari-deblur", "volume")
    assert layers.read(psf).axes == "ZYX"
    np.testing.assert_allclose(psf.scale, image.scale)
    assert psf.data_to_world((0, 0, 0))[2] > image.data_to_world((0, 0, image.data.shape[2] - 1))[2]


def test_samples_need_no_torch() -> None:
    script = """
import sys
from napari_deblur import samples
for name in ("clock", "camera", "colour", "series", "channels", "volume"):
    assert getattr(samples, name)()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


@pytest.mark.parametrize("make", [samples.series, samples.channels, samples.volume, samples.colour])
def test_samples_are_blurred_by_their_psf_and_always_the_same(make: object) -> None:
    sample, again = make(), make()  # type: ignore[operator]
    np.testing.assert_array_equal(sample.image.data, again.image.data)
    assert sample.truth.shape == sample.image.shape
    sums = sample.psf.data.reshape(sample.image.sizes.get("C", 1), -1).sum(axis=1)
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
    channels = "C" in sample.image.axes or "S" in sample.image.axes
    if not channels:
        psf, pixels = sample.psf.data, sample.image.data.astype(float)
        truth = sample.truth if psf.ndim == pixels.ndim else sample.truth[0]
        seen = pixels if psf.ndim == pixels.ndim else pixels[0]
        likeness = [np.corrcoef(one.ravel(), seen.ravel())[0, 1] for one in (fftconvolve(truth, psf, "same"), truth)]
        assert likeness[0] > max(likeness[1], 0.95)
    assert {axis: size for axis, size in sample.image.pixel_size.items() if axis in "ZYX"} == sample.psf.pixel_size


def test_the_series_can_be_restored_with_its_psf() -> None:
    import unblur

    sample = samples.series(frames=1, side=96)
    result = unblur.deblur(sample.image, psf=sample.psf, method="richardson-lucy", offset=100, threads=1)

    def quality(pixels: np.ndarray) -> float:
        return aligned_psnr((pixels[0] - pixels.min()) / 1500, sample.truth[0] / 1500)

    assert quality(result.image - 100) > quality(sample.image.data.astype(float) - 100) + 1


def test_preferences_are_the_manifests_and_can_be_set(plugin: None) -> None:
    from napari.settings import get_plugin_settings

    assert preferences.preferences() == preferences.Preferences("auto", "auto", None)
    compute = get_plugin_settings("napari-deblur").compute
    compute.device, compute.precision, compute.threads = "cpu", "float32", 2
    assert preferences.preferences() == preferences.Preferences("cpu", "float32", 2)
    with pytest.raises(ValueError, match="precision"):
        compute.precision = "float8"


def test_preferences_have_defaults_where_napari_does_not_know_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    import napari.settings

    def unknown(plugin: str) -> None:
        raise KeyError(plugin)

    monkeypatch.setattr(napari.settings, "get_plugin_settings", unknown)
    assert preferences.preferences() == preferences.Preferences()


def test_saved_and_opened_by_napari(plugin: None, tmp_path: Path) -> None:
    viewer = ViewerModel()
    [layer] = viewer.open_sample("napari-deblur", "series")
    path = tmp_path / "series.ome.tif"
    assert viewer.layers.save(str(path), plugin="napari-deblur") == [str(path)]
    [again] = viewer.open(path, plugin="napari-deblur")
    assert isinstance(again, Layer)
    np.testing.assert_array_equal(again.data, layer.data)
    np.testing.assert_allclose(again.scale, (5, 0.1, 0.1))
    assert [f"{unit:~}" for unit in again.units] == ["s", "µm", "µm"]
