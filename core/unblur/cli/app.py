"""The commands, each from a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from unblur.cli import bench, compare, demo, describe, doctor, listing, new_plugin, run, train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from unblur.report import own_version

        typer.echo(own_version())
        raise typer.Exit


@app.callback()
def unblur(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Deblur images without training data, from interchangeable parts."""


app.command()(run.run)
app.command()(compare.compare)
app.command()(listing.methods)
app.command()(listing.components)
app.command()(listing.plugins)
app.command()(describe.describe)
app.command()(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.command()(demo.demo)
app.command()(train.train)
app.command("new-plugin")(new_plugin.new_plugin)
