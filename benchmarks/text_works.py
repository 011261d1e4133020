"""What `benchmarks.text` compares: the networks, their batches, and who trains them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import text_addition as example
from .cases import KERAS_BACKENDS
from .contest import Contender, Environment
from .text_batches import SHORT, Epoch, made_up, reviews, vowels
from .text_contest import Pace, Work
from .text_networks import Network, save

TORCH, KERAS, ADDITION = (
    f"benchmarks.text_{name}" for name in ("torch:Classifier", "keras:Classifier", "addition:Translator")
)

#: Contenders that take seconds a step on texts.
SLOW = ("PyTorch packed", "Keras on torch")

#: Most subwords of a text in --quick.
QUICK = 40


def _contenders(
    file: Path, network: Network, keras_first: bool, pace: Pace, slow: Pace
) -> tuple[list[tuple[Contender, Pace]], dict[str, Contender]]:
    """Ours by the application's own way first, then the peers; and who is right."""
    options = {"file": str(file), "network": asdict(network)}

    def torch(name: str, way: str, library: str = "torch.nn", **more: Any) -> Contender:
        ours = way == "ostinato" or library == "ostinato.nn"
        return Contender(name, TORCH, {**options, "way": way, "library": library, **more}, ours=ours)

    def keras(name: str, library: str, backend: str) -> Contender:
        place: Environment = "project" if backend == "torch" else "peers"
        variables = {"KERAS_BACKEND": backend}
        ours = library.startswith("ostinato")
        return Contender(name, KERAS, {**options, "library": library}, ours, place, variables, "like Keras")

    mine = [
        keras("ostinato.keras", "ostinato.keras.layers", "torch"),
        torch("ostinato.nn", "packed", "ostinato.nn") if keras_first else torch("ostinato.nn", "ostinato"),
    ]
    contenders = [
        *(mine if keras_first else mine[::-1]),
        torch("PyTorch packed", "packed"),
        torch("PyTorch turned", "turned"),
        *(keras(name, "keras.layers", backend) for backend, name in KERAS_BACKENDS.items()),
    ]
    paced = [(one, slow if one.name in SLOW else pace) for one in contenders]
    oracles = {
        name: torch("oracle", "packed", batches=0, dtype="float64", like_keras=name == "like Keras")
        for name in ("oracle", "like Keras")
    }
    return [(replace(one, options={**one.options, "batches": its.batches}), its) for one, its in paced], oracles


def _classified(title: str, file: Path, epoch: Epoch, network: Network, keras_first: bool, *paces: Pace) -> Work:
    save(file, epoch.chosen, epoch.check)
    contenders, oracles = _contenders(file, network, keras_first, *paces)
    steps = [int(batch.lengths.sum()) for batch in epoch.chosen]
    facts = (
        f"{epoch.origin}; an epoch is {epoch.rows:,} rows in {epoch.batches} batches of like length with "
        f"{epoch.steps:,} steps, {epoch.filled:.0%} of the padded ones"
    )
    return Work(title, contenders, oracles, SHORT, steps, (epoch.batches, epoch.steps), facts)


def tutorial(folder: Path, quick: bool) -> Work:
    """The tutorial's network on whole film reviews, as `ostinato classify --preset tutorial` trains it."""
    from ostinato.text.settings import TutorialSettings

    chosen = TutorialSettings()
    vocabulary, longest, count = (300, QUICK, 2) if quick else (chosen.vocabulary, None, 5)
    network = Network(chosen.embedding, 1, vocabulary, chosen.units, hidden=64, learning_rate=chosen.learning_rate)
    epoch = _reviews(vocabulary, longest, chosen.batch_size, count, quick)
    title = (
        f"The tutorial's network: Embedding({vocabulary}, {chosen.embedding}), BiLSTM({chosen.units}), Dense(64), "
        f"Dense(1); {chosen.batch_size} texts a batch, {f'of at most {longest} subwords' if longest else 'whole'}"
    )
    return _classified(title, folder / "tutorial.npz", epoch, network, True, *_paces(count, quick))


