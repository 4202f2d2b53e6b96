"""`unblur run --region`: a part of the image, with everything that belongs to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

import unblur as api
from tests.cli.conftest import Unblur
from unblur import io

FEW = {"method": "richardson-lucy", "settings": {"stages.0.steps": 3}, "threads": 1}


def test_a_region_is_restored_as_the_same_part_is_in_python(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    psf = tmp_path / "psf.tif"
    command = ("--method", "richardson-lucy", "--set", "stages.0.steps=3", "--threads", "1", "--psf", psf)
    code, said, _ = unblur("run", cells, "-o", tmp_path / "out.tif", "--region", "Y=4:24,X=0:18", *command)
    assert code == 0
    assert "only a region is used: Y=4:24, X=0:18" in said
    part = io.read(cells).cut({"Y": (4, 24), "X": (0, 18)})
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), api.deblur(part, psf=psf, **FEW).image)


def test_a_region_outside_the_image_is_bad_input(unblur: Unblur, cells: Path, tmp_path: Path) -> None:
    code, _, err = unblur("run", cells, "-o", tmp_path / "out.tif", "--region", "Y=4:99")
    assert code == 2
    assert "cells.tif" in err
    assert not (tmp_path / "out.tif").exists()
