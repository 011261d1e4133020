"""`ostinato write`: learn a language, say what that is worth, and write more of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from ..errors import InputError
from ..report.folder import check_free, free_folder, read
from ..text.corpus import Corpus, read_corpus
from ..text.generation import check
from ..text.language import LanguageModel, Surprise
from ..text.language_folder import RUN, staged
from ..text.language_record import save
from ..text.language_run import Written, learn
from ..text.language_settings import LanguageSettings, for_unit
from .margin import line
from .progress import epochs

#: Units that a folder's model writes where nothing else is said.
LENGTH = 200


@dataclass(frozen=True)
class Manner:
    """How text is written; see `LanguageModel.generate`. A length of None is that of the occasion."""

    prompt: str
    length: int | None
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int

    def pieces(self, model: LanguageModel) -> Any:
        return model.generate(
            self.prompt, LENGTH if self.length is None else self.length, temperature=self.temperature,
            top_k=self.top_k, top_p=self.top_p, seed=self.seed,
        )  # fmt: skip


def go_on(folder: Path, how: Manner, changes: Sequence[str], output: Path | None) -> None:
    """Write with the model of a folder, to the terminal, a piece at a time.

    Raises:
        InputError: something was given that says how to train, or the folder holds no model.
    """
    if changes or output is not None:
        read(folder, RUN)
        name = (changes[0] if changes else "output").replace("_", "-")
        raise InputError(f"--{name} is for training, and {folder} is trained; give texts to train on, or leave it out")
    stream(how, LanguageModel.load(folder))


def stream(how: Manner, model: LanguageModel) -> None:
    """The prompt and what follows, as it comes."""
    pieces = how.pieces(model)
    sys.stdout.write(how.prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def run(
    paths: Sequence[Path],
    column: str | None,
    changes: dict[str, Any],
    how: Manner,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Train, and write a folder."""
    console = Console(quiet=quiet, highlight=False)
    settings = for_unit(changes.pop("unit", "subword"), seed=how.seed, **changes)
    check(0 if how.length is None else how.length, how.temperature, how.top_k, how.top_p)
    corpus = read_corpus(paths, column)
    folder = output or free_folder("runs", f"{corpus.name}-{settings.unit}s", "run")
    check_free(folder, RUN, overwrite)
    _show_corpus(console, corpus, settings)
    with staged(folder, overwrite) as whole:
        with epochs(console, settings.epochs, f"learning {settings.unit}s") as advance:
            written = learn(corpus, settings, advance)
        save(written, whole)
    _show(console, written, folder)
    if quiet:
        print(written.verdict)
    if how.prompt or how.length:
        stream(how, written.model)


def _show_corpus(console: Console, corpus: Corpus, settings: LanguageSettings) -> None:
    line(console, "read", f"{corpus.source}: {len(corpus.text):,} characters")
    train, validation, test = (len(part) for part in corpus.split(settings.validation_size, settings.test_size))
    parts = f"train {train:,} | validation {validation:,} | test {test:,}"
    line(console, "split", f"{parts} characters, in their order; the vocabulary is that of the first")


def _show(console: Console, written: Written, folder: Path) -> None:
    line(console, "model", _model(written))
    console.print(_grid(written))
    better = all(written.surprise.bits_per_character < one.surprise.bits_per_character for one in written.rivals)
    line(console, "verdict", written.verdict, "bold green" if better else "bold yellow")
    line(console, "sample", " ".join(written.sample[:300].split()) + " ...")
    line(
        console,
        "written",
        f'{folder}/ with metrics.json, learning.png, sample.txt, and the model: ostinato write {folder} --prompt "..."',
    )


def _model(written: Written) -> str:
    model = written.model
    assert model.training is not None and model.network is not None and model.vocabulary is not None
    chosen, training = model.settings, model.training
    count = sum(weight.numel() for weight in model.network.parameters())
    passes = len(training.history)
    ended = f"{passes} epoch{'s' * (passes != 1)}" if passes == chosen.epochs else f"stopped at epoch {passes}"
    if training.best < passes:
        ended += f", weights of epoch {training.best}"
    return (
        f"{chosen.cell} {chosen.layers}x{chosen.units}, {len(model.vocabulary):,} {chosen.unit}s in {chosen.embedding} "
        f"numbers each; {count:,} parameters; {training.seconds:.1f} s; {ended}"
    )


def _grid(written: Written) -> Grid:
    unit = written.model.settings.unit
    grid = Grid(box=None, padding=(0, 1), collapse_padding=True, header_style="bold")
    grid.add_column("test text")
    for name in ("bits per character", f"perplexity per {unit}"):
        grid.add_column(name, justify="right")
    for name, surprise in [*((one.name, one.surprise) for one in written.rivals), ("the model", written.surprise)]:
        grid.add_row(name, *_cells(surprise), style="bold" if surprise is written.surprise else "")
    return grid


def _cells(surprise: Surprise) -> list[str]:
    return [f"{surprise.bits_per_character:.3f}", f"{surprise.perplexity:.4g}"]
