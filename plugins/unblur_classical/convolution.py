"""Convolution with one kernel as a forward model."""

from __future__ import annotations

import math

from torch import Tensor

from unblur.components import Batch, Context, Estimate, ForwardModel, KernelSpec, Shape
from unblur.errors import ImageError, ParameterError
from unblur.operators.convolution import Convolution, convolve, convolve_adjoint, kernel_adjoint
from unblur.operators.locate import cut, kernel_at, locate, nearest_keeping
from unblur_classical.part_params import ConvolutionParams


class SingleConvolution(ForwardModel[ConvolutionParams]):
    """``predicted[p] = sum_d kernel[d] latent[p - d]``, one kernel for all channels and frames.

    Under the boundary "valid" the latent image has the observed size + kernel size - 1, and observed pixel 0 lies on
    latent pixel ``(k - 1) // 2``. The default kernel size is half the image: Zhuang et al. 2023, section 3.1.1.
    """

    def spec(self, observed: Shape, context: Context) -> KernelSpec:
        spatial = observed[2:]
        size = self.params.kernel_size
        if size is not None:
            if len(size) not in (1, len(spatial)):
                raise ParameterError(
                    f"forward_model.kernel_size = {list(size)}: expected one number, or {len(spatial)} (one per axis)"
                )
            return KernelSpec(size if len(size) == len(spatial) else size * len(spatial))
        if context.psf is not None:
            if context.psf.ndim - 1 != len(spatial):
                raise ImageError(f"a PSF in {context.psf.ndim - 1}-D for an image in {len(spatial)}-D")
            return KernelSpec(tuple(context.psf.shape[1:]))
        half, most = [math.ceil(n / 2) | 1 for n in spatial], self.params.most
        shape = tuple(half if most is None else [min(n, most) for n in half])
        reason = "half the image" if most is None else "--kernel-size allows for more"
        context.note(f"kernel size not given: {'x'.join(map(str, shape))} pixels were allowed for, {reason}")
        return KernelSpec(shape)

    def latent_shape(self, observed: Shape, spec: KernelSpec) -> Shape:
        if self.params.boundary != "valid":
            return observed
        return (*observed[:2], *(n + k - 1 for n, k in zip(observed[2:], spec.shape, strict=True)))

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        return convolve(latent, kernel, self.params.boundary)

    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        return convolve_adjoint(residual, kernel, shape, self.params.boundary)

    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: KernelSpec) -> Tensor:
        return kernel_adjoint(residual, latent, (spec.count, *spec.shape), self.params.boundary)

    def prepared(self, kernel: Tensor, shape: Shape) -> Convolution:
        return Convolution(kernel, shape, self.params.boundary)

    def crop(self, estimate: Estimate, batch: Batch) -> Estimate:
        if self.params.boundary != "valid":
            return estimate
        observed = batch.observed
        kernel = estimate.kernel
        offset: Shape = tuple((k - 1) // 2 for k in kernel.shape[1:])
        if self.params.placement == "located":
            offset = nearest_keeping(kernel, locate(estimate.image, observed).offset)
            kernel = kernel_at(kernel, offset)
        shape = observed.shape[2:]
        spread = None if estimate.spread is None else cut(estimate.spread, offset, shape)
        return Estimate(cut(estimate.image, offset, shape), kernel, spread)
