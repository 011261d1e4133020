"""Sequences in NumPy's files and in long tables."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ostinato.errors import InputError
from ostinato.sequences import read_arrays, read_frame

X = np.arange(24.0).reshape(3, 4, 2)


def saved(tmp_path: Path, **arrays: Any) -> Path:
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


def test_an_array_with_labels_and_lengths(tmp_path: Path) -> None:
    padded = X.copy()
    padded[1, 2:] = np.nan  # padding may hold anything
    found = read_arrays(saved(tmp_path, x=padded, y=["a", "b", "a"], lengths=[4, 2, 3]))
    assert [one.tolist() for one in found.sequences] == [X[0].tolist(), X[1, :2].tolist(), X[2, :3].tolist()]
    assert found.labels is not None
    assert found.labels.tolist() == ["a", "b", "a"]
    assert found.features == ("feature 0", "feature 1")


def test_an_array_of_one_feature_with_labels_beside(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X[:, :, 0])
    np.save(tmp_path / "y.npy", np.array([[0, 1], [1, 1], [0, 0]]))
    found = read_arrays(tmp_path / "x.npy", tmp_path / "y.npy")
    assert found.sequences[1].tolist() == [[8], [10], [12], [14]]
    assert found.labels is not None
    assert found.labels.tolist() == [[0, 1], [1, 1], [0, 0]]
    assert read_arrays(tmp_path / "x.npy").labels is None


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"z": X}, "holds z; expected x, and perhaps y and lengths"),
        ({"x": X[0, 0]}, r"x has the shape \(2,\) and the type float64; expected numbers"),
        ({"x": np.array([["a"]])}, "the type <U1; expected numbers"),
        ({"x": X[:0]}, r"x has the shape \(0, 4, 2\)"),
        ({"x": np.where(X == 13, np.nan, X)}, "sequence 1 has nan at step 2, feature 1; fill missing values in"),
        ({"x": X, "y": [1, 2]}, r"y has the shape \(2,\); expected a label for each of 3 sequences"),
        ({"x": X, "lengths": [4, 0, 1]}, r"lengths must be within 1..4; sequence 1 has 0"),
        ({"x": X, "lengths": [4, 1, 5]}, r"lengths must be within 1..4; sequence 2 has 5"),
        ({"x": X, "lengths": [4.0, 1, 2]}, "the type float64; expected a whole number for each of 3 sequences"),
        ({"x": np.array([[{}]], dtype=object)}, "it holds objects, not numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_arrays(saved(tmp_path, **arrays))


@pytest.mark.parametrize("content", [b"", b"text, not arrays", b"PK\x03\x04 cut"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="it is none of NumPy's files"):
        read_arrays(path)
    with pytest.raises(InputError, match=r"does not exist; expected a .npz or .npy file"):
        read_arrays(tmp_path / "nowhere.npz")


CSV = """id,step,x,y,label
b,2,3,30,no
b,1,2,20,no
a,1,5,50,yes
b,10,4,40,no
"""


@pytest.mark.parametrize("separator", ["", ",", ";", "\t"])
def test_a_long_table(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "long.csv"
    path.write_text(CSV.replace(",", separator))
    found = read_frame(path if separator else pd.read_csv(io.StringIO(CSV)))
    assert [one.tolist() for one in found.sequences] == [[[2, 20], [3, 30], [4, 40]], [[5, 50]]]
    assert found.labels is not None
    assert found.labels.tolist() == ["no", "yes"]
    assert found.features == ("x", "y")


def test_ids_and_labels_of_a_file_are_text_that_is_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("id,step,x,label\n01,1,1,007\n1,1,2,7\n01,2,3,007\n1.0,1,4,True\n")
    found = read_frame(path)
    assert [one.tolist() for one in found.sequences] == [[[1], [3]], [[2]], [[4]]]
    assert found.labels is not None
    assert found.labels.tolist() == ["007", "7", "True"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["-0.5", "1e3"], [-0.5, 1000.0]),
        (["0", "10"], [0, 10]),
        (["01", "2"], ["01", "2"]),
        (["-01.5", "2"], ["-01.5", "2"]),
        (["1", "inf"], ["1", "inf"]),
        (["1", "two"], ["1", "two"]),
    ],
)
def test_labels_of_a_file_are_numbers_where_all_are_and_none_is_a_code(
    tmp_path: Path, labels: list[str], expected: list[Any]
) -> None:
    path = tmp_path / "long.csv"
    path.write_text("id,step,x,label\n" + "".join(f"{k},1,1,{one}\n" for k, one in enumerate(labels)))
    found = read_frame(path).labels
    assert found is not None
    assert found.tolist() == expected
    assert found.dtype.kind == np.array(expected).dtype.kind


def test_steps_may_be_any_whole_numbers() -> None:
    far = 2**60  # neighbours there are one number in float64
    frame = pd.DataFrame({"id": "a", "step": [far + 1, far, -3], "x": [2.0, 1.0, 0.0]})
    assert read_frame(frame, label=None).sequences[0].tolist() == [[0], [1], [2]]
    assert len(read_frame(frame.assign(step=[0.0, 2.0, 1.0]), label=None)) == 1


def test_labels_of_a_frame_are_of_one_kind() -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "step": 1, "x": 1.0, "label": ["yes", 1]})
    with pytest.raises(InputError, match="the labels of the frame are of the types int, str; expected one kind"):
        read_frame(frame)


def test_columns_of_other_names() -> None:
    frame = pd.read_csv(io.StringIO(CSV)).rename(columns={"id": "run", "step": "t"})
    found = read_frame(frame, id="run", step="t", label=None, features=["y"])
    assert found.labels is None
    assert [one.tolist() for one in found.sequences] == [[[20], [30], [40]], [[50]]]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("label\n", "class\n", "has no column 'label'; it has id, step, x, y, class"),
        ("a,1,5,50,yes", "a,1,,50,yes", "line 4 has no value in column 'x'; expected a number"),
        ("a,1,5,50,yes", "a,1,5,fifty,yes", "line 4 has 'fifty' in column 'y'; expected a number"),
        ("a,1,5,50,yes", "a,1,inf,50,yes", "line 4 has 'inf' in column 'x'"),
        ("a,1,5,50,yes", ",1,5,50,yes", "line 4 has no 'id'; expected one in every row"),
        ("a,1,5,50,yes", "a,1,5,50,", "line 4 has no 'label'"),
        ("b,10,4,40,no", "b,1,4,40,no", "line 5 has the step 1 of id b a second time"),
        ("b,10,4,40,no", "b,10,4,40,yes", "line 5 has the label yes, and id b has no elsewhere"),
        ("a,1,5,50,yes", "a,1,5,50,yes,more", "line 4"),
        ("a,1,5,50,yes", "a,1.5,5,50,yes", "line 4 has the step 1.5; expected a whole number"),
        ("a,1,5,50,yes", "a,first,5,50,yes", "line 4 has 'first' in column 'step'; expected a number"),
        (CSV, "id,step,x,label\n", "has no rows"),
        (CSV, "id,step,label\na,1,b\n", "has no column of numbers"),
        (CSV, "", "is empty; expected a header and rows"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = tmp_path / "long.csv"
    path.write_text(CSV.replace(old, new, 1))
    with pytest.raises(InputError, match=sentence):
        read_frame(path)


def test_a_row_of_a_frame_goes_by_its_number() -> None:
    frame = pd.read_csv(io.StringIO(CSV)).astype({"x": float})
    frame.loc[2, "x"] = np.nan
    with pytest.raises(InputError, match="the frame row 2 has no value in column 'x'"):
        read_frame(frame)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; expected a CSV file"):
        read_frame(tmp_path / "nowhere.csv")


def test_rows_with_more_fields_than_the_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "comma.csv"
    path.write_text("id,step,x,label\n" + "".join(f"s{k // 3},{k % 3},0,5,a\n" for k in range(30)))
    with pytest.raises(InputError, match="has rows with more fields than its header; give every column a name"):
        read_frame(path, id="id", label="label")


def test_words_of_a_file_that_pandas_takes_for_missing(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("id,step,x,label\nNA,1,1,None\nnull,1,2,n/a\n\n\n")
    found = read_frame(path)
    assert found.labels is not None and found.labels.tolist() == ["None", "n/a"] and found.names == ["NA", "null"]


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(20, 5, 2)))
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(path)
