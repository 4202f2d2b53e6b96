"""A job: one image, split into planes, each a run of the driver; what command line, Python and napari share."""

from __future__ import annotations

import functools
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from unblur import report as reports
from unblur import tiles
from unblur.cameras import with_cameras
from unblur.choice import CameraValue, KernelSize, budget_of, compose, for_kernels_of, with_psf_grid, without_clock
from unblur.clips import Series, clips, is_video, video_mode
from unblur.composition import has_response, kernels_in_a_plane
from unblur.crop import Crop, parted, with_windows
from unblur.errors import CheckpointError, FileError, ParameterError, UnblurError
from unblur.forecast import Forecast
from unblur.image import PLANE, VOLUME, Image, Index, PixelSize, fingerprint
from unblur.io.psf import Psf
from unblur.job_plans import JobPlans
from unblur.params import whole_numbers
from unblur.part_files import file_hashes
from unblur.pieces import Piece, assemble, failed, finished, forget_frames, not_run, typed, unchanged, unknown
from unblur.pipeline import Pipeline
from unblur.planes import (
    Planes,
    Task,
    choose_mode,
    micrometres,
    psf_for,
    refuse_anchors,
    refuse_several_kernels,
    split,
    words,
)
from unblur.psfs import for_prior, take_psf
from unblur.registry import Registry, default_registry
from unblur.results import Result
from unblur.savepoint import Savepoint
from unblur.tiles import Tile
from unblur.time_left import TimeLeft
from unblur.validation import check

if TYPE_CHECKING:
    from unblur.compute import Compute, Precision
    from unblur.driver import CancelToken, Event, Outcome, Run

NON_BLIND = "hyper-laplacian"
"""What restores the planes that share a kernel, where the pipeline has no `then`."""

_DARK = 0.25
"""An image whose largest value is below this part of white is dark."""


@dataclass(frozen=True)
class JobEvent:
    """One step of one task.

    Attributes:
        plane, planes: number of the task, from 0, and how many there are.
        index: its place along T, C, Z; `kind` is ``kernel`` while a shared kernel is estimated.
        event: of the driver: step, planned, misfit, elapsed, remaining, preview().
        remaining: seconds to the end of the job, from the pace so far.
    """

    plane: int
    planes: int
    index: Index
    kind: str
    event: Event
    remaining: float


