"""What a plugin hands over: frozen records that name their target, which is imported only when it is used."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from unblur.errors import PluginError, described
from unblur.params import NoParams

if TYPE_CHECKING:
    from unblur.pipeline import Pipeline

Slot = Literal["forward_model", "image_prior", "kernel_prior", "estimator", "stopping"]
SLOTS: tuple[Slot, ...] = ("forward_model", "image_prior", "kernel_prior", "estimator", "stopping")

Role = Literal["base", "misfit", "response", "penalty", "rule", "selector"]
ROLES: Mapping[Slot, tuple[Role, ...]] = {
    "forward_model": ("base", "response", "misfit"),
    "image_prior": ("base", "penalty"),
    "kernel_prior": ("base", "penalty"),
    "estimator": ("base",),
    "stopping": ("rule", "selector"),
}
"""The roles of a slot, the first one being the default."""

PRESETS = ("fast", "balanced", "paper")
"""The names that presets of methods have."""

GRADIENT_TRAITS = frozenset(
    {"learns-kernel", "uses-misfit", "uses-response", "uses-image-penalty", "uses-kernel-penalty"}
)
"""What an estimator `provides` that follows the gradient of misfit and penalties to an image and its kernel."""

GRADIENT_NEEDS = frozenset({"image_prior:learns", "forward_model:misfit"})
"""What such an estimator `requires`."""


@dataclass(frozen=True)
class Component:
    """One component of a plugin.

    Args:
        name: what users write, lower case with hyphens; unique within its slot.
        target: ``"package.module:Class"``; the class takes one argument, an instance of `params`.
        summary: one sentence for lists and tooltips.
        params: frozen dataclass of its parameters (`unblur.params`).
        role: what it does in its slot; empty for the slot's default (see `ROLES`).
        provides: traits that it has (docs: concepts, "Traits").
        requires: traits that it needs of the parts in other slots, written ``"slot:trait"``.
        dims: numbers of spatial dimensions that it works in.
        source: paper and equation.
    """

    name: str
    target: str
    summary: str
    params: type = NoParams
    role: Role | None = None
    provides: frozenset[str] = frozenset()
    requires: frozenset[str] = frozenset()
    dims: frozenset[int] = frozenset({2, 3})
    source: str = ""


@dataclass(frozen=True)
class Calibration:
    """What was measured of the maps of uncertainty of one preset, on images with a known truth.

    Args:
        factor: multiplies the map; found on some of the images. Where it depends on the noise, pairs of the standard
            deviation of the noise, as a part of white and rising, and the factor there; between them both are
            interpolated in logarithms, and beyond them the nearest holds.
        within: parts of the errors within one and two of the multiplied standard deviations, on the other images.
        rank_correlation: of the map with the size of the errors, on these.
        steps: the fewest and the most of the runs, all stages together; of others nothing is known.
        measured_on: what the images were, in words.
        dims: spatial dimensions of these.
        colour: whether they had three channels.
        white_level: whether these had a known white level, as photographs do; then nothing is known of others.
        noise: the least and the most noise of these, its standard deviation as a part of white; none for any.
    """

    factor: float | tuple[tuple[float, float], ...]
    within: tuple[float, float]
    rank_correlation: float
    steps: tuple[int, int]
    measured_on: str
    dims: int = 2
    colour: bool = False
    white_level: bool = False
    noise: tuple[float, float] | None = None


@dataclass(frozen=True)
class Method:
    """A named composition, with one pipeline for each preset.

    Args:
        name: what users write after ``--method``.
        summary: one sentence.
        good_for: what images it is for, and when another one is better.
        presets: pipelines by the names ``fast``, ``balanced`` (the default) and ``paper``; ``balanced`` must be there.
        reference: the paper.
        needs_psf: the method restores with a known PSF.
        blind: the method estimates the kernel.
        trainer: ``"package.module:Class"`` of an `unblur.training.Trainer`, where there are networks to train.
        trainer_params: frozen dataclass of the trainer's parameters.
        calibrations: by the names of presets, where maps of uncertainty were found to be as large as the errors.
    """

    name: str
    summary: str
    good_for: str
    presets: Mapping[str, Pipeline]
    reference: str = ""
    needs_psf: bool = False
    blind: bool = False
    trainer: str = ""
    trainer_params: type = NoParams
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def pipeline(self, preset: str = "balanced") -> Pipeline:
        """The pipeline of a preset; a method with only one gives that for every preset."""
        return self.presets.get(preset, self.presets["balanced"])


def quiet() -> contextlib.AbstractContextManager[Any]:
    """What a plugin prints while it is imported goes to standard error: it is no part of what a command prints."""
    return contextlib.redirect_stdout(sys.stderr)


@dataclass(frozen=True)
class Provenance:
    """Where a record comes from."""

    plugin: str
    distribution: str
    version: str


@dataclass(frozen=True)
class Registered:
    """A component with its slot and where it comes from."""

    component: Component
    slot: Slot
    provenance: Provenance
    role: Role = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", self.component.role or ROLES[self.slot][0])

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def named(self) -> str:
        """What it is and whose, for messages."""
        return f"{self.slot} {self.name!r} (plugin {self.provenance.plugin!r}, {self.provenance.distribution})"

    def load(self) -> Any:
        """Import the target class.

        Raises:
            PluginError: the target cannot be imported; the message names plugin and cause.
        """
        module, _, attribute = self.component.target.partition(":")
        try:
            with quiet():
                return getattr(importlib.import_module(module), attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module that raises SystemExit must not end the host
            raise PluginError(
                f"component {self.name!r} of plugin {self.provenance.plugin!r} ({self.provenance.distribution}): "
                f"cannot import {self.component.target}: {described(error)}"
            ) from error
