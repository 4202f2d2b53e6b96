"""Stochastic-gradient Langevin dynamics, plain and preconditioned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.networks.randomness import RandomPool

_DAMPING = 1e-8
"""Added to the root mean squares, as in Adam: what has no gradient must not move without bounds."""

_SETTLED = 10
"""Steps without noise, until no mean square rests on one gradient that happened to be small."""


class Langevin:
    """Samples parameters θ from a density in proportion to exp(-L(θ) / τ), from gradients of L.

    Plain (Welling & Teh 2011; Li et al. 2023, eq. 9), with the step size ε and w ~ N(0, 1):

        θ ← θ - ε ∇L + sqrt(2 ε τ) w

    Preconditioned (Li, Chen, Carlson & Carin 2016), with G = 1 / rms(∇L), a running root mean square:

        θ ← θ - ε G ∇L + sqrt(2 ε τ G) w

    With momentum β the parameters follow a running mean of ∇L with its noise (Chen, Fox & Guestrin 2014), which has the
    same stationary distribution:

        m ← β m + (1 - β) (∇L + sqrt(2 τ / (ε G)) w)        θ ← θ - ε G m

    Readings: the term with the derivative of G is left out, as its authors do; running means are corrected for their
    start at zero, so that with τ = 0 this is Adam.

    Args:
        parameters: changed in place.
        rng: of the problem; one number is drawn from it for the pool of the noise.
        preconditioned: which of the two.
        memory, momentum: decay of both running means for each step.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rng: Generator,
        preconditioned: bool = True,
        memory: float = 0.999,
        momentum: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.preconditioned = preconditioned
        self.memory, self.momentum = memory, momentum
        self.steps = 0
        self.squares = [torch.zeros_like(p) for p in self.parameters] if preconditioned else []
        self.means = [torch.zeros_like(p) for p in self.parameters] if momentum else []
        self.pool = RandomPool(rng)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float, temperature: float, rng: Generator) -> None:
        """Move the parameters by one step.

        Args:
            gradients: of L, one for each parameter.
            rate: ε.
            temperature: τ; 0 for no noise, which then is not drawn.
        """
        self.steps += 1
        drift = list(gradients)
        if self.preconditioned:
            torch._foreach_mul_(self.squares, self.memory)
            torch._foreach_addcmul_(self.squares, drift, drift, 1 - self.memory)
            rms = list(torch._foreach_sqrt(self.squares))
            torch._foreach_div_(rms, math.sqrt(1 - self.memory**self.steps))
            torch._foreach_add_(rms, _DAMPING)
        noisy = temperature > 0 and (self.steps > _SETTLED or not self.preconditioned)
        sampler = self.pool.open(rng) if noisy else None
        if sampler is not None:
            noise = [sampler.normal(parameter) for parameter in self.parameters]
            size = math.sqrt(2 * temperature / rate)
            if self.preconditioned:
                drift = list(torch._foreach_addcmul(drift, noise, torch._foreach_sqrt(rms), size))
            else:
                drift = list(torch._foreach_add(drift, noise, alpha=size))
        if self.momentum:
            torch._foreach_lerp_(self.means, drift, 1 - self.momentum)
            drift = list(torch._foreach_div(self.means, 1 - self.momentum**self.steps))
        if self.preconditioned:
            torch._foreach_addcdiv_(self.parameters, drift, rms, -rate)
        else:
            torch._foreach_add_(self.parameters, drift, alpha=-rate)

    def take_over(self, earlier: Langevin) -> bool:
        """Go on with the running means of another sampler of the same parameters; False if they differ in shape."""
        mine, others = ([p.shape for p in one.parameters] for one in (self, earlier))
        if mine != others or bool(self.squares) != bool(earlier.squares) or bool(self.means) != bool(earlier.means):
            return False
        self._copy(earlier.squares, earlier.means)
        self.steps = earlier.steps
        return True

    def _copy(self, squares: Sequence[Tensor], means: Sequence[Tensor]) -> None:
        for mine, others in ((self.squares, squares), (self.means, means)):
            for one, other in zip(mine, others, strict=True):
                one.copy_(other)

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "squares": self.squares,
            "means": self.means,
            "pool": self.pool.get_extra_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._copy(state["squares"], state["means"])
        self.steps = state["steps"]
        self.pool.set_extra_state(state["pool"])
