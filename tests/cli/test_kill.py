"""Every method, killed at five random steps, in each of its stages and in `then`, and resumed: the bits of a run
without interruption. And a run that is killed before every change that it makes to the file system.

The processes are forks of one that has torch (tests/cli/forks.py). They end by SIGKILL, which nothing can catch.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.short import short
from unblur.clips import is_video
from unblur.pipeline import Pipeline
from unblur.registry import default_registry

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")

STEPS = 4
KILLS = 5
KILLED = -signal.SIGKILL

Event = tuple[int, int, int, str]
"""Plane, stage, step and misfit (in hexadecimal digits)."""


@dataclass
class Ended:
    """A process that ran `unblur run`."""

    code: int
    said: str
    events: list[Event]


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    program = [sys.executable, "-P", str(Path(__file__).with_name("forks.py"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(program, **pipes, text=True, env=os.environ | threads) as running:  # type: ignore[call-overload]
        yield running
        running.stdin.close()


@pytest.fixture
def run(server: subprocess.Popen[str], tmp_path: Path) -> Run:
    """Run `unblur run` in a fork; see tests/cli/forks.py for what else can be asked for."""

    def ask(*arguments: object, **more: Any) -> Ended:
        events = tmp_path / "events"
        events.unlink(missing_ok=True)
        given = ["run", *map(str, arguments), "--threads", "1", "--device", "cpu"]
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps({"arguments": given, "events": str(events), "every": 1, **more}) + "\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        seen = [line.split() for line in events.read_text().splitlines()] if events.exists() else []
        return Ended(**answer, events=[(int(p), int(g), int(s), misfit) for p, g, s, misfit in seen])

    return ask


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small picture, and beside it psf.tif and, with a time axis, series.tif."""
    tifffile.imwrite(tmp_path / "psf.tif", np.outer([1, 3, 1], [1, 2, 1]).astype(np.float32))
    tifffile.imwrite(tmp_path / "image.tif", np.random.default_rng(0).random((56, 48), dtype=np.float32))
    series = np.random.default_rng(1).random((4, 24, 28), dtype=np.float32)
    tifffile.imwrite(tmp_path / "series.tif", series, imagej=True, metadata={"axes": "TYX"})
    return tmp_path / "image.tif"


def composition(pipeline: Pipeline) -> Any:
    """What distinguishes presets here: their parts and their stages, whatever the numbers in them."""
    parts = tuple((slot, tuple(part.name for part in parts)) for slot, parts in pipeline.slots.items())
    others = (other and composition(other) for other in (pipeline.first, pipeline.then))
    return parts, len(pipeline.stages), *others


def cases() -> list[tuple[str, str]]:
    """Every method, with one preset for each composition."""
    found: dict[Any, tuple[str, str]] = {}
    for name, method in default_registry().methods().items():
        for preset in sorted(method.presets):
            found.setdefault((name, composition(method.pipeline(preset))), (name, preset))
    return list(found.values())


def non_blind(pipeline: Pipeline) -> Pipeline:
    """What restores with the kernels of a blind pipeline, in the same forward model."""
    model = pipeline.slots["forward_model"][0]
    registry = default_registry()
    if model.name == "convolution":
        return short(registry.method("hyper-laplacian").pipeline(), STEPS)
    return short(registry.method("richardson-lucy").pipeline().replace(forward_model=model), STEPS)


def everything(out: Path) -> dict[str, Any]:
    """What a run wrote, without what depends on the clock."""
    report = json.loads(Path(f"{out}.json").read_text())
    assert report.pop("seconds") >= 0
    report.pop("resumed")
    report.pop("files")  # their names follow from the output's
    for row in report["planes"]:
        row.pop("seconds", None)
    written: dict[str, Any] = {"report": report}
    for name in ("", ".kernel.tif", ".spread.tif"):
        path = Path(f"{out}{name}")
        if path.exists():
            pixels = tifffile.imread(path)
            written[name] = (pixels.shape, pixels.dtype, pixels.tobytes())
    return written


def outputs(out: Path) -> tuple[object, ...]:
    return "-o", out, "--kernel", f"{out}.kernel.tif", "--uncertainty", f"{out}.spread.tif"


