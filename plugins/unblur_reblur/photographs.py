"""The photographs that training begins with: those of scikit-image that are stated to be free of rights."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping

import numpy as np
import skimage.data

from unblur.errors import FileError

LICENCES: Mapping[str, str] = {
    "astronaut": "public domain, NASA",
    "brick": "CC0, CC0Textures",
    "camera": "CC0, Lav Varshney",
    "chelsea": "CC0, Stefan van der Walt",
    "coins": "no known copyright restrictions, Brooklyn Museum",
    "grass": "CC0, CC0Textures",
    "gravel": "CC0, CC0Textures",
    "hubble_deep_field": "public domain, NASA",
    "immunohistochemistry": "no known copyright restrictions",
    "retina": "CC0",
}
"""Name in `skimage.data` and what its documentation says. The others are left for tests, or state nothing."""


@functools.cache
def photographs() -> Mapping[str, np.ndarray]:
    """All of them as float32 (height, width, 3), from 0 to 1, encoded as they are.

    Raises:
        FileError: one that is neither installed nor can be fetched.
    """
    return {name: _colours(_load(name)) for name in LICENCES}


@functools.cache
def hashes() -> Mapping[str, str]:
    """SHA-256 of the pixels of each."""
    return {name: hashlib.sha256(np.ascontiguousarray(_load(name)).tobytes()).hexdigest() for name in LICENCES}


def _load(name: str) -> np.ndarray:
    try:
        return np.asarray(getattr(skimage.data, name)())
    except Exception as error:  # fetching may fail in many ways
        raise FileError(f"skimage.data.{name}", f"cannot be read: {error}", "Install another scikit-image") from error


def _colours(pixels: np.ndarray) -> np.ndarray:
    image = pixels.astype(np.float32) / 255
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image[..., :3])
