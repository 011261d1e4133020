"""The whole way: a table of texts, split; a network trained on its first part; an honest account of the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..sequences.training import Epoch
from .account import BAG, BOTH, MAJORITY, NETWORK, Account, account
from .baselines import bag_of_ngrams, majority
from .classifier import TextClassifier
from .labels import classes_of, keys, targets
from .made import made_reviews
from .ngrams import NGrams, ngrams
from .settings import Settings, TutorialSettings
from .split import set_apart
from .table import Table, read
from .tutorial import TutorialClassifier

#: A file, a frame or texts that were read; None is the task that the project makes itself.
TableLike = str | Path | pd.DataFrame | Table | None


@dataclass(frozen=True)
class Plan:
    """What is going to be done.

    Attributes:
        settings: as chosen.
        train, validation, test: the texts of each part.
        classes: labels that occur in the training part.
        repeated: how many test texts stand in the other two parts as well.
        made: whether they are the made-up reviews.
    """

    settings: Settings
    train: Table
    validation: Table
    test: Table
    classes: np.ndarray
    repeated: int
    made: bool

    @property
    def several(self) -> bool:
        return self.train.several


@dataclass(frozen=True)
class Classification:
    """A trained classifier and what it is worth.

    Attributes:
        plan: the parts and the settings.
        classifier: trained.
        bag: of n-grams, of training and validation texts.
        account: of them all on the test texts.
        predictions: row, text, label, predicted, then a column of probabilities for each class.
        cut: how many test texts were longer than `longest`.
    """

    plan: Plan
    classifier: TextClassifier
    bag: NGrams
    account: Account
    predictions: pd.DataFrame
    cut: int


def make_plan(
    source: TableLike = None,
    *,
    test: TableLike = None,
    text: str | None = None,
    label: str | None = None,
    multi_label: bool = False,
    settings: Settings | None = None,
) -> Plan:
    """Read texts, and split them into training, validation and test part, each with its share of every class.

    Args:
        source: file or frame; None is the task that the project makes itself.
        test: further texts to test on, instead of a part of those.
        text, label, multi_label: see `table.read`.
        settings: None is the default preset.

    Raises:
        InputError: in one sentence, what is wrong with what was given.
    """
    settings = settings or Settings()
    if source is None and (test is not None or text or label):
        raise InputError("no file of texts was given; name one to go with --test, --text and --label")
    table = made_reviews() if source is None else _table(source, text, label, multi_label)
    _check_classes(keys(table.labels or []), table)
    if test is None:
        stay, apart = set_apart(keys(table.labels or []), settings.test_size, settings.seed, "--test-size")
        table, tested = table.select(stay), table.select(apart)
    else:
        tested = _table(test, table.text, table.label, multi_label)
        if tested.several != table.several:
            raise InputError(f"{tested.source} and {table.source} differ: one of them has several labels a text")
    labels = table.labels or []
    stay, apart = set_apart(keys(labels), settings.validation_size, settings.seed, "--validation-size")
    train, validation = table.select(stay), table.select(apart)
    try:
        classes = classes_of(train.labels or [])
        for part in (validation, tested):
            targets(part.labels or [], classes, train.several)
    except InputError as error:
        where = "" if test is None else f" ({tested.source})"
        raise InputError(f"{table.source}{where}: {error}") from None
    known = set(table.texts)
    repeated = sum(one in known for one in tested.texts)
    return Plan(settings, train, validation, tested, classes, repeated, source is None)


def _table(source: TableLike, text: str | None, label: str | None, multi_label: bool) -> Table:
    if isinstance(source, Table):
        return source
    assert source is not None
    return read(source, text, label, multi_label=multi_label)


def _check_classes(labels: list[object], table: Table) -> None:
    """See that the labels are classes, and not numbers or texts of their own.

    Raises:
        InputError: nearly every text has a label of its own.
    """
    different = len(set(labels))
    if len(labels) >= 20 and different > len(labels) / 2 and not table.several:
        raise InputError(
            f"{table.source}: {table.label} has {different} different labels in {len(labels)} rows, so they are no "
            "classes; name another column with --label"
        )


def execute(plan: Plan, on_epoch: Callable[[Epoch], None] | None = None) -> Classification:
    """Train as planned, and test.

    Raises:
        InputError: training diverged, or needs more memory than there is.
    """
    parts = [(part.texts, part.labels or []) for part in (plan.train, plan.validation, plan.test)]
    made = TutorialClassifier if isinstance(plan.settings, TutorialSettings) else TextClassifier
    classifier = made(**vars(plan.settings)).fit(*parts[0], parts[1], on_epoch=on_epoch)
    sequences, cut = classifier.subwords_.encode_and_count(plan.test.texts, plan.settings.longest)
    alone = classifier.probabilities(sequences)
    probabilities = classifier.mixed(plan.test.texts, alone)
    several = plan.several
    bag = classifier.bag_.ngrams if classifier.bag_ else bag_of_ngrams(parts[0], parts[1], plan.classes, several)[0]
    true = targets(parts[2][1], plan.classes, several).numpy()
    found = {MAJORITY: majority([*parts[0][1], *parts[1][1]], plan.classes, several, len(true))}
    if classifier.bag_ is not None:
        found[NETWORK] = alone
    found[BAG] = bag.probabilities(ngrams(plan.test.texts))
    found[NETWORK if classifier.bag_ is None else BOTH] = probabilities
    return Classification(
        plan,
        classifier,
        bag,
        account(true, found, plan.classes.tolist(), several),
        _predictions(plan, classifier, probabilities),
        cut,
    )


def _predictions(plan: Plan, classifier: TextClassifier, probabilities: np.ndarray) -> pd.DataFrame:
    test = plan.test
    frame = pd.DataFrame({"row": test.rows, "text": test.texts, "label": [joined(one) for one in test.labels or []]})
    return pd.concat([frame, answers_of(classifier, probabilities)], axis=1)


def answers_of(classifier: TextClassifier, probabilities: np.ndarray) -> pd.DataFrame:
    """predicted, then a column of probabilities for each class."""
    names = [f"p({name})" for name in classifier.classes_]
    predicted = [joined(one) for one in classifier.chosen(probabilities)]
    return pd.concat([pd.DataFrame({"predicted": predicted}), pd.DataFrame(probabilities, columns=names)], axis=1)


def joined(label: object) -> str:
    """A label, or several with | between them, as they stand in a CSV file."""
    return "|".join(map(str, label)) if isinstance(label, tuple) else str(label)
