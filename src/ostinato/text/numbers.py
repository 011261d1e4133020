"""The same account of sequences that are no texts: a network beside what knows their summary only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..errors import InputError
from ..report.folder import Kind, damaged, read, write
from ..sequences.archive import read_ts
from ..sequences.arrays import read_arrays
from ..sequences.classifier import SequenceClassifier
from ..sequences.dataset import Labelled
from ..sequences.folder import load
from ..sequences.frames import read_frame
from ..sequences.regressor import SequenceRegressor
from ..sequences.training import Epoch
from .account import MAJORITY, NETWORK, Account, account
from .baselines import best, fitted, majority, probabilities, right
from .labels import classes_of, targets
from .regression import Regression, regression
from .split import set_apart

Task = Literal["classify", "regress"]
MODEL, CONFIG = "model", "config.json"
RUN = Kind("run", CONFIG, "ostinato.numbers", 1, "ostinato classify")

SUMMARY, MEAN = "summary statistics", "mean"
#: What is known of a feature: numbers that do not depend on the order of the steps, but for the last two.
STATISTICS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda x: x.mean(0),
    "deviation": lambda x: _noticeable(x.std(0), np.abs(x).max(0)),
    "lowest": lambda x: x.min(0),
    "highest": lambda x: x.max(0),
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
}
#: How strongly ridge regression may be held back; the validation sequences choose.
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Source:
    """Where sequences are.

    Attributes:
        path: .npz, .npy, .ts, or a CSV file with a row for each step.
        id, step, label: columns of a CSV file; of .npy, `label` is the file of labels.
        features: columns of a CSV file; None takes all others.
    """

    path: Path
    id: str | None = None
    step: str | None = None
    label: str | None = None
    features: Sequence[str] | None = None

    def read(self, labelled: bool = True) -> Labelled:
        """
        Raises:
            InputError: the file cannot be read, or has no labels where there must be some.
        """
        kind = self.path.suffix.lower()
        if kind == ".ts":
            found = read_ts(self.path)
        elif kind in (".npz", ".npy"):
            found = read_arrays(self.path, self.label if kind == ".npy" else None)
        else:
            label = (self.label or "label") if labelled else None
            found = read_frame(
                self.path, id=self.id or "id", step=self.step or "step", label=label, features=self.features
            )
        if labelled and found.labels is None:
            raise InputError(f"{self.path} has no labels; expected y in a .npz file, or --label FILE.npy with .npy")
        return found


@dataclass(frozen=True)
class NumbersPlan:
    """What is going to be done.

    Attributes:
        task: "classify" or "regress".
        source: of the training sequences.
        train, validation, test: sequences and labels of each part.
        parameters: of the estimator.
    """

    task: Task
    source: Source
    train: Labelled
    validation: Labelled
    test: Labelled
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class NumbersResult:
    """A trained network and what it is worth.

    Attributes:
        plan: as above.
        model: the estimator.
        account: of classes, or of numbers.
        predictions: sequence, label, predicted, and of classes a column of probabilities each.
        strength: of the baseline's regularisation, as the validation sequences chose it.
    """

    plan: NumbersPlan
    model: SequenceClassifier | SequenceRegressor
    account: Account | Regression
    predictions: pd.DataFrame
    strength: float


def make_plan(
    source: Source,
    test: Path | None = None,
    task: Task = "classify",
    test_size: float = 0.2,
    validation_size: float = 0.1,
    parameters: Mapping[str, Any] | None = None,
) -> NumbersPlan:
    """Read sequences, and split them, classes in like shares.

    Raises:
        InputError: in one sentence, what is wrong with what was given.
    """
    known = source.read()
    labels = np.asarray(known.labels)
    seed = int((parameters or {}).get("seed", 0))
    if task == "regress":
        if labels.dtype.kind not in "fiu":
            raise InputError(
                f"{known.source}: the labels are no numbers but {str(labels.ravel()[0])!r}; leave out --task regress"
            )
        if (labels == labels[0]).all():
            raise InputError(f"{known.source}: all labels are {labels[0]}; expected numbers that differ")
    elif labels.ndim == 1 and len(np.unique(labels)) > max(len(labels) / 2, 2):
        raise InputError(
            f"{known.source} has {len(np.unique(labels))} different labels for {len(labels)} sequences, so they are "
            "no classes; pass --task regress if they are amounts"
        )
    if test is None:
        stay, apart = set_apart(_strata(labels, task), test_size, seed, "--test-size")
        known, tested = _select(known, stay), _select(known, apart)
    else:
        # a CSV file has the columns of the first; the labels of a .npy file do not go with another
        label = None if test.suffix.lower() == ".npy" else source.label
        tested = Source(test, source.id, source.step, label, known.features if source.id else None).read()
        if len(tested.features) != len(known.features):
            raise InputError(f"{test} has {len(tested.features)} features; expected {len(known.features)}")
    if task == "classify":
        classes_of(_listed(known.labels), "sequences")
    stay, apart = set_apart(_strata(np.asarray(known.labels), task), validation_size, seed, "--validation-size")
    train, validation = _select(known, stay), _select(known, apart)
    if task == "regress":
        _check_finite(train, validation, tested)
    else:
        classes = classes_of(_listed(train.labels), "sequences")
        for part in (validation, tested):
            targets(_listed(part.labels), classes, labels.ndim == 2)
    return NumbersPlan(task, source, train, validation, tested, dict(parameters or {}))


def _check_finite(*parts: Labelled) -> None:
    for part in parts:
        wrong = int((~np.isfinite(np.asarray(part.labels, dtype=float))).sum())
        if wrong:
            raise InputError(f"{part.source}: {wrong} of the labels are not finite; leave their sequences out")


def _listed(labels: np.ndarray | None) -> list[Any]:
    """Labels as `labels` takes them: of a matrix, the columns that are 1."""
    found = np.asarray(labels)
    return [tuple(np.flatnonzero(row).tolist()) for row in found] if found.ndim == 2 else found.tolist()


def _strata(labels: np.ndarray, task: Task) -> list[Any]:
    return [0] * len(labels) if task == "regress" else _listed(labels)


def _select(known: Labelled, rows: np.ndarray) -> Labelled:
    sequences = tuple(known.sequences[row] for row in rows)
    names = known.names
    ids = tuple(names[row] for row in rows)
    return Labelled(known.source, sequences, np.asarray(known.labels)[rows], known.features, ids)


def summary(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """(sequences, features * statistics + 1): `STATISTICS` of each feature, and the length."""
    rows = [np.concatenate([*(measure(one) for measure in STATISTICS.values()), [len(one)]]) for one in sequences]
    return np.array(rows)


def execute(plan: NumbersPlan, on_epoch: Callable[[Epoch], None] | None = None) -> NumbersResult:
    """Train as planned, and test.

    Raises:
        InputError: training diverged, or a parameter is out of range.
    """
    made = SequenceClassifier if plan.task == "classify" else SequenceRegressor
    model = made(**plan.parameters)
    watched = (list(plan.validation.sequences), plan.validation.labels)
    model.fit(list(plan.train.sequences), plan.train.labels, watched, on_epoch)
    parts = _standardised(*(summary(one.sequences) for one in (plan.train, plan.validation, plan.test)))
    if isinstance(model, SequenceClassifier):
        return _classified(plan, model, parts)
    return _regressed(plan, model, parts)


def _standardised(*parts: np.ndarray) -> list[np.ndarray]:
    """Columns with the mean 0 and the deviation 1 in the first part."""
    mean = parts[0].mean(0)
    deviation = _noticeable(parts[0].std(0), np.abs(parts[0]).max(0))
    return [(part - mean) / np.where(deviation > 0, deviation, 1.0) for part in parts]


def _noticeable(deviation: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """A deviation of numbers up to `largest`; 0 where it is no more than their rounding."""
    found: np.ndarray = np.where(deviation > 1e-9 * largest, deviation, 0.0)
    return found


def _classified(plan: NumbersPlan, model: SequenceClassifier, parts: list[np.ndarray]) -> NumbersResult:
    several = model.multilabel_
    classes = model.classes_
    listed = [_listed(one.labels) for one in (plan.train, plan.validation, plan.test)]
    wanted = [targets(one, classes, several).numpy() for one in listed]
    strength, _ = best(
        lambda strength: (strength, fitted(parts[0], wanted[0], strength, several)),
        lambda made: right(probabilities(made[1], parts[1], len(classes), several), wanted[1], several),
    )
    bag = fitted(np.concatenate(parts[:2]), np.concatenate(wanted[:2]), strength, several)
    network = model.predict_proba(list(plan.test.sequences))
    found = {
        MAJORITY: majority(listed[0] + listed[1], classes, several, len(wanted[2])),
        SUMMARY: probabilities(bag, parts[2], len(classes), several),
        NETWORK: network,
    }
    rows = pd.DataFrame({"sequence": plan.test.names, "label": [_word(one) for one in listed[2]]})
    rows = pd.concat([rows, _answers(model, network)], axis=1)
    return NumbersResult(plan, model, account(wanted[2], found, classes.tolist(), several, "sequences"), rows, strength)


def _regressed(plan: NumbersPlan, model: SequenceRegressor, parts: list[np.ndarray]) -> NumbersResult:
    from sklearn.linear_model import Ridge

    known, watched, true = (np.asarray(one.labels, dtype=float) for one in (plan.train, plan.validation, plan.test))

    def error(penalty: float) -> float:
        found = Ridge(penalty).fit(parts[0], known).predict(parts[1])
        return float(((found - watched) ** 2).mean())

    penalty = min(PENALTIES, key=error)
    both = np.concatenate([known, watched])
    ridge = Ridge(penalty).fit(np.concatenate(parts[:2]), both).predict(parts[2])
    predicted = model.predict(list(plan.test.sequences))
    found = {MEAN: np.broadcast_to(both.mean(0), true.shape), SUMMARY: ridge, NETWORK: predicted}
    rows = pd.DataFrame({"sequence": plan.test.names})
    for name, values in (("label", true), ("predicted", predicted)):
        rows = pd.concat([rows, _columns(name, values)], axis=1)
    seed = int(plan.parameters.get("seed", 0))
    return NumbersResult(plan, model, regression(true, found, NETWORK, seed), rows, penalty)


def _columns(name: str, values: np.ndarray) -> pd.DataFrame:
    if values.ndim == 1:
        return pd.DataFrame({name: values})
    return pd.DataFrame({f"{name} {column}": values[:, column] for column in range(values.shape[1])})


def _answers(model: SequenceClassifier, found: np.ndarray) -> pd.DataFrame:
    """predicted, then a column of probabilities for each class."""
    chosen = (
        [tuple(np.flatnonzero(row > 0.5).tolist()) for row in found]
        if model.multilabel_
        else model.classes_[found.argmax(1)].tolist()
    )
    names = [f"p({name})" for name in model.classes_]
    return pd.concat(
        [pd.DataFrame({"predicted": [_word(one) for one in chosen]}), pd.DataFrame(found, columns=names)], axis=1
    )


def _word(label: Any) -> str:
    return "|".join(map(str, label)) if isinstance(label, tuple) else str(label)


def save(result: NumbersResult, folder: Path) -> None:
    """Write the model and how it was read into an existing folder."""
    plan = result.plan
    result.model.save(folder / MODEL)
    write(
        folder / CONFIG,
        {
            "format": RUN.format,
            "version": RUN.version,
            "task": plan.task,
            "source": plan.train.source,
            "id": plan.source.id,
            "step": plan.source.step,
            "features": plan.train.features,
        },
    )


def predict(run: Path, path: Path) -> pd.DataFrame:
    """sequence, predicted, and of classes a column of probabilities each, of new sequences.

    Raises:
        InputError: the folder is no run on sequences, is damaged, or the sequences do not fit it.
    """
    config = read(run, RUN)
    model = load(run / MODEL)
    try:
        source = Source(path, config["id"], config["step"], None, config["features"] if config["id"] else None)
    except KeyError as error:
        raise damaged(run / CONFIG, error, RUN) from None
    given = source.read(labelled=False)
    sequences = list(given.sequences)
    rows = pd.DataFrame({"sequence": given.names})
    if isinstance(model, SequenceClassifier):
        return pd.concat([rows, _answers(model, model.predict_proba(sequences))], axis=1)
    assert isinstance(model, SequenceRegressor)
    return pd.concat([rows, _columns("predicted", model.predict(sequences))], axis=1)
