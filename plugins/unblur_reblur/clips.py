"""Blurred clips with their truth, made from sharp scenes: moving camera and objects, an exposure, a camera's noise.

Every layer of a scene moves on a path of its own: a velocity, an acceleration, a rotation, a zoom and the tremor of a
hand. A blurred frame is the mean of the moving scene over its exposure, in linear light or in the encoded values.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from unblur_reblur.scenes import scene

FRAMES = (-1.0, 0.0, 1.0)
"""Times of the frames; the scene is drawn as it is at 0."""

LONGEST_BLUR = 20.0
"""Pixels that the camera or an object moves at the most during an exposure."""

LONGEST_FLOW = 24.0
"""Pixels that it moves at the most from frame to frame."""

_SAMPLES = 13
"""Moments of an exposure."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames.

    Attributes:
        blurred: what a camera sees (frames, 3, height, width), from 0 to 1.
        sharp: the scene in the middle of each exposure, the same shape.
        flow: at the pixels of the frame at time 0, how far what they show has moved from the one before, and from the
            one after, (2, 2, height, width): u and v in pixels.
        tau: half the exposure time over the frame time.
    """

    blurred: Tensor
    sharp: Tensor
    flow: Tensor
    tau: float


@dataclass(frozen=True)
class Path:
    """How a layer moves, in pixels and frame times."""

    velocity: np.ndarray
    acceleration: np.ndarray
    tremor: np.ndarray
    frequency: np.ndarray
    phase: np.ndarray
    rotation: float
    zoom: float
    centre: np.ndarray

    def back(self, time: float) -> np.ndarray:
        """The map (2, 3) from where a point is at a time to where it is at 0, both as (x, y)."""
        swing = np.sin(self.frequency * time + self.phase) - np.sin(self.phase)
        shift = self.velocity * time + 0.5 * self.acceleration * time**2 + (self.tremor * swing).sum(0)
        angle, scale = -self.rotation * time, math.exp(-self.zoom * time)
        turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return np.concatenate([turn, (self.centre - turn @ (self.centre + shift))[:, None]], axis=1)


def random_path(rng: np.random.Generator, size: int, tau: float) -> Path:
    """A path whose blur during an exposure of 2 tau is at most `LONGEST_BLUR` pixels long, often much shorter."""
    length = LONGEST_BLUR * rng.beta(1, 1.6)
    speed = min(length / (2 * tau), LONGEST_FLOW)
    angle = rng.uniform(0, 2 * math.pi)
    velocity = speed * np.array([math.cos(angle), math.sin(angle)])
    return Path(
        velocity=velocity,
        acceleration=rng.normal(0, 0.15, 2) * speed,
        tremor=rng.normal(0, 0.4, (2, 2)) * (rng.random() < 0.5),
        frequency=rng.uniform(1, 6, (2, 2)),
        phase=rng.uniform(0, 2 * math.pi, (2, 2)),
        rotation=rng.normal(0, 0.015),
        zoom=rng.normal(0, 0.01),
        centre=rng.uniform(0, size, 2),
    )


@dataclass(frozen=True)
class Layer:
    """A picture (3, side, side) with a margin around the frame, times its cover (1, side, side) if it is an object.

    Without a cover the picture goes on as its reflection.
    """

    picture: Tensor
    cover: Tensor | None
    path: Path
    margin: int

    def seen(self, times: np.ndarray, size: int) -> tuple[Tensor, Tensor | None]:
        """Picture and cover at several times (times, channels, size, size)."""
        whole = self.picture if self.cover is None else torch.cat([self.picture, self.cover])
        side = whole.shape[-1]
        grids = self._places(times, size)
        found = F.grid_sample(
            whole[None].expand(len(times), -1, -1, -1),
            (grids + self.margin + 0.5) * (2 / side) - 1,
            padding_mode="zeros" if self.cover is not None else "reflection",
            align_corners=False,
        )
        return found[:, :3], None if self.cover is None else found[:, 3:]

    def _places(self, times: np.ndarray, size: int) -> Tensor:
        """Where what each pixel shows at a time is at 0, (times, size, size, 2)."""
        matrices = torch.from_numpy(np.stack([self.path.back(float(time)) for time in times])).float()
        turned = torch.einsum("yxj,nij->nyxi", _pixels(size), matrices[..., :2])
        return turned + matrices[:, None, None, :, 2]

    def flow(self, time: float, size: int) -> Tensor:
        """How far what the pixels show at 0 has moved since a time, (2, size, size)."""
        matrix = self.path.back(time)
        turn = torch.from_numpy(np.linalg.inv(matrix[:, :2])).float()
        pixels = _pixels(size)
        before = (pixels - torch.from_numpy(matrix[:, 2]).float()) @ turn.T
        return (pixels - before).permute(2, 0, 1)


@functools.cache
def _pixels(size: int) -> Tensor:
    """x and y of every pixel, (size, size, 2)."""
    axis = torch.arange(size, dtype=torch.float32)
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)


def make_clip(seed: int, size: int = 128) -> Clip:
    """A clip of three frames (3, size, size) that follows from its seed alone."""
    rng = np.random.default_rng(seed)
    tau = float(rng.uniform(0.2, 0.5))
    layers = _layers(rng, size, tau)
    gamma = 1.0 if rng.random() < 0.5 else float(rng.uniform(1.8, 2.4))
    return record(layers, tau, gamma, size, rng)


def record(
    layers: Sequence[Layer],
    tau: float,
    gamma: float,
    size: int,
    rng: np.random.Generator | None,
    times: Sequence[float] = FRAMES,
) -> Clip:
    """Frames (3, size, size) of a scene that moves.

    Args:
        layers: the ground, and objects in front of it.
        tau: half the exposure time over the frame time.
        gamma: of the camera, in whose linear light the exposure is averaged; 1 averages encoded values.
        rng: for the camera's noise; None is a camera without noise and rounding.
        times: middles of the exposures, in frame times; the layers are as they were drawn at 0.
    """
    moments = (np.arange(_SAMPLES) + 0.5) / _SAMPLES * 2 - 1
    blurred = torch.stack([_exposure(layers, time + tau * moments, size, gamma) for time in times])
    sharp = _view(layers, np.array(times), size)
    flow = torch.stack([_flow(layers, time, size) for time in (-1.0, 1.0)])
    return Clip(blurred if rng is None else _camera(rng, blurred), sharp, flow, tau)


def _layers(rng: np.random.Generator, size: int, tau: float) -> list[Layer]:
    margin = math.ceil(0.35 * size)
    side = size + 2 * margin
    layers = [Layer(_tensor(scene(rng, side)), None, random_path(rng, size, tau), margin)]
    for _ in range(int(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1]))):
        cover = _cover(rng, side, margin)
        layers.append(Layer(_tensor(scene(rng, side)) * cover, cover, random_path(rng, size, tau), margin))
    return layers


def _cover(rng: np.random.Generator, side: int, margin: int) -> Tensor:
    """The outline of an object, (1, side, side): an ellipse or a polygon with soft edges."""
    picture = Image.new("L", (2 * side, 2 * side))
    draw = ImageDraw.Draw(picture)
    x, y = 2 * rng.uniform(margin, side - margin, 2)
    radius = 2 * (side - 2 * margin) * rng.uniform(0.08, 0.3)
    count = int(rng.integers(4, 9))
    angles = np.sort(rng.uniform(0, 2 * math.pi, count))
    radii = radius * rng.uniform(0.6, 1.3, count)
    if rng.random() < 0.4:
        draw.ellipse((x - radius, y - radii[0], x + radius, y + radii[0]), fill=255)
    else:
        corners = zip(angles, radii, strict=True)
        draw.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for a, r in corners], fill=255)
    soft = picture.filter(ImageFilter.GaussianBlur(1)).reduce(2)
    return torch.from_numpy(np.asarray(soft, np.float32) / 255)[None]


def _view(layers: Sequence[Layer], times: np.ndarray, size: int) -> Tensor:
    """The scene at several times, (times, 3, size, size)."""
    view, _ = layers[0].seen(times, size)
    for layer in layers[1:]:
        picture, cover = layer.seen(times, size)
        assert cover is not None
        view = view * (1 - cover) + picture
    return view


def _exposure(layers: Sequence[Layer], times: np.ndarray, size: int, gamma: float) -> Tensor:
    view = _view(layers, times, size)
    if gamma == 1:
        return view.mean(0)
    return view.clamp_min(0).pow(gamma).mean(0).pow(1 / gamma)


def _flow(layers: Sequence[Layer], time: float, size: int) -> Tensor:
    flow = layers[0].flow(time, size)
    for layer in layers[1:]:
        _, cover = layer.seen(np.zeros(1), size)
        assert cover is not None
        flow = torch.where(cover[0] > 0.5, layer.flow(time, size), flow)
    return flow


def _camera(rng: np.random.Generator, image: Tensor) -> Tensor:
    """Noise of the sensor, then eight bits."""
    read, shot = 0.02 * rng.random() ** 2, 0.01 * rng.random() ** 2
    normal = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    noisy = image + normal * (read**2 + shot**2 * image.clamp_min(0)).sqrt()
    return (noisy.clamp(0, 1) * 255).round() / 255


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
