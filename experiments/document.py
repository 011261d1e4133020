"""The tables of docs/experiments.md, from the runs beside it."""

from __future__ import annotations

import re
from pathlib import Path

from .catalogue import EXPERIMENTS
from .record import Record

PAGE = Path(__file__).resolve().parents[1] / "docs" / "experiments.md"


def block(name: str, folder: Path) -> str:
    """The tables of an experiment, and what its runs cost."""
    runs = Record(folder / f"{name}.json").runs
    tables = "\n\n".join(table.markdown() for table in EXPERIMENTS[name].tables(runs))
    minutes = sum(run.seconds for run in runs) / 60
    return f"{tables}\n\n{len(runs)} runs, {minutes:.1f} minutes on one thread."


def filled(page: str, folder: Path) -> str:
    """The page with every block between `<!-- from NAME.json -->` and `<!-- end -->` made anew."""
    return re.sub(
        r"(<!-- from (\w+)\.json -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{block(found[2], folder)}\n\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


def write(folder: Path) -> None:
    PAGE.write_text(filled(PAGE.read_text(), folder))
