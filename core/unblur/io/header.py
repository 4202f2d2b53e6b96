"""What a file says about its image, before any pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Header:
    """The facts of one image in a file.

    Attributes:
        shape: as it is in the file: alpha among the samples, these where they are, and nothing turned upright.
        axes: a letter for each dimension; None where the file does not say.
        pixel_size, units: by axis letter, as far as the file says.
        bit_depth: of the camera or the format, if known.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    axes: str | None
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    bit_depth: int | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image_axes(self) -> str | None:
        """Those of the image that `unblur.io.read` gives: samples come last, and alpha is none of them."""
        if self.axes is None or "S" not in self.axes:
            return self.axes
        colour = self.shape[self.axes.index("S")] > 2
        return self.axes.replace("S", "") + ("S" if colour else "")
