"""Labels of sequences as whole numbers, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError

#: NumPy's kinds of labels, and what they are called.
KINDS = {"U": "text", "b": "truth values", "i": "numbers", "u": "numbers", "f": "numbers"}


def make_labels(labels: Any, what: str) -> np.ndarray:
    """(n) labels of one kind: text, whole numbers, numbers or truth values.

    Raises:
        InputError: they are of several kinds, or some are missing.
    """
    # NumPy would make text of a missing label, and of a number among text
    made = labels if isinstance(labels, np.ndarray) else as_objects(labels, what)
    if made.dtype == object:
        types = {type(one) for one in made.ravel().tolist()}
        kinds = {KINDS.get(np.dtype(one).kind) for one in types}
        names = ", ".join(sorted(one.__name__ for one in types))
        if len(kinds) > 1:
            raise InputError(f"{what} are of the types {names}; expected one kind, none missing")
        if None in kinds:
            raise InputError(f"{what} are of the type {names}; expected text, numbers or truth values, none missing")
        made = np.array(made.tolist())
    if made.dtype.kind not in KINDS or made.ndim != 1:
        raise InputError(f"{what} have the shape {made.shape} and the type {made.dtype}; expected one label each")
    if made.dtype.kind == "f" and not np.isfinite(made).all():
        raise InputError(f"{what} have {made[~np.isfinite(made)][0]} at {int(np.argmin(np.isfinite(made)))}; expected "
                         "none to be missing")  # fmt: skip
    return made


def as_objects(labels: Any, what: str) -> np.ndarray:
    """Labels as they were given, in as many dimensions as they have.

    Raises:
        InputError: they have several shapes.
    """
    try:
        return np.asarray(labels, dtype=object)
    except ValueError:
        raise InputError(f"{what} have several shapes; expected one label each") from None


def encode(labels: np.ndarray, classes: np.ndarray, what: str) -> np.ndarray:
    """(n) int64: the place of each label in sorted classes.

    Raises:
        InputError: a label is not among them.
    """
    kind, known = KINDS[labels.dtype.kind], KINDS[classes.dtype.kind]
    if len(labels) and kind != known:
        raise InputError(f"{what} are {kind}, and were {known} in training")
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    wrong = classes[places] != labels
    if wrong.any():
        shown = ", ".join(map(str, classes[:10])) + (", ..." if len(classes) > 10 else "")
        raise InputError(f"{what} have {labels[wrong][0]!s}, which training did not see; expected one of {shown}")
    return places.astype(np.int64)


def classes_to_json(classes: np.ndarray) -> dict[str, Any]:
    """Classes of any kind for JSON."""
    return {"kind": classes.dtype.str, "values": classes.tolist()}


def classes_from_json(content: dict[str, Any]) -> np.ndarray:
    """
    Raises:
        KeyError, TypeError, ValueError: they are none.
    """
    kind = np.dtype(content["kind"])
    if kind.kind not in KINDS:
        raise ValueError(f"classes of the kind {kind}")
    classes = np.array(content["values"], dtype=kind)
    if classes.ndim != 1 or len(np.unique(classes)) != len(classes):
        raise ValueError("classes are not one each")
    return classes
