"""Sample data of the manifest. Everything comes from installed packages, and nothing of it needs PyTorch."""

from __future__ import annotations

from typing import Any

from napari_deblur.facts import KEY, facts
from napari_deblur.opening import placed
from unblur.image import Image

LayerData = tuple[Any, dict[str, Any], str]


def clock() -> list[LayerData]:
    """A photograph taken with a moving camera: its blur is real, and nobody knows what it was."""
    from unblur.cli import demo

    return [_layer(Image(demo.clock().observed, "YX", bit_depth=8), "clock")]


def camera() -> list[LayerData]:
    """A sharp photograph, blurred by a drawn camera shake, with 1 % noise."""
    from unblur.cli import demo

    return [_layer(Image(demo.camera().observed, "YX", bit_depth=8), "camera")]


def colour() -> list[LayerData]:
    """A photograph in colour, blurred by a drawn camera shake."""
    from unblur import samples

    return [_layer(samples.colour().image, "coffee")]


def series() -> list[LayerData]:
    """A time series of threads and beads, out of focus."""
    from unblur import samples

    return [_layer(samples.series().image, "moving threads")]


def channels() -> list[LayerData]:
    """Two stains of one tissue, each with a blur of its own."""
    from unblur import samples

    return [_layer(samples.channels().image, "tissue")]


def volume() -> list[LayerData]:
    """Threads in a volume, and a layer with the PSF that blurred them."""
    from unblur import samples

    sample = samples.volume()
    psf, attributes, kind = _layer(sample.psf, "threads PSF")
    beside = [0.0, 0.0, 1.05 * sample.image.sizes["X"] * sample.image.pixel_size["X"]]
    return [_layer(sample.image, "threads"), (psf, {**attributes, "translate": beside}, kind)]


def _layer(image: Image, name: str) -> LayerData:
    return image.data, {**placed(image), "name": name, "rgb": image.is_rgb, "metadata": {KEY: facts(image)}}, "image"
