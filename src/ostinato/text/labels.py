"""Labels of texts, one each or several each, as numbers, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

#: Labels of texts: one each, or tuples, lists or sets of any number each.
Labels = Sequence[Any]


def check_texts(texts: Sequence[str], labels: Labels | None = None) -> None:
    """
    Raises:
        InputError: a text is empty or none, or there are not as many labels.
    """
    if isinstance(texts, str):
        raise InputError("texts is one text; expected a list of them")
    if not len(texts):
        raise InputError("there are no texts; expected at least 1")
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            what = "empty" if isinstance(text, str) else f"{text!r:.40}"
            raise InputError(f"text {row} is {what}; expected a text that is not empty")
    if labels is not None and len(labels) != len(texts):
        raise InputError(f"there are {len(labels)} labels for {len(texts)} texts; expected one each")


def is_several(labels: Labels) -> bool:
    """Whether a text may have several labels."""
    return isinstance(labels[0], (tuple, list, set, frozenset))


def keys(labels: Labels) -> list[Any]:
    """Labels, or the labels of each text sorted, as what can be compared."""
    return [tuple(sorted(one)) for one in labels] if is_several(labels) else list(labels)


def classes_of(labels: Labels, what: str = "texts") -> np.ndarray:
    """The labels that occur, sorted; `what` they are of.

    Raises:
        InputError: there are fewer than two classes; or no labels where there may be several.
    """
    if is_several(labels):
        found = np.unique([label for some in labels for label in some])
        if not len(found):
            raise InputError(f"none of the {what} has a label; expected one at least that some have and some not")
        return found
    found = np.unique(np.asarray(labels))
    if len(found) < 2:
        raise InputError(f"all {what} have the label {str(found[0])!r}; expected at least two classes")
    return found


def targets(labels: Labels, classes: np.ndarray, several: bool) -> Tensor:
    """(n) numbers of classes; or (n, classes) of 0 and 1.

    Raises:
        InputError: a label is none of the classes.
    """
    numbers = {one: number for number, one in enumerate(classes.tolist())}
    given = keys(labels)
    flat = {one for some in given for one in some} if several else set(given)
    unseen = sorted(str(one) for one in flat if one not in numbers)
    if unseen:
        known = ", ".join(map(str, classes[:10])) + (" ..." if len(classes) > 10 else "")
        raise InputError(f"the label {unseen[0]!r} is none of those trained on ({known})")
    if not several:
        return torch.tensor([numbers[one] for one in given])
    marks = torch.zeros(len(given), len(classes))
    for row, some in enumerate(given):
        for one in some:
            marks[row, numbers[one]] = 1
    return marks


def share_right(scores: Tensor, wanted: Tensor) -> Tensor:
    """The share of `targets` that a network's scores (n, classes) are right about: of texts, or of their labels."""
    return ((scores > 0) == wanted if wanted.dim() > 1 else scores.argmax(1) == wanted).float().mean()


def chosen(probabilities: np.ndarray, classes: np.ndarray, several: bool) -> Any:
    """(n) likeliest labels; or a list of tuples of all that are likelier than not."""
    if several:
        return [tuple(classes[row > 0.5].tolist()) for row in probabilities]
    return classes[probabilities.argmax(1)]
