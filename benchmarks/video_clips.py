"""Clips for the benchmark of Reblur2Deblur, with the truth: scenes that its networks were not trained on.

`gopro`, frames of a camera at 240 per second, averaged in fives, the quarters of one region; `cells` that drift and
move by themselves, seen with photon noise; `text`, scanned pages that move; `scenes`, photographs with an object in
front. Each clip is 128 x 128 pixels, three frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image

from unblur_reblur.clips import Layer, random_path, record

Array = NDArray[np.float32]
SIZE, MARGIN = 128, 32
TAU = 0.4
"""Half the exposure over the frame time, in the scenes that are made here; 0.5 in `gopro`."""

PHOTONS = 2000
"""At white, in `cells`."""

SERIES = (-2.0, -1.0, 0.0, 1.0, 2.0)


@dataclass(frozen=True)
class Clip:
    """Blurred frames (frames, height, width, 3) from 0 to 1, the true middle one, and what they are a part of.

    `whole` are the frames of the group, and `at` is where the middle frame lies in them; `flow` is (4, height, width).
    """

    scene: str
    name: str
    frames: Array
    truth: Array
    tau: float
    whole: Array
    at: tuple[int, int, int]
    sharp: Array | None = None
    flow: Array | None = None


def gopro(folder: Path) -> Iterator[Clip]:
    files = sorted(folder.glob("*.png"))[:15]
    top, left = 0, 1024  # where it moves most
    pixels = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    region = np.stack(pixels)[:, top : top + 2 * SIZE, left : left + 2 * SIZE].astype(np.float32) / 255
    blurred = region.reshape(3, 5, *region.shape[1:]).mean(1)
    for y in (0, SIZE):
        for x in (0, SIZE):
            quarter = (slice(None), slice(y, y + SIZE), slice(x, x + SIZE))
            yield Clip("gopro", f"{y}-{x}", blurred[quarter], region[quarter][7], 0.5, blurred, (1, y, x))


def text() -> Iterator[Clip]:
    for number, picture in enumerate((skimage.data.page(), skimage.data.text(), skimage.data.page()[:, 150:])):
        rng = np.random.default_rng([1, number])
        yield _recorded("text", number, [_ground(picture, rng)], rng)


def scenes() -> Iterator[Clip]:
    pictures = (skimage.data.coffee(), skimage.data.rocket())
    axis = np.arange(SIZE + 2 * MARGIN) - (SIZE + 2 * MARGIN) / 2
    for number, picture in enumerate((pictures[0][100:], pictures[1], pictures[0][:, 200:])):
        rng = np.random.default_rng([2, number])
        ground, other = _ground(picture, rng), _ground(pictures[(number + 1) % 2], rng)
        x, y = rng.uniform(-30, 30, 2)
        cover = torch.from_numpy((np.hypot(axis - x, (axis - y)[:, None]) < rng.uniform(15, 30)).astype(np.float32))[
            None
        ]
        thing = Layer(other.picture * cover, cover, random_path(rng, SIZE, TAU), MARGIN)
        yield _recorded("scenes", number, [ground, thing], rng)


def _ground(picture: NDArray[np.uint8], rng: np.random.Generator) -> Layer:
    side = SIZE + 2 * MARGIN
    colours = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture[..., :3]
    missing = [(0, max(0, side - n)) for n in colours.shape[:2]]
    colours = np.pad(colours, [*missing, (0, 0)], mode="symmetric")[:side, :side].astype(np.float32) / 255
    return Layer(torch.from_numpy(colours.transpose(2, 0, 1).copy()), None, random_path(rng, SIZE, TAU), MARGIN)


def _recorded(scene: str, number: int, layers: Sequence[Layer], rng: np.random.Generator) -> Clip:
    made = record(layers, TAU, 1.0, SIZE, rng, SERIES)
    series, sharp = (np.ascontiguousarray(part.permute(0, 2, 3, 1).numpy()) for part in (made.blurred, made.sharp))
    flow = made.flow.flatten(0, 1).numpy()
    return Clip(scene, str(number), series[1:4], sharp[2], TAU, series, (2, 0, 0), sharp[1:4], flow)


@dataclass(frozen=True)
class Cells:
    """Bright discs with dark nuclei, each with a velocity of its own beside the common drift.

    The ground between them is plain and has no motion of its own. What is seen there during an exposure is the nearest
    cell, so that its velocity is the flow there.
    """

    places: NDArray[np.float64]
    velocities: NDArray[np.float64]
    radii: NDArray[np.float64]
    levels: NDArray[np.float64]

    @classmethod
    def random(cls, rng: np.random.Generator, count: int = 40) -> Cells:
        angle = rng.uniform(0, 2 * math.pi)
        velocities = 10 * np.array([math.cos(angle), math.sin(angle)]) + 3 * rng.standard_normal((count, 2))
        places = rng.uniform(-20, SIZE + 20, (count, 2))
        return cls(places, velocities, rng.uniform(4, 9, count), rng.uniform(0.15, 0.5, count))

    def at(self, time: float) -> tuple[Array, Array]:
        """Image (height, width) and velocity (2, height, width) in pixels per frame time."""
        y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
        image, flow = np.full((SIZE, SIZE), 0.05, np.float32), np.zeros((2, SIZE, SIZE), np.float32)
        nearest = np.full((SIZE, SIZE), np.inf, np.float32)
        for place, velocity, radius, level in zip(self.places, self.velocities, self.radii, self.levels, strict=True):
            u, v = place + time * velocity
            distance = np.hypot(x - u, y - v)
            image += level / (1 + np.exp(3 * (distance - radius)))
            image -= 0.7 * level / (1 + np.exp(3 * (distance - 0.4 * radius)))
            nearer = distance - radius < nearest
            flow[:, nearer] = velocity[:, None]
            nearest[nearer] = (distance - radius)[nearer]
        return image.clip(0, 1), flow


def cells() -> Iterator[Clip]:
    moments = (np.arange(13) + 0.5) / 13 * 2 - 1
    for number in range(3):
        rng = np.random.default_rng([3, number])
        culture = Cells.random(rng)
        clean = np.stack([np.mean([culture.at(time + TAU * moment)[0] for moment in moments], 0) for time in SERIES])
        series = _grey(rng.poisson(clean * PHOTONS) / PHOTONS)
        sharp = _grey(np.stack([culture.at(time)[0] for time in SERIES]))
        flow = culture.at(0)[1]
        yield Clip(
            "cells",
            str(number),
            frames=series[1:4],
            truth=sharp[2],
            tau=TAU,
            whole=series,
            at=(2, 0, 0),
            sharp=sharp[1:4],
            flow=np.concatenate([flow, -flow]),
        )


def _grey(frames: NDArray[Any]) -> Array:
    return np.repeat(frames[..., None], 3, axis=3).astype(np.float32)
