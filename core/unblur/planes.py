"""How an image splits into tasks: planes on their own, planes that share a kernel, or volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from unblur.errors import ImageError, ParameterError
from unblur.image import PLANE, VOLUME, Image, Index
from unblur.io.psf import Psf

Planes = Literal["auto", "independent", "shared-kernel", "volume", "video"]
MODES: tuple[Planes, ...] = ("auto", "independent", "shared-kernel", "volume", "video")
Kind = Literal["plane", "kernel"]

MICROMETRES = {
    "µm": 1.0,
    "um": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "nm": 1e-3,
    "pm": 1e-6,
    "Å": 1e-4,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}


@dataclass(frozen=True)
class Window:
    """A part of a plane or volume, and why it was taken.

    Attributes:
        spans: (start, stop) along every spatial axis.
        reason: in words.
    """

    spans: tuple[tuple[int, int], ...]
    reason: str

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """The part of an array whose last axes are the spatial ones."""
        place: tuple[Any, ...] = (..., *(slice(*span) for span in self.spans))
        part: np.ndarray = pixels[place]
        return part

    @property
    def named(self) -> dict[str, tuple[int, int]]:
        """Start and stop by axis letter."""
        return dict(zip(VOLUME[-len(self.spans) :], self.spans, strict=True))


@dataclass(frozen=True)
class Task:
    """One run of the driver.

    Attributes:
        kind: ``plane`` restores one plane or volume; ``kernel`` only estimates the kernel that planes share.
        index: where it belongs, by axis letter.
        frames: the planes it looks at: its own, or the anchors.
        kernel_from: number of the task that gives the kernel, for planes that share one.
        kept: of a clip of a video, which of its frames are kept: the first, and the one after the last.
        window: the part of its frames that it looks at, to estimate the kernel or as a tile; all of them if None.
    """

    kind: Kind
    index: Index
    frames: tuple[Index, ...]
    kernel_from: int | None = None
    kept: tuple[int, int] | None = None
    window: Window | None = None

    @property
    def place(self) -> tuple[int, int, int]:
        """(t, c, z) of the first frame, which its seed follows from."""
        first = self.frames[0]
        return first.get("T", 0), first.get("C", 0), first.get("Z", 0)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Those of its window, if it has one."""
        return self.window.spans if self.window is not None else ()

    def look(self, image: Image, spatial: str, frames: slice = slice(None)) -> np.ndarray:
        """What it looks at of some of its frames: (frames, channels, *spatial), float32."""
        planes = [image.plane(index, spatial) for index in self.frames[frames]]
        return np.stack(planes if self.window is None else [self.window.cut(plane) for plane in planes])


def choose_mode(planes: Planes, image: Image, kernel_dims: int | None) -> tuple[str, list[str]]:
    """The mode for an image, and what was assumed; `kernel_dims` is the PSF's number of dimensions, if there is one.

    A 3-D PSF asks for volumes; otherwise planes are independent.

    Raises:
        ParameterError: no such mode.
        ImageError: a volume or a 3-D PSF without a Z axis.
    """
    if planes not in MODES:
        raise ParameterError(f"planes = {planes!r}: choose one of {', '.join(MODES)}")
    said = []
    mode = planes
    if planes == "auto":
        mode = "volume" if kernel_dims == 3 else "independent"
        outer = [axis for axis in image.axes if axis in "TCZ"]
        if mode == "volume":
            said.append("the PSF has three dimensions: Z is treated as a spatial axis")
        elif outer:
            said.append(
                f"every plane along {', '.join(outer)} is restored on its own"
                + ("" if kernel_dims else ", with a kernel of its own")
            )
        if image.is_rgb:
            said.append("the three colours share one kernel")
    if mode == "shared-kernel" and kernel_dims is not None:
        said.append("a PSF was given: every plane is restored with it, and no kernel is estimated from any of them")
    if mode == "volume" and "Z" not in image.axes:
        raise ImageError(f"a volume needs a Z axis, the image has axes {image.axes}; name them with --axes")
    if mode == "volume" and kernel_dims == 2:
        raise ImageError("a 2-D PSF, but planes are volume; use a 3-D PSF or --planes independent")
    if mode != "volume" and kernel_dims == 3:
        raise ImageError(f"a 3-D PSF, but planes are {mode}; use --planes volume or a 2-D PSF")
    return mode, said


def refuse_anchors(anchors: Sequence[int] | None, mode: str, known_kernel: bool) -> None:
    """Anchors serve for nothing but a kernel that planes share.

    Raises:
        ParameterError: there are some, and no such kernel is estimated.
    """
    if anchors is None or (mode == "shared-kernel" and not known_kernel):
        return
    why = "a PSF was given" if mode == "shared-kernel" else f"planes are {mode}"
    raise ParameterError(
        f"anchors {list(anchors)}, but {why}: no kernel is estimated from anchors; leave them out, or give "
        "planes shared-kernel and no PSF"
    )


