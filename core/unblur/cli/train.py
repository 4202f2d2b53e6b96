"""`unblur train METHOD`: weights of a method's networks, trained from scratch."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from unblur.cli import options

SAY_SECONDS = 10.0


def train(
    method: Annotated[str, typer.Argument(help="A method that has networks to train.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for weights and checkpoints.")],
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="parameter=value of the trainer, repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same machine: same bits.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or auto.")] = "float32",
    threads: Annotated[int, typer.Option(help="Processor threads; results depend on their number.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")] = False,
) -> int:
    """Train the networks of a method. What is written says how: command, commit, data, seed."""
    from unblur.cli.signals import interruptible
    from unblur.cli.text import duration
    from unblur.compute import Compute
    from unblur.driver import CancelToken
    from unblur.errors import FileError
    from unblur.io import output_lock
    from unblur.training import trainer_of

    settings = options.settings(assign or [])
    trainer = trainer_of(method, settings)
    compute = Compute.choose(device, precision, threads)  # type: ignore[arg-type]
    words = ["unblur", "train", method, "--seed", str(seed)]
    for one in assign or []:
        words += ["--set", one]
    for name, value, usual in (
        ("threads", threads, 1),
        ("precision", precision, "float32"),
        ("device", device, "auto"),
    ):
        words += [f"--{name}", str(value)] if value != usual else []
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(output, f"cannot be made: {error.strerror or error}") from error
    token = CancelToken()
    with interruptible() as interrupt, output_lock(output / "training"):
        interrupt.watch(token)
        events = trainer.events(
            output, seed=seed, compute=compute, command=shlex.join(words), resume=resume, cancel=token
        )
        said, stage = -SAY_SECONDS, ""
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                written = stop.value
                break
            if event.stage != stage or time.monotonic() - said >= SAY_SECONDS or event.step == event.planned:
                said, stage = time.monotonic(), event.stage
                loss = "" if event.loss is None else f", loss {event.loss:.5f}"
                left = "" if event.remaining is None else f", {duration(event.remaining)} to go"
                typer.echo(f"{event.stage}: {event.step} of {event.planned}{loss}{left}")
        for path in written:
            typer.echo(f"{path}: written")
        if interrupt.number is not None:
            typer.echo(f"{token.reason}: --resume goes on")
            return interrupt.exit_code
    return 0
