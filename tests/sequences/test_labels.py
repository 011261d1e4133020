"""Labels of one kind as classes, and back."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ostinato.errors import InputError
from ostinato.sequences.labels import encode, make_labels


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["a", "b"], "U"),
        (["a", np.str_("b")], "U"),
        (pd.Series(["a", "b"], index=[5, 7]), "U"),
        ([1, np.int64(2)], "i"),
        ([1, 2.5], "f"),
        (np.array([1, 2], dtype=np.uint8), "u"),
        ([True, np.False_], "b"),
    ],
)
def test_labels_of_one_kind_keep_it(labels: Any, kind: str) -> None:
    made = make_labels(labels, "the labels")
    assert made.dtype.kind == kind
    assert made.tolist() == list(labels)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["a", np.nan], "the labels are of the types float, str; expected one kind, none missing"),
        (["a", None], "the labels are of the types NoneType, str; expected one kind, none missing"),
        (pd.Series(["a", np.nan], dtype=object), "the labels are of the types float, str"),
        ([pd.NA, pd.NA], "the labels are of the type NAType; expected text, numbers or truth values, none missing"),
        ([1, "a"], "the labels are of the types int, str"),
        ([True, 2], "the labels are of the types bool, int"),
        ([0.0, np.nan], "the labels have nan at 1; expected none to be missing"),
        ([[1], [1, 2]], "the labels are of the type list; expected text, numbers or truth values"),
        ([[1, 2], [1, 2]], "the labels have the shape (2, 2) and the type int64; expected one label each"),
        ("ab", "the labels have the shape () and the type <U2; expected one label each"),
        ([2**70, 1], "the labels have the shape (2,) and the type object; expected one label each"),
    ],
)
def test_other_labels_are_refused(labels: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        make_labels(labels, "the labels")


@pytest.mark.parametrize(
    ("labels", "classes"), [(["1"], [1, 2]), ([1], ["1", "2"]), ([1], [False, True]), ([True], [0, 1])]
)
def test_labels_of_another_kind_than_the_classes_are_refused(labels: list[Any], classes: list[Any]) -> None:
    with pytest.raises(InputError, match=r"the labels are \w+( values)?, and were \w+( values)? in training"):
        encode(np.array(labels), np.array(classes), "the labels")


@pytest.mark.parametrize(
    ("labels", "classes"), [(["abZZZ"], ["ab", "b"]), ([1.7], [1, 2]), ([0], [1, 2]), ([3], [1, 2])]
)
def test_labels_that_training_did_not_see_are_refused(labels: list[Any], classes: list[Any]) -> None:
    with pytest.raises(InputError, match=f"the labels have {labels[0]}, which training did not see; expected one of"):
        encode(np.array(labels), np.array(classes), "the labels")


def test_labels_are_encoded_by_their_place() -> None:
    assert encode(np.array(["b", "a", "b"]), np.array(["a", "b", "c"]), "the labels").tolist() == [1, 0, 1]
    assert encode(np.array([2.0, 1.0]), np.array([1, 2]), "the labels").tolist() == [1, 0]
    assert encode(np.empty(0), np.array(["a"]), "the labels").tolist() == []