def refuse_several_kernels(image: Image, several: bool) -> None:
    """Where every plane has several kernels, or a flow, one of T, C and Z must be left to number them.

    Raises:
        ImageError: the image has all three.
    """
    if several and all(image.sizes.get(axis, 1) > 1 for axis in "TCZ"):
        raise ImageError(
            f"axes {image.axes}: a series of stacks with channels cannot have several kernels in every plane; take one "
            "channel, time or depth after the other, such as --region C=0:1"
        )


def split(
    image: Image,
    mode: str,
    anchors: Sequence[int] | None,
    known_kernel: bool,
    constant: Sequence[Mapping[str, int]] = (),
) -> list[Task]:
    """The tasks of an image in the order in which they run.

    Planes that share a kernel do so within a channel; `anchors` are positions in the order of T, then Z (default: the
    middle one).

    Raises:
        ParameterError: an anchor that the stack does not have.
    """
    spatial = VOLUME if mode == "volume" else PLANE
    everything = list(image.indices(spatial))
    if mode != "shared-kernel" or known_kernel:
        return [Task("plane", index, (index,)) for index in everything]
    groups: dict[int, list[Index]] = {}
    for index in everything:
        groups.setdefault(index.get("C", 0), []).append(index)
    tasks: list[Task] = []
    for channel, members in groups.items():
        members.sort(key=lambda index: (index.get("T", 0), index.get("Z", 0)))
        place = {"C": channel} if "C" in image.axes else {}
        number = len(tasks)
        tasks.append(Task("kernel", place, _anchors(members, anchors, constant)))
        tasks.extend(Task("plane", index, (index,), kernel_from=number) for index in members)
    return tasks


def _anchors(
    members: Sequence[Index], anchors: Sequence[int] | None, constant: Sequence[Mapping[str, int]]
) -> tuple[Index, ...]:
    """The planes that the kernel of `members` comes from: those that are asked for, else the one in the middle.

    One that is constant tells nothing of a kernel, and is left out unless all members are constant.
    """
    useful = [member for member in members if member not in constant] or list(members)
    if anchors is None:
        return (useful[len(useful) // 2],)
    if not anchors or any(not 0 <= anchor < len(members) for anchor in anchors):
        raise ParameterError(f"anchors {list(anchors)}: expected positions from 0 to {len(members) - 1}")
    chosen = tuple(members[anchor] for anchor in anchors if members[anchor] in useful)
    if not chosen:
        raise ParameterError(f"anchors {list(anchors)}: these planes are constant and tell nothing; choose others")
    return chosen


def psf_for(psf: Psf, task: Task, image: Image) -> np.ndarray:
    """The kernel (1, *spatial) of one task: the same for all, or one for its channel, time or both; or all of a grid.

    Raises:
        ImageError: the number of PSFs does not fit.
    """
    if len(psf.kernel) == 1 or psf.grid is not None:
        return psf.kernel
    return psf_at(psf, image, task.frames[0])


def psf_at(psf: Psf, image: Image, at: Mapping[str, int]) -> np.ndarray:
    """The one (1, *spatial) of several PSFs that holds at a place of an image, or of the part that an image is."""
    found = 0
    for axis, count in psf_axes(psf, image).items():
        start, size = image.cut_from.get(axis, (0, 0))
        found = found * count + at.get(axis, 0) + (start if size == count else 0)
    return psf.kernel[found : found + 1]


def psf_axes(psf: Psf, image: Image) -> dict[str, int]:
    """The axes of an image that several PSFs lie along, in their order, and how many there are along each.

    They are those that the PSFs were given along; one alone that the image lacks may be its other one. Of a part of an
    image, there are as many as in the whole, or in the part.

    Raises:
        ImageError: there are not as many.
    """
    counts = psf.counts or (len(psf.kernel),)
    given = {axis: count for axis, count in zip(psf.along, counts, strict=False) if count > 1}
    choices = [given] if given and given.keys() <= image.sizes.keys() else []
    if len(given) < 2 and not choices:
        choices = [{axis: len(psf.kernel)} for axis in "CT"]
    for choice in choices:
        if all(count in (image.sizes.get(n), image.cut_from.get(n, (0, 0))[1]) for n, count in choice.items()):
            return choice
    sizes = ", ".join(f"{axis}={size}" for axis, size in image.sizes.items())
    many = " x ".join(f"{axis}={count}" for axis, count in given.items()) if len(given) > 1 else len(psf.kernel)
    raise ImageError(f"{many} PSFs for an image with {sizes}; give one, or one for each channel, time or both")


def micrometres(image: Image, spatial: str) -> tuple[float, ...] | None:
    """Pixel size along each spatial axis in micrometres; None if one of them is not known or has no known unit."""
    sizes = []
    for axis in spatial:
        factor = MICROMETRES.get(image.units.get(axis, "µm"))
        if axis not in image.pixel_size or factor is None:
            return None
        sizes.append(image.pixel_size[axis] * factor)
    return tuple(sizes)


def words(index: Mapping[str, int], kind: str = "plane") -> str:
    """A place for messages, such as ``T=3, C=0``, or ``shared kernel, C=0`` for the kernel that planes share."""
    places = [f"{axis}={place}" for axis, place in index.items()]
    return ", ".join(["shared kernel", *places] if kind == "kernel" else places) or "the image"
