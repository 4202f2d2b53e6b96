"""The stages that quick presets share."""

from __future__ import annotations

import numpy as np
import pytest

import unblur
from unblur import Pipeline
from unblur.beginning import HELD_AT_FIRST, kernel_by_edges
from unblur.coarse_to_fine import coarse_to_fine, edge_stages
from unblur.metrics import kernel_similarity
from unblur.params import value_at
from unblur.testing.worlds import photograph


def test_stages_end_at_full_resolution_with_the_parameters_of_the_pipeline() -> None:
    stages = coarse_to_fine((3, 2, 4), support="shrink")
    assert [(stage.steps, stage.scale, stage.support) for stage in stages] == [
        (3, 0.25, "keep"),
        (2, 0.5, "shrink"),
        (4, 1.0, "shrink"),
    ]
    assert stages[0].set == stages[1].set
    assert not stages[-1].set


def test_a_pipeline_takes_them_where_it_has_both_misfits() -> None:
    pipeline = Pipeline(
        ["convolution", ("squared", {"weight": 0.0}), "ssim"],
        "encoder-decoder",
        "siren",
        "joint-adam",
        stages=coarse_to_fine((3, 4), kernel_rate=2e-3),
    )
    pipeline.check()
    coarse, full = (pipeline.in_stage(stage) for stage in pipeline.stages)
    assert coarse.slots["estimator"][0].params["kernel_rate"] == 2e-3
    assert "kernel_rate" not in full.slots["estimator"][0].params


def test_edges_go_from_coarse_to_fine_and_end_where_they_are_told_to() -> None:
    scales = [stage.scale for stage in edge_stages(3)]
    assert scales == sorted(scales)
    assert scales[-1] == 1.0
    assert [stage.scale for stage in edge_stages(3, finest=0.5)] == [scale for scale in scales if scale <= 0.5]


@pytest.mark.parametrize("method", ["selfdeblur", "mc-mapk", "mc-mapk-two-stage", "mcem-uniform"])
@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_quick_networks_begin_at_the_resolution_at_which_edges_end_and_hold_their_kernel(
    method: str, preset: str
) -> None:
    pipeline = unblur.default_registry().method(method).pipeline(preset)
    first = pipeline.first
    assert first is not None
    assert first.stages[-1].scale == pipeline.stages[0].scale
    begun = pipeline.in_stage(pipeline.stages[0])
    assert value_at(begun.slots["estimator"][0].params["kernel_rate"], 0.1) == 0.0


def test_networks_keep_the_kernel_of_coarse_edges_while_it_is_held() -> None:
    image = np.asarray(photograph((96, 96), (9, 9)).pixels[0, 0])
    networks = Pipeline(
        ["convolution", ("squared", {"weight": 0.0}), "ssim"],
        ("encoder-decoder", {"channels": (8, 8), "levels": 2, "upsampling": "nearest"}),
        "fully-connected",
        ("joint-adam", {"kernel_rate": 0.0}),
        stages=coarse_to_fine((4, 1), kernel_rate=HELD_AT_FIRST[0][1]),
        first=kernel_by_edges(),
    )
    edges, held, fresh = (
        unblur.deblur(image, pipeline=pipeline, kernel_size=9, threads=1).kernel
        for pipeline in (kernel_by_edges(), networks, networks.replace(first=None))
    )
    assert kernel_similarity(held, edges) > 0.95
    assert kernel_similarity(fresh, edges) < 0.9
