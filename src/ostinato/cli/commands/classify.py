"""The flags of `ostinato classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..flags import DATA, MODEL, OUTPUT, integer, real, switch, text
from ..given import one_test
from ..told import told


def classify(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Texts: CSV, TSV, JSON lines or Parquet, also .gz; or sequences of numbers: .npz, .npy, .ts, or CSV "
            "with --id. Without one, made-up reviews."
        ),
    ] = None,
    test: Annotated[Path | None, text("File of further rows to test on, instead of a part.", DATA)] = None,
    text_column: Annotated[
        str | None, typer.Option("--text", help="Column of texts; found if plain.", rich_help_panel=DATA)
    ] = None,
    label: Annotated[str | None, text("Column of labels; found if plain.", DATA)] = None,
    multi_label: Annotated[bool, switch("--multi-label", "A cell holds several labels: a|b.", DATA)] = False,
    identity: Annotated[
        str | None, typer.Option("--id", help="Of numbers: column that names a row's sequence.", rich_help_panel=DATA)
    ] = None,
    step: Annotated[str | None, text("Of numbers: column of the order in a sequence.", DATA)] = None,
    task: Annotated[str, text("Of numbers: classify, or regress.", DATA)] = "classify",
    test_size: Annotated[float | None, real("Share or number of rows to test on (default: 0.2).", DATA)] = None,
    validation_size: Annotated[
        float | None, real("Share or number of the others to stop on (default: 0.1).", DATA)
    ] = None,
    preset: Annotated[
        str, typer.Option(help="default, or tutorial.", show_default=False, rich_help_panel=MODEL)
    ] = "default",
    vocabulary: Annotated[int | None, integer("Of texts: most subwords (default: 16000).", MODEL)] = None,
    subwords: Annotated[str | None, text("Of texts: bpe, or unigram (default: bpe).", MODEL)] = None,
    longest: Annotated[int | None, integer("Of texts: most subwords of one (default: 1000).", MODEL)] = None,
    embedding: Annotated[int | None, integer("Of texts: numbers for a subword (default: 64).", MODEL)] = None,
    cell: Annotated[str | None, text("Any of `ostinato cells` (default: lstm).", MODEL)] = None,
    units: Annotated[int | None, integer("Units a layer and direction (default: 64).", MODEL)] = None,
    layers: Annotated[int | None, integer("Recurrent layers (default: 1).", MODEL)] = None,
    bidirectional: Annotated[bool | None, text("Read from the end as well (default: yes).", MODEL)] = None,
    pooling: Annotated[str | None, text("last, mean, max, or joined (default: max+mean).", MODEL)] = None,
    input_dropout: Annotated[float | None, real("Dropout before the recurrent layers.", MODEL)] = None,
    dropout: Annotated[float | None, real("Dropout after them.", MODEL)] = None,
    epochs: Annotated[int | None, integer("Most epochs; by the number of rows if left out.", MODEL)] = None,
    patience: Annotated[int | None, integer("Epochs without gain before it stops.", MODEL)] = None,
    batch_size: Annotated[int | None, integer("Rows a training step.", MODEL)] = None,
    learning_rate: Annotated[float | None, real("Of Adam.", MODEL)] = None,
    schedule: Annotated[str | None, text("constant, or linear or cosine to 0.", MODEL)] = None,
    weight_decay: Annotated[float | None, real("Of Adam.", MODEL)] = None,
    pretrain: Annotated[
        int | None, integer("Of texts: epochs in which it learns their language first (default: 0).", MODEL)
    ] = None,
    ngrams: Annotated[
        bool | None, text("Of texts: let a bag of n-grams have a say beside the network (default: yes).", MODEL)
    ] = None,
    seed: Annotated[int | None, integer("Same seed, same result (default: 0).", MODEL)] = None,
    output: Annotated[Path | None, text("Folder to write (default: a new one in runs/).", OUTPUT)] = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace an older run there.", OUTPUT)] = False,
    quiet: Annotated[bool, switch("--quiet", "Say only what it comes to.", OUTPUT)] = False,
) -> None:
    """Train a classifier of texts, or of sequences of numbers, and say whether it beats a bag of n-grams.

    The preset "tutorial" is the network of the well-known tutorial on film reviews: a bidirectional LSTM of 64 units.
    """
    with told():
        one_test(test, test_size)

        from .. import classify as classifying

        changes = {
            "vocabulary": vocabulary, "subwords": subwords, "longest": longest, "embedding": embedding, "cell": cell,
            "units": units, "layers": layers, "bidirectional": bidirectional, "pooling": pooling,
            "input_dropout": input_dropout, "dropout": dropout, "epochs": epochs, "patience": patience,
            "batch_size": batch_size, "learning_rate": learning_rate, "schedule": schedule,
            "weight_decay": weight_decay, "pretrain": pretrain, "ngrams": ngrams, "seed": seed,
            "test_size": test_size, "validation_size": validation_size,
        }  # fmt: skip
        reading = classifying.Reading(file, test, text_column, label, multi_label, identity, step, task)
        place = classifying.Place(output, overwrite, quiet)
        classifying.run(reading, preset, {key: one for key, one in changes.items() if one is not None}, place)
