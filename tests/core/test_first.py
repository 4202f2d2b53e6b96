"""What runs first: its kernel is where the pipeline itself begins, in every form of run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unblur
from unblur import Pipeline, Stage
from unblur.jobs import Job
from unblur.testing.worlds import photograph

EDGES = Pipeline("convolution", "pixels", "free", "l0-gradient", stages=[Stage(steps=3, scale=0.5), Stage(steps=3)])
NETWORKS = Pipeline(
    forward_model=["convolution", "ssim"],
    image_prior=("encoder-decoder", {"levels": 2, "channels": (8,), "input_channels": 4}),
    kernel_prior="fully-connected",
    estimator=("joint-adam", {"kernel_rate": 0.0}),
    stages=[Stage(steps=4)],
    first=EDGES,
    then=Pipeline("convolution", "pixels", "known", "hyper-laplacian", stages=[Stage(steps=3)]),
)


@pytest.fixture
def image() -> np.ndarray:
    return np.asarray(photograph((40, 43), (5, 7)).pixels[0, 0])


def test_the_kernel_found_first_is_where_the_pipeline_begins(image: np.ndarray) -> None:
    result = unblur.deblur(image, pipeline=NETWORKS, kernel_size=(5, 7))
    found = unblur.deblur(image, pipeline=EDGES, kernel_size=(5, 7))
    assert result.kernel.shape == (5, 7)
    cosine = float((result.kernel * found.kernel).sum() / np.linalg.norm(result.kernel) / np.linalg.norm(found.kernel))
    assert cosine > 0.99
    report = result.report
    assert report["planes"][0]["plan"] == [3, 3, 4, 3]
    again = unblur.deblur(image, pipeline=Pipeline.from_dict(report["pipeline"]), plan=report["plan"])
    assert np.array_equal(again.image, result.image)


def test_settings_are_those_of_the_pipeline_itself_and_first_can_be_left_out(image: np.ndarray) -> None:
    job = Job(image, pipeline=NETWORKS, settings={"stages.0.steps": 7, "first.stages.1.steps": 2})
    assert [stage.steps for one in job.pipeline.segments() for stage in one.stages] == [3, 2, 7, 3]
    without = Job(image, pipeline=NETWORKS, settings={"first": "none"})
    assert [stage.steps for one in without.pipeline.segments() for stage in one.stages] == [4, 3]


def test_a_psf_takes_the_place_of_what_finds_one(image: np.ndarray) -> None:
    psf = np.ones((5, 5)) / 25
    job = Job(image, pipeline=NETWORKS, psf=psf, settings={"first.stages.0.steps": 2})
    assert [stage.steps for one in job.pipeline.segments() for stage in one.stages] == [4, 3]
    assert any("what finds a kernel first is left out" in said for said in job.assumptions)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ("gaussian-psf", "the kernel of gaussian-psf does not change"),
        ("gaussian", "gaussian begins with no kernel of others"),
        ("siren", None),
        ("kernel-unet", None),
    ],
)
def test_a_kernel_prior_that_needs_no_kernel_found_first_leaves_it_out(
    image: np.ndarray, prior: str, said: str | None
) -> None:
    job = Job(image, method="selfdeblur", preset="fast", kernel_size=(5, 7), settings={"kernel_prior": prior})
    estimators = [one.slots["estimator"][0].name for one in job.pipeline.segments()]
    assert (estimators[0] == "l0-gradient") == (said is None)
    assert any("what finds a kernel first is left out" in line for line in job.assumptions) == (said is not None)
    assert said is None or any(said in line for line in job.assumptions)


def test_a_kernel_that_is_said_to_be_known_must_be_given(image: np.ndarray) -> None:
    with pytest.raises(unblur.UnblurError, match="PSF"):
        unblur.deblur(image, method="selfdeblur", kernel_size=(5, 7), settings={"kernel_prior": "known"})


def test_a_bound_holds_for_what_runs_first_as_well_unless_it_is_far_wider_than_that_allows_for() -> None:
    def sizes(bound: int, side: int, **wishes: Any) -> list[Any]:
        job = Job(np.zeros((side, side + 2), np.float32), method="selfdeblur", **wishes | {"settings": bounded(bound)})
        return [one.slots["forward_model"][0].params.get("kernel_size") for one in job.pipeline.segments()][:2]

    def bounded(bound: int) -> dict[str, Any]:
        return {"forward_model.kernel_size": (bound,)}

    assert sizes(31, 200) == [(31,), (31,)]
    assert sizes(91, 200) == [(51,), (91,)]
    assert sizes(91, 600) == [(91,), (91,)]


@pytest.mark.parametrize("size", ["31,31", ["31", "31"], [[31, 31]]])
def test_a_size_that_is_none_is_refused_as_without_what_runs_first(image: np.ndarray, size: Any) -> None:
    with pytest.raises(unblur.errors.ParameterError, match="kernel_size"):
        Job(image, method="selfdeblur", settings={"forward_model.kernel_size": size})


def test_what_runs_first_in_a_window_has_no_stage_that_leaves_nothing_of_it() -> None:
    large = np.random.default_rng(0).random((200, 160), dtype=np.float32)
    job = Job(large, method="selfdeblur", preset="fast", kernel_size=9, crop=36, threads=1)
    first = next(job.pipelines["kernel"].segments())
    assert first.slots["estimator"][0].name == "l0-gradient"
    assert all(round(36 * stage.scale) >= 3 for stage in first.stages)
    assert any("the window has fewer than 3 pixels" in said for said in job.assumptions)


def test_an_image_too_small_for_what_runs_first_is_restored_without_it() -> None:
    thin = np.random.default_rng(0).random((4, 24, 26), dtype=np.float32)
    job = Job(thin, axes="ZYX", planes="volume", method="mc-mapk", preset="fast", kernel_size=3, threads=1)
    estimators = [one.slots["estimator"][0].name for one in job.pipeline.segments()]
    assert estimators[0] == "mc-mapk"
    assert [stage.scale for stage in job.pipeline.stages] == [1.0]
    assert any("the image is too small: what finds a kernel first is left out" in said for said in job.assumptions)


def test_the_grid_that_is_handed_on_is_that_of_the_pipeline_itself(image: np.ndarray) -> None:
    """Not of what runs first, which may have one kernel."""
    grid = NETWORKS.replace(forward_model=[("svola", {"grid": (2, 3)}), "ssim"], kernel_prior="free")
    then = grid.then
    assert then is not None
    job = Job(image, pipeline=grid.replace(then=then.replace(forward_model="svola")), kernel_size=(5, 7))
    assert [one.slots["forward_model"][0].params.get("grid") for one in job.pipeline.segments()] == [
        None,
        (2, 3),
        (2, 3),
    ]


def test_planes_share_what_was_found_first(image: np.ndarray) -> None:
    stack = np.stack([image, image, image])
    result = unblur.deblur(stack, axes="TYX", pipeline=NETWORKS, planes="shared-kernel", kernel_size=(5, 7))
    plans = [row["plan"] for row in result.report["planes"]]
    assert [3, 3, 4] in plans
    assert plans.count([3]) == 3
