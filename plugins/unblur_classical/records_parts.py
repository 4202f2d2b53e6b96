"""Records of the parts that methods are made of: forward model, terms, pixels, kernels, stopping rules."""

from __future__ import annotations

from unblur.records import Component

FORWARD_MODELS: list[Component] = []
IMAGE_PRIORS: list[Component] = []
KERNEL_PRIORS: list[Component] = []
STOPPING_RULES: list[Component] = []
