"""`unblur bench`: methods on benchmark images with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unblur.cli import options

app = typer.Typer(help="Measure methods on images whose truth is known.", rich_markup_mode=None)


@app.callback()
def bench() -> None:
    """Measure methods on images whose truth is known."""


@app.command()
def levin(
    data: Annotated[Path, typer.Option(help="Folder with .mat files of x (truth), y (blurred) and f (kernel).")],
    methods: Annotated[str, typer.Option(help="Methods or pipeline files, separated by commas.")],
    json: Annotated[Path, typer.Option("--json", help="Results; written after every image.")],
    images: Annotated[str | None, typer.Option(help="Only these, separated by commas: im01_ker01,im02_ker04.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Budget for each image.")] = None,
    kernel_size: Annotated[str, typer.Option(help="exact (as stored), half (of the image), or a number.")] = "exact",
    noise: Annotated[str | None, typer.Option(help="Added to y: gaussian:0.05 or impulse:0.05.")] = None,
    noise_seed: Annotated[int, typer.Option(help="Of the added noise.")] = 0,
    known: Annotated[bool, typer.Option("--known", help="Hand the stored kernel over as the PSF.")] = False,
    preset: Annotated[str, typer.Option(help="fast, balanced or paper.")] = "balanced",
    assign: Annotated[list[str] | None, typer.Option("--set", help="slot.part.parameter=value, repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Of the runs.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16, for networks.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    curve: Annotated[float | None, typer.Option(help="Record PSNR, SSIM and misfit every so many seconds.")] = None,
    panels: Annotated[Path | None, typer.Option(help="Folder for a panel of every image.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace results that are there.")] = False,
) -> int:
    """Levin et al. 2009: aligned PSNR (whole and quarter pixels within ±5, border 15, peak 1)."""
    from unblur.cli.levin import Protocol, run_levin

    protocol = Protocol(
        data=data,
        methods=options.names(methods, "--methods"),
        output=json,
        images=options.names(images, "--images") if images else None,
        kernel_size=kernel_size,
        noise=noise,
        noise_seed=noise_seed,
        known=known,
        curve=curve,
        panels=panels,
        force=force,
        job={
            "max_seconds": max_seconds,
            "preset": preset,
            "settings": options.settings(assign or []),
            "seed": seed,
            "device": device,
            "precision": precision,
            "threads": threads,
            "white_level": 1.0,
        },
    )
    return run_levin(protocol)
