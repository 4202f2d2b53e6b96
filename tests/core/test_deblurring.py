"""`unblur.deblur` and the job under it: planes, seeds, failures, budgets, plans, checkpoints, reports."""

from __future__ import annotations

import dataclasses
import json
import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unblur
from tests.core import small
from tests.core.small import BLIND, KNOWN, small_registry
from unblur.choice import with_psf_grid
from unblur.driver import CancelToken
from unblur.errors import (
    CheckpointError,
    CompositionError,
    FileError,
    ImageError,
    ParameterError,
    PluginError,
    UnknownNameError,
)
from unblur.image import Image
from unblur.jobs import Job
from unblur.pieces import forget_frames, typed
from unblur.planes import psf_for
from unblur.registry import default_registry
from unblur.report import same_run

REGISTRY = small_registry()
PSF = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16


def picture(shape: tuple[int, ...] = (20, 18), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def deblur(image: Any, **wishes: Any) -> unblur.Result:
    return unblur.deblur(image, **{"registry": REGISTRY, "threads": 1, **wishes})


def job(image: Any, **wishes: Any) -> Job:
    return Job(image, **{"registry": REGISTRY, "threads": 1, **wishes})


@pytest.mark.parametrize(
    ("image", "wishes", "method"),
    [
        (picture(), {"psf": PSF}, "richardson-lucy"),
        ((255 * picture()).astype(np.uint8), {"psf": PSF}, "hyper-laplacian"),
        ((255 * picture()).astype(np.uint8), {"psf": PSF, "pixel_size": 0.1}, "richardson-lucy"),
        ((4095 * picture()).astype(np.uint16), {"psf": PSF}, "richardson-lucy"),
        (picture(), {}, "practical-bid"),
        (picture(), {"kernel_size": 5}, "selfdeblur"),
        (picture(), {"kernel_size": "auto"}, "practical-bid"),
    ],
)
def test_the_method_follows_from_psf_kernel_size_and_kind_of_image(image: Any, wishes: Any, method: str) -> None:
    chosen = job(image, **wishes)
    assert chosen.method == method
    assert any(method in text for text in chosen.assumptions)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", ">u2"])
def test_output_has_the_input_s_shape_and_units_as_float32(dtype: str) -> None:
    y = (100 * picture((2, 20, 18))).astype(dtype)
    result = deblur(y, axes="CYX", pixel_size=0.5)
    assert result.image.shape == y.shape
    assert result.image.dtype == np.float32
    assert abs(float(result.image.mean()) / float(y.mean()) - 1) < 0.3
    assert result.as_image().pixel_size == {"Y": 0.5, "X": 0.5}
    assert result.kernel.shape == (2, 5, 5)
    np.testing.assert_allclose(result.kernel.sum(axis=(1, 2)), 1, rtol=1e-5)


def test_colour_shares_one_kernel() -> None:
    result = deblur((255 * picture((20, 18, 3))).astype(np.uint8), axes="YXS")
    assert result.image.shape == (20, 18, 3)
    assert result.kernel.shape == (5, 5)


def test_planes_do_not_depend_on_each_other() -> None:
    y = picture((3, 20, 18))
    whole, alone = deblur(y, axes="TYX"), deblur(y[0], axes="YX")
    np.testing.assert_array_equal(whole.image[0], alone.image)
    seeds = [row["seed"] for row in whole.report["planes"]]
    assert len(set(seeds)) == 3


def test_a_volume_has_one_kernel_of_three_dimensions() -> None:
    psf = np.ones((3, 3, 3), np.float32)
    result = deblur(picture((6, 12, 10)), axes="ZYX", psf=psf)
    assert result.report["planes_mode"] == "volume"
    assert result.kernel.shape == (3, 3, 3)
    assert deblur(picture((6, 12, 10)), axes="ZYX", planes="volume", kernel_size=3).kernel.shape == (3, 3, 3)


def test_one_psf_for_each_channel() -> None:
    psf = np.stack([PSF, np.ones((3, 3), np.float32) / 9])
    result = deblur(picture((2, 20, 18)), axes="CYX", psf=psf)
    np.testing.assert_allclose(result.kernel, psf, rtol=1e-6)
    with pytest.raises(ImageError, match="2 PSFs for an image with C=3"):
        job(picture((3, 20, 18)), axes="CYX", psf=psf)


@pytest.mark.parametrize("axis", ["C", "T"])
def test_psfs_along_an_axis_are_taken_along_it(axis: str) -> None:
    """Also where channels and time points are as many."""
    wide, narrow = np.full((3, 3), 1 / 9), np.zeros((3, 3))
    narrow[1, 1] = 1
    psf = Image(np.stack([wide, narrow]).astype(np.float32), f"{axis}YX")
    one = job(picture((2, 2, 20, 18)), axes="TCYX", psf=psf, pipeline=KNOWN)
    assert one.psf is not None
    for task in one.tasks:
        expected = (wide, narrow)[task.index[axis]]
        np.testing.assert_allclose(psf_for(one.psf, task, one.image)[0], expected, atol=1e-6)


@pytest.mark.parametrize("axes", ["TCYX", "CTYX"])
def test_psfs_along_two_axes_are_those_of_their_places(axes: str, tmp_path: Path) -> None:
    """Also of a part of the image, and as the kernels of a run came out of it."""
    sizes = {"T": 2, "C": 3, "Y": 20, "X": 18}
    psfs = np.random.default_rng(0).random((*(sizes[axis] for axis in axes[:2]), 3, 3)).astype(np.float32)
    psfs /= psfs.sum(axis=(2, 3), keepdims=True)
    stack = Image(picture((2, 3, 20, 18)), "TCYX")
    for image in (stack, stack.cut({"C": (1, 3)})):
        one = job(image, psf=Image(psfs, axes), pipeline=KNOWN)
        assert one.psf is not None
        for task in one.tasks:
            at = {**task.index, "C": task.index["C"] + (3 - image.sizes["C"])}
            expected = psfs[at[axes[0]], at[axes[1]]]
            np.testing.assert_allclose(psf_for(one.psf, task, one.image)[0], expected, atol=1e-6)
    result = deblur(stack, psf=Image(psfs, axes), pipeline=KNOWN)
    assert result.kernel_axes == "TCYX"
    result.save(tmp_path / "a.tif", kernel=tmp_path / "k.npz")
    again = deblur(stack, psf=tmp_path / "k.npz", pipeline=KNOWN)
    np.testing.assert_array_equal(again.image, result.image)
    one_time = deblur(
        stack.cut({"T": (0, 1)}), psf=Image(psfs[:1] if axes[0] == "T" else psfs[:, :1], axes), pipeline=KNOWN
    )
    assert one_time.kernel_axes == "CYX"
    with pytest.raises(ImageError, match=r"=2 x .=3 PSFs for an image|=3 x .=2 PSFs for an image"):
        job(picture((2, 2, 20, 18)), axes="TCYX", psf=Image(psfs, axes), pipeline=KNOWN)


def test_psfs_along_an_axis_that_does_not_fit_are_taken_along_no_other() -> None:
    psfs = np.stack([np.full((3, 3), 1 / 9), PSF]).astype(np.float32)
    with pytest.raises(ImageError, match="2 PSFs for an image with T=2, C=1"):
        job(picture((2, 1, 20, 18)), axes="TCYX", psf=Image(psfs, "CYX"), pipeline=KNOWN)
    over_time = job(picture((2, 20, 18)), axes="TYX", psf=Image(psfs, "CYX"), pipeline=KNOWN)
    for _ in over_time.events():
        pass
    assert over_time.result.kernel_axes == "TYX"


def test_kernels_lie_along_the_axis_of_their_psfs_and_another_axis_is_another_run() -> None:
    """Also where channels and time points are as many."""
    psfs = np.stack([np.full((3, 3), 1 / 9), PSF]).astype(np.float32)
    runs = {axis: job(picture((2, 2, 20, 18)), axes="TCYX", psf=Image(psfs, f"{axis}YX")) for axis in "CT"}
    assert runs["C"].fingerprint != runs["T"].fingerprint
    for axis, one in runs.items():
        for _ in one.events():
            pass
        assert one.result.kernel_axes == f"{axis}YX"
        np.testing.assert_allclose(one.result.kernel, psfs, atol=1e-6)


def test_saying_what_is_white_is_another_run() -> None:
    """The same number scales a PNG where the user said it, and does not where the file did."""
    known = Image((4095 * picture()).astype(np.uint16), "YX", bit_depth=12)
    assert job(known).fingerprint != job(known, white_level=4095.0).fingerprint


def test_more_than_double_precision_is_refused() -> None:
    if np.dtype(np.longdouble).itemsize > 8:
        with pytest.raises(ImageError, match="more than double precision"):
            job(picture().astype(np.longdouble))


def test_a_psf_on_another_pixel_grid_is_resampled_and_said() -> None:
    psf = Image.from_array(np.ones((9, 9), np.float32), pixel_size=0.1)
    chosen = job(picture(), psf=psf, pixel_size=0.3)
    assert chosen.psf is not None
    assert chosen.psf.kernel.shape == (1, 3, 3)
    assert any("resampled" in text for text in chosen.assumptions)


def pixels(size: float | None, unit: str | None = None) -> Image:
    """A PSF of one value, with or without a pixel size."""
    return Image.from_array(np.ones((9, 9), np.float32), pixel_size=size, unit=unit)


def test_pixel_sizes_in_different_units_are_converted() -> None:
    chosen = job(picture(), psf=pixels(100, "nm"), pixel_size=0.3)
    assert chosen.psf is not None
    assert chosen.psf.kernel.shape == (1, 3, 3)
    assert any("from a pixel size of 100 x 100 nm to 0.3 x 0.3 µm" in text for text in chosen.assumptions)
    assert not any("resampled" in text for text in job(picture(), psf=pixels(100, "nm"), pixel_size=0.1).assumptions)


@pytest.mark.parametrize(
    ("psf", "image", "said"),
    [
        (pixels(None), 0.3, "its own pixel size is not known"),
        (np.ones((9, 9)), 0.3, "its own pixel size is not known"),
        (pixels(0.1), None, "the image's pixel size is not known"),
        (pixels(1, "pixel"), 0.3, "1 x 1 pixel and the image's 0.3 x 0.3 µm cannot be compared"),
        (pixels(None), None, None),
        (pixels(0.3), 0.3, None),
    ],
)
def test_what_is_taken_for_the_pixels_of_a_psf_is_said(psf: Any, image: float | None, said: str | None) -> None:
    chosen = job(picture(), psf=psf, pixel_size=image)
    assert chosen.psf is not None
    assert chosen.psf.kernel.shape == (1, 9, 9)
    assert [text for text in chosen.assumptions if "image's pixels" in text] == (
        [f"the PSF is taken to have the image's pixels: {said}"] if said else []
    )


def test_a_prior_that_resamples_the_psf_itself_takes_it_for_nothing_else() -> None:
    measured = {"method": "wiener", "settings": {"kernel_prior": "measured-psf"}}
    own = Job(picture(), psf=PSF, pixel_size=0.3, **measured)
    assert not any("image's pixels" in text for text in own.assumptions)


def test_a_psf_is_not_resampled_twice() -> None:
    psf = Image.from_array(np.ones((9, 9), np.float32), pixel_size=0.1)
    with pytest.raises(ParameterError, match="kernel_prior=known"):
        unblur.deblur(picture(), method="wiener", settings={"kernel_prior": "measured-psf"}, psf=psf, pixel_size=0.3)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({}, "planes are independent"),
        ({"psf": PSF}, "planes are independent"),
        ({"planes": "shared-kernel", "psf": PSF}, "a PSF was given"),
        ({"axes": "ZYX", "planes": "volume"}, "planes are volume"),
    ],
)
def test_anchors_that_serve_for_nothing_are_refused(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=rf"anchors \[0, 2\], but {words}.* leave them out"):
        job(picture((3, 20, 18)), **{"axes": "TYX", "anchors": [0, 2], **wishes})


