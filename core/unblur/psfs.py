"""The PSF that a user hands over, in whatever form, on the pixel grid of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unblur.components import KernelSpec
from unblur.composition import resamples_psf, resolve
from unblur.errors import CompositionError, FileError, ImageError, ParameterError
from unblur.image import PLANE, VOLUME, Image, as_array
from unblur.io.kernels import ARRAYS, read_kernels
from unblur.io.psf import TOLERATED_LOSS, GridPsf, Psf, in_order, prepare_psf, without_margins
from unblur.io.reading import read
from unblur.kernel_grid import KernelGrid
from unblur.params import has_field, validate
from unblur.pipeline import Part, Pipeline
from unblur.planes import MICROMETRES
from unblur.records import Registered
from unblur.registry import Registry, default_registry

SAME_SIZE = 0.01
"""Pixel sizes that differ by less than this part count as equal."""

_LARGEST = 8
"""Times the image: a PSF that is resampled to more has a wrong pixel size."""

_OFF = 0.25
"""Of a cell: so far may the kernels of a grid be off its centre."""

RESAMPLED = "the PSF was resampled"
SAME_SIZE_ASSUMED = "the PSF is taken to have the image's pixels"


def psf_models(registry: Registry) -> Mapping[str, Registered]:
    """The kernel priors that make a PSF from a few numbers, by name: fixed ones that need none and are no flow."""
    return {
        name: one
        for name, one in registry.components("kernel_prior").items()
        if "fixed" in one.component.provides and not {"takes-psf", "flow"} & one.component.provides
    }


def model_psf(
    part: Part, shape: Sequence[int], pixel_size: Sequence[float] | None = None, registry: Registry | None = None
) -> np.ndarray:
    """The kernel of a PSF model, as a run would use it.

    Args:
        part: one of `psf_models`, with its parameters.
        shape: of the kernel along the spatial axes; its origin is at floor(n / 2).
        pixel_size: micrometres along the spatial axes, for models that need it.

    Returns:
        (*spatial), float32, with sum 1.

    Raises:
        UnknownNameError, ParameterError, ImageError, CompositionError: no such model, or not with these parameters.
    """
    import torch

    from unblur.components import Clock, Context, KernelSpec
    from unblur.compute import Compute

    known = registry or default_registry()
    component = known.component("kernel_prior", part.name).component
    if len(shape) not in component.dims:
        works = " and ".join(f"{dims}-D" for dims in sorted(component.dims))
        raise CompositionError(f"kernel_prior {part.name!r} works in {works}; the image has {len(shape)}")
    params = validate(component.params, part.params, "kernel_prior")
    prior = known.component("kernel_prior", part.name).load()(params)
    compute = Compute.choose("cpu", "float32")
    context = Context(compute, torch.Generator().manual_seed(0), pixel_size=tuple(pixel_size) if pixel_size else None)
    prior.init(KernelSpec(tuple(shape)), context)
    kernel: np.ndarray = prior.kernel(torch.zeros(1, 1, *shape), Clock(0, 1), None)[0].detach().numpy()
    return kernel


def for_prior(psf: Psf, pipeline: Pipeline, registry: Registry, shape: Sequence[int]) -> Psf:
    """The PSF for the kernel prior of a pipeline, and an image of a spatial shape.

    One that resamples the PSF itself assumes nothing of its pixels. One that takes it as it is needs no empty margins;
    where it is only what a kernel begins with, they are room for the kernel.

    Raises:
        ParameterError: that prior would resample what was resampled already.
        ImageError: the PSF is deeper than a stack with which the image ends.
    """
    prior = registry.component("kernel_prior", pipeline.slots["kernel_prior"][0].name)
    if not resamples_psf(prior):
        psf = _of_depth(psf, pipeline, registry, shape)
        return without_margins(psf, shape) if "fixed" in prior.component.provides else psf
    if any(note.startswith(RESAMPLED) for note in psf.notes):
        raise ParameterError(
            f"kernel prior {prior.name!r} resamples the PSF, whose own pixel size has been used for that already; "
            "set kernel_prior=known"
        )
    return psf.noted(note for note in psf.notes if not note.startswith(SAME_SIZE_ASSUMED))


def _of_depth(psf: Psf, pipeline: Pipeline, registry: Registry, shape: Sequence[int]) -> Psf:
    """A PSF that may be deeper than a stack, as light from above and below reaches it; cut to one whose image ends."""
    depth, stack = psf.kernel.shape[1], shape[0]
    if len(shape) < 3 or psf.grid is not None or depth <= stack:
        return psf
    part = resolve(pipeline.in_stage(pipeline.stages[0]), registry).base("forward_model")
    latent = part.build().latent_shape((1, 1, *shape), KernelSpec(psf.kernel.shape[1:]))
    deeper = f"the PSF has {depth} planes, and the stack {stack}"
    if latent[2] > stack:
        return psf.noted((*psf.notes, f"{deeper}: what lies above and below the stack is reckoned with"))
    start = depth // 2 - stack // 2
    kept = psf.kernel[:, start : start + stack]
    sums = kept.reshape(len(kept), -1).sum(axis=1, dtype=np.float64)
    loss = 1 - float(sums.min())
    if loss > TOLERATED_LOSS:
        remedy = "set forward_model.boundary=valid, or " if has_field(type(part.params), "boundary") else ""
        raise ImageError(
            f"{deeper}, with which the image of {part.registered.named} ends, so that {loss:.1%} of the PSF would be "
            f"cut off; {remedy}use a PSF that is less deep"
        )
    kernel = (kept / sums.reshape(-1, 1, 1, 1)).astype(np.float32)
    return psf.noted((*psf.notes, f"{deeper}: it was cut to it, which loses {loss:.2%} of its flux")).with_kernel(
        kernel
    )


def take_psf(given: Any, image: Image, axes: str | None, centre: bool) -> Psf:
    """A PSF as kernels ready for use.

    Args:
        given: an array (Y, X), (Z, Y, X) or with C, T or both first; an `Image`; its path; or a `Psf`, which is taken
            as it is.
        axes: where neither array nor file says.

    A PSF whose pixel size is known and differs from the image's is resampled to it, which is noted. Where one of the
    two sizes is not known, or their units cannot be converted, they are taken as equal, which is noted too. RGB is
    accepted if its samples agree.

    Raises:
        ImageError, FileError: no usable PSF.
    """
    if isinstance(given, Psf):
        return given
    if isinstance(given, str | Path):
        if str(given).lower().endswith(ARRAYS):
            return _from_arrays(Path(given), image, centre)
        try:
            return take_psf(read(given, axes=axes), image, None, centre)
        except ImageError as error:
            raise FileError(given, str(error)) from None
    if isinstance(given, Image):
        data, named = in_order(*_grey(given))
        notes: list[str] = []
        data = _on_grid(data, named, given, image, notes)
        psf = prepare_psf(data, named, image_shape=_field(image, named), centre=centre)
        return psf.noted((*notes, *psf.notes))
    array = given if isinstance(given, np.ma.MaskedArray) else as_array(given, "a PSF")
    likely = axes or _axes_of(array, image)
    psf = prepare_psf(array, likely, image_shape=_field(image, likely), centre=centre)
    return psf.noted((*_unmeasured(psf, image), *psf.notes))


def _from_arrays(path: Path, image: Image, centre: bool) -> Psf:
    """The kernels of an ``.npz`` file, with their grid if they are of one."""
    kernels, axes, centres = read_kernels(path)
    named = axes if centres is None else "C" + axes
    field = _field(image, named)
    try:
        psf = prepare_psf(kernels, named, image_shape=field, centre=centre and centres is None)
    except ImageError as error:
        raise FileError(path, str(error)) from None
    psf = psf.noted((*_unmeasured(psf, image), *psf.notes))
    if centres is None:
        return psf
    grid = KernelGrid(centres.shape[:-1])
    if field is not None:
        _refuse_other_places(path, centres, grid, field)
    others = [note for note in psf.notes if "is off centre" not in note]  # in a field of kernels that is no fault
    return GridPsf.of(psf.noted(others), grid)


def _refuse_other_places(path: Path, centres: np.ndarray, grid: KernelGrid, field: Sequence[int]) -> None:
    """Raise a FileError unless kernels lie where a grid on this image has them, by a quarter of a cell."""
    cells = [size / count for size, count in zip(field, grid.shape, strict=True)]
    off = np.abs(centres - grid.centres(field))
    if not (off <= _OFF * np.array(cells)).all():
        size, count = "x".join(map(str, field)), "x".join(map(str, grid.shape))
        raise FileError(
            path,
            f"its kernels lie up to {np.nanmax(off):.0f} pixels off the centres of {count} equal cells of this image, "
            f"which has {size} pixels",
            "They are of an image of another size, or in other places than a grid has",
        )


def _axes_of(array: np.ndarray, image: Image) -> str | None:
    """The only axes that an array can have for this image; None where that is not clear."""
    if array.ndim == 3 and "Z" in image.axes and "C" not in image.axes:
        return "ZYX"
    if array.ndim == 3 and "C" in image.axes and "Z" not in image.axes:
        return "CYX"
    return None


def _grey(psf: Image) -> tuple[np.ndarray, str]:
    if not psf.is_rgb:
        return psf.data, psf.axes
    samples = np.moveaxis(psf.data, psf.axes.index("S"), 0)
    if not (samples == samples[0]).all():
        raise ImageError("the PSF is in colour; save it in grey, or one PSF per channel with axes CYX")
    return samples[0], psf.axes.replace("S", "")


def _field(image: Image, axes: str | None) -> list[int] | None:
    spatial = "ZYX" if axes is not None and "Z" in axes.upper() else "YX"
    return [image.sizes[axis] for axis in spatial] if set(spatial) <= set(image.axes) else None


def _unmeasured(psf: Psf, image: Image) -> list[str]:
    """What is assumed of a PSF that came without a pixel size."""
    spatial = VOLUME if psf.kernel.ndim == 4 else PLANE
    return [f"{SAME_SIZE_ASSUMED}: its own pixel size is not known"] if set(spatial) & image.pixel_size.keys() else []


def _scales(psf: Image, image: Image, spatial: Sequence[str]) -> dict[str, float]:
    """Pixel size of the PSF over the image's along each axis where they can be compared."""
    scales = {}
    for axis in spatial:
        if axis not in psf.pixel_size or axis not in image.pixel_size:
            continue
        units = [one.units.get(axis, "µm") for one in (psf, image)]
        factors = [1.0, 1.0] if units[0] == units[1] else [MICROMETRES.get(unit, 0.0) for unit in units]
        if all(factors):
            scales[axis] = psf.pixel_size[axis] * factors[0] / (image.pixel_size[axis] * factors[1])
    return scales


