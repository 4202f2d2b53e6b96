"""Parameters that all network image priors share; torch-free, for plugins' declarations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from unblur.params import Schedule, Unit

Output = Literal["auto", "sigmoid", "softplus"]


@dataclass(frozen=True)
class InputParams:
    """What goes in and comes out of an untrained image network."""

    input_channels: Annotated[int, Ge(1), Doc("Channels of the fixed random input.")] = 8
    input_scale: Annotated[float, Gt(0), Doc("Amplitude of the uniform random input.")] = 0.1
    noise: Annotated[
        Schedule, Ge(0), Doc("Standard deviation of the noise that perturbs the input in every step."), Unit("input")
    ] = 0.001
    dropout: Annotated[Schedule, Ge(0), Lt(1), Doc("Dropout rate in the decoder.")] = 0.0
    start: Annotated[
        Literal["nothing", "estimate"],
        Doc(
            "estimate: the output is added to the image that the stages before `then` made, so that the network has "
            "only its errors to learn; nothing: the network makes all of the image."
        ),
    ] = "nothing"
    output: Annotated[
        Output, Doc("Range of the image: sigmoid ends at white, softplus does not; auto takes sigmoid for photographs.")
    ] = "auto"