def test_a_psf_leaves_no_kernel_to_share_which_is_said() -> None:
    known = job(picture((3, 20, 18)), axes="TYX", planes="shared-kernel", psf=PSF)
    assert [task.kind for task in known.tasks] == ["plane"] * 3
    assert any("no kernel is estimated" in text for text in known.assumptions)
    blind = job(picture((3, 20, 18)), axes="TYX", planes="shared-kernel", method="two-step")
    assert not any("no kernel is estimated" in text for text in blind.assumptions)


def test_stages_at_which_nothing_is_left_of_the_image_are_left_out_and_said() -> None:
    stages = [unblur.Stage(2, scale=0.0625), unblur.Stage(2, scale=0.25, support="shrink"), unblur.Stage(3)]
    pipeline = BLIND.replace(stages=stages, then=KNOWN.replace(stages=[unblur.Stage(1, scale=0.0625)]))

    def left_out(image: np.ndarray, **wishes: Any) -> tuple[list[float], str]:
        found = job(image, pipeline=pipeline, kernel_size=5, **wishes)
        said = [text for text in found.assumptions if "left out" in text]
        return [stage.scale for stage in found.pipeline.stages], "".join(said)

    assert left_out(picture((48, 44))) == ([0.0625, 0.25, 1.0], "")
    scales, said = left_out(picture((48, 18)))
    assert scales == [0.25, 1.0]
    assert "at 0.0625 of" in said
    scales, said = left_out(picture((8, 48, 44)), axes="ZYX", planes="volume")
    assert scales == [1.0]
    assert "at 0.0625, 0.25 of" in said


