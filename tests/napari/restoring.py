"""Layers of every kind, and small real runs on them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer

import unblur
from napari_deblur import layers, results

STEPS = {"stages.0.steps": 2}
PSF = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
VOLUME_PSF = np.stack([PSF, 2 * PSF, PSF]) / 4

PLACED: dict[str, dict[str, Any]] = {
    "YX": {"scale": (0.2, 0.1), "translate": (5, -3), "units": ("um", "um")},
    "YXS": {"scale": (2, 2), "translate": (1, 1)},
    "TYX": {"scale": (30, 0.2, 0.1), "translate": (60, 5, -3), "units": ("s", "um", "um")},
    "CYX": {"scale": (1, 0.2, 0.1), "units": ("pixel", "um", "um"), "axis_labels": ("c", "y", "x")},
    "ZYX": {"scale": (0.5, 0.2, 0.1), "translate": (1, 2, 3), "units": ("um", "um", "um"), "axis_labels": list("zyx")},
    "TCYX": {"scale": (2, 1, 0.1, 0.1), "units": ("s", "pixel", "um", "um"), "axis_labels": list("tcyx")},
}
SIZES = {"T": 3, "C": 2, "Z": 5, "Y": 20, "X": 24, "S": 3}


def layer_of(axes: str, **more: Any) -> Image:
    """A layer with these axes, which lies somewhere in the world and has looks of its own."""
    shape = [SIZES[axis] for axis in axes]
    dtype = np.uint8 if "S" in axes else np.uint16
    data = np.random.default_rng(0).integers(20, 200, shape).astype(dtype)
    looks = {} if "S" in axes else {"colormap": "green", "contrast_limits": (10, 180), "gamma": 0.8}
    return Image(data, **{"name": "cells", "rgb": "S" in axes, **looks, **PLACED[axes], **more})


def restored(source: layers.LayerSource, **more: Any) -> unblur.Result:
    """A short Richardson-Lucy run with a known PSF, a volume's where the axes have Z."""
    psf = VOLUME_PSF if "Z" in source.axes else PSF
    wishes = {"method": "richardson-lucy", "psf": psf, "psf_axes": "ZYX"[-psf.ndim :], "settings": STEPS, **more}
    return unblur.deblur(source.load(), threads=1, **wishes)


def uncertain(result: unblur.Result, spread: np.ndarray, status: str = "uncalibrated") -> unblur.Result:
    """The same with a map of uncertainty."""
    report = {**result.report, "uncertainty": {"status": status}}
    return dataclasses.replace(result, uncertainty=spread.astype(np.float32), report=report)


def added(viewer: ViewerModel, result: unblur.Result, source: layers.LayerSource) -> list[Layer]:
    """The layers of a result, added one after the other."""
    turns = results.show(viewer, result, source)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            return list(end.value)
