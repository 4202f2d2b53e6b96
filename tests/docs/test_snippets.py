"""The Python and TOML in the documentation runs: small pictures, narrow networks, few steps."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

import unblur
from tests.docs.pages import PAGES, blocks
from unblur.forecast import all_steps
from unblur.pipeline import Pipeline

WITH_PYTHON = [page for page in PAGES if blocks("python", page) and page.name != "plugins.md"]

STEPS = 8
"""Of every stage at the most, so that a run takes no time."""

NARROW = {
    "encoder-decoder": {"image_prior.channels": (16,), "image_prior.levels": 2},
    "fully-connected": {"kernel_prior.hidden": 16},
}


def quick(image: Any, **wishes: Any) -> unblur.Result:
    """`unblur.deblur` with fewer steps, narrow networks and no budget."""
    from unblur.deblurring import deblur

    job = unblur.Job(
        image, **{name: value for name, value in wishes.items() if name not in ("progress", "max_seconds")}
    )
    settings = dict(wishes.pop("settings", None) or {})
    for slot in ("image_prior", "kernel_prior"):
        settings |= NARROW.get(job.pipeline.slots[slot][0].name, {})
    wishes |= {"settings": settings, "max_seconds": None, "threads": 1}
    return deblur(image, plan=[min(STEPS, steps) for steps in all_steps(job.pipeline)], **wishes)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unblur, "deblur", quick)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 72), dtype=np.uint8)
    for name in ("photo.jpg", "photo.png"):
        Picture.fromarray(pixels).save(name)
    names: dict[str, Any] = {"image": pixels}
    for block in blocks("python", page):
        exec(compile(block.text, str(block), "exec"), names)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_a_pipeline(block: Any) -> None:
    content = tomllib.loads(block.text)
    if "forward_model" in content:
        Pipeline.from_dict(content).check()
    else:
        assert "project" in content or "build-system" in content


def test_the_pipeline_in_concepts_is_the_same_in_python_and_in_toml() -> None:
    page = next(page for page in PAGES if page.name == "concepts.md")
    names: dict[str, Any] = {}
    exec(blocks("python", page)[0].text, names)
    assert Pipeline.from_dict(tomllib.loads(blocks("toml", page)[0].text)) == names["pipeline"]