def _why_not_compared(psf: Image, image: Image, spatial: Sequence[str]) -> str | None:
    """Which pixel size is not known, or that two units cannot be converted; None where neither size is known."""
    known = {name: set(spatial) <= one.pixel_size.keys() for name, one in (("its own", psf), ("the image's", image))}
    if all(known.values()):
        return f"{_size(psf, spatial)} and the image's {_size(image, spatial)} cannot be compared"
    if not any(axis in one.pixel_size for one in (psf, image) for axis in spatial):
        return None
    return " and ".join(name for name, there in known.items() if not there) + " pixel size is not known"


def _size(image: Image, spatial: Sequence[str]) -> str:
    """Pixel size in words: with one unit at the end where all axes have the same."""
    units = [image.units.get(axis, "µm") for axis in spatial]
    sizes = [f"{image.pixel_size[axis]:g}" for axis in spatial]
    if len(set(units)) == 1:
        return f"{' x '.join(sizes)} {units[0]}"
    return " x ".join(f"{size} {unit}" for size, unit in zip(sizes, units, strict=True))


def _on_grid(data: np.ndarray, axes: str, psf: Image, image: Image, notes: list[str]) -> np.ndarray:
    """A PSF resampled to the image's pixel size, where both are known and differ."""
    spatial = [axis for axis in axes if axis in VOLUME]
    comparable = _scales(psf, image, spatial)
    others = [axis for axis in spatial if axis not in comparable]
    why = _why_not_compared(psf, image, others) if others else None
    if why is not None:
        along = f" along {', '.join(others)}" if comparable else ""
        notes.append(f"{SAME_SIZE_ASSUMED}{along}: {why}")
    scales = [comparable.get(axis, 1.0) for axis in spatial]
    if all(abs(scale - 1) < SAME_SIZE for scale in scales):
        return data
    if not axes.endswith("".join(spatial)):
        raise ImageError(f"a PSF with axes {axes!r}; expected {''.join(spatial)}, or with C or T before them")
    import torch

    from unblur.operators.resample import resample_kernel

    measured = [axis for axis in spatial if axis in comparable]
    sizes = data.shape[-len(spatial) :]
    shape = tuple(max(1, int(np.ceil(size * scale - 1e-6))) | 1 for size, scale in zip(sizes, scales, strict=True))
    field = [image.sizes.get(axis, 1) for axis in spatial]
    if max(shape) == 1 < max(sizes) or any(
        new > max(_LARGEST * size, old) for new, size, old in zip(shape, field, sizes, strict=True)
    ):
        before, after = ("x".join(map(str, counts)) for counts in (sizes, shape))
        raise ImageError(
            f"a PSF of {before} pixels of {_size(psf, measured)} would have {after} of the image's, "
            f"{_size(image, measured)}; one of the two pixel sizes is wrong, or its unit"
        )
    kernel = torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32)).reshape(-1, *sizes)
    resampled = resample_kernel(kernel, scales, shape).numpy()
    along = f" along {', '.join(measured)}" if others else ""
    before, after = _size(psf, measured), _size(image, measured)
    notes.append(f"{RESAMPLED}{along} from a pixel size of {before} to {after}, the image's")
    return resampled.reshape(*data.shape[: -len(spatial)], *shape)
