"""What of an image can be run: a plane, a series, a volume, a video."""

from __future__ import annotations

from dataclasses import dataclass

from unblur.image import Image


@dataclass(frozen=True)
class Target:
    """What of an image is run: axes that stay where the sliders are, and how planes are treated."""

    name: str
    fixed: str
    planes: str

    @property
    def series(self) -> bool:
        """Whether it may be many planes."""
        return self.planes != "auto" and not (self.fixed and self.planes == "independent")


def targets(image: Image | None, blur_known: bool, video: bool = False, deep: bool = False) -> list[Target]:
    """What can be run of an image, the smallest first.

    Args:
        video: what runs explains frames by their neighbours, so that no plane can be run by itself.
        deep: the PSF has three dimensions, which only volumes have.
    """
    if image is None:
        return []
    if video:
        return [Target("the series", "", "video")]
    outer = "".join(axis for axis in image.axes if axis in "TCZ")
    if not outer:
        return [Target("the image", "", "auto")]
    volumes = []
    if "Z" in outer:
        if outer != "Z":
            volumes.append(Target("this volume", outer.replace("Z", ""), "volume"))
        volumes.append(Target("every volume" if outer != "Z" else "the volume", "", "volume"))
    if deep and volumes:
        return volumes
    plane, *planes = _planes(outer, blur_known)
    return [plane, *volumes[:-1], *planes, *volumes[-1:]]


def _planes(outer: str, blur_known: bool) -> list[Target]:
    found = [Target("this plane", outer, "independent")]
    if blur_known:
        return [*found, Target("every plane", "", "independent")]
    if set(outer) & set("TZ"):
        per_channel = " per channel" if "C" in outer else ""
        found.append(Target(f"every plane, one shared kernel{per_channel}", "", "shared-kernel"))
    return [*found, Target("every plane, each with its kernel", "", "independent")]


def along_of(axes: str, target: Target) -> str:
    """The axis of a series that a range of planes is chosen from: T, else Z; nothing where there is no series."""
    free = [axis for axis in "TZ" if axis in axes and axis not in target.fixed]
    if target.planes in ("volume", "video"):
        free = [axis for axis in free if axis != "Z"]
    return free[0] if free and target.series else ""
