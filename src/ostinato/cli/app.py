"""The command `ostinato`: its commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from .commands.cells import cells
from .commands.classify import classify
from .commands.forecast import forecast
from .commands.look import look
from .commands.predict import predict
from .commands.write import write
from .usage import Commands

app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False)
for command in (forecast, classify, write, predict, look, cells):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        print(f"ostinato {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def ostinato(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Recurrent neural networks that say what they are worth."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)
