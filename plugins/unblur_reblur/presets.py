"""Pipelines of Reblur2Deblur: narrow networks whose weights come with the package, and those of the paper."""

from __future__ import annotations

from unblur import Pipeline, Stage

_STILL = {"image_rate": 0.0, "kernel_rate": 0.0}

PRESETS = {
    # The trained network as it is: its result, and how well that explains the frames.
    "fast": Pipeline(["flow-blur", "squared"], "dvd", "flownet", ("reblur", _STILL), stages=[Stage(steps=1)]),
    "balanced": Pipeline(["flow-blur", "squared"], "dvd", "flownet", "reblur", stages=[Stage(steps=200)]),
    # As wide as in the paper; the weights of these come from `unblur train`, and none are in the package.
    "paper": Pipeline(
        ["flow-blur", "squared"],
        ("deblurgan", {"width": 64, "norm": "instance"}),
        ("flownet", {"width": 64}),
        ("reblur", {"batch": 10}),
        stages=[Stage(steps=200)],
    ),
}
