"""The stages that quick presets share."""

from __future__ import annotations

from unblur import Pipeline
from unblur.coarse_to_fine import coarse_to_fine


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
