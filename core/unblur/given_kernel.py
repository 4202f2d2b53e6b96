"""The kernels that a kernel prior is given: a user's PSF, or what the stages before found."""

from __future__ import annotations

from torch import Tensor

from unblur.components import Context, KernelSpec
from unblur.errors import ImageError
from unblur.operators.resample import fit_kernel


def given_kernels(psf: Tensor, spec: KernelSpec, context: Context) -> Tensor:
    """A PSF (count, *spatial) cut or padded to a spec: (count, *shape), each summing to one.

    Raises:
        ImageError: its number of kernels or of dimensions is another one.
    """
    if psf.ndim - 1 != len(spec.shape) or psf.shape[0] not in (1, spec.count):
        raise ImageError(
            f"a PSF of {psf.shape[0]} kernel(s) in {psf.ndim - 1}-D; "
            f"the forward model wants {spec.count} in {len(spec.shape)}-D"
        )
    fitted = fit_kernel(psf, spec.shape)
    if any(n > k for n, k in zip(psf.shape[1:], spec.shape, strict=True)):
        before, after = ("x".join(map(str, shape)) for shape in (psf.shape[1:], spec.shape))
        context.note(f"the PSF was cut from {before} to {after} pixels, its sum restored")
    return normalised(fitted.expand(spec.count, *spec.shape).clone())


def normalised(kernel: Tensor) -> Tensor:
    """Kernels (count, *spatial), each divided by its sum."""
    return kernel / kernel.flatten(1).sum(1).clamp_min(1e-12).view(-1, *(1,) * (kernel.ndim - 1))
