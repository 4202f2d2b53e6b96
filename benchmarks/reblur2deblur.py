"""Reblur2Deblur on clips that its networks were not trained on: what fine-tuning gains, and what it owes to the flow.

Scenes: `gopro`, frames of a camera at 240 per second, averaged in fives, the quarters of one region (only with --data,
a folder of PNG files); `cells` that drift and move by themselves, seen with photon noise; `text`, two scanned pages
that move; `scenes`, photographs with an object in front. Each clip is 128 x 128 pixels, three frames, and the PSNR is
that of the middle one, in a border of 8 pixels. A group is the whole region of `gopro`, and a series of five frames
elsewhere.

Every case is written when it is done, and found cases are skipped.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image

import unblur
from unblur.cli.options import settings as assignments
from unblur.io.atomic import write_json
from unblur.metrics import psnr, ssim
from unblur_reblur import weights
from unblur_reblur.clips import Layer, random_path, record
from unblur_reblur.models import FlowBlur
from unblur_reblur.params import HALVED, FlowBlurParams
from unblur_reblur.training import FIRST, repeated

Array = NDArray[np.float32]
SIZE, MARGIN, BORDER = 128, 32, 8
TAU = 0.4
"""Half the exposure over the frame time, in the scenes that are made here; 0.5 in `gopro`."""

PHOTONS = 2000
"""At white, in `cells`."""

NETWORK = {"kernel_prior": "flownet", "estimator.kernel_rate": 0.0}
"""The flow of the network that comes with the package, as it is."""

PUBLISHED = {
    "kernel_prior.through": True,
    "estimator.alpha": 0.1,
    "estimator.agreement": 0.0,
    "estimator.image_rate": HALVED,
    "estimator.kernel_rate": HALVED,
}
"""Fine-tuning as in the paper: of the flow network as well, and through it."""

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
    """Bright discs with dark nuclei, each with a velocity of its own beside the common drift."""

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
        for place, velocity, radius, level in zip(self.places, self.velocities, self.radii, self.levels, strict=True):
            u, v = place + time * velocity
            distance = np.hypot(x - u, y - v)
            image += level / (1 + np.exp(3 * (distance - radius)))
            image -= 0.7 * level / (1 + np.exp(3 * (distance - 0.4 * radius)))
            flow[:, distance < radius + 1] = velocity[:, None]
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


def run(
    clip: Clip, settings: Mapping[str, Any], preset: str = "balanced", group: bool = False, flow: Array | None = None
) -> dict[str, Any]:
    """One clip, or its group, restored; quality is that of its middle frame."""
    with tempfile.TemporaryDirectory() as folder:
        more: dict[str, Any] = {"forward_model.tau": clip.tau}
        if flow is not None:
            np.save(Path(folder) / "flow.npy", flow)
            more |= {"kernel_prior": "known-flow", "kernel_prior.file": str(Path(folder) / "flow.npy")}
        began = time.perf_counter()
        result = unblur.deblur(
            clip.whole if group else clip.frames,
            method="reblur2deblur",
            preset=preset,
            settings=more | dict(settings),
            axes="TYXS",
            white_level=1.0,
            threads=1,
            device="cpu",
        )
    frame, top, left = clip.at if group else (1, 0, 0)
    found = result.image[frame, top : top + SIZE, left : left + SIZE]
    row = result.report["planes"][0]
    return {
        **quality(found, clip.truth),
        "residual": row["residual"],
        "warnings": row["warnings"],
        "seconds": round(time.perf_counter() - began, 1),
    }


def quality(found: Array, truth: Array) -> dict[str, float]:
    inside = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    return {
        "psnr": round(psnr(found[inside], truth[inside]), 3),
        "ssim": round(ssim(found[inside].astype(float), truth[inside].astype(float), channel_axis=2), 4),
    }


def residual(clip: Clip, flow: Array, tau: float) -> float:
    """Of the truth, blurred again along a flow: root mean square inside the border."""
    assert clip.sharp is not None
    model = FlowBlur(FlowBlurParams(tau=tau))
    sharp = torch.from_numpy(clip.sharp).permute(0, 3, 1, 2)
    predicted = model.predict(sharp, torch.from_numpy(flow))[0].permute(1, 2, 0).numpy()
    off = (predicted - clip.frames[1])[16:-16, 16:-16]
    return float(np.sqrt(np.mean(off**2)))


class Book:
    """What was measured, in a file that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def take(self, key: str, measure: Callable[[], Any]) -> Any:
        if key not in self.rows:
            self.rows[key] = measure()
            write_json(self.path, self.rows)
            print(f"{key}: {json.dumps(self.rows[key])}", flush=True)
        return self.rows[key]


def tuned(book: Book, clips: Sequence[Clip], steps: Mapping[str, Any], few: Sequence[Clip]) -> None:
    """Tables 2, 4 and 5 of the paper: the input, the networks as they are, and fine-tuned in several ways."""
    for clip in clips:
        name = f"{clip.scene}/{clip.name}"
        book.take(f"{name}/blurred", lambda clip=clip: quality(clip.frames[1], clip.truth))
        book.take(f"{name}/shipped", lambda clip=clip: run(clip, {}, "fast"))
    for clip in clips:
        name = f"{clip.scene}/{clip.name}"
        book.take(f"{name}/fine-tuned", lambda clip=clip: run(clip, steps))
        book.take(f"{name}/alpha 0", lambda clip=clip: run(clip, steps | {"estimator.alpha": 0.0}))
    for clip in few:
        name = f"{clip.scene}/{clip.name}"
        book.take(f"{name}/two frames", lambda clip=clip: run(clip, steps | {"forward_model.frames": 2}))
        book.take(f"{name}/group", lambda clip=clip: run(clip, steps, group=True))
        book.take(f"{name}/warp", lambda clip=clip: run(clip, steps | {"forward_model": ["flow-warp", "squared"]}))
        book.take(f"{name}/flow network", lambda clip=clip: run(clip, steps | NETWORK))
        book.take(f"{name}/as published", lambda clip=clip: run(clip, steps | NETWORK | PUBLISHED))


