"""`unblur run`: files in, restored files out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unblur.cli import options

Out = Path | None


def run(
    inputs: Annotated[
        list[str], typer.Argument(help="Images, videos, folders, or patterns in quotes, such as 'plate/*.tif'.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="File for one input, folder for several.")],
    method: Annotated[str | None, typer.Option(help="A name of `unblur methods`; chosen by rule without it.")] = None,
    pipeline: Annotated[Path | None, typer.Option(help="A pipeline of your own, as TOML, instead of a method.")] = None,
    preset: Annotated[str, typer.Option(help="fast, balanced or paper.")] = "balanced",
    assign: Annotated[list[str] | None, typer.Option("--set", help="slot.part.parameter=value, repeatable.")] = None,
    psf: Annotated[Path | None, typer.Option(help="File with the known PSF.")] = None,
    psf_axes: Annotated[str | None, typer.Option(help="Axes of the PSF, where its file does not say.")] = None,
    centre_psf: Annotated[bool, typer.Option("--centre-psf", help="Move the PSF's centroid to its origin.")] = False,
    kernel_size: Annotated[str | None, typer.Option(help="Bound of the kernel: 31, 31x21, 9x31x31 or auto.")] = None,
    kernel: Annotated[Out, typer.Option(help="Write the kernel to this file.")] = None,
    uncertainty: Annotated[Out, typer.Option(help="Write the standard deviation to this file.")] = None,
    preview: Annotated[
        Out, typer.Option(help="Write before, kernel and after to this PNG, during the run too.")
    ] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of the input, letters of TCZYXS.")] = None,
    pixel_size: Annotated[str | None, typer.Option(help="In µm: 0.1, or Z=0.3,Y=0.1,X=0.1.")] = None,
    series: Annotated[int | None, typer.Option(help="Which image of a file that holds several.")] = None,
    region: Annotated[str | None, typer.Option(help="Only this part: T=0:3,Y=100:228,X=40:168.")] = None,
    planes: Annotated[str, typer.Option(help="auto, independent, shared-kernel, volume or video.")] = "auto",
    anchors: Annotated[str | None, typer.Option(help="Planes that a shared kernel comes from: 0,5,9.")] = None,
    crop: Annotated[
        str | None, typer.Option(help="Estimate the kernel in a window of so many pixels, or auto.")
    ] = None,
    tile: Annotated[str | None, typer.Option(help="Restore a large image in tiles of so many pixels, or auto.")] = None,
    clip_frames: Annotated[int | None, typer.Option(help="Frames of a video that are restored together.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Budget for each file.")] = None,
    plan: Annotated[Path | None, typer.Option(help="Repeat the steps of this report, whatever time it takes.")] = None,
    offset: Annotated[str | None, typer.Option(help="Camera offset, in the image's units, or auto.")] = None,
    gain: Annotated[str | None, typer.Option(help="Camera gain, units per photon, or auto.")] = None,
    white_level: Annotated[
        float | None, typer.Option(help="The value that is white, where the file does not say.")
    ] = None,
    nan: Annotated[str, typer.Option(help="refuse or mask pixels that are NaN.")] = "refuse",
    dtype: Annotated[
        str | None, typer.Option(help="Cast the output, counting what is clipped; a TIFF is float32 without.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same machine: same bits.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16, for networks.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint of an interrupted run.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Do again what is done; resume across changed settings.")
    ] = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="Between checkpoints.", hidden=True)] = 30.0,
) -> int:
    """Deblur images. Every output has a report beside it (OUTPUT.json)."""
    from unblur.cli.files import Wishes, run_files, wants_video
    from unblur.io import expand

    wishes = Wishes(
        reading={
            "axes": axes,
            "pixel_size": options.pixel_size(pixel_size),
            "series": series,
            "region": options.region(region),
        },
        job={
            "method": method,
            "pipeline": pipeline,
            "preset": preset,
            "settings": options.settings(assign or []),
            "psf": psf,
            "psf_axes": psf_axes,
            "centre_psf": centre_psf,
            "kernel_size": options.kernel_size(kernel_size),
            "planes": planes,
            "anchors": options.positions(anchors, "--anchors"),
            "crop": options.width(crop, "--crop"),
            "tile": options.width(tile, "--tile"),
            "clip_frames": clip_frames,
            "max_seconds": max_seconds,
            "offset": options.camera(offset, "--offset"),
            "gain": options.camera(gain, "--gain"),
            "white_level": white_level,
            "nan": options.nan(nan),
            "seed": seed,
            "device": device,
            "precision": precision,
            "threads": threads,
            "force": force,
            "checkpoint_seconds": checkpoint_seconds,
        },
        plan=plan,
        dtype=dtype,
        resume=resume,
        force=force,
        video=planes == "video" or wants_video(method, pipeline, preset),
    )
    sources = expand(inputs, folders=wishes.video)
    folders = [Path(path) for path in inputs if Path(path).is_dir()]
    return run_files(sources, output, kernel, uncertainty, preview, wishes, folders)
