"""Kernels of many planes, and of many places in each, as one array with a letter for each dimension."""

from __future__ import annotations

import numpy as np
import pytest

from unblur.image import check_axes
from unblur.results import stack_kernels


@pytest.mark.parametrize(
    ("outer", "sizes", "count", "spatial", "axes"),
    [
        ("", (), 1, "YX", "YX"),
        ("", (), 4, "YX", "TYX"),
        ("T", (3,), 1, "YX", "TYX"),
        ("T", (3,), 4, "YX", "TCYX"),
        ("TC", (3, 2), 4, "YX", "TCZYX"),
        ("TC", (1, 2), 4, "YX", "CZYX"),
        ("T", (3,), 4, "ZYX", "TCZYX"),
        ("TCZ", (1, 2, 3), 4, "YX", "CZTYX"),
    ],
)
def test_every_dimension_has_a_letter(outer: str, sizes: tuple[int, ...], count: int, spatial: str, axes: str) -> None:
    shape = (3,) * len(spatial)
    kernels = [(place, np.full((count, *shape), 1 / 9, np.float32)) for place in np.ndindex(*sizes)]
    stacked, named = stack_kernels(kernels, sizes, outer, spatial)
    assert named == axes
    check_axes(named, stacked.shape)
    assert np.isfinite(stacked).all()
