"""The pipelines of SA-dropout and of its untrained peers."""

from __future__ import annotations

from typing import Any

from unblur import Pipeline, Stage

_RATES = ((0.0, 1e-3), (0.5, 5e-4), (0.7, 2.5e-4), (0.85, 1e-4))
_PEER_RATES = ((0.0, 1e-2), (0.6, 5e-3), (0.8, 2.5e-3))


_NOISE_STEPS = ("noise-steps", {"noise": (0.035, 0.05), "steps": (4000, 2000)})
"""The network fits noise of 5 % from some 2000 steps on, and none of 3 % in 4000."""


def guided(channels: tuple[int, ...], steps: int) -> Pipeline:
    """A narrower network at a higher rate, which has only the errors of classical estimates to learn.

    These come from fixed seeds: one of the whole observation tells the network the noise of the pixels that the misfit
    counts on, which it then fits. For the same reason they leave residuals by which `noise-level` cannot go.
    """
    return Pipeline(
        forward_model=["convolution", "squared"],
        image_prior=(
            "dropout-unet",
            {
                "channels": channels,
                "early": True,
                "adapt_every": 500,
                "start": ("hyper-laplacian",),
                "seeds": 8,
                "sparing": True,
            },
        ),
        kernel_prior="known",
        estimator=("dropout-ensemble", {"image_rate": _RATES, "average_from": 0.7, "inferences": 20}),
        stopping=[_NOISE_STEPS],
        stages=[Stage(steps=steps)],
    )


SA_DROPOUT = {
    "fast": guided((16,), 1000),
    "balanced": guided((32,), 4000),
    "paper": Pipeline(
        forward_model=["convolution", "squared"],
        image_prior="dropout-unet",
        kernel_prior="known",
        estimator="dropout-ensemble",
        stopping=["noise-level"],
        stages=[Stage(steps=100_000)],
    ),
}

_NETWORK: dict[str, Any] = {"channels": (128,), "skip_channels": 4, "input_channels": 32, "noise": 0.03}
"""DIP's network as its authors set it up for super-resolution, which Chen et al. 2022 took (section 4.1)."""


def _peer(prior: Any, estimator: Any, steps: int, rule: str | None, misfit: str | None = "squared") -> Pipeline:
    return Pipeline(
        forward_model=["convolution", *([misfit] if misfit else [])],
        image_prior=prior,
        kernel_prior="known",
        estimator=estimator,
        stopping=[rule] if rule else [],
        stages=[Stage(steps=steps)],
    )


def _narrow(width: int) -> dict[str, Any]:
    """DIP's network, narrow at the full resolution, where nearly all of the time goes."""
    return {"channels": (width, *(64,) * 4), "upsampling": "nearest"}


def _adam(rates: Any) -> tuple[str, dict[str, Any]]:
    return "joint-adam", {"image_rate": rates}


def _back_projection(rates: Any) -> tuple[str, dict[str, Any]]:
    return "back-projection", {"image_rate": rates}


DIP = {
    "fast": _peer(("encoder-decoder", _narrow(16)), _adam(_PEER_RATES), 800, "noise-level"),
    "balanced": _peer(("encoder-decoder", _narrow(32)), _adam(_PEER_RATES), 2000, "noise-level"),
    "paper": _peer(("encoder-decoder", _NETWORK), _adam(1e-2), 10_000, "noise-steps"),
}

_TV = ("tv", {"weight": 0.1})
DIP_TV = {
    "fast": _peer([("encoder-decoder", _narrow(16)), _TV], _adam(_PEER_RATES), 800, None, "squared-over-noise"),
    "balanced": _peer([("encoder-decoder", _narrow(32)), _TV], _adam(_PEER_RATES), 2000, None, "squared-over-noise"),
    "paper": _peer([("encoder-decoder", _NETWORK), _TV], _adam(1e-2), 10_000, None, "squared-over-noise"),
}

DEEP_DECODER = {
    "fast": _peer(("deep-decoder", {"channels": (64,)}), _adam(_PEER_RATES), 1000, None),
    "balanced": _peer("deep-decoder", _adam(_PEER_RATES), 3000, None),
    "paper": _peer("deep-decoder", _adam(1e-2), 10_000, None),
}

BP_DIP = {
    "fast": _peer(("encoder-decoder", _narrow(16)), _back_projection(_PEER_RATES), 800, "noise-level", None),
    "balanced": _peer(("encoder-decoder", _narrow(32)), _back_projection(_PEER_RATES), 2000, "noise-level", None),
    "paper": _peer(("encoder-decoder", _NETWORK), _back_projection(1e-2), 10_000, "noise-steps", None),
}
