"""The orientation tag of EXIF and TIFF."""

from __future__ import annotations

import numpy as np

TURNED = (2, 3, 4, 5, 6, 7, 8)
"""The orientations that are not upright."""

EXCHANGED = (5, 6, 7, 8)
"""Those that exchange Y and X."""


def upright(data: np.ndarray, axes: str, orientation: int) -> np.ndarray:
    """``data`` as it is meant to be seen, for an orientation from 1 to 8 (TIFF 6.0, tag 274).

    Values above 4 exchange Y and X; any other number leaves the data alone.
    """
    rows, columns = axes.index("Y"), axes.index("X")
    if orientation in EXCHANGED:
        data = np.swapaxes(data, rows, columns)
    flips = {2: (columns,), 3: (rows, columns), 4: (rows,), 6: (columns,), 7: (rows, columns), 8: (rows,)}
    return np.ascontiguousarray(np.flip(data, flips.get(orientation, ())))