@pytest.mark.parametrize(
    ("prior", "words"),
    [("known", None), ("free", "begins with the PSF"), ("gaussian", "no more than its size from the PSF")],
)
def test_what_a_psf_serves_for_is_said_where_the_kernel_is_estimated(prior: str, words: str | None) -> None:
    wishes = {"method": "selfdeblur", "settings": {"kernel_prior": prior}, "registry": default_registry()}
    found = job(picture(), psf=PSF, **wishes).assumptions
    assert [words in text for text in found if "estimated by" in text] == ([True] if words else [])
    assert not any("estimated by" in text for text in job(picture(), kernel_size=5, **wishes).assumptions)


def test_a_shared_kernel_comes_from_the_anchors_alone() -> None:
    y = picture((4, 20, 18))
    result = deblur(y, axes="TYX", planes="shared-kernel", anchors=[1], method="two-step")
    rows = result.report["planes"]
    assert [row["kind"] for row in rows] == ["kernel", "plane", "plane", "plane", "plane"]
    assert (result.kernel_axes, result.kernel.shape) == ("YX", (5, 5))
    changed = y.copy()
    changed[3] = picture((20, 18), seed=9)
    again = deblur(changed, axes="TYX", planes="shared-kernel", anchors=[1], method="two-step")
    np.testing.assert_array_equal(again.image[:3], result.image[:3])
    assert not np.array_equal(again.image[3], result.image[3])


def test_a_constant_plane_is_no_anchor() -> None:
    """A dark frame tells nothing of a kernel: neither when it is asked for, nor in the middle."""
    y = picture((5, 20, 18))
    y[[0, 2]] = 0.5
    shared = {"axes": "TYX", "planes": "shared-kernel", "method": "two-step"}
    kernel = deblur(y, anchors=[0, 3], **shared).kernel
    np.testing.assert_array_equal(kernel, deblur(y, anchors=[3], **shared).kernel)
    assert not np.array_equal(kernel, np.ones((1, 1)))
    assert deblur(y, **shared).kernel.shape == (5, 5)
    with pytest.raises(ParameterError, match="tell nothing"):
        job(y, anchors=[0, 2], **shared)


def test_several_kernels_in_every_plane_need_a_free_axis() -> None:
    series = picture((2, 2, 3, 20, 18))
    with pytest.raises(ImageError, match="--region C=0:1"):
        Job(series, axes="TCZYX", method="mcem", kernel_size=5, threads=1)
    Job(series[:, :1], axes="TCZYX", method="mcem", kernel_size=5, threads=1)
    Job(series, axes="TCZYX", method="mcem-uniform", kernel_size=5, threads=1)
    Job(series, axes="TCZYX", method="mcem", planes="shared-kernel", kernel_size=5, threads=1)


@pytest.mark.parametrize(
    ("wishes", "kernel", "plane"),
    [
        ({"method": "selfdeblur", "kernel_size": 5}, ["l0-gradient", "joint-adam", "l0-gradient"], ["hyper-laplacian"]),
        ({"method": "wiener", "settings": {"kernel_prior": "gaussian-psf"}}, ["wiener"], ["hyper-laplacian"]),
    ],
)
def test_what_corrects_the_kernel_serves_the_shared_one_too(
    wishes: dict[str, Any], kernel: list[str], plane: list[str]
) -> None:
    chosen = Job(picture((3, 20, 18)), axes="TYX", planes="shared-kernel", **wishes).pipelines
    found = {kind: [part.slots["estimator"][0].name for part in one.segments()] for kind, one in chosen.items()}
    assert found == {"kernel": kernel, "plane": plane}


def test_what_a_kernel_is_found_with_restores_the_planes_too() -> None:
    planes = {"axes": "TYX", "planes": "shared-kernel", "kernel_size": 5}
    camera = Job(picture((3, 20, 18)), method="selfdeblur", settings={"then": "none"}, gain=2.0, offset=1.0, **planes)
    assert [part.name for part in camera.pipelines["plane"].slots["forward_model"]] == ["convolution", "camera"]
    forward = ["convolution", "squared", "ssim", "gamma"]
    wishes = {"settings": {"forward_model": forward, "then": "none"}}
    gamma = Job(picture((3, 20, 18)), method="selfdeblur", **wishes, **planes)
    assert [part.name for part in gamma.pipelines["plane"].slots["forward_model"]] == ["convolution"]
    assert any("cannot have the response gamma" in text for text in gamma.assumptions)


def test_a_psf_of_many_places_holds_in_the_stages_of_a_warm_up_too() -> None:
    pipeline = default_registry().method("mcem").pipeline("paper").set({"kernel_prior": "known"})
    changed = with_psf_grid(pipeline, (3, 5), default_registry())
    grids = [changed.in_stage(one).slots["forward_model"][0].params["grid"] for one in changed.stages]
    assert grids == [(3, 5)] * 2


def test_an_error_lets_go_of_the_run_that_it_ended() -> None:
    class Held:
        pass

    def fails() -> None:
        held = Held()
        kept.append(weakref.ref(held))
        raise ValueError("no")

    kept: list[Any] = []
    try:
        fails()
    except ValueError as error:
        known = typed(error, REGISTRY)
    forget_frames(known)
    assert kept[0]() is None


