"""Reblur2Deblur on clips that its networks were not trained on: what fine-tuning gains, and what it owes to the flow.

The clips are those of `video_clips.py` (`gopro` only with --data, a folder of PNG files). The PSNR is that of the
middle frame, in a border of 8 pixels. A group is the whole region of `gopro`, and a series of five frames elsewhere; it
is tuned for twice the steps. Seconds are those of the processor, on one thread.

Rows are written as they are done, one scene taking turns with the others; a run that was cut off goes on where it was,
with the same --json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from video_clips import SIZE, TAU, Array, Clip, cells, gopro, scenes, text

import unblur
from unblur.cli.options import settings as assignments
from unblur.io.atomic import write_json
from unblur.metrics import psnr, ssim
from unblur_reblur.models import FlowBlur
from unblur_reblur.params import HALVED, FlowBlurParams
from unblur_reblur.shipped import shipped
from unblur_reblur.training import FIRST, repeated

BORDER = 8
TAUS = [round(0.1 * n, 1) for n in range(1, 9)]
BLOCK = 16
"""Side of the blocks of a flow that are shuffled."""

NETWORK = {"kernel_prior": "flownet", "estimator.kernel_rate": 0.0}
"""The flow of the network that comes with the package, as it is."""

PUBLISHED = {
    "forward_model": ["flow-blur", "squared"],
    "kernel_prior.through": True,
    "estimator.alpha": 0.1,
    "estimator.image_rate": HALVED,
    "estimator.kernel_rate": HALVED,
}
"""Fine-tuning as in the paper: of the flow network as well, and through it, with squares."""

LONGER = 2
"""Times as many steps for a group, each of which is shared by several windows."""

WARPED = {"forward_model": ["flow-warp", "huber"], "forward_model.huber.delta": 0.003}

WAYS = ("blurred", "shipped", "fine-tuned", "alpha 0", "two frames", "group")
MORE = ("warp", "flow network", "as published")
FLOWS = ("true flow", "no flow", "shuffled blocks", "shuffled pixels", "other flow")
TUNED_FLOWS = ("true flow", "no flow", "shuffled blocks", "other flow")
"""Those that are tuned with: this takes as long as any other fine-tuning."""


def restored(
    clip: Clip, settings: Mapping[str, Any], preset: str = "balanced", group: bool = False, flow: Array | None = None
) -> tuple[Array, dict[str, Any]]:
    """The frames of a clip, or of its group, and what is reported of them."""
    with tempfile.TemporaryDirectory() as folder:
        more: dict[str, Any] = {"forward_model.tau": clip.tau}
        if flow is not None:
            np.save(Path(folder) / "flow.npy", flow)
            more |= {"kernel_prior": "known-flow", "kernel_prior.file": str(Path(folder) / "flow.npy")}
        began = time.process_time()
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
    row = result.report["planes"][0]
    facts = {"residual": row["residual"], "warnings": row["warnings"]}
    return result.image, {**facts, "seconds": round(time.process_time() - began, 1)}


def run(clip: Clip, settings: Mapping[str, Any], preset: str = "balanced", flow: Array | None = None) -> dict[str, Any]:
    """One clip, restored by itself; quality is that of its middle frame."""
    image, facts = restored(clip, settings, preset, flow=flow)
    return {**quality(image[1], clip.truth), **facts}


def run_group(members: Sequence[Clip], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All clips of a group, restored together; the seconds are those of the group, divided by the clips."""
    image, facts = restored(members[0], settings, group=True)
    facts["seconds"] = round(facts["seconds"] / len(members), 1)
    rows = []
    for clip in members:
        frame, top, left = clip.at
        rows.append({**quality(image[frame, top : top + SIZE, left : left + SIZE], clip.truth), **facts})
    return rows


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


def flows_of(clip: Clip, other: Clip) -> dict[str, Array]:
    """The true flow of a clip, and wrong ones: none, its own with blocks or pixels shuffled, that of another clip.

    Where all moves alike, a flow that is shuffled is nearly the same; that of another clip is wrong there as well.
    """
    assert clip.flow is not None
    assert other.flow is not None
    flows = clip.flow, np.zeros_like(clip.flow), shuffled(clip.flow, BLOCK), shuffled(clip.flow, 1), other.flow
    return dict(zip(FLOWS, flows, strict=True))


