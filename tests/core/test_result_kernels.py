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
    places = list(np.ndindex(*sizes))
    numbered = np.arange(count, dtype=np.float32).reshape(-1, *(1,) * len(spatial))
    kernels = [(place, np.broadcast_to(100 * n + numbered, (count, *shape))) for n, place in enumerate(places)]
    stacked, named = stack_kernels(kernels, sizes, outer, spatial)
    assert named == axes
    check_axes(named, stacked.shape)
    each = stacked.reshape(len(places), count, -1)
    for n in range(len(places)):
        np.testing.assert_array_equal(each[n], (100 * n + np.arange(count))[:, None].repeat(each.shape[2], 1))
