"""Parameters of the training; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from unblur.params import Unit

Network = Literal["flownet", "dvd", "deblurgan"]


@dataclass(frozen=True)
class TrainingParams:
    """Training from scratch; the defaults make the weights that come with the package."""

    networks: Annotated[tuple[Network, ...], Doc("Which networks are trained, in this order.")] = ("flownet", "dvd")
    width: Annotated[int, Ge(1), Doc("Width of the deblurring networks; 64 in their papers.")] = 16
    flow_width: Annotated[int, Ge(1), Doc("Width of the flow network; 64 in its paper.")] = 8
    norm: Annotated[Literal["batch", "instance", "none"], Doc("Normalisation in the deblurring networks.")] = "none"
    blocks: Annotated[int, Ge(1), Doc("Residual blocks of deblurgan.")] = 9
    steps: Annotated[int, Ge(1), Doc("Steps for each deblurring network.")] = 14000
    flow_steps: Annotated[int, Ge(1), Doc("Steps for the flow network.")] = 8000
    rate: Annotated[float, Gt(0), Doc("Learning rate at the beginning.")] = 1e-3
    clip: Annotated[float, Gt(0), Doc("Largest norm of a gradient.")] = 1.0
    batch: Annotated[int, Ge(1), Doc("Patches in a step of a deblurring network.")] = 8
    patch: Annotated[int, Ge(16), Doc("Side of a patch for a deblurring network."), Unit("px")] = 64
    flow_batch: Annotated[int, Ge(1), Doc("Pairs of frames in a step of the flow network.")] = 8
    flow_patch: Annotated[int, Ge(16), Doc("Side of a patch for the flow network."), Unit("px")] = 128
    size: Annotated[int, Ge(32), Doc("Side of a clip."), Unit("px")] = 128
    clips: Annotated[int, Ge(1), Doc("Clips that are kept to draw from.")] = 300
    first_clips: Annotated[int, Ge(1), Doc("Clips that are there at the beginning.")] = 32
    renewal: Annotated[int, Ge(1), Doc("Steps of a deblurring network after which there is a new clip.")] = 10
    flow_renewal: Annotated[int, Ge(1), Doc("Steps of the flow network after which there is a new clip.")] = 8
    half: Annotated[bool, Doc("Store the weights in 16 bits.")] = True

    def __post_init__(self) -> None:
        if self.size < max(self.patch, self.flow_patch):
            raise ValueError(f"clips of {self.size} pixels are smaller than a patch")
        if len(set(self.networks)) < len(self.networks) or not self.networks:
            raise ValueError("networks: each at most once, and at least one")

    def steps_of(self, network: str) -> int:
        """Planned steps of a network."""
        return self.flow_steps if network == "flownet" else self.steps

    def renew_of(self, network: str) -> int:
        """Steps of a network for each new clip."""
        return self.flow_renewal if network == "flownet" else self.renewal
