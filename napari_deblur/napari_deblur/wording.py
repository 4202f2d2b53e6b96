"""Advice of the core in the words of the dock, where the core names options of the command line."""

from __future__ import annotations

import re

SAID = {
    "--nan mask": "NaN pixels: mask",
    "--psf FILE": "Blur: known",
    "--psf": "Blur: known",
    "--kernel-size": "Kernel",
    "--tile auto": "a width under tiles",
    "--tile": "tiles",
    "--max-seconds": "the limit beside Effort",
    "--region": "a range of planes",
    "--threads 1": "one thread in the preferences",
    "--psf-axes": "PSF axes",
    "--axes": "Axes",
    "--planes volume": "run the volume",
    "--pixel-size": "Pixel size",
    "--set forward_model=": "under Parts the blur model ",
    "--device cpu": "the device cpu in the preferences",
}
"""What the command line and Python call things, and what they are called here."""

_KNOWN = re.compile("|".join(re.escape(option) for option in sorted(SAID, key=len, reverse=True)))


def in_the_dock(text: str) -> str:
    """The same advice for somebody who looks at the dock."""
    return _KNOWN.sub(lambda found: SAID[found[0]], text)