def classify(folder: Path, quick: bool) -> Work:
    """The default network of `ostinato classify` on film reviews.

    Raises:
        ValueError: the default is no longer the one bidirectional LSTM layer that the peers are given.
    """
    from ostinato.sequences.training import Settings as TrainingSettings
    from ostinato.text.settings import Settings as Chosen

    chosen = Chosen()
    if (chosen.cell, chosen.layers, chosen.bidirectional, chosen.weight_decay) != ("lstm", 1, True, 0.0):
        raise ValueError(f"the default of ostinato classify is {chosen}; the peers here have one bidirectional LSTM")
    vocabulary, longest, count = (300, QUICK, 2) if quick else (chosen.vocabulary, chosen.longest, 5)
    network = Network(
        chosen.embedding, 2, vocabulary, chosen.units, chosen.pooling, 0, chosen.input_dropout, chosen.dropout,
        chosen.learning_rate, TrainingSettings().clip,
    )  # fmt: skip
    epoch = _reviews(vocabulary, longest, chosen.batch_size, count, quick)
    title = (
        f"The default of `ostinato classify`: Embedding({vocabulary}, {chosen.embedding}), BiLSTM({chosen.units}), "
        f"{chosen.pooling}, Dense(2), with its dropout; {chosen.batch_size} texts of at most {longest} subwords "
        "a batch"
    )
    return _classified(title, folder / "classify.npz", epoch, network, False, *_paces(count, quick))


def _reviews(vocabulary: int, longest: int | None, size: int, count: int, quick: bool) -> Epoch:
    """Film reviews; quickly, a few made-up texts."""
    return made_up(vocabulary, longest, size, count, rows=640) if quick else reviews(vocabulary, longest, size, count)


def _paces(count: int, quick: bool) -> tuple[Pace, Pace]:
    """Of the fast, and of the slow, who train on the batch in the middle only."""
    return (Pace(count, 2, 1), Pace(1, 1, 1)) if quick else (Pace(count, 3), Pace(1, 2, 1))


def sequences(folder: Path, quick: bool) -> Work:
    """The default network of `SequenceClassifier` on short sequences of numbers."""
    from ostinato.sequences import SequenceClassifier

    chosen = SequenceClassifier()
    network = Network(
        12, 9, 0, chosen.units, chosen.pooling, 0, chosen.input_dropout, chosen.dropout, chosen.learning_rate,
        chosen.clip,
    )  # fmt: skip
    count = 2 if quick else 4
    title = (
        f"The default of `SequenceClassifier`: BiLSTM({chosen.units}), {chosen.pooling}, Dense(9), with its dropout; "
        f"{chosen.batch_size} sequences of 7 to 29 steps of 12 numbers a batch"
    )
    epoch = vowels(12, 9, chosen.batch_size, count)
    paces = (Pace(count, 2, 1), Pace(1, 1, 1)) if quick else (Pace(count, 9), Pace(count, 3, 1))
    return _classified(title, folder / "sequences.npz", epoch, network, False, *paces)


def addition(folder: Path, quick: bool) -> Work:
    """The network of examples/sequence_to_sequence.py on additions."""
    pace = Pace(2, 2, 1) if quick else Pace(20, 9)
    ways = {"ostinato.nn": "ostinato", "PyTorch packed": "packed", "PyTorch turned": "turned"}
    contenders = [
        (Contender(name, ADDITION, {"way": way, "batches": pace.batches}, way == "ostinato"), pace)
        for name, way in ways.items()
    ]
    oracles = {"oracle": Contender("oracle", ADDITION, {"way": "packed", "batches": 0, "dtype": "float64"})}
    written = example.pairs()[1]
    steps = [
        example.steps_of(written[first : first + example.SIZE])
        for first in range(0, pace.batches * example.SIZE, example.SIZE)
    ]
    whole = (-(-len(written) // example.SIZE), example.steps_of(written))
    title = (
        f"examples/sequence_to_sequence.py --task addition: bidirectional GRU({example.HIDDEN // 2}), "
        f"GRU({example.HIDDEN}), attention; {example.SIZE} pairs a batch"
    )
    facts = (
        f"an epoch is {len(written):,} questions and answers in {whole[0]} batches with {whole[1]:,} characters; "
        "Keras is not measured, since the example is a program for PyTorch"
    )
    return Work(title, contenders, oracles, 12, steps, whole, facts)


WORKS: dict[str, Callable[[Path, bool], Work]] = {
    "tutorial": tutorial, "classify": classify, "addition": addition, "sequences": sequences,
}  # fmt: skip
