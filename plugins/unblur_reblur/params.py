"""Parameters of Reblur2Deblur's parts; without torch, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from unblur.params import Schedule, Unit
from unblur_reblur.shipped import files

_WEIGHTS = (
    "`auto` takes the weights that come with the package for this network; `none` takes random ones; anything else is "
    "the path of a safetensors file, such as `unblur train reblur2deblur` writes."
)
_NORM = "Normalisation after the convolutions; batch uses its stored statistics, also while it is fine-tuned."

HALVED: Schedule = ((0.0, 1e-4), (0.15, 5e-5), (0.25, 2.5e-5), (0.5, 1.25e-5))
"""1e-4, halved after 30, 50 and 100 of 200 steps (section 3.3)."""


@dataclass(frozen=True)
class FlowModelParams:
    """What both forward models share."""

    tau: Annotated[
        float,
        Gt(0),
        Le(1),
        Doc(
            "How far the motion goes before and after the middle of the exposure, in parts of the motion from frame to "
            "frame: half the exposure time over the frame time. 0.5 if the shutter is open all the time; the paper "
            "has 1."
        ),
    ] = 0.5
    frames: Annotated[
        Literal[2, 3],
        Doc(
            "Frames that explain one: both neighbours and itself, or the one before and itself. With two, the motion "
            "is taken as straight and uniform."
        ),
    ] = 3
    reach: Annotated[
        int,
        Ge(1),
        Le(64),
        Doc("Largest motion during half the exposure along each axis; more is cut off and reported."),
        Unit("px"),
    ] = 16


@dataclass(frozen=True)
class FlowBlurParams(FlowModelParams):
    """Kernels of two straight lines."""

    form: Annotated[
        Literal["lines", "table"],
        Doc(
            "lines samples along the lines, which is fast; table is eq. 9 to the letter: a reference for small images."
        ),
    ] = "lines"


@dataclass(frozen=True)
class FlowWarpParams(FlowModelParams):
    """Warped images, averaged."""

    samples: Annotated[
        int,
        Ge(1),
        Le(256),
        Doc("Warped images for each neighbour: 1 for the end of the motion, as in the paper; more for the way to it."),
    ] = 1


@dataclass(frozen=True)
class DvdParams:
    """The encoder-decoder of DVD."""

    width: Annotated[int, Ge(1), Doc("Channels at the full resolution; 64 in the paper.")] = 16
    norm: Annotated[Literal["batch", "instance", "none"], Doc(_NORM + " The paper has batch.")] = "none"
    weights: Annotated[str, Doc(_WEIGHTS)] = "auto"

    def files(self) -> list[Path]:
        return files(self.weights, "dvd", self.width)


@dataclass(frozen=True)
class DeblurGanParams:
    """The generator of DeblurGAN."""

    width: Annotated[int, Ge(1), Doc("Channels at the full resolution; 64 in the paper.")] = 16
    norm: Annotated[Literal["batch", "instance", "none"], Doc(_NORM + " The paper has instance.")] = "none"
    blocks: Annotated[int, Ge(1), Doc("Residual blocks.")] = 9
    weights: Annotated[str, Doc(_WEIGHTS)] = "auto"

    def files(self) -> list[Path]:
        return files(self.weights, "deblurgan", self.width)


@dataclass(frozen=True)
class FlowNetParams:
    """FlowNetS."""

    width: Annotated[int, Ge(1), Doc("Channels after the first convolution; 64 in the paper.")] = 8
    weights: Annotated[str, Doc(_WEIGHTS)] = "auto"
    through: Annotated[
        bool,
        Doc(
            "Let the gradient reach the deblurring network through the flow as well, as in the paper. Then frames can "
            "explain what was observed by a flow that they mislead."
        ),
    ] = False

    def files(self) -> list[Path]:
        return files(self.weights, "flownet", self.width)


@dataclass(frozen=True)
class ClassicalFlowParams:
    """Optical flow of scikit-image."""

    algorithm: Annotated[
        Literal["ilk", "tvl1"],
        Doc("ilk is iterative Lucas-Kanade (Le Besnerais & Champagnat 2005), tvl1 TV-L1 (Zach et al. 2007), slower."),
    ] = "ilk"
    radius: Annotated[int, Ge(1), Doc("Radius of the window of ilk."), Unit("px")] = 7
    attachment: Annotated[float, Gt(0), Doc("Weight of the data in tvl1: smaller is smoother.")] = 15.0


@dataclass(frozen=True)
class KnownFlowParams:
    """A flow that is known."""

    file: Annotated[
        str,
        Doc(
            "NumPy file (.npy) of the flow from both neighbours to each frame that has two, at its pixels, "
            "(frames - 2, 4, height, width): u, v from the one before, u, v from the one after. Without one, the flow "
            "that an earlier pipeline hands over, or else no motion."
        ),
    ] = ""


@dataclass(frozen=True)
class ReblurParams:
    """Fine-tuning; the defaults are those of section 3.3."""

    alpha: Annotated[Schedule, Ge(0), Doc("Weight of the self-supervised loss beside the supervised one, eq. 10.")] = (
        0.1
    )
    batch: Annotated[int, Ge(1), Doc("Samples in a step: windows of the frames, and pairs.")] = 8
    share: Annotated[float, Ge(0), Le(1), Doc("Part of them that are pairs of blurred and sharp images.")] = 0.5
    patch: Annotated[int, Ge(8), Doc("Side of a sample."), Unit("px")] = 128
    margin: Annotated[
        int,
        Ge(0),
        Doc("Border of a window that does not count, since what is blurred into it from outside is not seen."),
        Unit("px"),
    ] = 8
    agreement: Annotated[
        float,
        Ge(0),
        Doc(
            "Pixels do not count where the motion since both neighbours differs by more than this part of the longer "
            "one, and by more than a pixel: the flow is wrong there, or curved. 0 counts all, as in the paper."
        ),
    ] = 0.0
    pairs: Annotated[
        str,
        Doc(
            "Pairs of blurred and sharp images: `generated` makes some; `none` takes none, so that fine-tuning "
            "degenerates to the identity; `auto` generates some, unless the observation has some "
            "already; anything else is the path of a folder with your own, in "
            "`blurred` and `sharp`: folders of images of the same names, or TIFF or video files."
        ),
    ] = "auto"
    generated: Annotated[int, Ge(1), Doc("How many clips of three pairs are generated.")] = 64
    image_rate: Annotated[Schedule, Ge(0), Doc("Learning rate of the deblurring network; 0 leaves it as it is.")] = (
        HALVED
    )
    kernel_rate: Annotated[Schedule, Ge(0), Doc("Learning rate of the flow network; 0 leaves it as it is.")] = HALVED

    def files(self) -> list[Path]:
        """Those of the folder with pairs of one's own."""
        if self.pairs in ("auto", "generated", "none"):
            return []
        return sorted(path for path in Path(self.pairs).rglob("*") if path.is_file())