def flows(book: Book, clips: Sequence[Clip], steps: Mapping[str, Any]) -> None:
    """Fine-tuning with flows that are known, in place of the network's: the truth, none, that of another clip."""
    for number, clip in enumerate(clips):
        assert clip.flow is not None
        other = clips[(number + 1) % len(clips)].flow
        for kind, flow in (("true flow", clip.flow), ("no flow", np.zeros_like(clip.flow)), ("other flow", other)):
            key = f"{clip.scene}/{clip.name}/{kind}"
            found = book.take(key, lambda clip=clip, flow=flow: run(clip, steps, flow=flow))
            assert flow is not None
            if "truth" not in found:
                found["truth"] = residual(clip, flow, clip.tau)
                write_json(book.path, book.rows)


def sweep(book: Book, clips: Sequence[Clip]) -> None:
    taus = [round(0.1 * n, 1) for n in range(1, 9)]

    def measure() -> dict[str, float]:
        made = [clip for clip in clips if clip.flow is not None]
        return {str(tau): float(np.mean([residual(clip, clip.flow, tau) for clip in made])) for tau in taus}  # type: ignore[arg-type]

    book.take("tau", measure)


def table(rows: Mapping[str, Any], clips: Sequence[Clip]) -> Iterator[str]:
    kinds = ["blurred", "shipped", "fine-tuned", "alpha 0", "two frames", "group", "warp", "flow network"]
    kinds += ["as published", "true flow", "no flow", "other flow"]

    def mean(some: Sequence[Clip], kind: str, field: str) -> str:
        found = [rows.get(f"{clip.scene}/{clip.name}/{kind}", {}).get(field) for clip in some]
        return f"{np.mean(found):.3f}" if found and None not in found else ""

    yield "mean PSNR | clips | " + " | ".join(kinds)
    names = list(dict.fromkeys(clip.scene for clip in clips))
    for name in [*names, "all"]:
        some = [clip for clip in clips if name in (clip.scene, "all")]
        yield f"{name} | {len(some)} | " + " | ".join(mean(some, kind, "psnr") for kind in kinds)
    done = [clip for clip in clips if f"{clip.scene}/{clip.name}/two frames" in rows]
    yield f"those of all | {len(done)} | " + " | ".join(mean(done, kind, "psnr") for kind in kinds[:9])
    yield "seconds | | " + " | ".join(mean(done, kind, "seconds") for kind in kinds[:9])
    yield "SSIM | | " + " | ".join(mean(clips, kind, "ssim") for kind in kinds[:4])
    for base in ("shipped", "alpha 0"):
        gains = [
            rows[f"{clip.scene}/{clip.name}/fine-tuned"]["psnr"] - rows[f"{clip.scene}/{clip.name}/{base}"]["psnr"]
            for clip in clips
            if f"{clip.scene}/{clip.name}/fine-tuned" in rows and f"{clip.scene}/{clip.name}/{base}" in rows
        ]
        if gains:
            up = sum(gain > 0 for gain in gains)
            yield (
                f"gain over {base}: mean {np.mean(gains):+.3f} dB, standard deviation {np.std(gains):.3f}, "
                f"{up} of {len(gains)} up, from {min(gains):+.2f} to {max(gains):+.2f}"
            )
    known = [clip for clip in clips if "truth" in rows.get(f"{clip.scene}/{clip.name}/true flow", {})]
    if known:
        yield "residual of the truth | " + " | ".join(
            f"{kind} {mean(known, kind, 'truth')}" for kind in ("true flow", "no flow", "other flow")
        )
    if "tau" in rows:
        yield f"residual of the truth by tau (clips: {TAU}) | " + " | ".join(
            f"{tau}: {value:.4f}" for tau, value in rows["tau"].items()
        )
    for key, row in rows.items():
        if key.startswith("first losses"):
            yield f"{key}: largest relative difference {row['difference']:.2g} over {row['losses']}"


def again(name: str) -> dict[str, Any]:
    """The first losses that a file of weights names, and those of the same command now."""
    named, now = repeated(weights.shipped(name))
    difference = float(np.max(np.abs(np.subtract(named, now)) / np.abs(named)))
    return {"losses": len(named), "difference": difference, "equal": named == now}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with consecutive frames at 240 per second, as PNG")
    parser.add_argument("--json", type=Path, default=Path("reblur2deblur.json"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--set", action="append", default=[], help="slot.parameter=value for every fine-tuning")
    parser.add_argument("--few", type=int, default=2, help="clips of each scene for frames, group, warp and flows")
    parser.add_argument("--losses", action="store_true", help=f"train the first {FIRST} steps again as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips = [*(gopro(options.data) if options.data else ()), *cells(), *text(), *scenes()]
    steps = {"stages.0.steps": options.steps} | assignments(options.set)
    few = [
        clip
        for scene in dict.fromkeys(clip.scene for clip in clips)
        for clip in [one for one in clips if one.scene == scene][: options.few]
    ]
    book = Book(options.json)
    tuned(book, clips, steps, few)
    sweep(book, clips)
    flows(book, [clip for clip in few if clip.flow is not None], steps)
    if options.losses:
        for path in sorted(weights.shipped("any").parent.glob("*.safetensors")):
            book.take(f"first losses of {path.stem}", lambda path=path: again(path.stem))
    print("\n".join(table(book.rows, clips)))


if __name__ == "__main__":
    main()
