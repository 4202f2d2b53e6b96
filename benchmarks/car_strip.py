"""Reblur2Deblur on a blurred film without a truth: a strip of consecutive frames, before and after, and their flicker.

The crops follow what they show. Flicker is the mean absolute difference between a frame and the next one, laid on it
along the flow between the observed frames, which is the same for all rows. Sharper frames differ more where the flow is
off by a little, so that there is a control: the observed frames, unsharp-masked until their gradients are as large as
those of the fine-tuned ones. Sharpness is the mean length of the gradient. Both are in grey levels of 255.

The exposure of the film is not known; the default is a shutter that is open half of the time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from skimage.registration import optical_flow_tvl1
from skimage.transform import warp

import unblur
from unblur.io import read_series
from unblur.io.atomic import atomic_path, write_json

Array = NDArray[np.float32]
BORDER = 12
"""Pixels at the border of the region that are neither shown nor counted."""

ZOOM = 2


def restored(image: unblur.Image, preset: str, settings: Mapping[str, Any]) -> tuple[Array, dict[str, Any]]:
    """All frames from 0 to 1, and seconds and warnings."""
    began = time.process_time()
    result = unblur.deblur(image, method="reblur2deblur", preset=preset, settings=settings, threads=1, device="cpu")
    row = result.report["planes"][0]
    facts = {"residual": row["residual"], "warnings": row["warnings"]}
    return np.asarray(result.image, np.float32) / 255, {**facts, "seconds": round(time.process_time() - began, 1)}


def grey(frames: Array) -> Array:
    return 255 * frames.mean(-1)


def flows(frames: Array) -> list[Array]:
    """From each frame to the next, (2, height, width): rows and columns."""
    levels = grey(frames) / 255
    return [optical_flow_tvl1(one, other) for one, other in pairwise(levels)]


def flicker(frames: Array, motion: Sequence[Array]) -> float:
    """Mean absolute difference of the frames and their followers, laid on them."""
    differences = []
    for (one, other), flow in zip(pairwise(grey(frames)), motion, strict=True):
        places = np.indices(one.shape) + flow
        laid = warp(other, places, order=3, mode="edge", preserve_range=True)
        limits = np.array(one.shape)[:, None, None] - 1 - BORDER
        seen = ((places >= BORDER) & (places <= limits)).all(0)
        seen[:BORDER], seen[-BORDER:], seen[:, :BORDER], seen[:, -BORDER:] = False, False, False, False
        differences.append(np.abs(laid - one)[seen].mean())
    return float(np.mean(differences))


def sharpness(frames: Array) -> float:
    """Mean length of the gradient inside the border."""
    inside = grey(frames)[:, BORDER:-BORDER, BORDER:-BORDER]
    return float(np.hypot(*np.gradient(inside, axis=(1, 2))).mean())


def unsharp(frames: Array, wanted: float) -> Array:
    """Frames whose difference from a Gaussian blur is added as often as gives the wanted sharpness."""
    detail = frames - gaussian_filter(frames, (0, 1.5, 1.5, 0))

    def masked(amount: float) -> Array:
        return np.clip(frames + amount * detail, 0, 1)

    if sharpness(frames) >= wanted:
        return frames
    return masked(brentq(lambda amount: sharpness(masked(amount)) - wanted, 0, 20, xtol=1e-3))


def strip(rows: Mapping[str, Array], motion: Sequence[Array]) -> Image.Image:
    """A row of crops for each of the series; the crops go along with the median motion."""
    steps = np.array([np.median(flow, axis=(1, 2)) for flow in motion])
    places = np.rint(np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])).astype(int)
    places += BORDER - places.min(0)
    first = next(iter(rows.values()))
    height, width = np.array(first.shape[1:3]) - places.max(0) - BORDER
    label = 16
    whole = Image.new("RGB", (len(first) * ZOOM * width, len(rows) * (ZOOM * height + label)), "white")
    draw = ImageDraw.Draw(whole)
    for row, (name, frames) in enumerate(rows.items()):
        y = row * (ZOOM * height + label)
        draw.text((4, y + 2), name, fill="black")
        for column, (frame, (top, left)) in enumerate(zip(frames, places, strict=True)):
            crop = (255 * frame[top : top + height, left : left + width].clip(0, 1)).round().astype(np.uint8)
            shown = Image.fromarray(crop).resize((ZOOM * width, ZOOM * height), Image.Resampling.BICUBIC)
            whole.paste(shown, (column * ZOOM * width, y + label))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of consecutive frames")
    parser.add_argument("--region", type=int, nargs=4, default=(345, 505, 550, 790), help="top, bottom, left, right")
    parser.add_argument("--frames", type=int, nargs=2, default=(1, 5), help="first shown, and the one after the last")
    parser.add_argument("--tau", type=float, default=0.25)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--png", type=Path, default=Path("car-strip.png"))
    parser.add_argument("--json", type=Path, default=Path("car-strip.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    top, bottom, left, right = options.region
    image = read_series(options.data, region={"Y": (top, bottom), "X": (left, right)})
    tau = {"forward_model.tau": options.tau}
    shipped, quick = restored(image, "fast", tau)
    tuned, slow = restored(image, "balanced", tau | {"stages.0.steps": options.steps})
    chosen = slice(*options.frames)
    observed = np.asarray(image.data, np.float32)[chosen] / 255
    rows = {"observed": observed, "shipped network": shipped[chosen], "fine-tuned": tuned[chosen]}
    motion = flows(observed)
    control = {"unsharp mask": unsharp(observed, sharpness(rows["fine-tuned"]))}
    facts = {
        name: {"sharpness": round(sharpness(frames), 3), "flicker": round(flicker(frames, motion), 3)}
        for name, frames in (rows | control).items()
    }
    facts["shipped network"] |= quick
    facts["fine-tuned"] |= slow
    with atomic_path(options.png) as temporary:
        strip(rows, motion).save(temporary, format="png")
    given = {"region": list(options.region), "frames": list(options.frames), "tau": options.tau, "steps": options.steps}
    write_json(options.json, {"options": given, "rows": facts})
    for name, row in facts.items():
        print(f"{name}: {json.dumps(row)}")


if __name__ == "__main__":
    main()
