"""The flags of `ostinato forecast`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..flags import DATA, MODEL, OUTPUT, integer, real, switch, text
from ..given import one_test
from ..told import told


def forecast(
    csv: Annotated[
        Path | None, typer.Argument(help="CSV file with a header; without one, the daily Apple share price.")
    ] = None,
    target: Annotated[str | None, text("Column to forecast.", DATA)] = None,
    date: Annotated[str | None, text("Column of dates; found if left out.", DATA)] = None,
    covariates: Annotated[str, text("Further columns to learn from: High,Volume.", DATA)] = "",
    test: Annotated[Path | None, text("CSV of later rows to test on, instead of the last.", DATA)] = None,
    test_size: Annotated[float | None, real("Share or number of rows to test on (default: 0.2).", DATA)] = None,
    validation_size: Annotated[
        float | None, real("Share or number of rows before those to stop on (default: 0.15).", DATA)
    ] = None,
    season: Annotated[int | None, integer("Rows of a season; by the dates if left out.", DATA)] = None,
    sort: Annotated[bool, switch("--sort", "Put the rows in order of date.", DATA)] = False,
    preset: Annotated[
        str, typer.Option(help="default, or tutorial.", show_default=False, rich_help_panel=MODEL)
    ] = "default",
    window: Annotated[int | None, integer("Rows that it sees (default: 40 or two seasons).", MODEL)] = None,
    horizon: Annotated[int | None, integer("Rows that it predicts at once (default: 1).", MODEL)] = None,
    cell: Annotated[str | None, text("lstm, gru or rnn (default: lstm).", MODEL)] = None,
    units: Annotated[int | None, integer("Units a layer (default: 32).", MODEL)] = None,
    layers: Annotated[int | None, integer("Recurrent layers (default: 1).", MODEL)] = None,
    dropout: Annotated[float | None, real("Dropout after each layer (default: 0).", MODEL)] = None,
    scaling: Annotated[str | None, text("steps, or minmax levels (default: steps).", MODEL)] = None,
    log: Annotated[bool | None, text("Logarithms or not; as fits if left out.", MODEL)] = None,
    epochs: Annotated[int | None, integer("Most epochs (default: 200).", MODEL)] = None,
    patience: Annotated[int | None, integer("Epochs without gain before it stops (default: 20).", MODEL)] = None,
    batch_size: Annotated[int | None, integer("Windows a step (default: 32).", MODEL)] = None,
    learning_rate: Annotated[float | None, real("Of Adam (default: 0.001).", MODEL)] = None,
    seed: Annotated[int | None, integer("Same seed, same result (default: 0).", MODEL)] = None,
    future: Annotated[
        int | None, integer("Rows to predict after the last (default: horizon or season).", OUTPUT)
    ] = None,
    output: Annotated[Path | None, text("Folder to write (default: a new one in runs/).", OUTPUT)] = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace an older run there.", OUTPUT)] = False,
    quiet: Annotated[bool, switch("--quiet", "Say only what it comes to.", OUTPUT)] = False,
) -> None:
    """Train on a CSV, say whether the model beats naive forecasts, and predict what follows.

    The preset "tutorial" is the network of the well-known stock price tutorial: four LSTMs of 45 units on 40 prices.
    """
    with told():
        one_test(test, test_size)

        from ...forecast import settings
        from .. import train

        chosen = settings.preset(
            preset, window=window, horizon=horizon, cell=cell, units=units, layers=layers, dropout=dropout,
            scaling=scaling, log=log, epochs=epochs, patience=patience, batch_size=batch_size,
            learning_rate=learning_rate, seed=seed,
            test_size=test_size, validation_size=validation_size, season=season,
        )  # fmt: skip
        names = tuple(name.strip() for name in covariates.split(",") if name.strip())
        reading = {"target": target, "date": date, "covariates": names, "sort": sort}
        train.run(csv, test, chosen, reading, future, output, overwrite, quiet)
