"""One component under test: what the rules build it with, and how they say that a rule is broken."""

from __future__ import annotations

import copy
import functools
import io
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unblur.components import Batch, Clock, Context, Shape
from unblur.compute import Compute
from unblur.errors import ConformanceError
from unblur.params import validate
from unblur.records import Registered
from unblur.registry import Registry
from unblur.testing.worlds import KERNEL, OBSERVED, kernels, noise, smooth

Settings = Mapping[str, Mapping[str, Any]]
"""``"slot.name"`` of a component → the parameters it is tested with."""

CLOCK = Clock(step=2, steps=10)


@dataclass(frozen=True)
class Case:
    """A component, the number of dimensions and the device that it is tested with."""

    registered: Registered
    registry: Registry
    dims: int
    compute: Compute
    settings: Settings = field(default_factory=dict)
    rule: str = ""

    @property
    def who(self) -> str:
        origin = self.registered.provenance
        return f"{self.registered.slot} {self.registered.name!r} (plugin {origin.plugin!r}, {origin.distribution})"

    @property
    def traits(self) -> frozenset[str]:
        return self.registered.component.provides

    @property
    def observed_shape(self) -> Shape:
        return OBSERVED[self.dims]

    @property
    def kernel_shape(self) -> Shape:
        return KERNEL[self.dims]

    @property
    def latent_shape(self) -> Shape:
        return tuple(n + k - 1 for n, k in zip(self.observed_shape, self.kernel_shape, strict=True))

    @functools.cached_property
    def params(self) -> Any:
        values = self.settings.get(f"{self.registered.slot}.{self.registered.name}", {})
        return validate(self.registered.component.params, values, self.registered.name)

    def instance(self) -> Any:
        """A fresh instance with the parameters it is tested with."""
        return self.registered.load()(self.params)

    def rng(self, seed: int = 0) -> torch.Generator:
        """A generator on the case's device."""
        return self.compute.generator(seed)

    def context(self, seed: int = 0) -> Context:
        """A context with a PSF, pixel size and photon count, so that nothing a component may ask for is missing."""
        psf = self.compute.tensor(kernels(1, self.kernel_shape, seed=5))
        rng = torch.Generator().manual_seed(seed)
        return Context(self.compute, rng, psf=psf, pixel_size=(0.1,) * self.dims, photons=500.0)

    def batch(self, frames: int = 1, channels: int = 1) -> Batch:
        """Smooth observed frames with intensities between 0.1 and 0.9."""
        return Batch(self.smooth((frames, channels, *self.observed_shape), 3), tuple(range(frames)))

    def smooth(self, shape: Shape, seed: int) -> Tensor:
        return self.compute.tensor(smooth(shape, seed))

    def noise(self, shape: Sequence[int], seed: int) -> Tensor:
        return self.compute.tensor(noise(shape, seed))

    def kernels(self, count: int, shape: Shape, seed: int = 0) -> Tensor:
        return self.compute.tensor(kernels(count, shape, seed))

    def expect(self, condition: bool, problem: str) -> None:
        """Raise `ConformanceError` unless the condition holds."""
        if not condition:
            raise ConformanceError(f"{self.who} breaks the rule {self.rule!r}: {problem}")

    def finite(self, tensor: Tensor, what: str) -> None:
        self.expect(bool(torch.isfinite(tensor).all()), f"{what} is not finite everywhere")

    def shaped(self, tensor: Tensor, shape: Sequence[int], what: str) -> None:
        self.expect(isinstance(tensor, Tensor), f"{what} is {type(tensor).__name__}; expected a tensor")
        got = tuple(tensor.shape)
        self.expect(got == tuple(shape), f"{what} has shape {got}; expected {tuple(shape)}")
        self.expect(tensor.dtype == torch.float32, f"{what} has dtype {tensor.dtype}; expected float32")
        wanted = self.compute.device.type
        self.expect(tensor.device.type == wanted, f"{what} is on {tensor.device.type}; expected {wanted}")

    def scalar(self, value: Any, what: str) -> Tensor:
        self.expect(isinstance(value, Tensor) and value.ndim == 0, f"{what} is no scalar tensor, but {_form(value)}")
        self.finite(value, what)
        return value  # type: ignore[no-any-return]

    def number(self, value: Any, what: str) -> float:
        return float(self.scalar(value, what).detach())

    def close(self, got: Tensor, wanted: Tensor, what: str, tolerance: float) -> None:
        """Largest difference at most `tolerance` times the largest value of `wanted`."""
        self.expect(got.shape == wanted.shape, f"{what}: shape {tuple(got.shape)}; expected {tuple(wanted.shape)}")
        scale = max(float(wanted.detach().abs().max()), 1e-12)
        error = float((got - wanted).detach().abs().max()) / scale
        self.expect(error <= tolerance, f"{what}: relative difference {error:.2g}; expected at most {tolerance:g}")

    def kept(self, state: Any, what: str) -> Any:
        """A state as a checkpoint gives it back: tensors and plain values only."""
        content = io.BytesIO()
        try:
            torch.save(copy.deepcopy(state), content)
            content.seek(0)
            found = torch.load(content, map_location=self.compute.device, weights_only=True)
        except Exception as error:
            said = next((line for line in str(error).splitlines() if "Unpickler error" in line), str(error))
            self.expect(False, f"{what} does not come back from a checkpoint: {type(error).__name__}: {said[:300]}")
        self.same(found, state, f"{what} from a checkpoint")
        return found

    def same(self, got: Any, wanted: Any, what: str) -> None:
        """Equal bits on the CPU, nearly equal elsewhere; looks into dictionaries and lists."""
        problem = self.difference(got, wanted)
        self.expect(problem is None, f"{what}: {problem}")

    def difference(self, got: Any, wanted: Any) -> str | None:
        """Where two (nested) values differ, in words; None where they do not."""
        if isinstance(wanted, Tensor):
            if not isinstance(got, Tensor) or got.shape != wanted.shape:
                return f"{_form(got)} instead of {_form(wanted)}"
            got, wanted = got.detach(), wanted.detach()
            exact = self.compute.device.type == "cpu" or not wanted.is_floating_point()
            equal = torch.equal(got, wanted) if exact else torch.allclose(got, wanted, 1e-3, 1e-4)
            return None if equal else f"differs by up to {float((got.double() - wanted.double()).abs().max()):.3g}"
        if isinstance(wanted, Mapping):
            if not isinstance(got, Mapping) or got.keys() != wanted.keys():
                return f"{_form(got)} instead of {_form(wanted)}"
            found = ((key, self.difference(got[key], wanted[key])) for key in wanted)
        elif isinstance(wanted, list | tuple):
            if not isinstance(got, list | tuple) or len(got) != len(wanted):
                return f"{_form(got)} instead of {_form(wanted)}"
            found = ((index, self.difference(got[index], wanted[index])) for index in range(len(wanted)))
        else:
            return None if bool(np.all(got == wanted)) else f"{got!r} instead of {wanted!r}"
        return next((f"{key}: {problem}" for key, problem in found if problem is not None), None)

    def slope(self, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        """The gradient of a scalar function is finite and agrees with its differences along a random direction.

        In float64 where the component keeps it; in float32, which rounds more, over larger differences.
        """
        leaves = [value.detach().double().requires_grad_() for value in inputs]
        try:
            exact = function(*leaves).dtype == torch.float64
        except RuntimeError:  # such as of a convolution with a filter of its own, in the float32 that is promised
            exact = False
        if not exact:
            leaves = [value.detach().clone().requires_grad_() for value in inputs]
        value = self.scalar(function(*leaves), "the value")
        gradients = torch.autograd.grad(value, leaves, allow_unused=True)
        gap, tolerance = (1e-6, 1e-3) if exact else (3e-3, 5e-2)
        for index, gradient in enumerate(gradients):
            self.expect(gradient is not None, f"no gradient reaches input {index + 1} of {len(gradients)}")
            assert gradient is not None
            self.finite(gradient, "a gradient")
            direction = self.noise(gradient.shape, seed=7).to(gradient.dtype)
            ends = []
            for sign in (1, -1):
                moved = [leaf.detach() for leaf in leaves]
                moved[index] = moved[index] + sign * gap * direction
                ends.append(float(function(*moved)))
            wanted = (ends[0] - ends[1]) / (2 * gap)
            got = float((gradient * direction).sum())
            scale = max(abs(wanted), abs(got), float(gradient.norm()) * 0.1, abs(float(value.detach())) * 1e-3, 1e-6)
            self.expect(
                abs(got - wanted) <= tolerance * scale,
                f"slope by autograd {got:.5g}, by differences {wanted:.5g} (input {index + 1} of {len(gradients)})",
            )


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a table of {', '.join(map(str, value)) or 'nothing'}"
    return repr(value)


@contextmanager
def global_randomness_untouched(case: Case) -> Iterator[None]:
    """Nothing inside may draw from, or seed, the generators that belong to the whole process."""
    before = _global_states(case)
    yield
    for name, state in _global_states(case).items():
        unchanged = case.difference(state, before[name]) is None
        case.expect(unchanged, f"{name}'s global random state changed; draw from the rng that is handed in")


def _global_states(case: Case) -> dict[str, Any]:
    legacy: Any = np.random.get_state()  # noqa: NPY002  (it is watched, not drawn from)
    states = {"torch": torch.get_rng_state(), "NumPy": legacy[1:], "Python": random.getstate()}
    if case.compute.device.type == "cuda":
        states["CUDA"] = torch.cuda.get_rng_state_all()
    return states
