"""Pipelines of Reblur2Deblur: narrow networks whose weights come with the package, and those of the paper."""

from __future__ import annotations

from unblur import Pipeline, Stage

WIDTHS = {"dvd": 16, "deblurgan": 16, "flownet": 8}
"""Of the networks whose weights come with the package."""

_DVD = ("dvd", {"width": WIDTHS["dvd"], "norm": "none"})
_FLOWNET = ("flownet", {"width": WIDTHS["flownet"]})
_STILL = {"image_rate": 0.0, "kernel_rate": 0.0}

PRESETS = {
    # The trained network as it is: its result, and how well that explains the frames.
    "fast": Pipeline(["flow-blur", "squared"], _DVD, _FLOWNET, ("reblur", _STILL), stages=[Stage(steps=1)]),
    "balanced": Pipeline(["flow-blur", "squared"], _DVD, _FLOWNET, "reblur", stages=[Stage(steps=200)]),
    "paper": Pipeline(
        ["flow-blur", "squared"],
        ("deblurgan", {"width": 64}),
        ("flownet", {"width": 64}),
        ("reblur", {"batch": 10}),
        stages=[Stage(steps=200)],
    ),
}
