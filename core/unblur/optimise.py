"""Gradient steps for estimators: Adam on the parameters of image and kernel, each at a rate that follows a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unblur.moments import Moments
from unblur.params import Schedule, value_at


class AdamGroups:
    """One Adam optimiser with a group of parameters for each name; the state of gradient estimators.

    Args:
        groups: name → parameters; a group without parameters (a known kernel) is left out.
        rates: name → learning rate, a number or a schedule.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[Tensor]],
        rates: Mapping[str, Schedule],
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.rates = dict(rates)
        self.softness = 1.0
        filled = [{"params": list(parameters), "name": name} for name, parameters in groups.items() if len(parameters)]
        self.optimiser = torch.optim.Adam(filled, lr=1e-3, betas=betas, fused=True)

    def step(self, loss: Tensor, fraction: float) -> None:
        """Descend on a scalar at the rates of this fraction of the planned steps.

        Parameters that it does not depend on stay as they are, and so do their momenta.
        """
        self.optimiser.zero_grad(set_to_none=True)
        if not loss.requires_grad:
            return
        loss.backward()  # type: ignore[no-untyped-call]
        self._update(fraction)

    def follow(self, gradients: Sequence[Tensor], fraction: float) -> None:
        """The same for gradients that are known, one for each parameter in the order of the groups."""
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = _laid_out(gradient, parameter)
        self._update(fraction)
        self.optimiser.zero_grad(set_to_none=True)

    def _update(self, fraction: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.softness * value_at(self.rates[group["name"]], fraction)
        self.optimiser.step()

    def soften(self) -> bool:
        """A tenth of the rates from now on."""
        self.softness *= 0.1
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"adam": self.optimiser.state_dict(), "softness": self.softness}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state["adam"])
        for parameter, moments in self.optimiser.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                moments[name] = _laid_out(moments[name], parameter)
        self.softness = state["softness"]


def _laid_out(values: Tensor, parameter: Tensor) -> Tensor:
    """In memory as the parameter is: the fused update takes that for granted, and pairs values with weights by it."""
    return values if values.stride() == parameter.stride() else torch.empty_like(parameter).copy_(values)


class AveragedAdam(AdamGroups):
    """Adam, and the moments of the images that were kept: the state of estimators whose image is a mean of draws."""

    def __init__(self, groups: Mapping[str, Sequence[Tensor]], rates: Mapping[str, Schedule]) -> None:
        super().__init__(groups, rates)
        self.kept = Moments()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "kept": self.kept.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.kept.load_state_dict(state["kept"])


def take_first_step() -> None:
    """A step that changes nothing. The first one of a process imports much of PyTorch, which takes seconds."""
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.zeros(1)
    torch.optim.Adam([weight]).step()
