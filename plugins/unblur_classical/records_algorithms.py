"""Records of the algorithms and PSF models."""

from __future__ import annotations

from unblur.records import Component, Method

KERNEL_PRIORS: list[Component] = []
ESTIMATORS: list[Component] = []
METHODS: list[Method] = []
