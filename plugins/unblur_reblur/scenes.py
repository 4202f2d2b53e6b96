"""Sharp scenes: crops of photographs, and drawn ones of leaves, lettering and cells."""

from __future__ import annotations

import math
import string
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from unblur_reblur.photographs import photographs

SUPERSAMPLING = 2
"""Drawn scenes are drawn larger and averaged down, so that their edges are those of a camera."""


def scene(rng: np.random.Generator, size: int) -> np.ndarray:
    """A sharp scene (size, size, 3), float32 from 0 to 1: half of them photographs."""
    kinds: list[Callable[[np.random.Generator, int], np.ndarray]] = [photograph, leaves, lettering, cells]
    kind = rng.choice(len(kinds), p=[0.5, 0.25, 0.15, 0.1])
    image = kinds[kind](rng, size)
    if rng.random() < 0.25:
        image = np.repeat(image @ np.float32([0.299, 0.587, 0.114])[:, None], 3, axis=2)
    elif rng.random() < 0.5:
        image = image[..., rng.permutation(3)]
    low, contrast = rng.uniform(0, 0.15), rng.uniform(0.7, 1.0)
    return np.clip(low + contrast * (1 - low) * image, 0, 1).astype(np.float32)


def photograph(rng: np.random.Generator, size: int) -> np.ndarray:
    """A region of one of the photographs, reduced by up to two, flipped or turned."""
    pictures = list(photographs().values())
    picture = pictures[rng.integers(len(pictures))]
    largest = min(2.0, min(picture.shape[:2]) / size)
    side = round(size * rng.uniform(min(1.0, largest), largest))
    side = min(side, *picture.shape[:2])
    top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
    region = picture[top : top + side, left : left + side]
    turned = np.rot90(region, int(rng.integers(4)))
    if rng.random() < 0.5:
        turned = turned[:, ::-1]
    return _resized(np.ascontiguousarray(turned), size)


def leaves(rng: np.random.Generator, size: int) -> np.ndarray:
    """Discs, boxes and polygons of all sizes that cover each other (dead leaves), some of them striped."""
    side = SUPERSAMPLING * size
    picture = Image.new("RGB", (side, side), _colour(rng))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(20, 160))):
        radius = side * float(np.clip(0.02 * rng.pareto(1.5) + 0.01, 0, 0.4))
        x, y = rng.uniform(0, side, 2)
        shape = rng.integers(4)
        if shape == 0:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(rng))
        elif shape == 1:
            draw.line((x, y, x + 4 * rng.normal() * radius, y + 4 * rng.normal() * radius), _colour(rng), _stroke(rng))
        else:
            angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 7))))
            draw.polygon([(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles], fill=_colour(rng))
    return _array(picture, size)


def lettering(rng: np.random.Generator, size: int) -> np.ndarray:
    """Lines of letters in several sizes, dark on bright or the other way round."""
    side = SUPERSAMPLING * size
    ground, ink = sorted((_colour(rng), _colour(rng)), key=sum, reverse=bool(rng.random() < 0.7))
    picture = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    y = -10.0
    while y < side:
        height = int(rng.integers(8, 40)) * SUPERSAMPLING // 2
        letters = rng.choice(list(string.ascii_letters + string.digits + "    .,:-"), 60)
        draw.text((rng.uniform(-40, 40), y), "".join(letters), fill=ink, font=ImageFont.load_default(height))
        y += height * rng.uniform(1.1, 1.8)
    return _array(picture, size)


def cells(rng: np.random.Generator, size: int) -> np.ndarray:
    """Bright granular ellipses with softer rims on a dark ground, as a fluorescence microscope shows them."""
    side = SUPERSAMPLING * size
    ground = rng.uniform(0, 0.1)
    total = np.full((side, side), ground, np.float32)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    for _ in range(int(rng.integers(4, 24))):
        cx, cy = rng.uniform(0, side, 2)
        a, b = rng.uniform(0.02, 0.09, 2) * side
        angle = rng.uniform(0, math.pi)
        u = (x - cx) * math.cos(angle) + (y - cy) * math.sin(angle)
        v = (y - cy) * math.cos(angle) - (x - cx) * math.sin(angle)
        distance = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        ring = rng.random() < 0.3
        profile = (
            np.exp(-(((distance - 1) * 5) ** 2)) if ring else 1 / (1 + np.exp(np.minimum(12 * (distance - 1), 50)))
        )
        total += rng.uniform(0.2, 0.8) * profile.astype(np.float32)
    texture = gaussian_filter(rng.standard_normal((side, side), dtype=np.float32), rng.uniform(1, 4))
    texture = (texture - texture.mean()) / (texture.std() + 1e-6)
    total = np.clip(total * (1 + 0.25 * texture), 0, 1)
    tint = rng.uniform(0.2, 1.0, 3) if rng.random() < 0.5 else np.ones(3)
    image = total[..., None] * np.float32(tint)
    return image.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean((1, 3), dtype=np.float32)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _stroke(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 5)) * SUPERSAMPLING


def _array(picture: Image.Image, size: int) -> np.ndarray:
    return np.asarray(picture.reduce(SUPERSAMPLING), np.float32)[:size, :size] / 255


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[0] == size:
        return image
    picture = Image.fromarray(np.uint8(np.round(255 * image)))
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX), np.float32) / 255