@pytest.mark.parametrize(("method", "preset"), cases())
def test_killed_at_five_steps_and_resumed(method: str, preset: str, run: Run, image: Path, tmp_path: Path) -> None:
    registry = default_registry()
    record = registry.method(method)
    pipeline = short(record.pipeline(preset), STEPS)
    video = is_video(pipeline, registry)
    if record.blind and pipeline.then is None and not video:
        pipeline = pipeline.replace(then=non_blind(pipeline))
    (tmp_path / "pipeline.toml").write_text(pipeline.to_toml())
    known = ("--psf", tmp_path / "psf.tif") if record.needs_psf else () if video else ("--kernel-size", 5)
    command = (tmp_path / "series.tif" if video else image, "--pipeline", tmp_path / "pipeline.toml", *known)

    straight = run(*command, *outputs(tmp_path / "straight.tif"))
    assert straight.code == 0, straight.said
    stages = sum(len(segment.stages) for segment in pipeline.segments())
    assert {stage for _, stage, _, _ in straight.events} == set(range(stages))

    random = np.random.default_rng(zlib.crc32(f"{method} {preset}".encode()))
    steps = [random.choice([step for _, at, step, _ in straight.events if at == stage]) for stage in range(stages)]
    steps += list(random.integers(1, len(straight.events) + 1, max(0, KILLS - stages)))
    out, saved = tmp_path / "out.tif", 0
    for step in sorted(map(int, steps)):
        every = int(random.integers(1, STEPS))
        ended = run(*command, *outputs(out), "--resume", step=[0, step], every=every)
        assert ended.code == KILLED, ended.said
        assert ended.events == straight.events[saved:step]
        saved = max(saved, (step - 1) // every * every)
    ended = run(*command, *outputs(out), "--resume")
    assert ended.code == 0, ended.said
    assert ended.events == straight.events[saved:]
    assert everything(out) == everything(tmp_path / "straight.tif")
    assert json.loads(Path(f"{out}.json").read_text())["resumed"]
    assert not Path(f"{out}.checkpoint").exists()


def test_killed_before_any_change_to_the_file_system(run: Run, tmp_path: Path) -> None:
    """A stack with a shared kernel, over the result of an earlier run with another seed.

    Afterwards the run can be resumed, and the earlier one repeated: each gives files that belong together.
    """
    pixels = np.random.default_rng(0).random((1, 24, 20), np.float32)
    tifffile.imwrite(tmp_path / "stack.ome.tif", pixels, metadata={"axes": "TYX"})
    registry = default_registry()
    blind = short(registry.method("blind-richardson-lucy").pipeline(), STEPS)
    then = short(registry.method("unsupervised-wiener").pipeline(), STEPS).set({"estimator.burn_in": 1})
    (tmp_path / "pipeline.toml").write_text(blind.replace(then=then).to_toml())
    # A plan that ends early, so that the last checkpoint is of a step in which nothing else ends the run.
    (tmp_path / "plan.json").write_text(json.dumps({"plan": [{"steps": [STEPS], "executed": [3]}] * 2}))
    given = ("--pipeline", tmp_path / "pipeline.toml", "--kernel-size", 5, "--planes", "shared-kernel")
    earlier = (tmp_path / "stack.ome.tif", *given, "--plan", tmp_path / "plan.json")
    command = (*earlier, "--seed", 1)

    before, straight = tmp_path / "before", tmp_path / "straight"
    for folder, arguments in ((before, earlier), (straight, command)):
        folder.mkdir()
        ended = run(*arguments, *outputs(folder / "out.tif"))
        assert ended.code == 0, ended.said
        assert [(plane, step) for plane, _, step, _ in ended.events] == [(p, s) for p in (0, 1) for s in (1, 2, 3)]
    for change in itertools.count(1):
        killed, repeated = tmp_path / f"{change}", tmp_path / f"{change}-repeated"
        shutil.copytree(before, killed)
        ended = run(*command, *outputs(killed / "out.tif"), change=change, every=3)
        if ended.code != KILLED:
            break
        if contents(killed) != contents(before):
            shutil.copytree(killed, repeated)
            again = run(*earlier, *outputs(repeated / "out.tif"))
            assert again.code == 0, (change, again.said)
            assert everything(repeated / "out.tif") == everything(before / "out.tif"), change
        again = run(*command, *outputs(killed / "out.tif"), "--resume")
        assert again.code == 0, (change, again.said)
        assert everything(killed / "out.tif") == everything(straight / "out.tif"), change
        assert {path.name for path in killed.iterdir()} == {path.name for path in straight.iterdir()}, change
    assert ended.code == 0, ended.said
    assert change > 15


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, without a lock or a checkpoint."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".lock"}
