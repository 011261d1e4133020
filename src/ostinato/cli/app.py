"""The commands and their flags. What they do is imported when they run, since that takes a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .usage import Commands, number, whole

app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False)

MODEL, DATA, OUTPUT = "The network", "The rows", "What is written"


@contextmanager
def told() -> Iterator[None]:
    """Turn what went wrong into a sentence on stderr and an exit code."""
    from ..errors import InputError

    try:
        yield
    except InputError as error:
        print(f"ostinato: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ostinato"):
            raise
        print(f"ostinato: this needs {error.name}; pip install 'ostinato[all]'", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print("ostinato: interrupted; nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None


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


@app.command()
def forecast(
    csv: Annotated[
        Path | None, typer.Argument(help="CSV file with a header; without one, the daily Apple share price.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Column to forecast.", rich_help_panel=DATA)] = None,
    date: Annotated[str | None, typer.Option(help="Column of dates; found if left out.", rich_help_panel=DATA)] = None,
    covariates: Annotated[
        str, typer.Option(help="Further columns to learn from: High,Volume.", rich_help_panel=DATA)
    ] = "",
    test: Annotated[
        Path | None, typer.Option(help="CSV of later rows to test on, instead of the last.", rich_help_panel=DATA)
    ] = None,
    test_size: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="<float>",
            help="Share or number of rows to test on (default: 0.2).",
            rich_help_panel=DATA,
        ),
    ] = None,
    validation_size: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="<float>",
            help="Share or number of rows before those to stop on (default: 0.15).",
            rich_help_panel=DATA,
        ),
    ] = None,
    season: Annotated[
        int | None,
        typer.Option(
            parser=whole, metavar="<int>", help="Rows of a season; by the dates if left out.", rich_help_panel=DATA
        ),
    ] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Put the rows in order of date.", rich_help_panel=DATA)] = False,
    preset: Annotated[
        str, typer.Option(help="default, or tutorial.", show_default=False, rich_help_panel=MODEL)
    ] = "default",
    window: Annotated[
        int | None,
        typer.Option(
            parser=whole, metavar="<int>", help="Rows that it sees (default: 40 or two seasons).", rich_help_panel=MODEL
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            parser=whole, metavar="<int>", help="Rows that it predicts at once (default: 1).", rich_help_panel=MODEL
        ),
    ] = None,
    cell: Annotated[str | None, typer.Option(help="lstm, gru or rnn (default: lstm).", rich_help_panel=MODEL)] = None,
    units: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="<int>", help="Units a layer (default: 32).", rich_help_panel=MODEL),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="<int>", help="Recurrent layers (default: 1).", rich_help_panel=MODEL),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            parser=number, metavar="<float>", help="Dropout after each layer (default: 0).", rich_help_panel=MODEL
        ),
    ] = None,
    scaling: Annotated[
        str | None, typer.Option(help="steps, or minmax levels (default: steps).", rich_help_panel=MODEL)
    ] = None,
    log: Annotated[
        bool | None, typer.Option(help="Logarithms or not; as fits if left out.", rich_help_panel=MODEL)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="<int>", help="Most epochs (default: 200).", rich_help_panel=MODEL),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            parser=whole,
            metavar="<int>",
            help="Epochs without gain before it stops (default: 20).",
            rich_help_panel=MODEL,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="<int>", help="Windows a step (default: 32).", rich_help_panel=MODEL),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(parser=number, metavar="<float>", help="Of Adam (default: 0.001).", rich_help_panel=MODEL),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="<int>", help="Same seed, same result (default: 0).", rich_help_panel=MODEL),
    ] = None,
    future: Annotated[
        int | None,
        typer.Option(
            parser=whole,
            metavar="<int>",
            help="Rows to predict after the last (default: horizon or season).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write (default: a new one in runs/).", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older run there.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what it comes to.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Train on a CSV, say whether the model beats naive forecasts, and predict what follows.

    The preset "tutorial" is the network of the well-known stock price tutorial: four LSTMs of 45 units on 40 prices.
    """
    with told():
        from ..forecast import settings
        from . import train

        chosen = settings.preset(
            preset, window=window, horizon=horizon, cell=cell, units=units, layers=layers, dropout=dropout,
            scaling=scaling, log=log, epochs=epochs, patience=patience, batch_size=batch_size,
            learning_rate=learning_rate, seed=seed,
            test_size=test_size, validation_size=validation_size, season=season,
        )  # fmt: skip
        names = tuple(name.strip() for name in covariates.split(",") if name.strip())
        reading = {"target": target, "date": date, "covariates": names, "sort": sort}
        train.run(csv, test, chosen, reading, future, output, overwrite, quiet)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder that forecast wrote.")],
    csv: Annotated[
        Path | None, typer.Argument(help="CSV of newer rows; without one, the rows that the run has seen.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--future", parser=whole, metavar="<int>", help="Rows to predict (default: as many as forecast did)."
        ),
    ] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Put the rows in order of date.")] = False,
    output: Annotated[Path | None, typer.Option(help="CSV file to write (default: prediction.csv in RUN).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only write the file.")] = False,
) -> None:
    """Predict what follows, with the model of a run."""
    with told():
        from . import ahead

        ahead.run(run, csv, count, sort, output, overwrite, quiet)


@app.command()
def look(
    model: Annotated[Path, typer.Argument(help="Keras model (.keras), or a folder that forecast wrote.")],
    data: Annotated[Path, typer.Argument(help="Sequences: .npy, .npz (x, y), or CSV; of a forecast, its CSV.")],
    columns: Annotated[str, typer.Option(help="Columns of the CSV, in the model's order: High,Volume.")] = "",
    sequences: Annotated[
        int, typer.Option(parser=whole, metavar="<int>", help="Most sequences to look at, evenly spaced.")
    ] = 256,
    threshold: Annotated[
        float, typer.Option(parser=number, metavar="<float>", help="Share of all that still counts as remembered.")
    ] = 0.01,
    output: Annotated[Path | None, typer.Option(help="Folder to write (default: a new one in looks/).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older report there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only write the report.")] = False,
) -> None:
    """See what a network remembers: gradient flow, gates and memory, as pictures, numbers and a page."""
    with told():
        from . import look as looking

        names = [name.strip() for name in columns.split(",") if name.strip()]
        looking.run(model, data, names, sequences, threshold, output, overwrite, quiet)


@app.command()
def cells(
    name: Annotated[str | None, typer.Argument(help="Show this cell in full; without one, list them all.")] = None,
    input_size: Annotated[int, typer.Option(parser=whole, metavar="<int>", help="D, to count parameters.")] = 0,
    units: Annotated[int, typer.Option(parser=whole, metavar="<int>", help="H, to count parameters.")] = 0,
    projection: Annotated[int, typer.Option(parser=whole, metavar="<int>", help="P, of a cell with a projection.")] = 0,
    heads: Annotated[int, typer.Option(parser=whole, metavar="<int>", help="Of a cell with heads (default: 1).")] = 0,
    modules: Annotated[int, typer.Option(parser=whole, metavar="<int>", help="Of a clockwork cell (default: 1).")] = 0,
    diagram: Annotated[Path | None, typer.Option(help="SVG file to draw one step into.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --diagram.")] = False,
) -> None:
    """List the recurrent cells, or show one: its equations, what it stores, its layers and its source."""
    from . import gallery

    sizes = {"D": input_size, "H": units, "P": projection, "heads": heads, "modules": modules}
    gallery.run(name, sizes, diagram, overwrite)
