"""`ostinato predict`: what kind of a run it is, and what it says of new rows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ..errors import InputError
from ..forecast.folder import ROWS, write_rows
from ..forecast.folder import RUN as FORECAST
from ..report.folder import check_file
from .margin import amount, line

#: Rows that a terminal gets to see.
SHOWN = 100
#: What stands for standard input.
STANDARD = Path("-")


@dataclass(frozen=True)
class Place:
    """Where and how to write; see `commands.predict`."""

    output: Path | None
    overwrite: bool
    quiet: bool

    def check(self, run: Path, source: Path | None) -> None:
        """See that what is predicted from stays.

        Raises:
            InputError: the file may not be written.
        """
        if self.output is not None:
            check_file(self.output, self.overwrite, run, source)


def run(folder: Path, file: Path | None, count: int | None, sort: bool, text_column: str | None, place: Place) -> None:
    """See `commands.predict`."""
    if not folder.is_dir() or FORECAST(folder) or (folder / ROWS).is_file():
        if text_column is not None:
            raise InputError(f"--text is for a run of classify; {folder} is none")
        from . import ahead

        ahead.run(folder, file, count, sort, place.output, place.overwrite, place.quiet)
        return
    from ..text.classifier import RUN as TEXTS
    from ..text.numbers import RUN as NUMBERS

    known = TEXTS(folder) or NUMBERS(folder)
    if known and (count is not None or sort):
        raise InputError(f"{'--sort' if sort else '--future'} is for a run of forecast; {folder} is one of classify")
    place.check(folder, file)
    if NUMBERS(folder):
        from . import classify_numbers

        if text_column is not None:
            raise InputError(f"--text is for a run on texts; {folder} is one on sequences of numbers")
        _show(classify_numbers.predictions(folder, file), place, [])
        return
    _texts(folder, file, text_column, place)


def _texts(folder: Path, file: Path | None, text_column: str | None, place: Place) -> None:
    from ..report.folder import read as read_config
    from ..text.classifier import RUN
    from ..text.folder import load
    from ..text.run import answers_of
    from ..text.table import lines, read

    config = read_config(folder, RUN)
    if file is None or file == STANDARD:
        table = lines(_piped(), "standard input")
    else:
        table = read(file, text_column, preferred=str(config.get("text")), labelled=False)
    classifier = load(folder)
    longest = classifier.settings.longest
    sequences, cut = classifier.subwords_.encode_and_count(table.texts, longest)
    found = answers_of(classifier, classifier.mixed(table.texts, classifier.probabilities(sequences)))
    rows = pd.concat([pd.DataFrame({"row": table.rows, "text": table.texts}), found], axis=1)
    notes = (
        [f"{cut:,} of {len(table):,} texts are longer than {longest} subwords: their ends were read."] if cut else []
    )
    _show(rows, place, notes)


def _piped() -> str:
    if sys.stdin.isatty():
        raise InputError("no texts were given; name a file, or pipe them in, a text a line")
    from ..text.table import decoded

    return decoded(sys.stdin.buffer.read(), "standard input")


def _show(rows: pd.DataFrame, place: Place, notes: list[str]) -> None:
    """Print the first rows, and write all."""
    console = Console(quiet=place.quiet, highlight=False)
    grid = Grid(box=None, padding=(0, 2), header_style="bold", expand="text" in rows)
    chances = [name for name in rows.columns if name.startswith("p(")]
    shown = [name for name in map(str, rows) if name == "row" or name.partition(" ")[0] == "predicted"] + chances[:6]
    for name in shown:
        grid.add_column(Text(name), justify="left" if name == "predicted" and chances else "right", no_wrap=True)
    if "text" in rows:
        grid.add_column("text", ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows.head(SHOWN).to_dict("records"):
        cells = [_cell(row[name], name in chances) for name in shown]
        # what stands in a file must not be taken for marks of style
        grid.add_row(*map(Text, cells), *([Text(" ".join(str(row["text"])[:400].split()))] if "text" in rows else []))
    console.print(grid)
    if len(rows) > SHOWN:
        line(console, "note", f"the first {SHOWN} of {len(rows):,} rows; --output writes all of them", "yellow")
    for note in notes:
        line(console, "note", note, "yellow")
    if place.output is not None:
        try:
            write_rows(rows, place.output)
        except OSError as error:
            said = error.strerror or error
            raise InputError(f"{place.output} cannot be written: {said}; choose another --output") from None
        line(console, "written", str(place.output))


def _cell(value: object, chance: bool) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if chance else amount(value)
    return str(value)
