"""A label for every step of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence

from ..errors import InputError
from .estimator import Stepwise
from .inputs import check_count, make_sequences
from .labels import KINDS, classes_from_json, classes_to_json, encode, make_labels
from .ragged import Ragged
from .training import Epoch

if TYPE_CHECKING:
    from typing import Self


@dataclass(kw_only=True, eq=False)
class SequenceTagger(Stepwise):
    """A label a step; in scikit-learn's manner.

    After fitting:
        classes_: (classes) sorted.
        network_, parameters_, training_: the network, the parameters it was made and trained with, its history.
        scaling_, n_features_in_: the inputs' mean and deviation, their number.
    """

    def fit(
        self,
        X: Any,
        y: Any,
        validation: tuple[Any, Any] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> Self:
        """Train on sequences with a label a step.

        Args:
            X: an array (sequences, steps, features) or (sequences, steps), or a list of arrays (steps, features).
            y: an array (sequences, steps), or a list of arrays (steps).
            validation: further X and y to stop on; None holds out `validation_size` of those given.
            on_epoch: called after each epoch.

        Raises:
            InputError: sequences or labels are malformed, a parameter is out of range, or training diverged.
        """
        sequences = make_sequences(X)
        labels = _labels(sequences, y, "labels")
        classes = np.unique(labels)
        if len(classes) < 2:
            raise InputError(f"all labels are {classes[0]!s}; expected at least two classes")
        checked = None
        if validation is not None:
            others = make_sequences(validation[0], sequences.values.shape[1])
            known = _labels(others, validation[1], "validation labels")
            checked = others, _targets(others, known, classes, "the validation labels")
        targets = _targets(sequences, labels, classes, "the labels")
        self._fit(sequences, targets, len(classes), _loss, validation=checked, on_epoch=on_epoch)
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        """For each sequence (steps, classes): the probability of each class, in the order of `classes_`.

        Raises:
            InputError: X is malformed, or has other features than those trained on.
        """
        return [answer.double().softmax(1).numpy() for answer in self._answer(X)]

    def predict(self, X: Any) -> list[np.ndarray]:
        """For each sequence (steps): the most probable classes."""
        return [self.classes_[probabilities.argmax(axis=1)] for probabilities in self.predict_proba(X)]

    def score(self, X: Any, y: Any) -> float:
        """The share of steps whose label is right."""
        true = _labels(make_sequences(X), y, "labels")
        return float((np.concatenate(self.predict(X)) == true).mean())

    def fitted(self) -> dict[str, Any]:
        return {"classes": classes_to_json(self.classes_)}

    def restore(self, content: dict[str, Any]) -> int:
        self.classes_ = classes_from_json(content["classes"])
        return len(self.classes_)


def _loss(answer: PackedSequence, targets: Ragged) -> Tensor:
    return cross_entropy(answer.data, targets.pack().data)


def _targets(sequences: Ragged, labels: np.ndarray, classes: np.ndarray, what: str) -> Ragged:
    return Ragged(torch.from_numpy(encode(labels, classes, what)), sequences.lengths)


def _labels(sequences: Ragged, y: Any, what: str) -> np.ndarray:
    """(all steps): the labels of one sequence behind those of the other."""
    check_count(sequences, y, f"sequences of {what}")
    found = []
    for number, (one, steps) in enumerate(zip(y, sequences.lengths.tolist(), strict=True)):
        found.append(make_labels(one, f"the {what} of sequence {number}"))
        if len(found[-1]) != steps:
            raise InputError(f"sequence {number} has {steps} steps and {len(found[-1])} {what}; expected one a step")
    kinds = sorted({KINDS[one.dtype.kind] for one in found})
    if len(kinds) > 1:
        raise InputError(f"the {what} are {kinds[-1]} in some sequences and {kinds[0]} in others; expected one kind")
    return np.concatenate(found)
