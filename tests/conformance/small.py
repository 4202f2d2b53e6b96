"""Networks and steps small enough for tests; the rules do not depend on their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SMALL: Mapping[str, Mapping[str, Any]] = {
    "estimator.dropout-ensemble": {"image_rate": 1e-3, "inferences": 3},
    "estimator.l-bfgs": {"iterations": 2},
    "forward_model.svola": {"grid": (2,)},
    "image_prior.deep-decoder": {"levels": 2, "channels": (8,)},
    "image_prior.dropout-unet": {"levels": 2, "channels": (8,), "adapt_every": 2, "adapt_samples": 2},
    "image_prior.encoder-decoder": {"levels": 2, "channels": (8,), "skip_channels": 4, "input_channels": 4},
    "image_prior.random-unet": {"levels": 1, "channels": (8,), "input_channels": 4},
    "kernel_prior.fully-connected": {"inputs": 8, "hidden": 16},
    "kernel_prior.kernel-unet": {"levels": 1, "channels": (8,), "input_channels": 4},
    "kernel_prior.multi-head-unet": {"levels": 2, "channels": (8,), "head_channels": 4, "input_channels": 4},
    "kernel_prior.siren": {"hidden": 16, "layers": 1},
}
"""``"slot.name"`` → parameters."""