class Job:
    """One image and everything that is to be done with it.

    Building one checks image, PSF, pipeline and settings and loads no torch; `estimate` measures; `events` runs, after
    which `result` is there.

    Args:
        image: an array or an `Image`; this and all arguments that are not listed here are as `unblur.deblur` has them.
        anchors: positions (in the order of T, then Z) of the planes that a shared kernel is estimated from.
        psf_axes: axes of the PSF, where its file does not say; `centre_psf` moves its centroid to the origin.
        white_level: the value that is white, for photographs in floating point; else the image says.
        offset, gain: of the camera, for Poisson noise (a response in front of the forward model); ``auto`` estimates
            one from the image, as it does with what is not given where the other is.
        nan: ``refuse`` or ``mask`` pixels that are NaN or infinite.
        clip_frames: frames of a video that are restored together.
        crop: width in pixels of the window that a kernel is estimated in, or ``auto``; see `unblur.crop`.
        tile: width in pixels of the tiles that a large image is restored in, or ``auto``; see `unblur.tiles`.
        checkpoint_seconds: between checkpoints.

    Raises:
        UnblurError: whatever a user can act on.
    """

    def __init__(
        self,
        image: np.ndarray | Image,
        *,
        method: str | None = None,
        pipeline: Pipeline | str | Path | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        psf: Any = None,
        kernel_size: KernelSize = None,
        axes: str | None = None,
        pixel_size: PixelSize | None = None,
        planes: Planes = "auto",
        anchors: Sequence[int] | None = None,
        max_seconds: float | None = None,
        plan: Any = None,
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 30.0,
        force: bool = False,
        cancel: CancelToken | None = None,
        registry: Registry | None = None,
        psf_axes: str | None = None,
        centre_psf: bool = False,
        white_level: float | None = None,
        offset: CameraValue = None,
        gain: CameraValue = None,
        nan: Literal["refuse", "mask"] = "refuse",
        clip_frames: int | None = None,
        crop: Crop | None = None,
        tile: Tile | None = None,
    ) -> None:
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
            raise ParameterError(f"seed = {seed!r}: expected a whole number, at least 0")
        crop = int(crop) if isinstance(crop, np.integer) else crop
        tile = int(tile) if isinstance(tile, np.integer) else tile
        self.image = _as_image(image, axes, pixel_size)
        if anchors is not None and not (anchors := whole_numbers(given := anchors)):
            raise ParameterError(f"anchors {given!r}: expected whole numbers, such as (0, 5)")
        if white_level is not None:
            self.image = self.image.with_white_level(white_level)
        self.registry = registry or default_registry()
        self.white_level = self.image.white_level
        if psf is None and (psf_axes is not None or centre_psf):
            raise ParameterError("psf_axes and centre_psf say how a PSF is read, but none was given; leave them out")
        self.psf: Psf | None = take_psf(psf, self.image, psf_axes, centre_psf) if psf is not None else None
        self.mode, said = choose_mode(planes, self.image, None if self.psf is None else self.psf.kernel.ndim - 1)
        self.spatial = VOLUME if self.mode == "volume" else PLANE
        self.findings = check(self.image, nan=nan, spatial=self.spatial)
        choice = compose(
            image=self.image,
            white_level=self.white_level,
            volume=self.mode == "volume",
            window=crop if isinstance(crop, int) else None,
            psf=self.psf is not None,
            method=method,
            pipeline=pipeline,
            preset=preset,
            settings=settings,
            kernel_size=kernel_size,
            max_seconds=max_seconds,
            offset=offset,
            gain=gain,
            registry=self.registry,
        )
        self.method, self.preset, self.pipeline = choice.method, preset, choice.pipeline
        if self.psf is not None and self.psf.grid is not None:
            self.pipeline = with_psf_grid(choice.pipeline, self.psf.grid.shape, self.registry)
        video = is_video(self.pipeline, self.registry) or self.mode == "video"
        if video:
            self.mode, said = video_mode(planes, self.image, self.pipeline, self.psf is not None, self.registry)
        refuse_anchors(anchors, self.mode, self.psf is not None)
        own = self.psf is None and self.mode == "independent"
        refuse_several_kernels(self.image, video or (own and kernels_in_a_plane(self.pipeline, self.registry) > 1))
        if clip_frames is not None and not video:
            raise ParameterError(f"clip_frames = {clip_frames}, but planes are {self.mode}: only videos have clips")
        if video:
            self.tasks = clips(self.image, clip_frames)
        else:
            self.tasks = split(self.image, self.mode, anchors, self.psf is not None, self.findings.constant)
            fewer = any(len(task.frames) < len(anchors or ()) for task in self.tasks if task.kind == "kernel")
            said = [*said, "planes that are constant tell nothing of a kernel: no anchors"] if fewer else said
        if self.psf is not None:
            field = [self.image.sizes[axis] for axis in self.spatial]
            self.psf = for_prior(self.psf, self.pipeline, self.registry, field)
            for task in self.tasks:
                psf_for(self.psf, task, self.image)
        plane = {axis: self.image.sizes[axis] for axis in self.spatial}
        if tile is not None:
            tiles.refuse(self.tasks, self.pipeline, self.registry, self.psf is not None)
            blind = self.psf is None and reports.learns_kernel(self.pipeline, self.registry)
            if blind and tiles.needed(tile, plane):
                crop = crop or "auto"
        if crop is not None:
            self.tasks, more = with_windows(
                self.tasks,
                crop,
                self.image,
                self.spatial,
                self.pipeline,
                self.registry,
                known_kernel=self.psf is not None,
                level=self._saturation(),
                valid=self.findings.valid,
            )
            said = [*said, *more]
        if tile is not None:
            width = None if self.psf is None else max(self.psf.kernel.shape[-2:])
            self.tasks, more = tiles.with_tiles(self.tasks, tile, plane, self.pipeline, self.registry, width)
            said = [*said, *more]
        self.bound = None if self._is_dark() else self.white_level
        self.seed, self._given_plan = int(seed), plan
        self.budget = budget_of(self.pipeline, self.registry) if plan is None else None
        self.pipeline, self.cameras, told = with_cameras(
            self.pipeline,
            self.image,
            self.tasks,
            self.spatial,
            self.findings.valid,
            self.findings.constant,
            self._saturation(),
        )
        self.pipelines, more = self._parted()
        said = [*said, *told, *more, *self._facts_assumed()]
        self.assumptions = (*choice.assumptions, *said, *(self.psf.notes if self.psf else ()))
        self.series_levels: dict[tuple[tuple[str, int], ...], tuple[float, float] | None] = {}
        self._device, self._precision, self._threads = device, precision, threads
        self.force, self.cancel = force, cancel
        self._savepoint_path = Path(checkpoint) if checkpoint is not None else None
        self._interval = checkpoint_seconds
        self._plans = JobPlans(self)
        self.resumed = False
        self.resumed_from: str | None = None
        self.series: Series | None = None
        self._pieces: list[Piece] = []
        self._result: Result | None = None

    @functools.cached_property
    def compute(self) -> Compute:
        """Device, precision and threads of this job."""
        from unblur.compute import Compute

        return Compute.choose(self._device, self._precision, self._threads)

    @functools.cached_property
    def input_hash(self) -> str:
        return fingerprint(self.image)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything that the result follows from.

        Input, PSF, pipeline, the files that its parts read, seed, versions, device, planes.

        Raises:
            FileError: a file that a part reads cannot be read.
        """
        return reports.fingerprint_of(
            {
                "input": self.input_hash,
                "carried": reports.carried_hash(self.image),
                "facts": [self.image.axes, self.white_level, micrometres(self.image, self.spatial)],
                "white given": self.image.given_white is not None,
                "sizes": {axis: [size, self.image.units.get(axis)] for axis, size in self.image.pixel_size.items()},
                "psf": None if self.psf is None else [reports.array_hash(self.psf.kernel), self.psf.along],
                "pipelines": {kind: one.to_dict() for kind, one in self.pipelines.items()},
                "parameters": {kind: reports.parameters(one, self.registry) for kind, one in self.pipelines.items()},
                "files": {kind: file_hashes(one, self.registry) for kind, one in self.pipelines.items()},
                "tasks": [[task.kind, task.index, task.frames, *(task.kept or ()), *task.spans] for task in self.tasks],
                "mode": self.mode,
                "seed": self.seed,
                "plan": self._given_plan,
                "plugins": reports.plugins(list(self.pipelines.values()), self.registry),
                "environment": reports.environment(self.compute),
            }
        )

    def _parted(self) -> tuple[dict[str, Pipeline], list[str]]:
        """The pipeline of each kind of task, and what is to be said of that."""
        whole = self.pipeline if self._given_plan is None else without_clock(self.pipeline, self.registry)
        if not any(task.kind == "kernel" for task in self.tasks):
            return {"plane": whole}, []
        kernel, after = parted(whole, self.registry)
        said: list[str] = []
        if after is None:
            plain = self.registry.method(NON_BLIND).pipeline(self.preset)
            after, said = for_kernels_of(kernel, plain, self.registry)
        after.check(self.registry)
        return {"kernel": kernel, "plane": after}, said

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked the job to stop."""
        return self.cancel is not None and self.cancel.reason is not None

    def estimate(self) -> Forecast:
        """Time and memory for the job, from a few timed steps on its first plane, within the budget if there is one.

        Raises:
            ResourceError: the run would need more memory than there is.
            ParameterError: the budget pays for next to nothing.
            CancelledError: the job was cancelled meanwhile.
        """
        return self._plans.forecast()

    def events(self, resume: bool = False) -> Generator[JobEvent, None, None]:
        """Run the job, one event a step; afterwards `result` is there.

        Raises:
            ResourceError: the run would need more memory than there is.
            ParameterError: the budget pays for next to nothing.
            ImageError: the kernel may be wider than the image.
            UnblurError: the run cannot begin for another reason, or every plane failed.
        """
        from unblur.driver import CancelToken

        self.cancel = self.cancel or CancelToken()
        began = time.perf_counter()
        savepoint = Savepoint(self._savepoint_path, self.fingerprint) if self._savepoint_path else None
        self.resumed = bool(resume and savepoint and savepoint.exists())
        if savepoint and self.resumed:
            plans = savepoint.resume(self.force, self._plans.stages())
            self.resumed_from = savepoint.stored if savepoint.mixed else None
        else:
            plans = self._plans.made(self._given_plan)
        self._plans.refuse_what_does_not_fit()
        if savepoint and not self.resumed and not self.is_cancelled:
            savepoint.begin(plans)
        self._pieces = []
        self.series = Series(self.image) if self.mode == "video" else None
        errors: list[UnblurError] = []
        left = TimeLeft([None if self.is_idle(task) else task.kind for task in self.tasks], self._plans.seconds(plans))
        for number, task in enumerate(self.tasks):
            piece = savepoint.kept(number, task, self._shape(task)) if savepoint and self.resumed else None
            if piece is None and self.is_cancelled:
                piece = not_run(task)
            elif piece is None and self._is_unknown(task):
                piece = unknown(task)
            elif piece is None and self._is_constant(task):
                piece = unchanged(self, task)
            elif piece is None:
                start = time.perf_counter()
                piece = yield from self._run(number, task, plans[number], savepoint, left, errors)
                left.done(number, time.perf_counter() - start)
            if self.series is not None:
                piece = piece.into(self.series, task)
            self._pieces.append(piece)
        if errors and all(piece.record["status"] == "failed" for piece in self._pieces):
            if savepoint:
                savepoint.remove_if_empty()
            raise errors[0]
        before = sum(piece.record.get("seconds", 0.0) for piece in self._pieces) if self.resumed else 0.0
        self._result = assemble(self, plans, self._pieces, max(time.perf_counter() - began, before))

    @property
    def result(self) -> Result:
        """What the run gave.

        Raises:
            ParameterError: the events have not been exhausted.
        """
        if self._result is None:
            raise ParameterError("the job has not run to its end: exhaust its events first")
        return self._result

    @property
    def resumable(self) -> bool:
        """Whether there is a checkpoint to go on from, of whatever run."""
        return self._savepoint_path is not None and Savepoint(self._savepoint_path, "").exists()

    def _shape(self, task: Task) -> tuple[int, ...] | None:
        """Of the restored task (channels, *spatial), where that is a whole plane or volume."""
        if task.kind != "plane" or task.window is not None or task.kept is not None:
            return None
        return (3 if self.image.is_rgb else 1, *(self.image.sizes[axis] for axis in self.spatial))

    def is_idle(self, task: Task) -> bool:
        """Whether there is nothing to do: the task is constant, or none of its pixels counts."""
        return self._is_constant(task) or self._is_unknown(task)

    def _is_constant(self, task: Task) -> bool:
        """Whether there is nothing to restore: every frame of the task has one value."""
        frames = task.frames if task.kept is not None or task.kind == "kernel" else task.frames[:1]
        return all(frame in self.findings.constant for frame in frames)

    def _is_unknown(self, task: Task) -> bool:
        """Whether no pixel of a plane or a tile counts."""
        valid = self.findings.valid
        if valid is None or task.kind != "plane":
            return False
        return not (task.look(self.image.with_data(valid), self.spatial) > 0).any()

    def forget_checkpoint(self) -> None:
        """Remove the checkpoint, once the result is safe."""
        if self._savepoint_path is not None:
            Savepoint(self._savepoint_path, "").remove()

    def settle_checkpoint(self) -> None:
        """Remove what this very job left where it ended before it could forget its checkpoint."""
        if self._savepoint_path is not None:
            Savepoint(self._savepoint_path, self.fingerprint).settle()

    def _facts_assumed(self) -> Iterator[str]:
        yield from self.image.notes
        yield from self.findings.notes
        constant = self.findings.constant
        if constant and self.mode != "video":  # whose frames are restored from those around them
            listed = "; ".join(words(index) for index in constant[:3] if index) + ("; …" if len(constant) > 3 else "")
            yield f"{len(constant)} constant plane(s) are returned unchanged" + (f": {listed}" if listed else "")
        missing = [axis for axis in self.spatial if axis not in self.image.pixel_size]
        if self.white_level is None and self.image.data.dtype.kind in "iu":
            yield f"no white level is known for {self.image.data.dtype.name}: nothing bounds the intensities above"
        if self.bound is None and self.white_level is not None:
            yield (
                f"the largest value is {self.findings.highest / self.white_level:.2g} of white: intensities count from "
                "the image's own, and nothing bounds them above"
            )
        if missing and len(self.spatial) == 3:
            yield "the voxel size is not known"

    def _is_dark(self) -> bool:
        """Whether white is so far above the image that it would be next to black for networks that reckon with white.

        Responses and the networks of videos need white where it is.
        """
        if self.white_level is None or self.mode == "video" or has_response(self.pipeline, self.registry):
            return False
        return self.findings.highest < _DARK * self.white_level

    def _saturation(self) -> float | None:
        """The white level or, where it is not known, the plateau that was found at the largest value."""
        if self.white_level is None and self.findings.saturated:
            known = self.image.data if self.findings.valid is None else self.image.data[self.findings.valid > 0]
            return float(np.nanmax(known))
        return self.white_level

    def _run(
        self,
        number: int,
        task: Task,
        plan: Mapping[str, Any],
        savepoint: Savepoint | None,
        left: TimeLeft,
        errors: list[UnblurError],
    ) -> Generator[JobEvent, None, Piece]:
        """One task; an error that concerns only this plane becomes its row of the report.

        Raises:
            CheckpointError: the checkpoint to go on from is damaged or does not fit.
            FileError: a checkpoint cannot be written; those that are there can be gone on from.
        """
        from unblur.driver import CancelToken, Run
        from unblur.observing import observation_of

        kernel = self._pieces[task.kernel_from].kernel if task.kernel_from is not None else None
        if task.kernel_from is not None and kernel is None:
            return failed(task, "the kernel that it shares could not be estimated")
        token, running = CancelToken(), savepoint.running(number) if savepoint else None
        again = bool(self.resumed and running and running.exists())
        try:
            run = Run(
                self.pipelines[task.kind].with_steps(plan["steps"]),
                observation_of(self, task, kernel),
                self.registry,
                self.compute,
                seed=self.seed_of(task),
                cancel=token,
                checkpoint=running,
                interval=self._interval,
                fingerprint=savepoint.stored if savepoint else "",
                limit=plan.get("executed"),
                paces=self._plans.paces(task.kind),
            )
            outcome = yield from self._follow(run, again, number, task, plan, token, left)
            piece = finished(self, task, outcome)
        except CheckpointError:
            raise
        except (Exception, SystemExit) as error:  # a plugin that raises SystemExit must not end the host
            if isinstance(error, FileError) and self._savepoint_path in (error.path, *error.path.parents):
                raise
            if again and self.force and not isinstance(error, UnblurError):
                raise CheckpointError(f"{running}: does not fit this run even by force ({error})") from error
            errors.append(error if isinstance(error, UnblurError) else typed(error, self.registry))
            forget_frames(errors[-1])
            piece = failed(task, str(errors[-1]))
        if savepoint and piece.record["status"] == "done":
            savepoint.keep(number, piece)
        return piece

    def _follow(
        self,
        run: Run,
        again: bool,
        number: int,
        task: Task,
        plan: Mapping[str, Any],
        token: CancelToken,
        left: TimeLeft,
    ) -> Generator[JobEvent, None, Outcome]:
        """The driver's events as the job's; hurries and cancels the run where its share of the budget ends."""
        events = run.events(again)
        afterwards = self._plans.needed_after(task, plan) if "seconds" in plan else None
        try:
            while True:
                try:
                    event = next(events)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
                remaining = event.remaining + left.after(number, event.elapsed + event.remaining)
                yield JobEvent(number, len(self.tasks), task.index, task.kind, event, remaining)
                if self.cancel is not None and self.cancel.reason is not None:
                    token.cancel(self.cancel.reason)
                elif afterwards is not None and event.elapsed >= plan["seconds"]:
                    token.cancel(f"budget of {self.budget:g} seconds used", late=True)
                elif afterwards is not None and event.elapsed >= plan["seconds"] - afterwards[event.stage]:
                    run.go_on(f"budget of {self.budget:g} seconds nearly used")
        finally:
            events.close()

    def seed_of(self, task: Task) -> int:
        """The seed of a task, which depends on its place alone."""
        from unblur.compute import seed_of

        return seed_of(self.seed, task.place)


def _as_image(image: np.ndarray | Image, axes: str | None, pixel_size: PixelSize | None) -> Image:
    if not isinstance(image, Image):
        return Image.from_array(image, axes, pixel_size)
    if axes is not None and axes.upper() != image.axes:
        image = image.with_axes(axes)
    return image.with_pixel_size(pixel_size)
