"""The flags of `ostinato write`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..flags import MODEL, OUTPUT, integer, real, switch, text
from ..given import check_exist
from ..told import told

CORPUS, TRAINING, WRITING = "The text", "The training", "What it writes"


def write(
    source: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Texts to learn from, or a folder that write wrote; without one, what Python's help() has."
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--text", help="Column of texts of a table.", rich_help_panel=CORPUS)
    ] = None,
    test_size: Annotated[float | None, real("Share of the text at its end to test on (default: 0.1).", CORPUS)] = None,
    validation_size: Annotated[
        float | None, real("Share of the text before that to stop on (default: 0.1).", CORPUS)
    ] = None,
    unit: Annotated[str | None, text("subword, word or character (default: subword).", MODEL)] = None,
    vocabulary: Annotated[int | None, integer("Most units; by the length of the text if left out.", MODEL)] = None,
    cell: Annotated[str | None, text("Any of `ostinato cells` (default: lstm).", MODEL)] = None,
    embedding: Annotated[int | None, integer("Numbers that stand for a unit.", MODEL)] = None,
    units: Annotated[int | None, integer("Hidden units a layer.", MODEL)] = None,
    layers: Annotated[int | None, integer("Recurrent layers.", MODEL)] = None,
    dropout: Annotated[float | None, real("Of the last layer's outputs.", TRAINING)] = None,
    input_dropout: Annotated[float | None, real("Of the embedded text.", TRAINING)] = None,
    embedding_dropout: Annotated[float | None, real("Of whole units.", TRAINING)] = None,
    weight_dropout: Annotated[float | None, real("Of the recurrent matrices (DropConnect).", TRAINING)] = None,
    steps: Annotated[int | None, integer("Units that gradients flow back over.", TRAINING)] = None,
    batch_size: Annotated[int | None, integer("Places that are read at once.", TRAINING)] = None,
    epochs: Annotated[int | None, integer("Most epochs.", TRAINING)] = None,
    patience: Annotated[int | None, integer("Epochs without gain before it stops.", TRAINING)] = None,
    learning_rate: Annotated[float | None, real("Of Adam.", TRAINING)] = None,
    seed: Annotated[int, integer("Same seed, same result.", TRAINING)] = 0,
    prompt: Annotated[str, text("What to go on from.", WRITING)] = "",
    length: Annotated[int | None, integer("Units to write (default: 200 of a folder's model).", WRITING)] = None,
    temperature: Annotated[float, real("Below 1 is likelier, 0 the likeliest.", WRITING)] = 0.8,
    top_p: Annotated[float | None, real("Draw from the fewest units that have this share of all.", WRITING)] = None,
    top_k: Annotated[int | None, integer("Draw from the k likeliest units.", WRITING)] = None,
    output: Annotated[Path | None, text("Folder to write (default: a new one in runs/).", OUTPUT)] = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace an older model there.", OUTPUT)] = False,
    quiet: Annotated[bool, switch("--quiet", "Say only what it comes to.", OUTPUT)] = False,
) -> None:
    """Learn a language from texts, say what that is worth, and write more of it; or write on with a folder's model."""
    with told():
        given = source or []
        check_exist(given, "texts to learn from, or a folder that ostinato write wrote")

        from .. import write as writing

        how = writing.Manner(prompt, length, temperature, top_k, top_p, seed)
        changes = {
            "unit": unit, "vocabulary": vocabulary, "cell": cell, "embedding": embedding, "units": units,
            "layers": layers, "dropout": dropout, "input_dropout": input_dropout,
            "embedding_dropout": embedding_dropout, "weight_dropout": weight_dropout, "steps": steps,
            "batch_size": batch_size, "epochs": epochs, "patience": patience, "learning_rate": learning_rate,
            "test_size": test_size, "validation_size": validation_size,
        }  # fmt: skip
        chosen = {name: value for name, value in changes.items() if value is not None}
        if len(given) == 1 and given[0].is_dir():
            writing.go_on(given[0], how, [*chosen, *(["text"] if column else [])], output)
        else:
            writing.run(given, column, chosen, how, output, overwrite, quiet)
