"""Classes of whole sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from ..errors import InputError
from .estimator import Whole
from .inputs import check_count, make_sequences
from .labels import as_objects, classes_from_json, classes_to_json, encode, make_labels
from .metrics import accuracy
from .training import Epoch

if TYPE_CHECKING:
    from typing import Self


@dataclass(kw_only=True, eq=False)
class SequenceClassifier(Whole):
    """A class, or several labels, a sequence; in scikit-learn's manner.

    Labels (sequences) of any kind are classes, of which each sequence has one. A matrix (sequences, labels) of 0 and 1
    says which labels each sequence has; any number of them may be 1.

    After fitting:
        classes_: (classes) sorted, or 0, 1, ... for a matrix.
        multilabel_: whether it was a matrix.
        network_, parameters_, training_: the network, the parameters it was made and trained with, its history.
        scaling_, n_features_in_: the inputs' mean and deviation, their number.
    """

    _estimator_type: ClassVar[str | None] = "classifier"

    def fit(
        self,
        X: Any,
        y: Any,
        validation: tuple[Any, Any] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> Self:
        """Train on labelled sequences.

        Args:
            X: an array (sequences, steps, features) or (sequences, steps), or a list of arrays (steps, features).
            y: (sequences) classes, or (sequences, labels) of 0 and 1.
            validation: further X and y to stop on; None holds out `validation_size` of those given.
            on_epoch: called after each epoch.

        Raises:
            InputError: sequences or labels are malformed, a parameter is out of range, or training diverged.
        """
        sequences = make_sequences(X)
        check_count(sequences, y, "labels")
        multilabel = as_objects(y, "the labels").ndim == 2 and np.shape(y)[1] > 1
        labels = _labels(y, multilabel, "the labels")
        classes = np.arange(labels.shape[1]) if multilabel else np.unique(labels)
        if not multilabel and len(classes) < 2:
            raise InputError(f"all labels are {classes[0]!s}; expected at least two classes")
        checked = None
        if validation is not None:
            others = make_sequences(validation[0], sequences.values.shape[1])
            check_count(others, validation[1], "validation labels")
            checked = others, _targets(validation[1], multilabel, classes, "the validation labels")
        targets = _targets(labels, multilabel, classes, "the labels")
        loss = binary_cross_entropy_with_logits if multilabel else cross_entropy
        strata = None if multilabel else targets.numpy()
        self._fit(sequences, targets, len(classes), loss, strata=strata, validation=checked, on_epoch=on_epoch)
        self.classes_, self.multilabel_ = classes, multilabel
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(sequences, classes): the probability of each class, in the order of `classes_`, or of each label.

        Raises:
            InputError: X is malformed, or has other features than those trained on.
        """
        answer = torch.stack(self._answer(X)).double()
        return (answer.sigmoid() if self.multilabel_ else answer.softmax(1)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """(sequences) the most probable class, or (sequences, labels) 1 for each label above one half."""
        probabilities = self.predict_proba(X)
        if self.multilabel_:
            return (probabilities > 0.5).astype(np.int64)
        chosen: np.ndarray = self.classes_[probabilities.argmax(axis=1)]
        return chosen

    def score(self, X: Any, y: Any) -> float:
        """The share of sequences whose class, or all of whose labels, are right."""
        self.check_fitted()
        return accuracy(_labels(y, self.multilabel_, "the labels"), self.predict(X))

    def fitted(self) -> dict[str, Any]:
        return {"classes": classes_to_json(self.classes_), "multilabel": self.multilabel_}

    def restore(self, content: dict[str, Any]) -> int:
        self.classes_, self.multilabel_ = classes_from_json(content["classes"]), bool(content["multilabel"])
        return len(self.classes_)


def _targets(labels: Any, multilabel: bool, classes: np.ndarray, what: str) -> torch.Tensor:
    """(sequences) places of classes, or (sequences, labels) float32."""
    checked = _labels(labels, multilabel, what)
    if not multilabel:
        return torch.from_numpy(encode(checked, classes, what))
    if checked.shape[1] != len(classes):
        raise InputError(f"{what} have {checked.shape[1]} columns; expected {len(classes)}")
    return torch.from_numpy(checked.astype(np.float32))


def _labels(labels: Any, multilabel: bool, what: str) -> np.ndarray:
    """(sequences) of one kind, or (sequences, labels) of 0 and 1."""
    if not multilabel:
        single = as_objects(labels, what)
        return make_labels(single[:, 0].tolist() if single.ndim == 2 and single.shape[1] == 1 else labels, what)
    matrix = as_objects(labels, what)
    if matrix.ndim != 2 or not np.isin(matrix, (0, 1)).all():
        raise InputError(
            f"{what} have the shape {matrix.shape} and other values than 0 and 1; expected one class a sequence, "
            "or a matrix of 0 and 1 with a column a label"
        )
    return matrix.astype(np.int64)
