"""Pipelines of Reblur2Deblur: narrow networks whose weights come with the package, and those of the paper."""

from __future__ import annotations

from unblur import Pipeline, Stage

_STILL = {"image_rate": 0.0, "kernel_rate": 0.0}

# Frames that are not sharp yet explain what was observed best with a flow that is too short, and a flow network that is
# tuned learns it. A flow that follows from the frames alone does not, and bears a larger alpha and rate.
_TUNED = {"alpha": 30.0, "image_rate": ((0.0, 2e-4), (0.5, 5e-5))}

# Nearly absolute values: where the flow is wrong, the error is large, and squares would weigh it most.
_ABSOLUTE = ("huber", {"delta": 0.003})

PRESETS = {
    # The trained network as it is: its result, and how well that explains the frames.
    "fast": Pipeline(["flow-blur", "squared"], "dvd", "flownet", ("reblur", _STILL), stages=[Stage(steps=1)]),
    "balanced": Pipeline(
        ["flow-blur", _ABSOLUTE], "dvd", "classical-flow", ("reblur", _TUNED), stages=[Stage(steps=200)]
    ),
    # As wide as in the paper; the weights of these come from `unblur train`, and none are in the package.
    "paper": Pipeline(
        ["flow-blur", "squared"],
        ("deblurgan", {"width": 64, "norm": "instance"}),
        ("flownet", {"width": 64, "through": True}),
        ("reblur", {"batch": 10}),
        stages=[Stage(steps=200)],
    ),
}
