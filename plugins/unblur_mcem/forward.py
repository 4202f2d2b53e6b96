"""Space-variant overlap-add as a forward model."""

from __future__ import annotations

import math

from torch import Tensor

from unblur.components import Batch, Context, Estimate, ForwardModel, KernelSpec, Operator, Shape
from unblur.errors import ImageError, ParameterError
from unblur.kernel_grid import KernelGrid
from unblur.operators.convolution import Convolution, convolve, convolve_adjoint, kernel_adjoint
from unblur.operators.locate import cut
from unblur.operators.svola import Svola, svola, svola_adjoint, svola_kernel_adjoint
from unblur_mcem.params import SvolaParams


class SvolaModel(ForwardModel[SvolaParams]):
    """``predicted = sum_i k_i * (w_i x)``: windows first, then one kernel for each (Li et al. 2023, eq. 1).

    The kernels (count, *k) are those of a grid, the last axis running fastest, and serve all channels and frames. The
    windows are modified Bartlett-Hann windows, divided by their sum, twice as wide as their distance. Readings: they
    stand in the centres of equal cells of the observed image (the authors' released code puts the outermost on its
    borders, where little of the image determines their kernels), and beyond them the outermost kernels hold.

    Under the boundary "valid" the latent image has the observed size + kernel size - 1, and observed pixel 0 lies on
    latent pixel ``(k - 1) // 2``. A grid of one kernel is the convolution.
    """

    grid: Shape | None = None
    """As the full resolution has it: an image that is nearly square may be so at a lower one."""

    def spec(self, observed: Shape, context: Context) -> KernelSpec:
        spatial = observed[2:]
        self.grid = grid = self._grid(spatial)
        count = math.prod(grid)
        size = self._kernel_size(spatial, grid, context)
        if count == 1:
            return KernelSpec(size)
        return KernelSpec(size, count, "grid", layout=KernelGrid(grid), image=spatial)

    def _kernel_size(self, spatial: Shape, grid: Shape, context: Context) -> Shape:
        size = self.params.kernel_size
        if size is not None:
            if len(size) not in (1, len(spatial)):
                raise ParameterError(
                    f"forward_model.kernel_size = {list(size)}: expected one number, or {len(spatial)} (one per axis)"
                )
            return size if len(size) == len(spatial) else size * len(spatial)
        if context.psf is not None:
            if context.psf.ndim - 1 != len(spatial):
                raise ImageError(f"a PSF in {context.psf.ndim - 1}-D for an image in {len(spatial)}-D")
            return tuple(context.psf.shape[1:])
        widest = [math.ceil(min(n / 2, 2 * n / along)) | 1 for n, along in zip(spatial, grid, strict=True)]
        most = self.params.most
        shape = tuple(widest if most is None else [min(n, most) for n in widest])
        reason = "a window's width or half the image" if most is None else "--kernel-size allows for more"
        context.note(f"kernel size not given: {'x'.join(map(str, shape))} pixels were allowed for, {reason}")
        return shape

    def latent_shape(self, observed: Shape, spec: KernelSpec) -> Shape:
        if self.params.boundary != "valid":
            return observed
        return (*observed[:2], *(n + k - 1 for n, k in zip(observed[2:], spec.shape, strict=True)))

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        grid = self._latent_grid(latent.shape, kernel.shape)
        if math.prod(grid) == 1:
            return convolve(latent, kernel, self.params.boundary)
        return svola(latent, kernel, grid, self.params.boundary)

    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        grid = self._grid(tuple(residual.shape[2:]))
        if math.prod(grid) == 1:
            return convolve_adjoint(residual, kernel, shape, self.params.boundary)
        return svola_adjoint(residual, kernel, shape, grid, self.params.boundary)

    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: KernelSpec) -> Tensor:
        grid = self._grid(tuple(residual.shape[2:]))
        if math.prod(grid) == 1:
            return kernel_adjoint(residual, latent, (1, *spec.shape), self.params.boundary)
        return svola_kernel_adjoint(residual, latent, spec.shape, grid, self.params.boundary)

    def prepared(self, kernel: Tensor, shape: Shape) -> Operator:
        grid = self._latent_grid(shape, kernel.shape)
        if math.prod(grid) == 1:
            return Convolution(kernel, shape, self.params.boundary)
        return Svola(kernel, shape, grid, self.params.boundary)

    def crop(self, estimate: Estimate, batch: Batch) -> Estimate:
        shape = tuple(batch.observed.shape[2:])
        grid = self._grid(shape)
        layout = KernelGrid(grid) if math.prod(grid) > 1 else None
        if self.params.boundary != "valid":
            return Estimate(estimate.image, estimate.kernel, estimate.spread, layout)
        offset = tuple((k - 1) // 2 for k in estimate.kernel.shape[1:])
        spread = None if estimate.spread is None else cut(estimate.spread, offset, shape)
        return Estimate(cut(estimate.image, offset, shape), estimate.kernel, spread, layout)

    def _grid(self, observed: Shape) -> Shape:
        """Kernels along each axis of an observed image (*spatial)."""
        if self.grid is not None:
            return self.grid
        numbers, dims = self.params.grid, len(observed)
        if len(numbers) == 1:
            return numbers * dims
        if len(numbers) not in (2, dims):
            raise ParameterError(f"forward_model.grid = {list(numbers)}: expected one number, or one for each axis")
        height, width = observed[-2:]
        across = numbers[-2:]
        if self.params.orientation == "turned" and (height - width) * (across[0] - across[1]) < 0:
            across = across[::-1]
        return ((1,) if dims > len(numbers) else numbers[:-2]) + across

    def _latent_grid(self, latent: Shape, kernel: Shape) -> Shape:
        """The same for a latent image (frames, channels, *spatial) and kernels (count, *k)."""
        surplus = tuple(k - 1 if self.params.boundary == "valid" else 0 for k in kernel[1:])
        return self._grid(tuple(n - s for n, s in zip(latent[2:], surplus, strict=True)))
