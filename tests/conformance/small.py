"""Networks and steps small enough for tests; the rules do not depend on their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SMALL: Mapping[str, Mapping[str, Any]] = {
    "estimator.alternating-adam": {"image_rate": 1e-4},
    "estimator.back-projection": {"image_rate": 1e-4},
    "estimator.dropout-ensemble": {"image_rate": 1e-4, "inferences": 3},
    "estimator.joint-adam": {"image_rate": 1e-4},
    "estimator.l-bfgs": {"iterations": 2},
    "estimator.mc-mapk": {"image_rate": 1e-4},
    "estimator.mcem": {"image_rate": 1e-4},
    "estimator.reblur": {"batch": 2, "patch": 32, "pairs": "none"},
    "forward_model.svola": {"grid": (2,)},
    "image_prior.deblurgan": {"width": 4, "blocks": 1, "weights": "none"},
    "image_prior.deep-decoder": {"levels": 2, "channels": (8,)},
    "image_prior.dropout-unet": {"levels": 2, "channels": (8,), "adapt_every": 2, "adapt_samples": 2},
    "image_prior.dvd": {"width": 4, "norm": "instance", "weights": "none"},
    "image_prior.encoder-decoder": {"levels": 2, "channels": (8,), "skip_channels": 4, "input_channels": 4},
    "image_prior.random-unet": {"levels": 1, "channels": (8,), "input_channels": 4},
    "kernel_prior.flownet": {"width": 2, "weights": "none"},
    "kernel_prior.fully-connected": {"inputs": 8, "hidden": 16},
    "kernel_prior.kernel-unet": {"levels": 1, "channels": (8,), "input_channels": 4},
    "kernel_prior.measured-psf": {"pixel_size": (0.1,)},
    "kernel_prior.multi-head-unet": {"levels": 2, "channels": (8,), "head_channels": 4, "input_channels": 4},
    "kernel_prior.siren": {"hidden": 16, "layers": 1},
    "stopping.max-seconds": {"seconds": 15.0},
    "stopping.max-steps": {"steps": 30},
    "stopping.moving-variance": {"window": 5, "patience": 5},
    "stopping.no-progress": {"window": 5, "tolerance": 0.5},
    "stopping.noise-level": {"noise": 0.3},
    "stopping.noise-steps": {"steps": (30, 25, 20)},
    "stopping.smallest-variance": {"window": 5},
}
"""``"slot.name"`` → parameters. The rates are those that trained networks stand; rules answer within forty steps."""
