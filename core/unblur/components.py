"""What each kind of component must do. Arrays are (frames, channels, *spatial), float32; kernels are (count, *spatial).

A class is built with one argument, an instance of its parameter dataclass, and set up by `init` when the shapes are
known.
Randomness comes from the generator handed in; `rng=None` asks for the outcome without randomness.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from unblur.kernel_grid import KernelGrid

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from unblur.compute import Compute
    from unblur.problem import Problem
    from unblur.records import Registered

Shape = tuple[int, ...]
P = TypeVar("P")


@dataclass(frozen=True)
class KernelSpec:
    """What a forward model wants of a kernel prior: known before any latent shape is asked for.

    Args:
        shape: spatial shape of each kernel; its origin lies at floor(n / 2).
        count: how many kernels; 1 for ``single``.
        kind: one kernel for the image, a grid of them, or a flow field.
        scale: resolution relative to the image's that the shape is given at.
        layout: where the kernels of a grid hold.
        image: spatial shape of the observed frames at full resolution, if there is a layout.
    """

    shape: Shape
    count: int = 1
    kind: Literal["single", "grid", "flow"] = "single"
    scale: float = 1.0
    layout: KernelGrid | None = None
    image: Shape = ()

    @property
    def origin(self) -> Shape:
        return tuple(size // 2 for size in self.shape)


@dataclass(frozen=True)
class Clock:
    """Where the run is. Schedules are functions of `fraction`, so that they fit any budget.

    Args:
        step: steps done in this stage.
        steps: planned steps of this stage.
        stage, stages: number of this stage, from 0, and how many there are.
        elapsed: seconds since the run began, those before a resume included.
    """

    step: int
    steps: int
    stage: int = 0
    stages: int = 1
    elapsed: float = 0.0

    @property
    def fraction(self) -> float:
        return self.step / self.steps


@dataclass
class Batch:
    """Observed frames, which of them they are, which pixels count, and, when fine-tuning, the sharp ones."""

    observed: Tensor
    frames: Sequence[int] = (0,)
    valid: Tensor | None = None
    truth: Tensor | None = None


@dataclass
class Draw:
    """One latent image from an image prior, with the weights that its misfit must use (masked training).

    `weight` has the shape of the observed frames, on whose grid the misfit is, and not that of `latent`.
    """

    latent: Tensor
    weight: Tensor | None = None


@dataclass
class Info:
    """Diagnostics of one step: the misfit before the update, and what was drawn.

    `background` is what the estimator adds to every prediction, in the problem's units.
    """

    misfit: Tensor
    draw: Draw
    kernel: Tensor | None = None
    background: float = 0.0


@dataclass
class Estimate:
    """Latent image (frames, channels, *spatial), kernel (count, *spatial), and standard deviation per pixel.

    `grid` says where several kernels hold; a forward model's `crop` gives it.
    """

    image: Tensor
    kernel: Tensor
    spread: Tensor | None = None
    grid: KernelGrid | None = None


@dataclass
class Context:
    """What a part is set up with, besides shapes.

    Args:
        compute: device, precision, memory format.
        rng: the problem's generator, on the CPU; everything that is drawn once is drawn from it.
        psf: known kernel (count, *spatial), if one was given.
        estimate: image of the stages before `then`, in the shape and units of the observed frames, if there is one.
        valid: of the whole observation, 1 where a pixel counts; all do if None.
        pixel_size: size of a pixel along each spatial axis in micrometres, if known.
        camera: gain (counts per photo-electron) and offset (counts in darkness), where told from more than the frames.
        photons: photons per unit of intensity of the observed frames, for Poisson statistics.
        noise: standard deviation of the observed frames' noise, where it is known better than they tell.
        bounded: the intensities end at 1 (a photograph), so that no latent pixel lies above.
        scale: resolution of the stage relative to the image's.
        begins: nothing of a stage before is handed over, so that a part begins with what it is given here.
        notes: what was assumed, changed or clipped; ends up in the report.
        warnings: what speaks against trusting the result; is said, and ends up in the report.
    """

    compute: Compute
    rng: Generator
    psf: Tensor | None = None
    estimate: Tensor | None = None
    valid: Tensor | None = None
    pixel_size: tuple[float, ...] | None = None
    camera: tuple[float, float] | None = None
    photons: float | None = None
    noise: float | None = None
    bounded: bool = True
    scale: float = 1.0
    begins: bool = True
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Record an assumption for the report, once."""
        if text not in self.notes:
            self.notes.append(text)

    def warn(self, text: str) -> None:
        """Record what speaks against trusting the result, once."""
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass(frozen=True)
class Transfer:
    """How to bring what lives on the grids of the stage before to the grids of this one.

    `latent` maps a tensor on the earlier latent grid (…, *spatial), `kernel` one on the earlier kernel grid.
    """

    latent: Callable[[Tensor], Tensor]
    kernel: Callable[[Tensor], Tensor]
    same_region: bool = True


