"""`unblur compare`: several methods on a crop, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unblur.cli import options

if TYPE_CHECKING:
    import numpy as np

    from unblur.cli.panels import Column
    from unblur.image import Image
    from unblur.jobs import Job


def compare(
    source: Annotated[Path, typer.Argument(help="The image.")],
    methods: Annotated[str, typer.Option(help="Methods or pipeline files, separated by commas.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The panel, a PNG file.")],
    crop: Annotated[str | None, typer.Option(help="Rows and columns: 100:228,40:168.")] = None,
    at: Annotated[str | None, typer.Option(help="The plane of a stack: T=0,Z=5; the middle one without it.")] = None,
    unsharp: Annotated[bool, typer.Option("--unsharp", help="Add a column with unsharp masking.")] = False,
    psf: Annotated[Path | None, typer.Option(help="File with the known PSF.")] = None,
    psf_axes: Annotated[str | None, typer.Option(help="Axes of the PSF, where its file does not say.")] = None,
    kernel_size: Annotated[str | None, typer.Option(help="Bound of the kernel: 31, 31x21, 9x31x31 or auto.")] = None,
    preset: Annotated[str, typer.Option(help="fast, balanced or paper.")] = "balanced",
    assign: Annotated[list[str] | None, typer.Option("--set", help="Settings for all of them, repeatable.")] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of the input, letters of TCZYXS.")] = None,
    pixel_size: Annotated[str | None, typer.Option(help="In µm: 0.1, or Y=0.1,X=0.1.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Budget for each method.")] = None,
    seed: Annotated[int, typer.Option(help="For all of them.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    white_level: Annotated[
        float | None, typer.Option(help="The value that is white, where the file does not say.")
    ] = None,
    nan: Annotated[str, typer.Option(help="refuse or mask pixels that are NaN.")] = "refuse",
    force: Annotated[bool, typer.Option("--force", help="Replace a panel that is there.")] = False,
) -> int:
    """Run several methods on a crop and draw them side by side, on one grey scale.

    With a PSF of three dimensions, methods that take one restore the whole depth of the crop, and the plane is shown.
    """
    from unblur import io
    from unblur.cli import BAD_INPUT, PLANES_FAILED
    from unblur.cli.panels import Column, flat, levels_of, write_panel
    from unblur.cli.places import refuse_existing
    from unblur.cli.progress import bar
    from unblur.cli.signals import interruptible
    from unblur.driver import CancelToken
    from unblur.errors import FileError, UnblurError
    from unblur.io.atomic import check_writable, refuse_input
    from unblur.jobs import Job
    from unblur.registry import default_registry

    if output.suffix.lower() != ".png":
        raise FileError(output, "is no PNG file", "Name the panel something.png")
    check_writable(output)
    for given in (source, psf, *(Path(name) for name in options.names(methods, "--methods") if name.endswith(".toml"))):
        if given is not None:
            refuse_input(output, given)
    refuse_existing(output, force)
    whole = io.read(source, axes=axes, pixel_size=options.pixel_size(pixel_size))
    chosen = places(at)
    image = stack = cut(whole, options.crop(crop), chosen)
    own = None
    if psf is not None:
        own, deep = psf_of_plane(psf, psf_axes, whole, chosen)
        stack = cut(whole, options.crop(crop), chosen, keep="Z") if deep else image
    names = options.names(methods, "--methods")
    registry = default_registry()
    files = [name for name in names if name.endswith(".toml")]
    needs = {name: name in files or not registry.method(name).blind for name in names}
    jobs = {
        name: Job(
            stack if needs[name] else image,
            method=None if name in files else name,
            pipeline=name if name in files else None,
            psf=(own or psf) if needs[name] else None,
            psf_axes=psf_axes if needs[name] and own is None else None,
            kernel_size=None if psf is not None and needs[name] else options.kernel_size(kernel_size),
            preset=preset,
            settings=options.settings(assign or []),
            max_seconds=max_seconds,
            seed=seed,
            device=device,
            threads=threads,
            white_level=white_level,
            nan=options.nan(nan),
            registry=registry,
        )
        for name in names
    }
    observed = flat(image.data, image.axes)
    levels = levels_of(observed, image.white_level)
    columns = [Column("observed", observed)]
    if unsharp:
        columns.append(Column("unsharp masking", unsharp_mask(observed)))
    failed: list[UnblurError] = []
    with interruptible() as interrupt:
        for name, job in jobs.items():
            if interrupt.number is not None:
                break
            job.cancel = CancelToken()
            interrupt.watch(job.cancel)
            try:
                with bar() as update:
                    for event in job.events():
                        update(event)
            except UnblurError as error:
                failed.append(error)
                typer.echo(f"error: {name}: {error}", err=True)
                continue
            if job.result.report["planes"][-1]["status"] != "not run":
                columns.append(_column(name, job, chosen.get("Z")))
    if len(failed) == len(jobs):
        return BAD_INPUT
    write_panel(output, columns, levels)
    typer.echo(f"{output}: written")
    return interrupt.exit_code or (PLANES_FAILED if failed else 0)


def _column(name: str, job: Job, depth: int | None) -> Column:
    """The picture of one result, of a volume the plane at a depth (the middle for None), and its words for the user."""
    import numpy as np

    from unblur.cli.panels import Column, flat
    from unblur.cli.text import duration

    result = job.result
    row = result.report["planes"][-1]
    typer.echo(f"{name}: {row['stop_reason']}, {duration(row['seconds'])}" if "stop_reason" in row else name)
    for text in result.report["warnings"]:
        typer.echo(f"  warning: {text}", err=True)
    kernel = flat(result.kernel, result.kernel_axes) if result.kernel_grid is None else result.kernel_picture()
    pixels, axes = result.image, job.image.axes
    if depth is not None and "Z" in axes:
        pixels, axes = np.take(pixels, depth, axis=axes.index("Z")), axes.replace("Z", "")
    return Column(f"{name}, {duration(row.get('seconds', 0))}", flat(pixels, axes), kernel)


def places(text: str | None) -> dict[str, int]:
    """``T=0,Z=5`` as a mapping.

    Raises:
        ParameterError: something else.
    """
    from unblur.errors import ParameterError

    chosen: dict[str, int] = {}
    for part in text.split(",") if text else ():
        axis, equals, number = part.strip().partition("=")
        if not (equals and axis.upper() in ("T", "C", "Z") and number.strip().isdecimal()):
            raise ParameterError(f"--at {text}: expected places along T, C or Z, such as T=0,Z=5")
        chosen[axis.upper()] = int(number)
    return chosen


def psf_of_plane(path: Path, axes: str | None, image: Image, at: dict[str, int]) -> tuple[Image | None, bool]:
    """The PSF of the plane that is cut out, where there is one for each channel or time, else None; whether it is 3-D.

    Raises:
        ImageError, FileError: no PSFs for the image.
    """
    from unblur.image import PLANE, VOLUME, Image
    from unblur.planes import psf_at, psf_axes
    from unblur.psfs import take_psf

    psf = take_psf(path, image, axes, False)
    deep = psf.grid is None and psf.kernel.ndim > 3
    if len(psf.kernel) == 1 or psf.grid is not None:
        return None, deep
    place = {axis: at.get(axis, image.sizes[axis] // 2) for axis in psf_axes(psf, image)}
    named = VOLUME if deep else PLANE
    sizes = {axis: image.pixel_size[axis] for axis in named if axis in image.pixel_size}
    kernel = psf_at(psf, image, place)[0]
    return Image(kernel, named, pixel_size=sizes, units={axis: image.units[axis] for axis in sizes}), deep


def cut(image: Image, crop: tuple[slice, slice] | None, at: dict[str, int], keep: str = "") -> Image:
    """One plane of an image, or a part of it; with all that lies along the axis to `keep`.

    Raises:
        ImageError: the place or crop lies outside.
    """
    import dataclasses

    from unblur.errors import ImageError

    index: list[Any] = []
    for axis, size in image.sizes.items():
        place = at.get(axis, size // 2)
        if axis in "TCZ" and not 0 <= place < size:
            raise ImageError(f"--at {axis}={place}: the image has {size} along {axis}")
        span = crop["YX".index(axis)] if crop is not None and axis in "YX" else slice(None)
        if axis in "YX" and span.stop is not None and span.stop > size:
            raise ImageError(f"--crop ends at {span.stop} along {axis}, the image at {size}")
        index.append(place if axis in "TCZ" and axis not in keep else span)
    missing = set(at) - set(image.axes)
    if missing:
        raise ImageError(f"--at names {', '.join(sorted(missing))}, the image has axes {image.axes}")
    left = "".join(axis for axis in image.axes if axis not in "TCZ" or axis in keep)
    sizes = {axis: size for axis, size in image.pixel_size.items() if axis in left}
    units = {axis: unit for axis, unit in image.units.items() if axis in left}
    status = {axis: state for axis, state in image.status.items() if axis in left or axis == "axes"}
    return dataclasses.replace(
        image, data=image.data[tuple(index)], axes=left, pixel_size=sizes, units=units, status=status, alpha=None
    )


def unsharp_mask(observed: np.ndarray, sigma: float = 2.0, amount: float = 1.5) -> np.ndarray:
    """What an image editor would do: the difference to a Gaussian blur, added again."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    pixels = observed.astype(np.float64)
    smooth = gaussian_filter(pixels, (sigma, sigma, 0)[: pixels.ndim])
    sharpened: np.ndarray = pixels + amount * (pixels - smooth)
    return sharpened
