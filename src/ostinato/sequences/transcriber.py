"""Texts of sequences, without the times of their symbols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from ..errors import InputError
from . import ctc
from .estimator import Stepwise
from .inputs import check_count, make_sequences
from .labels import classes_from_json, classes_to_json, encode, make_labels
from .ragged import Ragged
from .training import Epoch

if TYPE_CHECKING:
    from typing import Self


@dataclass(kw_only=True, eq=False)
class SequenceTranscriber(Stepwise):
    """A text a sequence, by connectionist temporal classification; in scikit-learn's manner.

    A text is a string, or a sequence of symbols of any kind, with at most as many symbols as its sequence has steps.

    Attributes:
        beam: 1 reads the most probable path; more is how many prefixes a beam search follows.

    After fitting:
        classes_: (symbols) sorted.
        strings_: whether texts were strings.
        network_, parameters_, training_: the network, the parameters it was made and trained with, its history.
        scaling_, n_features_in_: the inputs' mean and deviation, their number.
    """

    _of_predicting: ClassVar[tuple[str, ...]] = ("beam",)

    beam: int = 1

    def fit(
        self,
        X: Any,
        y: Any,
        validation: tuple[Any, Any] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> Self:
        """Train on sequences with texts.

        Args:
            X: an array (sequences, steps, features) or (sequences, steps), or a list of arrays (steps, features).
            y: strings, or sequences of symbols.
            validation: further X and y to stop on; None holds out `validation_size` of those given.
            on_epoch: called after each epoch.

        Raises:
            InputError: sequences or texts are malformed, a text is too long for its sequence, a parameter is out of
                range, or training diverged.
        """
        sequences = make_sequences(X)
        check_count(sequences, y, "texts")
        strings = _are_strings(y)
        symbols = _symbols(y, "the texts")
        if not len(symbols):
            raise InputError("all texts are empty; expected symbols to learn")
        classes = np.unique(symbols)
        checked = None
        if validation is not None:
            others = make_sequences(validation[0], sequences.values.shape[1])
            check_count(others, validation[1], "validation texts")
            if _are_strings(validation[1]) != strings:
                raise _of_two_kinds()
            checked = others, _targets(others, validation[1], classes, "the validation texts")
        targets = _targets(sequences, y, classes, "the texts")
        self._fit(sequences, targets, 1 + len(classes), ctc.loss, validation=checked, on_epoch=on_epoch)
        self.classes_, self.strings_ = classes, strings
        return self

    def predict(self, X: Any) -> list[Any]:
        """A text for each sequence: strings, if y was of strings, or else arrays of symbols.

        Raises:
            InputError: X is malformed, has other features than those trained on, or `beam` is out of range.
        """
        if self.beam < 1:
            raise InputError(f"beam is {self.beam}; expected a whole number of at least 1")
        found = []
        for answer in self._answer(X):
            scores = answer.double().log_softmax(1).numpy()
            read = ctc.greedy(scores) if self.beam == 1 else ctc.beam(scores, self.beam)
            symbols = self.classes_[np.array(read, dtype=np.int64) - 1]
            found.append("".join(symbols) if self.strings_ else symbols)
        return found

    def score(self, X: Any, y: Any) -> float:
        """1 - the symbol error rate: edits that the predictions need, a symbol of y; below 0 where they need more."""
        true = [one if isinstance(one, str) else list(one) for one in y]
        wrong = sum(ctc.edits(list(one), list(other)) for one, other in zip(self.predict(X), true, strict=True))
        return 1 - wrong / max(sum(map(len, true)), 1)

    def fitted(self) -> dict[str, Any]:
        return {"classes": classes_to_json(self.classes_), "strings": self.strings_}

    def restore(self, content: dict[str, Any]) -> int:
        self.classes_, self.strings_ = classes_from_json(content["classes"]), bool(content["strings"])
        return 1 + len(self.classes_)


def _are_strings(y: Any) -> bool:
    """Whether texts are strings, and not sequences of symbols."""
    kinds = {isinstance(one, str) for one in y}
    if len(kinds) > 1:
        raise _of_two_kinds()
    return kinds.pop()


def _of_two_kinds() -> InputError:
    return InputError("texts are strings in one place and sequences of symbols in another; expected one kind")


def _symbols(y: Any, what: str) -> np.ndarray:
    """The symbols of all texts, one text behind the other."""
    for number, one in enumerate(y):
        if not hasattr(one, "__len__"):
            raise InputError(
                f"text {number} is of the type {type(one).__name__}; expected a string or a sequence of symbols"
            )
    return make_labels([symbol for one in y for symbol in one], f"the symbols of {what}")


def _targets(sequences: Ragged, y: Any, classes: np.ndarray, what: str) -> Ragged:
    """Symbols as numbers from 1."""
    numbers = torch.from_numpy(encode(_symbols(y, what), classes, what) + 1)
    targets = Ragged(numbers, torch.tensor([len(one) for one in y]))
    for number, (text, steps) in enumerate(zip(targets, sequences.lengths.tolist(), strict=True)):
        if (needed := ctc.steps_needed(text.numpy())) > steps:
            raise InputError(
                f"sequence {number} has {steps} steps and a text of {len(text)} symbols, which needs {needed}: one "
                "for each, and one between equal neighbours; leave it out, or give more steps"
            )
    return targets