class Component(Generic[P]):
    """Base of all components: holds the parameters, and as what it was registered where a pipeline has built it."""

    registered: Registered | None = None

    def __init__(self, params: P) -> None:
        self.params = params

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes during a run, for checkpoints; tensors are not copied."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state in place, after `init` with the same shapes."""


class Prior(Component[P]):
    """What image and kernel priors share."""

    def parameters(self) -> Sequence[Tensor]:
        """The tensors an estimator may change, leaves with gradients; empty for what is known."""
        return []


class ImagePrior(Prior[P], ABC):
    """A parameterisation of the latent image. It owns its output range."""

    @abstractmethod
    def init(self, shape: Shape, batch: Batch, context: Context) -> None:
        """Set up for a latent image (frames, channels, *spatial)."""

    def start_from(self, earlier: ImagePrior[Any], latent: Tensor, transfer: Transfer) -> None:
        """Take over from the stage before, after `init`; `latent` is its image on this stage's grid."""

    def begin(self, problem: Problem) -> None:
        """Look at the whole problem, once all of its parts are set up, before the estimator does."""

    @abstractmethod
    def draw(self, batch: Batch, clock: Clock, rng: Generator | None) -> Draw:
        """One latent image; the outcome without randomness for `rng=None`."""


class KernelPrior(Prior[P], ABC):
    """A parameterisation of the kernel or kernels: non-negative, each summing to one."""

    @abstractmethod
    def init(self, spec: KernelSpec, context: Context) -> None:
        """Set up for kernels of a spec."""

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        """Take over from the stage before, after `init`; `kernel` is its kernel on this stage's grid."""

    @abstractmethod
    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        """The kernels (count, *spatial); `latent` is there for those that follow from the latent frames."""


class WeightedKernelPrior(KernelPrior[P], ABC):
    """Kernels that are linear in non-negative weights, ``parameters()[0]``, and then divided by their sums.

    The trait ``weights``. The weights are (bodies, *any): each body is of sum one, and connected where a kernel is.
    """

    @abstractmethod
    def expand(self, weights: Tensor) -> Tensor:
        """The kernels (count, *spatial) of weights, not yet divided by their sums."""

    @abstractmethod
    def gather(self, kernels: Tensor) -> Tensor:
        """The adjoint of `expand`."""

    def centred(self, weights: Tensor) -> Tensor:
        """The weights, or those of the same blur without what bends or turns the image, which is then found anew."""
        return weights


class Operator(Protocol):
    """A linear forward model with its kernel fixed: `forward` (prediction) and its `adjoint` in the latent image."""

    def forward(self, latent: Tensor) -> Tensor: ...

    def adjoint(self, residual: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class _Fixed:
    model: ForwardModel[Any]
    kernel: Tensor
    shape: Shape

    def forward(self, latent: Tensor) -> Tensor:
        return self.model.predict(latent, self.kernel)

    def adjoint(self, residual: Tensor) -> Tensor:
        return self.model.adjoint(residual, self.kernel, self.shape)


class ForwardModel(Component[P], ABC):
    """How a latent image becomes an observed one."""

    @abstractmethod
    def spec(self, observed: Shape, context: Context) -> KernelSpec:
        """The kernels it wants, at full resolution, for observed frames (frames, channels, *spatial)."""

    @abstractmethod
    def latent_shape(self, observed: Shape, spec: KernelSpec) -> Shape:
        """Shape of the latent image that explains observed frames of this shape."""

    @abstractmethod
    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        """The observation that follows from latent image and kernel, differentiable in both."""

    @abstractmethod
    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        """Adjoint of `predict` in the latent image, whose shape is given."""

    @abstractmethod
    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: KernelSpec) -> Tensor:
        """Adjoint of `predict` in the kernel."""

    def prepared(self, kernel: Tensor, shape: Shape) -> Operator:
        """`predict` and `adjoint` for one kernel and latent shape (frames, channels, *spatial), to be used many times.

        Override where work on the kernel can be done once. A model with the trait ``stationary`` gives an
        `unblur.operators.convolution.Convolution`.
        """
        return _Fixed(self, kernel, shape)

    def target(self, batch: Batch) -> Batch:
        """The frames that `predict` explains; all of them unless the model says otherwise."""
        return batch

    @abstractmethod
    def crop(self, estimate: Estimate, batch: Batch) -> Estimate:
        """The estimate cut to the observed window, its kernel shifted to match."""

    def findings(self, estimate: Estimate, batch: Batch) -> list[str]:
        """Warnings for the report: what in a final estimate, not yet cut, lies beyond what the model describes."""
        return []


