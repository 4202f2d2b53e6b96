"""What an estimator changes and draws in its steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unblur.components import Draw
from unblur.problem import Problem


def values(trial: Problem, slot: str) -> Tensor:
    """All parameters of ``image`` or ``kernels``, as one vector."""
    return torch.cat([parameter.detach().flatten().clone() for parameter in getattr(trial, slot).parameters()])


def watched_draws(trial: Problem, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """A list that every latent image joins when it is drawn."""
    drawn: list[Tensor] = []
    draw = trial.image.draw

    def watch(*args: Any) -> Draw:
        found = draw(*args)
        drawn.append(found.latent.detach().clone())
        return found

    monkeypatch.setattr(trial.image, "draw", watch)
    return drawn