def test_a_plane_that_fails_is_nan_and_listed_and_the_others_go_on() -> None:
    y = picture((3, 20, 18))
    y[1] += 10
    pipeline = BLIND.set({"estimator.fails_above": 0.9})
    # every plane is scaled to end near 1, so that only a bright and flat one has a high mean
    result = deblur(y, axes="TYX", pipeline=pipeline)
    assert np.isnan(result.image[1]).all()
    assert np.isfinite(result.image[[0, 2]]).all()
    assert [row["status"] for row in result.report["planes"]] == ["done", "failed", "done"]
    assert result.report["status"] == "failed planes"
    assert any("T=1" in text and "diverged" in text for text in result.report["warnings"])
    assert not result.complete


def test_where_every_plane_fails_there_is_no_result() -> None:
    with pytest.raises(PluginError, match="KeyError"):
        deblur(picture(), pipeline=BLIND.set({"estimator.breaks": True}))


def test_a_constant_plane_comes_back_unchanged_and_flagged() -> None:
    y = picture((2, 20, 18))
    y[0] = 0.25
    result = deblur(y, axes="ZYX")
    assert (result.image[0] == 0.25).all()
    assert [row["status"] for row in result.report["planes"]] == ["constant", "done"]
    alone = deblur(np.full((20, 18), 7, np.uint8))
    assert (alone.image == 7).all()


def test_nan_pixels_are_refused_or_take_no_part() -> None:
    y = picture()
    y[3, 4] = np.nan
    with pytest.raises(ImageError, match="mask"):
        job(y)
    assert np.isfinite(deblur(y, nan="mask").image).all()


