"""`ostinato classify`: what is given, texts or sequences of numbers, and where the result goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from ..errors import InputError
from ..report.folder import check_free, free_folder, staged
from .given import check_exist
from .margin import line
from .progress import epochs

#: What the names of files end with that hold sequences of numbers.
NUMBERS = (".npz", ".npy", ".ts")
TASKS = ("classify", "regress")


@dataclass(frozen=True)
class Reading:
    """What to read; see `commands.classify`."""

    file: Path | None
    test: Path | None
    text: str | None
    label: str | None
    multi_label: bool
    identity: str | None
    step: str | None
    task: str

    @property
    def numbers(self) -> bool:
        """Whether it is sequences of numbers, not texts."""
        return self.file is not None and (self.file.suffix.lower() in NUMBERS or self.identity is not None)


@dataclass(frozen=True)
class Place:
    """Where and how to write; see `commands.classify`."""

    output: Path | None
    overwrite: bool
    quiet: bool

    @property
    def console(self) -> Console:
        return Console(quiet=self.quiet, highlight=False)

    def folder(self, source: str, label: str | None) -> Path:
        """The folder to write: the one asked for, or one in runs/ that is called after the source."""
        if self.output is not None:
            return self.output
        stem = re.sub(r"\.(csv|tsv|jsonl?|ndjson|parquet|gz|npz|npy|ts)(?=\.|$)", "", Path(source).name, flags=re.I)
        return free_folder("runs", "-".join(part for part in (stem, label) if part), "run")


def run(reading: Reading, preset: str, changes: dict[str, Any], place: Place) -> None:
    """See `commands.classify`."""
    if reading.task not in TASKS:
        raise InputError(f"--task is {reading.task!r}; expected {' or '.join(TASKS)}")
    check_exist([reading.file, reading.test], "a file of texts, or of sequences of numbers")
    if reading.numbers:
        from . import classify_numbers

        classify_numbers.run(reading, preset, changes, place)
        return
    if reading.task == "regress" or reading.step or reading.identity:
        flag = "--task regress" if reading.task == "regress" else "--step" if reading.step else "--id"
        raise InputError(
            f"{flag} is for sequences of numbers (.npz, .npy, .ts, or CSV with --id); texts are classified"
        )
    _run_texts(reading, preset, changes, place)


def _run_texts(reading: Reading, preset: str, changes: dict[str, Any], place: Place) -> None:
    from ..text import folder as saved
    from ..text import settings
    from ..text.classifier import RUN
    from ..text.made import ABOUT
    from ..text.run import execute, make_plan

    console = place.console
    chosen = settings.preset(preset, **changes)
    if place.output is not None:
        check_free(place.output, RUN, place.overwrite)
    plan = make_plan(
        reading.file, test=reading.test, text=reading.text, label=reading.label, multi_label=reading.multi_label,
        settings=chosen,
    )  # fmt: skip
    folder = place.folder(plan.train.source, plan.train.label)
    with staged(folder, RUN, place.overwrite) as whole:
        if plan.made:
            line(console, "note", ABOUT, "yellow")
        show_source(console, plan.train.source, plan.train.text, plan.train.label, plan.classes)
        line(console, "split", saved.parts(plan))
        with epochs(console, chosen.passes(len(plan.train))[0], "learning subwords") as advance:
            result = execute(plan, advance)
        saved.save(result, whole)
    line(console, "model", saved.network(result.classifier))
    console.print(score_grid(result.account.scores))
    for remark in saved.remarks(result):
        line(console, "note", remark, "yellow")
    show_end(console, result.account, folder, "texts", "reviews.txt")
    if place.quiet:
        print(result.account.verdict)


def show_source(console: Console, source: str, text: str, label: str | None, classes: Any) -> None:
    """What was read."""
    names = [str(name) for name in classes[:8]] + (["..."] if len(classes) > 8 else [])
    line(console, "read", f"{source}: {text}, and {label} of {len(classes)} classes ({', '.join(names)})")


def score_grid(scores: Any) -> Grid:
    """The scores, the last one's, which the account is of, standing out."""
    from ..text.report import SCORE_COLUMNS, score_cells

    grid = Grid(box=None, padding=(0, 1), collapse_padding=True, header_style="bold")
    grid.add_column("")
    for name in SCORE_COLUMNS:
        grid.add_column(name, justify="right")
    for score in scores:
        grid.add_row(score.name, *score_cells(score), style="bold" if score is scores[-1] else "")
    return grid


def show_end(console: Console, account: Any, folder: Path, what: str, example: str) -> None:
    """What it comes to, and where it all is."""
    from ..text.account import explained

    strongest, judged = account.scores[-2].name, account.scores[-1].name
    beside = account.against[strongest]
    line(console, "verdict", account.verdict, "bold green" if beside.better else "bold yellow")
    line(console, "", f"{explained(beside, judged, strongest, what)}")
    files = "report.html, predictions.csv, metrics.json"
    line(console, "written", f"{folder}/ with {files}, and the model: ostinato predict {folder} {example}")