class Response(Component[P]):
    """A modifier of any forward model: how a camera turns light into numbers.

    Attributes:
        zero_is_dark: once calibrated, zero is where there is no light: what lies below is noise, and nothing is added
            to make it positive.
    """

    zero_is_dark = False

    def calibrate(self, observed: Tensor, context: Context) -> Tensor:
        """Undo on the data, before the run, what can be undone exactly (offset and gain)."""
        return observed

    def restore(self, image: Tensor) -> Tensor:
        """The inverse of `calibrate`, for the result, and a curve of `__call__` that the result is to show (gamma)."""
        return image

    def unrestored(self, image: Tensor, context: Context) -> Tensor:
        """The inverse of `restore`, for an image that a run gave; override where `restore` shows a curve."""
        return self.calibrate(image, context)

    def linearised(self, observed: Tensor) -> Tensor:
        """The inverse of `__call__` on what was observed, as far as there is one; that of noise is no matter."""
        return observed

    def spread(self, spread: Tensor, image: Tensor) -> Tensor:
        """`restore` for standard deviations, to first order about the calibrated `image`."""
        return spread

    def init(self, batch: Batch, context: Context) -> None:
        """Set up with the calibrated, scaled data."""

    def __call__(self, predicted: Tensor) -> Tensor:
        """Apply to the prediction what cannot be undone on the data (gamma, saturation)."""
        return predicted


class Misfit(Component[P], ABC):
    """A modifier of any forward model: how far a prediction is from the observation. Its params have `weight`."""

    def init(self, batch: Batch, context: Context) -> None:
        """Set up with the data."""

    @abstractmethod
    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        """A scalar, zero or small for a perfect prediction; `weight` (as `observed`) says which pixels count."""


class Penalty(Component[P], ABC):
    """A modifier of any image or kernel prior. Its params have `weight: Schedule`."""

    def init(self, context: Context) -> None:
        """Set up, once: for what needs the pixel size, the PSF, or weights on the device."""

    @abstractmethod
    def __call__(self, value: Tensor) -> Tensor:
        """A scalar for a latent image or for kernels."""


class State(Protocol):
    """An estimator's state: what changes besides the priors (optimisers, momenta)."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Estimator(Component[P], ABC):
    """How the unknowns are found: `init` and `step`. It owns no loop and prints nothing.

    Attributes:
        patches: a step looks at regions of a fixed size, so that its memory does not grow with the image.
        for_kernel: its image only serves to find the kernel; what follows in `then` gets the image before it.
    """

    patches: bool = False
    for_kernel: bool = False

    @abstractmethod
    def init(self, problem: Problem, earlier: State | None) -> Any:
        """The state to begin with; `earlier` is that of the stage before."""

    @abstractmethod
    def step(self, problem: Problem, state: Any, batch: Batch, clock: Clock) -> Info:
        """One iteration, in place; the driver takes the snapshots."""

    def estimate(self, problem: Problem, state: Any, batch: Batch, clock: Clock, rng: Generator) -> Estimate:
        """The current result, drawn with a generator of its own, so that looking changes nothing.

        The default is the outcome of both priors without randomness.
        """
        draw = problem.draw(batch, clock, None)
        return Estimate(draw.latent, problem.kernel(draw.latent, clock, None))

    def soften(self, state: Any) -> bool:
        """Take smaller steps after a divergence; False if it cannot."""
        return False


class StoppingRule(Component[P], ABC):
    """Says when to stop, and why. `ends` tells whether it ends the stage or the whole run."""

    ends: Literal["stage", "run"] = "stage"
    budget: float | None = None

    def init(self, problem: Problem) -> None:
        """Set up at the beginning of each stage."""

    @abstractmethod
    def update(self, info: Info, clock: Clock) -> str | None:
        """The reason to stop after this step, or None."""


class Selector(Component[P], ABC):
    """Exactly one per run chooses the iterate that is returned."""

    def init(self, problem: Problem) -> None:
        """Set up at the beginning of each stage."""

    @abstractmethod
    def better(self, info: Info, clock: Clock) -> bool:
        """Whether the iterate after this step is the best so far."""


BASES: dict[tuple[str, str], type[Component[Any]]] = {
    ("forward_model", "base"): ForwardModel,
    ("forward_model", "response"): Response,
    ("forward_model", "misfit"): Misfit,
    ("image_prior", "base"): ImagePrior,
    ("image_prior", "penalty"): Penalty,
    ("kernel_prior", "base"): KernelPrior,
    ("kernel_prior", "penalty"): Penalty,
    ("estimator", "base"): Estimator,
    ("stopping", "rule"): StoppingRule,
    ("stopping", "selector"): Selector,
}
"""The class that a component derives from, by slot and role."""