def shuffled(flow: Array, side: int) -> Array:
    """A flow (4, height, width) whose blocks have changed places."""
    count, height, width = flow.shape
    blocks = (
        flow.reshape(count, height // side, side, width // side, side).swapaxes(2, 3).reshape(count, -1, side, side)
    )
    blocks = blocks[:, np.random.default_rng(0).permutation(blocks.shape[1])]
    laid = blocks.reshape(count, height // side, width // side, side, side).swapaxes(2, 3)
    return np.ascontiguousarray(laid.reshape(flow.shape))


class Book:
    """What was measured, in a file that grows; all of it with the same options.

    Raises:
        SystemExit: the file holds what was measured with others.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.path = path
        self.rows: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"options": dict(options)}
        if (found := self.rows.get("options")) != options:
            raise SystemExit(f"{path} was measured with {found}, not with {options}: give another --json")

    def add(self, key: str, row: Any) -> None:
        self.rows[key] = row
        write_json(self.path, self.rows)
        print(f"{key}: {json.dumps(row)}", flush=True)

    def take(self, key: str, measure: Callable[[], Any]) -> None:
        if key not in self.rows:
            self.add(key, measure())


def title(clip: Clip) -> str:
    return f"{clip.scene}/{clip.name}"


def measure(
    book: Book,
    clips: Sequence[Clip],
    few: Sequence[Clip],
    flows: Mapping[str, Mapping[str, Array]],
    steps: Mapping[str, Any],
    more: bool,
) -> None:
    """Tables 2, 4 and 5 of the paper, and the flows: what is quick first."""
    made = [clip for clip in clips if clip.flow is not None]
    for clip in clips:
        name = title(clip)
        book.take(f"{name}/blurred", lambda clip=clip: quality(clip.frames[1], clip.truth))
        book.take(f"{name}/shipped", lambda clip=clip: run(clip, {}, "fast"))
    for clip in made:
        found = flows[title(clip)]
        book.take(
            f"{title(clip)}/truth",
            lambda clip=clip, found=found: {kind: residual(clip, flow, clip.tau) for kind, flow in found.items()},
        )
        book.take(f"{title(clip)}/taus", lambda clip=clip: sweep(clip))
    for clip in clips:
        name = title(clip)
        book.take(f"{name}/fine-tuned", lambda clip=clip: run(clip, steps))
        book.take(f"{name}/alpha 0", lambda clip=clip: run(clip, steps | {"estimator.alpha": 0.0}))
    for clip in few:
        name = title(clip)
        book.take(f"{name}/two frames", lambda clip=clip: run(clip, steps | {"forward_model.frames": 2}))
        members = [one for one in clips if one.whole is clip.whole]
        if any(f"{title(one)}/group" not in book.rows for one in members):
            longer = steps | {"stages.0.steps": LONGER * steps["stages.0.steps"]}
            for one, row in zip(members, run_group(members, longer), strict=True):
                book.add(f"{title(one)}/group", row)
        for kind in TUNED_FLOWS if clip.flow is not None else ():
            flow = flows[name][kind]
            book.take(f"{name}/{kind}", lambda clip=clip, flow=flow: run(clip, steps, flow=flow))
    for clip in few if more else ():
        name = title(clip)
        book.take(f"{name}/warp", lambda clip=clip: run(clip, steps | WARPED))
        book.take(f"{name}/flow network", lambda clip=clip: run(clip, steps | NETWORK))
        book.take(f"{name}/as published", lambda clip=clip: run(clip, steps | NETWORK | PUBLISHED))


def sweep(clip: Clip) -> dict[str, float]:
    """Residual of the truth beside the true flow, by tau."""
    assert clip.flow is not None
    return {str(tau): residual(clip, clip.flow, tau) for tau in TAUS}


def table(rows: Mapping[str, Any], clips: Sequence[Clip]) -> Iterator[str]:
    """What is in the book, as lines; means are over the clips that have all of a line's columns."""
    scenes_ = list(dict.fromkeys(clip.scene for clip in clips))

    def lines(heading: str, kinds: Sequence[str], field: str = "psnr") -> Iterator[str]:
        complete = [clip for clip in clips if all(f"{title(clip)}/{kind}" in rows for kind in kinds)]
        if complete:
            yield f"\n{heading} | clips | " + " | ".join(kinds)
        for name in [*scenes_, "all"]:
            some = [
                [rows[f"{title(clip)}/{kind}"][field] for kind in kinds]
                for clip in complete
                if name in (clip.scene, "all")
            ]
            if some:
                yield f"{name} | {len(some)} | " + " | ".join(f"{mean:.4f}" for mean in np.mean(some, axis=0))

    yield from lines("PSNR", WAYS[:4])
    yield from lines("SSIM", WAYS[:4], "ssim")
    yield from lines("seconds", WAYS[1:4], "seconds")
    yield from lines("PSNR", WAYS)
    yield from lines("seconds", WAYS[1:], "seconds")
    if any(key.endswith(MORE) for key in rows):
        yield from lines("PSNR", [*WAYS[:4], *MORE])
    yield from lines("PSNR, tuned with", [*WAYS[1:3], *TUNED_FLOWS])
    yield from lines("residual, tuned with", [*WAYS[1:3], *TUNED_FLOWS], "residual")
    yield ""
    for one, base in (
        ("shipped", "blurred"),
        ("fine-tuned", "shipped"),
        ("fine-tuned", "alpha 0"),
        ("fine-tuned", "two frames"),
        ("group", "fine-tuned"),
        *(("true flow", kind) for kind in TUNED_FLOWS[1:]),
    ):
        keys = [(f"{title(clip)}/{one}", f"{title(clip)}/{base}") for clip in clips]
        gains = [rows[a]["psnr"] - rows[b]["psnr"] for a, b in keys if a in rows and b in rows]
        if gains:
            spread = f"{np.std(gains, ddof=1):.3f}" if len(gains) > 1 else "unknown"
            yield (
                f"gain of {one} over {base}: mean {np.mean(gains):+.3f} dB, standard deviation {spread}, "
                f"{sum(gain > 0 for gain in gains)} of {len(gains)} up, from {min(gains):+.2f} to {max(gains):+.2f}"
            )
    yield from truths(rows, clips)
    for key, row in rows.items():
        if key.startswith("first losses"):
            yield f"{key}: largest relative difference {row['difference']:.2g} over {row['losses']}"


def truths(rows: Mapping[str, Any], clips: Sequence[Clip]) -> Iterator[str]:
    """What blurring the truth again says of flow and tau."""
    known = [rows[key] for clip in clips if (key := f"{title(clip)}/truth") in rows]
    if known:
        best = sum(min(row, key=row.__getitem__) == "true flow" for row in known)
        means = ", ".join(f"{kind} {np.mean([row[kind] for row in known]):.4f}" for kind in FLOWS)
        yield f"residual of the truth: {means}; smallest with the true flow in {best} of {len(known)} clips"
    swept = [rows[key] for clip in clips if (key := f"{title(clip)}/taus") in rows]
    if swept:
        means = {tau: np.mean([row[tau] for row in swept]) for tau in swept[0]}
        best = sum(min(row, key=row.__getitem__) == str(TAU) for row in swept)
        by_tau = ", ".join(f"{tau}: {mean:.4f}" for tau, mean in means.items())
        yield f"residual of the truth by tau: {by_tau}; smallest at {TAU}, the clips', in {best} of {len(swept)} clips"


def again(name: str) -> dict[str, Any]:
    """The first losses that a file of weights names, and those of the same command now."""
    named, now = repeated(shipped(name))
    difference = float(np.max(np.abs(np.subtract(named, now)) / np.abs(named)))
    return {"losses": len(named), "difference": difference, "equal": named == now}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with consecutive frames at 240 per second, as PNG")
    parser.add_argument("--json", type=Path, default=Path("reblur2deblur.json"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--set", action="append", default=[], help="slot.parameter=value for every fine-tuning")
    parser.add_argument("--scenes", default="gopro,cells,text,scenes")
    parser.add_argument("--clips", type=int, help="only so many, one of each scene after the other; 0 for none")
    parser.add_argument("--few", type=int, default=1, help="clips of each scene for frames, group and flows")
    parser.add_argument("--more", action="store_true", help="warp model, flow network and the paper's settings as well")
    parser.add_argument("--losses", action="store_true", help=f"train the first {FIRST} steps again as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    by_scene = [list(gopro(options.data)) if options.data else [], list(cells()), list(text()), list(scenes())]
    everything = [clip for turn in zip_longest(*by_scene) for clip in turn if clip is not None]
    made = [clip for clip in everything if clip.flow is not None]
    flows = {title(clip): flows_of(clip, made[number - 1]) for number, clip in enumerate(made)}
    chosen = options.scenes.split(",")
    clips, few = [clip for clip in everything if clip.scene in chosen][: options.clips], list[Clip]()
    for clip in clips:
        few += [clip] if sum(one.scene == clip.scene for one in few) < options.few else []
    steps = {"stages.0.steps": options.steps} | assignments(options.set)
    book = Book(options.json, {"steps": options.steps, "set": options.set})
    measure(book, clips, few, flows, steps, options.more)
    if options.losses:
        for path in sorted(shipped("any").parent.glob("*.safetensors")):
            book.take(f"first losses of {path.stem}", lambda path=path: again(path.stem))
    print("\n".join(table(book.rows, clips)))


if __name__ == "__main__":
    main()
