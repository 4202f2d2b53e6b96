"""`unblur demo`: two blind runs on pictures that come with scikit-image, in a few minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from unblur.cli.signals import Interrupt

METHOD, PRESET = "selfdeblur", "fast"
SIDE = 255
CAMERA_KERNEL = 19
CAMERA_BOUND = 21
CLOCK_BOUND = (9, 51)
CLOCK_REGION = (slice(64, 244), slice(112, 320))
"""The clock with some wall around it; the camera moved from left to right."""


@dataclass(frozen=True)
class Case:
    """One picture: what the run gets (observation and an upper bound of the kernel size), and the truth, if known."""

    name: str
    about: str
    observed: np.ndarray
    kernel_size: int | tuple[int, int]
    truth: np.ndarray | None = None


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")],
    max_seconds: Annotated[
        float | None, typer.Option(help="Budget for each of the two pictures; none by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the runs.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
) -> int:
    """Deblur, blind, a photograph with real motion blur and one blurred by a drawn camera shake."""
    from unblur.cli.signals import interruptible
    from unblur.errors import FileError

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(output, f"cannot be made: {error.strerror}") from error
    with interruptible() as interrupt:
        for case in (camera(), clock()):
            _run(case, output, max_seconds, seed, threads, interrupt)
            if interrupt.number is not None:
                return interrupt.exit_code
    return 0


def clock() -> Case:
    """scikit-image's clock: taken with a moving camera, so that its truth is not known."""
    import skimage.data

    picture = skimage.data.clock()  # type: ignore[no-untyped-call]
    return Case("clock", "a photograph with real motion blur", picture[CLOCK_REGION], CLOCK_BOUND)


def camera(noise: float = 0.01) -> Case:
    """scikit-image's camera, reduced and blurred by valid convolution with a drawn shake to 255x255, with 1 % noise."""
    import numpy as np
    import skimage.data
    from scipy.signal import fftconvolve
    from skimage.transform import resize

    picture = skimage.data.camera()  # type: ignore[no-untyped-call]
    margin = CAMERA_KERNEL // 2
    side = SIDE + 2 * margin
    sharp = resize(picture / 255.0, (side, side), anti_aliasing=True)  # type: ignore[no-untyped-call]
    blurred = fftconvolve(sharp, shake(CAMERA_KERNEL, seed=4), mode="valid")
    noisy = blurred + noise * np.random.default_rng(1).standard_normal(blurred.shape)
    observed = np.clip(np.rint(255 * noisy), 0, 255).astype(np.uint8)
    truth = sharp[margin : margin + SIDE, margin : margin + SIDE]
    return Case("camera", "a sharp photograph, blurred by a drawn camera shake", observed, CAMERA_BOUND, truth)


def shake(size: int, seed: int, steps: int = 400) -> np.ndarray:
    """A camera-shake kernel (size, size): the path of a random walk with inertia, spread on pixels; sums to one."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    velocity = np.cumsum(random.standard_normal((steps, 2)), axis=0)
    path = np.cumsum(velocity - velocity.mean(axis=0) * 0.8, axis=0)
    path -= (path.max(axis=0) + path.min(axis=0)) / 2
    path *= (size - 5) / 2 / np.abs(path).max()
    places = np.rint(path).astype(int) + size // 2
    kernel = np.zeros((size, size))
    np.add.at(kernel, (places[:, 0], places[:, 1]), 1.0)
    kernel = gaussian_filter(kernel, 0.6)
    normal: np.ndarray = kernel / kernel.sum()
    return normal


def _run(
    case: Case, output: Path, max_seconds: float | None, seed: int, threads: int | None, interrupt: Interrupt
) -> None:
    import dataclasses

    import numpy as np

    from unblur import io
    from unblur.cli.panels import triptych
    from unblur.cli.progress import bar
    from unblur.cli.text import duration
    from unblur.driver import CancelToken
    from unblur.image import Image
    from unblur.jobs import Job
    from unblur.metrics import aligned_psnr, aligned_ssim

    typer.echo(f"{case.name}: {case.about}; {METHOD} gets the picture and kernel size {case.kernel_size}, nothing else")
    image = dataclasses.replace(Image.from_array(case.observed), bit_depth=8)
    io.write(output / f"{case.name}_before.png", image)
    token = CancelToken()
    interrupt.watch(token)
    job = Job(
        image,
        method=METHOD,
        preset=PRESET,
        kernel_size=case.kernel_size,
        max_seconds=max_seconds,
        seed=seed,
        threads=threads,
        cancel=token,
    )
    with bar() as update:
        for event in job.events():
            update(event)
    result = job.result
    if result.report["planes"][-1]["status"] == "not run":
        return
    result.save(output / f"{case.name}_after.png")
    io.write(output / f"{case.name}_after.tif", result.as_image())
    io.write(output / f"{case.name}_kernel.tif", result.kernel_image())
    triptych(output / f"{case.name}_panel.png", case.observed, result.kernel, result.image, 255.0)
    row = result.report["planes"][-1]
    typer.echo(f"  stopped: {row['stop_reason']}, {sum(row['executed'])} steps, {duration(result.report['seconds'])}")
    for text in result.report["warnings"]:
        typer.echo(f"  warning: {text}", err=True)
    if case.truth is not None:
        for name, pixels in (("before", case.observed.astype(np.float64)), ("after", result.image)):
            measured = pixels / 255.0
            psnr, ssim = aligned_psnr(measured, case.truth), aligned_ssim(measured, case.truth)
            typer.echo(f"  {name}: aligned PSNR {psnr:.2f} dB, SSIM {ssim:.3f}")
    typer.echo(f"  {output / f'{case.name}_panel.png'}: before, kernel, after")