def test_same_seed_same_bits_and_another_seed_others() -> None:
    first, second, third = (deblur(picture(), seed=seed).image for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_a_budget_becomes_a_plan_and_the_plan_repeats_the_bits() -> None:
    y = picture((2, 20, 18))
    pipeline = BLIND.replace(stages=[unblur.Stage(steps=100_000)])
    budgeted = deblur(y, axes="TYX", pipeline=pipeline, max_seconds=2.0)
    steps = [row["steps"] for row in budgeted.report["plan"]]
    assert 0 < steps[0][0] < 100_000
    assert steps[0] == steps[1]
    paid = any("of 100000 steps" in text for text in budgeted.report["warnings"])
    assert paid == any(sum(row["executed"]) < 20_000 for row in budgeted.report["plan"])
    again = deblur(y, axes="TYX", pipeline=pipeline, max_seconds=2.0, plan=budgeted.report["plan"])
    np.testing.assert_array_equal(again.image, budgeted.image)


def test_a_budget_for_next_to_no_steps_is_refused_before_the_run() -> None:
    pipeline = BLIND.replace(stages=[unblur.Stage(steps=100_000)])
    with pytest.raises(
        ParameterError, match=r"the budget of 0\.001 seconds (was over before|does not pay for a single step)"
    ):
        deblur(picture(), pipeline=pipeline, max_seconds=0.001)


def test_the_estimate_counts_every_plane() -> None:
    one, three = job(picture()).estimate(), job(picture((3, 20, 18)), axes="TYX").estimate()
    assert one.steps == three.steps == {"plane": (12,)}
    assert one.memory > 0
    assert three.seconds > 0


def test_uncertainty_has_the_shape_of_the_image_or_is_none() -> None:
    assert deblur(picture()).uncertainty is None
    result = deblur(255 * picture((20, 18)), settings={"estimator.spread": True})
    assert result.uncertainty is not None
    assert result.uncertainty.shape == (20, 18)
    assert result.uncertainty.mean() > 1


def test_a_delta_kernel_is_said_to_be_no_blur() -> None:
    delta = BLIND.set({"forward_model.kernel_size": [1, 1]})
    report = deblur(picture(), pipeline=delta).report
    assert report["planes"][0]["kernel"]["delta_like"] is True
    assert any("no blur was found" in text for text in report["warnings"])
    assert deblur(picture()).report["planes"][0]["kernel"]["delta_like"] is False


def interrupted(tmp_path: Path, y: np.ndarray, after: int, **wishes: Any) -> Path:
    """The checkpoint of a job whose process died after some events."""
    checkpoint = tmp_path / "out.checkpoint"
    events = job(y, checkpoint=checkpoint, checkpoint_seconds=0.0, **wishes).events()
    for _ in range(after):
        next(events)
    events.close()
    return checkpoint


@pytest.mark.parametrize("after", [1, 7, 12, 13, 30])
def test_an_interrupted_stack_resumes_with_the_same_bits(tmp_path: Path, after: int) -> None:
    y = picture((3, 20, 18))
    checkpoint = interrupted(tmp_path, y, after, axes="TYX", method="two-step")
    resumed = job(y, axes="TYX", method="two-step", checkpoint=checkpoint)
    events = list(resumed.events(resume=True))
    np.testing.assert_array_equal(resumed.result.image, deblur(y, axes="TYX", method="two-step").image)
    assert len(events) == 66 - after + 1
    resumed.forget_checkpoint()
    assert not checkpoint.exists()


def test_a_checkpoint_of_other_settings_is_refused_unless_forced(tmp_path: Path) -> None:
    checkpoint = interrupted(tmp_path, picture(), 5)
    with pytest.raises(CheckpointError, match="--force"):
        deblur(picture(), seed=3, checkpoint=checkpoint, resume=True)
    forced = deblur(picture(), seed=3, checkpoint=checkpoint, resume=True, force=True)
    assert forced.report["resumed"]
    assert any("resumed by force" in text for text in forced.report["warnings"])
    assert forced.report["resumed_from"] == job(picture(), checkpoint=checkpoint).fingerprint
    assert not same_run(forced.report, forced.report["fingerprint"])


def test_a_checkpoint_that_another_job_went_on_from_stays_mixed(tmp_path: Path) -> None:
    checkpoint = interrupted(tmp_path, picture(), 5)
    other = job(picture(), seed=3, checkpoint=checkpoint, force=True)
    events = other.events(resume=True)
    next(events)
    events.close()
    again = deblur(picture(), checkpoint=checkpoint, resume=True)
    assert again.report["resumed_from"] == again.report["fingerprint"]
    assert not same_run(again.report, again.report["fingerprint"])


def test_what_does_not_fit_even_by_force_is_a_checkpoint_error(tmp_path: Path) -> None:
    checkpoint = interrupted(tmp_path, picture(), 5)
    with pytest.raises(CheckpointError):
        deblur(picture((30, 30)), checkpoint=checkpoint, resume=True, force=True)


def test_a_folder_that_is_no_checkpoint_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        deblur(picture(), checkpoint=tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_cancel_keeps_the_result_so_far_and_can_be_resumed(tmp_path: Path) -> None:
    y, token = picture((2, 20, 18)), CancelToken()
    checkpoint = tmp_path / "c"
    result = deblur(
        y,
        axes="TYX",
        checkpoint=checkpoint,
        cancel=token,
        progress=lambda event: token.cancel("cancelled") if event.event.step == 4 else None,
    )
    rows = result.report["planes"]
    assert [row["status"] for row in rows] == ["cancelled", "not run"]
    assert rows[0]["executed"] == [4]
    assert np.isfinite(result.image[0]).all()
    assert np.isnan(result.image[1]).all()
    resumed = deblur(y, axes="TYX", checkpoint=checkpoint, resume=True)
    np.testing.assert_array_equal(resumed.image, deblur(y, axes="TYX").image)


def test_the_report_holds_what_a_run_can_be_repeated_from(tmp_path: Path) -> None:
    y = picture()
    result = deblur(y, method="two-step", settings={"estimator.rate": 0.01}, seed=5)
    result.save(tmp_path / "out.tif", kernel=tmp_path / "kernel.tif")
    report = json.loads((tmp_path / "out.tif.json").read_text())
    again = deblur(y, pipeline=unblur.Pipeline.from_dict(report["pipeline"]), seed=report["seed"])
    np.testing.assert_array_equal(again.image, result.image)
    assert report["plugins"] == [{"plugin": "small", "distribution": "tests", "version": "1"}]
    for key in ("input", "environment", "parameters", "fingerprint", "plan", "planes", "assumptions", "warnings"):
        assert report[key] is not None


def test_a_saved_kernel_is_the_psf_that_was_saved(tmp_path: Path) -> None:
    result = deblur(picture())
    result.save(tmp_path / "out.tif", kernel=tmp_path / "kernel.tif")
    known = job(picture(), pipeline=KNOWN, psf=tmp_path / "kernel.tif")
    assert known.psf is not None
    np.testing.assert_array_equal(known.psf.kernel[0], result.kernel)


def test_one_fingerprint_for_the_same_job_and_another_for_any_change() -> None:
    base = job(picture()).fingerprint
    assert job(picture()).fingerprint == base
    others = [{"seed": 1}, {"kernel_size": 3}, {"settings": {"estimator.rate": 0.5}}, {"white_level": 1.0}]
    assert len({job(picture(), **other).fingerprint for other in others} | {base}) == 5


@pytest.mark.parametrize(
    ("wishes", "error", "words"),
    [
        ({"method": "nothing"}, UnknownNameError, "practical-bid"),
        ({"method": "richardson-lucy"}, CompositionError, "needs a PSF"),
        ({"method": "selfdeblur", "pipeline": BLIND}, ParameterError, "one of the two"),
        ({"preset": "best"}, ParameterError, "balanced"),
        ({"kernel_size": 0}, ParameterError, "kernel size"),
        ({"kernel_size": (3, 3, 3)}, ParameterError, "2 spatial axes"),
        ({"kernel_size": 5, "psf": PSF}, ParameterError, "one of the two"),
        ({"max_seconds": -1}, ParameterError, "positive"),
        ({"seed": -1}, ParameterError, "seed"),
        ({"settings": {"estimator.speed": 2}}, ParameterError, "no such parameter"),
        ({"planes": "all"}, ParameterError, "shared-kernel"),
        ({"planes": "volume"}, ImageError, "Z axis"),
        ({"axes": "XYZ"}, ImageError, "axes"),
        ({"psf": np.zeros((3, 3))}, ImageError, "light"),
        ({"psf": np.ones((3, 3, 3))}, ImageError, "axes"),
        ({"offset": 100.0}, UnknownNameError, "camera"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_before_any_work(wishes: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        job(picture(), **wishes)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("plan", [[1, 2], [{"steps": [3]}, {"steps": [3]}], "fast", [{"pace": 3}]])
def test_a_plan_that_does_not_fit_is_refused(plan: Any) -> None:
    with pytest.raises(ParameterError, match="plan"):
        deblur(picture(), plan=plan)


def test_a_plan_for_the_kernel_alone_is_refused_before_the_kernel_is_estimated() -> None:
    """The planes that are restored with it have other stages."""
    pipeline = BLIND.replace(stages=[unblur.Stage(steps=6), unblur.Stage(steps=6)], then=KNOWN)
    shared = job(picture((3, 20, 18)), axes="TYX", planes="shared-kernel", pipeline=pipeline, plan=[6, 6])
    with pytest.raises(ParameterError, match="a plan of 2 numbers: what makes a plane has 1 stages"):
        next(shared.events())


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ParameterError, match="device"):
        deblur(picture(), device="abacus")


def test_a_setting_holds_in_all_stages_but_the_grid_of_a_warm_up() -> None:
    wishes: dict[str, Any] = {"kernel_size": 5, "threads": 1, "settings": {"image_prior.noise": 0.05}}
    found = Job(picture(), method="mc-mapk", preset="fast", **wishes)
    _, own, *_ = found.pipeline.segments()
    assert [own.in_stage(one).slots["image_prior"][0].params["noise"] for one in own.stages] == [0.05] * 2
    assert any("image_prior.noise holds in all stages" in text for text in found.assumptions)
    warm = Job(picture(), method="mcem", preset="paper", kernel_size=5, settings={"forward_model.grid": (2, 3)})
    grids = [warm.pipeline.in_stage(one).slots["forward_model"][0].params["grid"] for one in warm.pipeline.stages]
    assert grids == [(1,), (2, 3)]
    assert not any("holds in all stages" in text for text in warm.assumptions)


def test_a_slot_that_is_filled_anew_loses_what_stages_set_in_its_parts() -> None:
    staged = BLIND.replace(
        stages=[unblur.Stage(steps=2, set={"forward_model.squares.weight": 2.0}), unblur.Stage(steps=2)]
    )
    kept = job(picture(), pipeline=staged, settings={"forward_model": ["blur", "squares"]})
    assert kept.pipeline.stages[0].set == {"forward_model.squares.weight": 2.0}
    changed = job(picture(), pipeline=staged, settings={"forward_model": ["blur", "squares2"]})
    assert changed.pipeline.stages[0].set == {}
    assert any("forward_model.squares.weight" in text for text in changed.assumptions)


def test_what_stages_set_holds_for_a_new_part_that_takes_it() -> None:
    """The kernel's rate of the stages keeps the kernel that edges found, whatever estimator moves it."""

    def sets(settings: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
        made = Job(picture((64, 64)), method="selfdeblur", kernel_size=5, settings=settings)
        return [dict(stage.set) for part in made.pipeline.segments() for stage in part.stages], list(made.assumptions)

    plain, (mixed, said) = sets({})[0], sets({"estimator": "mcem"})
    assert mixed == plain
    assert "estimator.kernel_rate, which stages set, holds for the new part as well" in said
    pixels, said = sets({"image_prior": "pixels"})
    assert any("image_prior.noise" in each for each in plain)
    assert not any("image_prior.noise" in each for each in pixels)
    assert any("image_prior.noise was set in a stage and is dropped" in text for text in said)


@pytest.mark.parametrize("misfit", ["squared", "ssim"])
def test_weights_of_misfits_that_complement_each_other_are_dropped_together(misfit: str) -> None:
    """Squares make the image of the coarse stage and the similarity its kernel: alone, each counts from its start."""
    found = Job(picture((64, 64)), method="mc-mapk", kernel_size=5, settings={"forward_model": ["convolution", misfit]})
    _, own, *_ = found.pipeline.segments()
    assert not [address for stage in own.stages for address in stage.set if address.startswith("forward_model")]
    assert any("forward_model" in text and "it complements what was replaced" in text for text in found.assumptions)


def test_a_stage_in_which_the_observation_counts_for_nothing_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"'squared' and 'ssim': no weight but 0 from 0% of stage 1 on"):
        Job(picture((64, 64)), method="mc-mapk", kernel_size=5, settings={"forward_model.squared.weight": 0.0})
    both = {"forward_model.squared.weight": 0.0, "forward_model.ssim.weight": 1.0}
    Job(picture((64, 64)), method="mc-mapk", kernel_size=5, settings=both)


def test_white_far_above_a_dark_image_does_not_bound_it() -> None:
    """Next to black, a network that reckons with white could hardly tell its values."""
    dark = unblur.Image((picture((48, 48)) * 800).astype(np.uint16), "YX", bit_depth=16)
    known: dict[str, Any] = {"psf": np.full((1, 3), 1 / 3, np.float32), "threads": 1}
    network: dict[str, Any] = {**known, "method": "sa-dropout", "preset": "fast", "settings": {"stages.0.steps": 4}}
    made = Job(dark, **network)
    assert (made.white_level, made.bound) == (65535.0, None)
    assert any("of white: intensities count from the image's own" in text for text in made.assumptions)
    restored = unblur.deblur(dark, **network).image
    np.testing.assert_allclose(restored.mean(), dark.data.mean(), rtol=0.05)
    assert restored.min() < 0.005 * 65535, "which a sigmoid's network would hardly get below"
    bright = unblur.Image(dark.data * 60, "YX", bit_depth=16)
    assert Job(bright, **network).bound == 65535.0
    gamma = {"forward_model": ["convolution", "squared", "gamma"]}
    assert Job(dark, method="dip", settings=gamma, **known).bound == 65535.0, "which says what white is"


@pytest.mark.parametrize(("shape", "size"), [((6, 24, 26), (3, 5, 5)), ((14, 60), (5, 5))])
@pytest.mark.parametrize("method", ["selfdeblur", "mc-mapk"])
def test_quick_presets_end_on_thin_stacks_and_narrow_images(
    method: str, shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    pixels = np.random.default_rng(0).uniform(0.3, 0.6, shape).astype(np.float32)
    axes = "ZYX"[-len(shape) :]
    wishes: dict[str, Any] = {"axes": axes, "planes": "volume" if axes == "ZYX" else "auto", "threads": 1}
    planned = Job(pixels, method=method, preset="fast", kernel_size=size, white_level=1.0, **wishes).pipeline
    quick = planned.with_steps([1 for segment in planned.segments() for _ in segment.stages])
    result = unblur.deblur(pixels, pipeline=quick, white_level=1.0, **wishes)
    assert result.report["status"] == "done"
    assert np.isfinite(result.image).all()


def test_a_flat_psf_is_none_for_a_volume() -> None:
    with pytest.raises(ImageError, match="a 2-D PSF, but planes are volume"):
        Job(picture((9, 20, 18)), axes="ZYX", planes="volume", method="wiener", psf=np.full((3, 3), 1 / 9))


def test_a_first_plane_that_cannot_be_used_leaves_the_others() -> None:
    """A budget is planned by the first plane that can be."""
    stack = picture((3, 20, 24), seed=1) + 0.5
    stack[0] = np.nan
    stack[0, :3, :3] = picture((3, 3))
    settings = {"stages.0.steps": 2}
    wishes: dict[str, Any] = {"method": "l0-gradient", "preset": "fast", "kernel_size": 5, "nan": "mask", "threads": 1}
    result = unblur.deblur(stack, axes="TYX", max_seconds=60, settings=settings, **wishes)
    assert np.isfinite(result.image[1:]).all()


@pytest.mark.parametrize("size", [np.int64(5), np.array([5, 5]), (np.int32(5), 5), [5, 5], 5])
def test_numbers_of_numpy_are_numbers(size: Any) -> None:
    found = Job(picture((3, 30, 28)), axes="TYX", method="l0-gradient", kernel_size=size, white_level=1.0)
    assert found.pipeline.slots["forward_model"][0].params["kernel_size"] == (5, 5)
    shared: dict[str, Any] = {"axes": "TYX", "method": "l0-gradient", "planes": "shared-kernel", "kernel_size": size}
    for anchors in (np.array([0, 2]), [0, 2], (0, np.int8(2))):
        assert len(Job(picture((3, 30, 28)), anchors=anchors, **shared).tasks[0].frames) == 2
    sizes = Job(picture((30, 28)), method="l0-gradient", pixel_size=np.array([0.1, 0.2])).image.pixel_size
    assert sizes == {"Y": 0.1, "X": 0.2}


@pytest.mark.parametrize("size", [9.0, "9", True, np.array([[5, 5]]), (), 0, -3])
def test_what_is_no_kernel_size_is_refused(size: Any) -> None:
    with pytest.raises(ParameterError, match=r"kernel size .* expected a whole number"):
        Job(picture((30, 28)), method="l0-gradient", kernel_size=size)


@pytest.mark.parametrize("anchors", [9.0, "0", True, (), -3, [1.0]])
def test_what_are_no_anchors_is_refused(anchors: Any) -> None:
    with pytest.raises(ParameterError, match="anchors"):
        Job(picture((3, 30, 28)), axes="TYX", method="l0-gradient", planes="shared-kernel", anchors=anchors)


def test_parts_of_other_dimensions_are_refused_before_any_work() -> None:
    registry = default_registry()
    edges = registry.method("l0-gradient").pipeline("fast")
    turned = registry.method("mcem").pipeline("fast")
    with pytest.raises(CompositionError, match=r"'camera-shake' works in 2-D; the image has 3"):
        Job(picture((9, 20, 18)), axes="ZYX", planes="volume", pipeline=edges.replace(then=turned))


def test_an_error_names_the_component_that_it_came_from() -> None:
    with pytest.raises(
        PluginError, match=r"estimator 'small-adam' \(plugin 'small', .*\) failed while running: KeyError"
    ):
        deblur(picture(), pipeline=BLIND.set({"estimator.breaks": True}))


def test_a_plugin_that_leaves_the_process_ends_its_plane_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    step = small.Adam.step

    def leaving(self: Any, problem: Any, state: Any, batch: Any, clock: Any) -> Any:
        if float(batch.observed.mean()) > 0.9:
            raise SystemExit("licence expired")
        return step(self, problem, state, batch, clock)

    monkeypatch.setattr(small.Adam, "step", leaving)
    y = picture((3, 20, 18))
    y[1] += 10
    result = deblur(y, axes="TYX", pipeline=BLIND)
    assert np.isnan(result.image[1]).all()
    assert np.isfinite(result.image[[0, 2]]).all()
    assert any("SystemExit: licence expired" in text for text in result.report["warnings"])


def test_what_is_said_of_a_result_cannot_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small.Blur, "findings", lambda *_: None, raising=False)
    result = deblur(picture(), pipeline=BLIND)
    assert np.isfinite(result.image).all()
    assert any("what the forward model says of the result is missing" in text for text in result.report["warnings"])


@pytest.mark.parametrize("wrong", [float("nan"), -1.0])
def test_a_standard_deviation_that_is_none_is_left_out(wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = small.Adam.estimate

    def spoilt(self: Any, *given: Any) -> Any:
        estimate = plain(self, *given)
        estimate.spread = torch.full_like(estimate.image, wrong)
        return estimate

    monkeypatch.setattr(small.Adam, "estimate", spoilt)
    result = deblur(picture(), pipeline=BLIND)
    assert result.uncertainty is None
    assert np.isfinite(result.image).all()


def test_a_kernel_that_is_handed_over_is_not_passed_over() -> None:
    """A model of a PSF is fixed as well, but it is its own."""
    model = unblur.Pipeline("convolution", "pixels", "gaussian-psf", "hyper-laplacian", stages=[unblur.Stage(steps=1)])
    blind = default_registry().method("l0-gradient").pipeline("fast")
    with pytest.raises(CompositionError, match=r"'gaussian-psf' .* does not take the kernel that is handed over"):
        blind.replace(then=model).check()
    model.check()


def test_numbers_of_numpy_are_wishes_too() -> None:
    given = {"seed": np.int64(3), "max_seconds": np.float32(60), "crop": np.int32(16)}
    one = job(picture(), pipeline=BLIND, **given)
    assert one.seed == 3
    assert one.budget == 60


@pytest.mark.parametrize("settings", [{1: 1}, ["estimator.rate"], "estimator.rate=1"])
def test_settings_that_are_none(settings: Any) -> None:
    with pytest.raises(ParameterError, match="expected addresses"):
        job(picture(), pipeline=BLIND, settings=settings)


def test_a_plan_of_no_step_is_refused() -> None:
    with pytest.raises(ParameterError, match="plan"):
        deblur(picture(), pipeline=BLIND, plan=[{"steps": [1], "executed": [0]}])


def test_float64_that_float32_cannot_tell_apart_is_said() -> None:
    pixels = 1e9 + 50 * np.random.default_rng(0).random((20, 18))
    one = job(pixels, pipeline=BLIND)
    assert any("rounded to steps of 64" in text for text in one.findings.notes)
    assert not any("rounded" in text for text in job(pixels - 1e9, pipeline=BLIND).findings.notes)


def test_what_outputs_take_over_is_part_of_the_run() -> None:
    pixels = picture()
    one, other = (Image(pixels, "YX", alpha=np.full(pixels.shape, alpha)) for alpha in (0.5, 1.0))
    assert job(one, pipeline=BLIND).fingerprint != job(other, pipeline=BLIND).fingerprint
    assert job(one, pipeline=BLIND).input_hash == job(other, pipeline=BLIND).input_hash


@pytest.mark.parametrize(
    ("owner", "method", "faulty", "said"),
    [
        (
            small.Pixels,
            "draw",
            lambda draw: draw.latent,
            "image_prior 'pixels' (plugin 'small', tests): draw gave Tensor",
        ),
        (
            small.Softmax,
            "kernel",
            lambda kernel: kernel[..., 1:],
            "kernel_prior 'softmax' (plugin 'small', tests) gave kernels",
        ),
        (
            small.Blur,
            "predict",
            lambda seen: seen[..., :1],
            "forward_model 'blur' (plugin 'small', tests) gave a prediction",
        ),
        (
            small.Blur,
            "predict",
            lambda seen: None,
            "forward_model 'blur' (plugin 'small', tests) gave a prediction of NoneType",
        ),
        (
            small.Squared,
            "__call__",
            lambda value: value.item(),
            "forward_model 'squares' (plugin 'small', tests) gave a value of float; expected a scalar tensor",
        ),
        (
            small.Squared,
            "__call__",
            lambda value: value[None],
            "forward_model 'squares' (plugin 'small', tests) gave a value of (1,); expected a scalar tensor",
        ),
        (
            small.Pixels,
            "draw",
            lambda draw: dataclasses.replace(draw, weight=torch.ones_like(draw.latent)),
            "image_prior 'pixels' (plugin 'small', tests) gave a weight of (1, 1, 24, 22); expected (1, 1, 20, 18)",
        ),
    ],
)
def test_what_a_part_gives_in_another_shape_is_its_fault(
    owner: type, method: str, faulty: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(owner, method)
    monkeypatch.setattr(owner, method, lambda *given: faulty(right(*given)))
    with pytest.raises(PluginError, match=re.escape(said)):
        deblur(picture(), pipeline=BLIND)


@pytest.mark.parametrize("name", ["squares", "squares2"])
def test_of_two_parts_of_one_class_the_right_one_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any, *_: Any) -> None:
        raise KeyError("no")

    monkeypatch.setattr(small.Squared, "__call__", fails)
    with pytest.raises(
        PluginError, match=f"forward_model {name!r} .plugin 'small', tests. failed while running: KeyError"
    ):
        deblur(picture(), pipeline=BLIND.replace(forward_model=["blur", name]))


def test_a_kernel_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    right = small.Softmax.kernel
    monkeypatch.setattr(small.Softmax, "kernel", lambda *given: 2 * right(*given) - 0.01)
    result = deblur(picture(), pipeline=BLIND)
    assert any("the kernel is none: its weights sum to" in text for text in result.report["planes"][0]["warnings"])


def test_what_a_misfit_learns_on_the_way_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scale that follows the residuals: a run that is broken off goes on with it."""
    right = small.Squared.__call__

    def scaled(self: Any, predicted: torch.Tensor, observed: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        value = right(self, predicted, observed, weight)
        self.scale = 0.5 * getattr(self, "scale", 1.0) + 0.5 * float(value.detach())
        return value / (0.1 + self.scale)

    def load(self: Any, state: dict[str, Any]) -> None:
        self.scale = state.get("scale", 1.0)

    monkeypatch.setattr(small.Squared, "__call__", scaled)
    monkeypatch.setattr(small.Squared, "state_dict", lambda self: {"scale": getattr(self, "scale", 1.0)})
    monkeypatch.setattr(small.Squared, "load_state_dict", load)
    whole = deblur(picture(), pipeline=BLIND)
    events = job(picture(), pipeline=BLIND, checkpoint=tmp_path / "c", checkpoint_seconds=0.0).events()
    for _ in range(7):
        next(events)
    events.close()
    resumed = job(picture(), pipeline=BLIND, checkpoint=tmp_path / "c")
    for _ in resumed.events(resume=True):
        pass
    np.testing.assert_array_equal(resumed.result.image, whole.image)


def test_an_empty_slot_is_said() -> None:
    with pytest.raises(CompositionError, match="forward_model is empty"):
        unblur.Pipeline([], "pixels", "known", "small-adam").check(REGISTRY)
    with pytest.raises(ParameterError, match="100 is no Stage"):
        unblur.Pipeline("blur", "pixels", "known", "small-adam", stages=[100])  # type: ignore[list-item]


def test_a_stage_with_another_network_begins_anew_and_says_so() -> None:
    stages = [unblur.Stage(2, set={"image_prior.channels": (8,)}), unblur.Stage(2)]
    given = unblur.Pipeline(["convolution", "squared"], ("encoder-decoder", {"channels": (16,)}), "free", "joint-adam")
    result = unblur.deblur(picture(), pipeline=given.replace(stages=stages), kernel_size=3, threads=1)
    assert any("begins anew" in note for note in result.report["planes"][0]["notes"])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_measured_psf_on_a_finer_grid_keeps_its_width_at_every_resolution(scale: float) -> None:
    places = np.arange(61) - 30
    fine = np.exp(-0.5 * (places / 8) ** 2)
    psf = np.outer(fine, fine).astype(np.float32)
    given = {"kernel_prior": "measured-psf", "kernel_prior.pixel_size": (0.025,)}
    given |= {"forward_model.kernel_size": (21, 21), "stages.0.scale": scale}
    image = Image.from_array(np.random.default_rng(0).random((64, 64), dtype=np.float32), pixel_size=0.1)
    pipeline = default_registry().method("wiener").pipeline().set(given)
    one = Job(image, pipeline=pipeline.replace(stages=[*pipeline.stages, unblur.Stage(1)]), psf=psf, threads=1)
    events = one.events()
    event = next(event for event in events if event.event.stage == 0)
    kernel = event.event.preview().kernel[0].numpy()
    events.close()
    along = np.arange(kernel.shape[1]) - kernel.shape[1] // 2
    assert np.sqrt((kernel.sum(0) * along**2).sum()) == pytest.approx(2, rel=0.05)  # as it is at full resolution


def test_a_penalty_may_look_at_the_pixels_size_before_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from unblur_classical.penalties import TotalVariation

    seen: list[Any] = []
    monkeypatch.setattr(TotalVariation, "init", lambda self, context: seen.append(context.pixel_size))
    given = unblur.Pipeline(
        ["convolution", "squared"], ["pixels", "tv"], "free", "joint-adam", stages=[unblur.Stage(1)]
    )
    unblur.deblur(picture(), pipeline=given, kernel_size=3, pixel_size=0.3, threads=1)
    assert seen[-1] == (0.3, 0.3)


def test_a_psf_beside_a_model_of_one_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"'disc-psf' makes the PSF from numbers.*kernel_prior=known"):
        unblur.deblur(picture(), threads=1, method="richardson-lucy", psf=PSF, settings={"kernel_prior": "disc-psf"})


def test_a_result_does_not_replace_the_file_that_it_was_made_from(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    unblur.io.write(path, Image.from_array(picture()))
    before = path.read_bytes()
    result = deblur(unblur.io.read(path), method="two-step")
    for output, kernel in ((path, None), (tmp_path / "out.tif", path)):
        with pytest.raises(FileError, match="is an input of this run"):
            result.save(output, kernel=kernel)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_plane_without_a_known_pixel_is_unknown_and_not_constant() -> None:
    stack = picture((3, 20, 18))
    stack[1] = np.nan
    result = deblur(stack, axes="TYX", method="two-step", nan="mask")
    assert [row["status"] for row in result.report["planes"]] == ["done", "unknown", "done"]
    assert np.isnan(result.image[1]).all()


def test_linear_filters_keep_the_sum_of_what_lies_on_darkness() -> None:
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(0)
    stars = np.zeros((96, 96))
    stars[tuple(random.integers(10, 86, (2, 30)))] = random.uniform(200, 3000, 30)
    psf = np.zeros((15, 15))
    psf[7, 7] = 1
    psf = gaussian_filter(psf, 2)
    observed = (gaussian_filter(stars, 2.2) + random.normal(0, 0.5, stars.shape)).astype(np.float32)
    for method in ("wiener", "unsupervised-wiener"):
        result = unblur.deblur(observed, psf=psf, method=method, threads=1)
        assert result.image.sum() == pytest.approx(observed.sum(), rel=0.02)
        assert result.image.min() < observed.min()
