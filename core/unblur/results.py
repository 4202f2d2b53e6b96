"""What a job gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unblur import io
from unblur.errors import ImageError
from unblur.image import Image
from unblur.io.atomic import refuse_input
from unblur.io.kernels import ARRAYS
from unblur.kernel_grid import KernelGrid


@dataclass(frozen=True, eq=False)
class Result:
    """A restored image with its kernel and report.

    Attributes:
        image: float32, in the shape and intensity units of the input; planes that failed are NaN.
        kernel: (*spatial), or with the axes of planes that have kernels of their own before them; sums to one, with its
            origin at floor(n / 2).
        uncertainty: standard deviation per pixel in the units of the input, or None where the method gives none.
        report: what was done and found (schema in the documentation, "The report").
        source: the input, whose axes, pixel size and alpha the result carries on.
        kernel_axes: a letter for each dimension of `kernel`.
        kernel_grid: where the kernels of a space-variant blur hold, which `kernel` then has one after the other in the
            dimension before the spatial ones; None for one kernel.
    """

    image: np.ndarray
    kernel: np.ndarray
    uncertainty: np.ndarray | None
    report: dict[str, Any]
    source: Image
    kernel_axes: str
    kernel_grid: KernelGrid | None = None

    @property
    def complete(self) -> bool:
        """Every plane is there: none failed, and the run was not stopped."""
        return bool(self.report["status"] == "done")

    def as_image(self) -> Image:
        """The restored pixels with the input's axes, pixel size, units and alpha."""
        return self.source.with_data(self.image)

    def kernel_image(self) -> Image:
        """The kernel with its axes and the input's pixel size, as `unblur.deblur(psf=…)` takes it.

        Kernels of the planes of a stack are numbered along T or C: along Z they would be one of three dimensions.
        """
        named = self._named_axes()
        sizes = {
            axis: size for axis, size in self.source.pixel_size.items() if axis in named and axis in self.kernel_axes
        }
        return Image(self.kernel, named, pixel_size=sizes, units={axis: self.source.units[axis] for axis in sizes})

    def kernel_arrays(self) -> dict[str, np.ndarray]:
        """The kernels by name: ``kernels`` (..., *grid, *spatial), and ``centres`` (*grid, dims) where there is a grid.

        Centres are in pixels from the centre of the image's first. One kernel is (..., *spatial), without centres.
        ``axes`` is a letter for each dimension that is not of the grid, as `kernel_image` has them.
        """
        grid, axes = self.kernel_grid, self._named_axes()
        if grid is None:
            return {"kernels": self.kernel, "axes": np.array(axes)}
        dims = len(grid.shape)
        size = [self.source.sizes[axis] for axis in self.kernel_axes[-dims:]]
        outer = axes[: -dims - 1]
        return {
            "kernels": grid.arranged(self.kernel),
            "centres": grid.centres(size),
            "axes": np.array(outer + axes[-dims:]),
        }

    def _named_axes(self) -> str:
        """The axes of the kernel where Z, if there is one, is a dimension of each kernel."""
        if self.report["planes_mode"] == "volume":
            return self.kernel_axes
        return self.kernel_axes.replace("Z", next((axis for axis in "TC" if axis not in self.kernel_axes), "Z"))

    def kernel_picture(self) -> np.ndarray:
        """The kernel as a picture (Y, X) with values from 0 to 1; side by side where there is a grid.

        Of several planes that have kernels of their own, the middle one's.
        """
        grid = self.kernel_grid or KernelGrid((1, 1))
        inner = 2 if self.kernel_grid is None else 1 + len(grid.shape)
        kernel = np.nan_to_num(self.kernel)
        while kernel.ndim > inner:
            kernel = kernel[len(kernel) // 2]
        return grid.mosaic(kernel.reshape(grid.count, *kernel.shape[-len(grid.shape) :]))

    def uncertainty_image(self) -> Image:
        """The standard deviations with the input's axes and pixel size.

        Raises:
            ImageError: the method gave none.
        """
        if self.uncertainty is None:
            raise ImageError("the run gave no standard deviation; `unblur methods` says which methods do")
        return replace(self.source.with_data(self.uncertainty), alpha=None)

    def save(
        self,
        path: str | Path,
        *,
        kernel: str | Path | None = None,
        uncertainty: str | Path | None = None,
        dtype: Any = None,
    ) -> tuple[str, ...]:
        """Write the image with its report beside it, and on request kernel and uncertainty.

        A kernel is written as an image, with ``.npz`` as arrays (`kernel_arrays`), or with ``.png`` as a picture.
        The image comes last: where it is, everything that was asked for is. Returns notes on what the format could not
        keep or had to clip, which the report then holds under ``output``.

        Raises:
            FileError: a file cannot be written, or is the input; every file is then as before.
        """
        for place in (path, kernel, uncertainty):
            if place is not None and self.source.source is not None:
                refuse_input(place, self.source.source)
        others: list[tuple[str | Path, Image | dict[str, np.ndarray]]] = []
        if uncertainty is not None:
            others.append((uncertainty, self.uncertainty_image()))
        if kernel is not None:
            others.append((kernel, self._kernel_content(str(kernel).lower())))
        notes = io.write(path, self.as_image(), dtype=dtype, report=self.report, others=others)
        if notes:
            self.report["output"] = list(notes)
        return notes

    def _kernel_content(self, name: str) -> Image | dict[str, np.ndarray]:
        """What a kernel's file of this name holds."""
        if name.endswith(ARRAYS):
            return self.kernel_arrays()
        if name.endswith(".png"):
            if self.report["planes_mode"] == "video":
                raise ImageError("the motion between frames is no picture that a PNG holds; write .tif or .npz")
            return Image.from_array(np.rint(255 * self.kernel_picture()).astype(np.uint8))
        return self.kernel_image()


def stack_kernels(
    kernels: Sequence[tuple[tuple[int, ...], np.ndarray]], outer: Sequence[int], axes: str, spatial: str
) -> tuple[np.ndarray, str]:
    """Kernels (count, *spatial) at positions along the outer axes, as one array with its axes.

    Smaller kernels are padded with zeros around their origin; positions without a kernel are NaN; axes of size one and
    a count of one are left out. Of `axes`, at least one letter of TCZ must be left for several kernels in one place.
    """
    count = max(kernel.shape[0] for _, kernel in kernels)
    shape = tuple(max(kernel.shape[1 + axis] for _, kernel in kernels) for axis in range(len(spatial)))
    stacked = np.full((*outer, count, *shape), np.nan, dtype=np.float32)
    for place, kernel in kernels:
        here = stacked[place]
        here[:] = 0
        begins = [new // 2 - old // 2 for new, old in zip(shape, kernel.shape[1:], strict=True)]
        window = tuple(slice(start, start + old) for start, old in zip(begins, kernel.shape[1:], strict=True))
        here[(slice(None), *window)] = kernel
    short = "".join(axis for axis, size in zip(axes, outer, strict=True) if size == 1)
    free = [letter for letter in "TCZ" if letter not in axes + spatial] + list(short)
    named = [*axes, free[0] if free else "", *spatial]
    kept = [n for n, size in enumerate(stacked.shape) if size > 1 or n > len(outer)]
    return stacked.reshape([stacked.shape[n] for n in kept]), "".join(named[n] for n in kept)
