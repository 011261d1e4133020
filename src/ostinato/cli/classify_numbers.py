"""`ostinato classify` and `predict` on sequences of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table as Grid

from ..errors import InputError
from ..report.folder import check_free, staged
from ..text.account import Account
from ..text.numbers import RUN, NumbersPlan, NumbersResult, Source, execute, make_plan, predict, save
from ..text.regression import Regression
from ..text.report import PREDICTIONS, RegressionStory, Story, write_regression, write_story
from ..text.settings import Settings
from .classify import Place, Reading, score_grid, show_end
from .margin import line
from .progress import epochs

#: Settings that only texts have.
OF_TEXTS = ("vocabulary", "subwords", "longest", "embedding", "pretrain", "ngrams")


def run(reading: Reading, preset: str, changes: dict[str, Any], place: Place) -> None:
    """See `commands.classify`."""
    _check(reading, preset, changes)
    console = place.console
    if place.output is not None:
        check_free(place.output, RUN, place.overwrite)
    assert reading.file is not None
    source = Source(reading.file, reading.identity, reading.step, reading.label)
    sizes = {name: changes.pop(name) for name in ("test_size", "validation_size") if name in changes}
    plan = make_plan(source, reading.test, "regress" if reading.task == "regress" else "classify", **sizes,
                     parameters=changes)  # fmt: skip
    folder = place.folder(str(reading.file), None)
    with staged(folder, RUN, place.overwrite) as whole:
        show_plan(console, plan)
        with epochs(console, int(changes.get("epochs", 100)), "training") as advance:
            result = execute(plan, advance)
        save(result, whole)
        result.predictions.to_csv(whole / PREDICTIONS, index=False, float_format="%.9g")
        _tell(result, whole)
    line(console, "model", described(result))
    example = f"new{reading.file.suffix}"
    if isinstance(result.account, Account):
        console.print(score_grid(result.account.scores))
        show_end(console, result.account, folder, "sequences", example)
    else:
        console.print(_grid(result.account))
        better = result.account.scores[-2].low > 0
        line(console, "verdict", result.account.verdict, "bold green" if better else "bold yellow")
        line(console, "written", f"{folder}/ with report.html and the model: ostinato predict {folder} {example}")
    if place.quiet:
        print(result.account.verdict)


def _check(reading: Reading, preset: str, changes: dict[str, Any]) -> None:
    """
    Raises:
        InputError: a flag is for texts, or its value is out of range.
    """
    given = [name for name in OF_TEXTS if name in changes]
    given += ["text"] * (reading.text is not None) + ["multi_label"] * reading.multi_label
    given += ["preset"] * (preset != "default")
    if given:
        raise InputError(f"--{given[0].replace('_', '-')} is for texts; {reading.file} holds sequences of numbers")
    Settings(**changes)  # says in a sentence what is out of range, and of which flag


def show_plan(console: Console, plan: NumbersPlan) -> None:
    """How the sequences were read and split."""
    line(console, "read", read_line(plan))
    line(console, "split", split_line(plan))


def read_line(plan: NumbersPlan) -> str:
    """What was read."""
    lengths = [len(one) for part in (plan.train, plan.validation, plan.test) for one in part.sequences]
    features = f"{len(plan.train.features)} feature{'s' * (len(plan.train.features) != 1)}"
    return f"{plan.train.source}: {len(lengths):,} sequences of {min(lengths)} to {max(lengths)} steps, {features}"


def split_line(plan: NumbersPlan) -> str:
    """How it was split."""
    apart = f", test from {plan.test.source}" if plan.test.source != plan.train.source else ""
    counts = f"train {len(plan.train):,} | validation {len(plan.validation):,} | test {len(plan.test):,}"
    return f"{counts} sequences{apart}; scaled by the training sequences only"


def described(result: NumbersResult) -> str:
    """The network in a line."""
    model, training = result.model, result.model.training_
    count = sum(weight.numel() for weight in model.network_.parameters())
    ways = "bidirectional " if model.bidirectional else ""
    passes = len(training.history)
    return (
        f"{ways}{model.cell} {model.layers}x{model.units}, {model.pooling} pooling; {count:,} parameters; "
        f"{training.seconds:.1f} s for {passes} epoch{'s' * (passes != 1)}, weights of epoch {training.best}"
    )


def _tell(result: NumbersResult, folder: Path) -> None:
    plan, found = result.plan, result.account
    name = Path(plan.train.source).name
    told = [
        f"{read_line(plan)}.",
        f"{split_line(plan)}.",
        f"The network: {described(result)}.",
        "The summary statistics: a linear model of mean, deviation, lowest, highest, first and last value of each "
        f"feature and the length, strength {result.strength:g} chosen on the validation sequences.",
    ]
    training = result.model.training_
    if isinstance(found, Account):
        tested = zip(plan.test.names, plan.test.sequences, strict=True)
        names = [f"sequence {identity}, {len(one)} steps" for identity, one in tested]
        write_story(
            Story(f"{name}: classified", told, found, training, names.__getitem__, "sequences"),
            folder,
        )
    else:
        write_regression(RegressionStory(f"{name}: regression", told, found, training), folder)


def _grid(found: Regression) -> Grid:
    from ..text.report import FIT_COLUMNS, fit_cells

    grid = Grid(box=None, padding=(0, 1), collapse_padding=True, header_style="bold")
    grid.add_column("")
    for name in FIT_COLUMNS:
        grid.add_column(name, justify="right")
    for score in found.scores:
        grid.add_row(score.name, *fit_cells(score), style="bold" if score is found.scores[-1] else "")
    return grid


def predictions(folder: Path, file: Path | None) -> pd.DataFrame:
    """What a run says of new sequences.

    Raises:
        InputError: no file was given, or it does not fit.
    """
    if file is None or str(file) == "-":
        raise InputError(f"{folder} classifies sequences of numbers; name a file of them")
    return predict(folder, file)
