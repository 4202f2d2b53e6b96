"""Parameters of the parts; without torch, so that listing them costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from unblur.networks.params import Output
from unblur.params import Schedule, Unit

_OUTPUT = "Range of the image: sigmoid ends at white, softplus does not; auto takes sigmoid for photographs."


@dataclass(frozen=True)
class DropoutNetworkParams:
    """The image network and its seeds; the defaults are those of section 4.1."""

    replaced: Annotated[
        float, Ge(0), Lt(1), Doc("Probability with which a pixel of the input is replaced by its neighbours (eq. 6).")
    ] = 0.3
    sparing: Annotated[
        bool,
        Doc("Replace fewer pixels, where replacing them changes the image by more than its noise does."),
    ] = False
    masked: Annotated[bool, Doc("The misfit counts on replaced pixels only (eq. 8); otherwise on all.")] = True
    dropout: Annotated[
        float,
        Ge(0),
        Le(0.5),
        Doc("Dropout ratio at the full resolution; each level below adds as much, up to 0.5 (Table 1)."),
    ] = 0.075
    adapt_every: Annotated[
        int,
        Ge(0),
        Doc("Steps after which the ratios follow the variance of the neurons (eq. 15); 0 for ratios that stay."),
        Unit("steps"),
    ] = 1000
    adapt_samples: Annotated[int, Ge(2), Doc("Inferences that this variance is taken over.")] = 20
    compound: Annotated[
        bool,
        Doc("Adapt the ratios of the last time (eq. 15 to the letter), which drift to 0 or 0.5; or the initial ones."),
    ] = False
    levels: Annotated[int, Ge(1), Doc("How often the resolution is halved.")] = 5
    channels: Annotated[
        tuple[int, ...],
        Ge(1),
        Doc(
            "Widths of encoder, decoder and the last two hidden layers; or the encoder's alone, to which the others "
            "keep the proportions of Table 1 (48, 96, 64, 32). Multiples of 16 are fast."
        ),
    ] = (48,)
    early: Annotated[
        bool,
        Doc("Drop the decoder's features before they are upsampled instead of after, which makes a step cheaper."),
    ] = False
    seeds: Annotated[
        int,
        Ge(0),
        Doc(
            "Seeds that are drawn once, one of which is used by chance, and more where it takes more to replace every "
            "pixel once; 0 for a new one each time."
        ),
    ] = 0
    start: Annotated[
        tuple[str, ...],
        Doc(
            "Estimators for free pixels, such as hyper-laplacian, whose images are further inputs of the network, and "
            "whose mean its output is added to; empty for none. Needs a known kernel. "
            "With `seeds`, each has images of its own, which know nothing of what it replaced."
        ),
    ] = ()
    output: Annotated[Output, Doc(_OUTPUT)] = "auto"

    def __post_init__(self) -> None:
        if len(self.channels) not in (1, 4):
            raise ValueError(f"channels = {list(self.channels)}: expected one width, or four")

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Of encoder, decoder, and the last two hidden layers."""
        if len(self.channels) == 4:
            return self.channels  # type: ignore[return-value]
        (width,) = self.channels
        return width, 2 * width, max(1, width * 4 // 3), max(1, width * 2 // 3)


@dataclass(frozen=True)
class DropoutEnsembleParams:
    """The estimator; the defaults are those of section 4.1."""

    image_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the image's parameters.")] = 1e-4
    kernel_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the kernel's parameters, where it learns.")] = 1e-4
    inferences: Annotated[
        int,
        Ge(0),
        Doc(
            "Images that an estimate draws for their mean and standard deviation. 0 for one pass without randomness, "
            "and no uncertainty, where `average_from` is 1 and so none are kept."
        ),
    ] = 50
    average_from: Annotated[
        float,
        Gt(0),
        Le(1),
        Doc(
            "Fraction of the planned steps from which on images drawn in training are kept instead: as soon as there "
            "are as many as `inferences`, the estimate is their mean, the uncertainty their standard deviation, at no "
            "cost. 1 for none."
        ),
    ] = 1.0


@dataclass(frozen=True)
class DeepDecoderParams:
    """The network; the defaults are those of its authors for photographs of 512 pixels."""

    levels: Annotated[int, Ge(1), Doc("How often the resolution is doubled.")] = 5
    channels: Annotated[
        tuple[int, ...], Ge(1), Doc("Width of the levels, from the lowest resolution; or one for all.")
    ] = (128,)
    input_scale: Annotated[float, Gt(0), Doc("Amplitude of the uniform random input.")] = 0.1
    output: Annotated[Output, Doc(_OUTPUT)] = "auto"


@dataclass(frozen=True)
class BackProjectionParams:
    """Learning rate, and what keeps the inverse of the blur bounded."""

    image_rate: Annotated[Schedule, Gt(0), Doc("Learning rate of the image's parameters.")] = 1e-2
    epsilon: Annotated[
        float | None,
        Gt(0),
        Doc(
            "Added to |H|² before it divides. Not given: the variance of the noise over that of the observation, both "
            "estimated from it."
        ),
    ] = None


@dataclass(frozen=True)
class SquaredOverNoiseParams:
    """The misfit."""

    weight: Annotated[Schedule, Ge(0), Doc("Weight of this misfit.")] = 1.0
    noise: Annotated[
        float | None,
        Gt(0),
        Doc("Standard deviation of the noise. Estimated from the observed image if not given."),
        Unit("part of the peak"),
    ] = None


@dataclass(frozen=True)
class NoiseStepsParams:
    """The table; the defaults are those of section 4.1 for DIP."""

    noise: Annotated[
        tuple[float, ...], Ge(0), Doc("Standard deviations of the noise, rising."), Unit("part of the peak")
    ] = (0.01, 0.03, 0.05)
    steps: Annotated[tuple[int, ...], Ge(1), Doc("Steps for each of them."), Unit("steps")] = (10000, 6000, 4000)

    def __post_init__(self) -> None:
        if not self.noise or len(self.noise) != len(self.steps) or sorted(set(self.noise)) != list(self.noise):
            raise ValueError("expected a rising list of noise levels, and as many numbers of steps")
