"""Tables of texts: every format gives the same, and what does not do is told in a sentence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ostinato.errors import InputError
from ostinato.text.table import lines, make_table, read, read_frame

FRAME = pd.DataFrame({"id": ["a", "b", "c"], "text": ["fine, fine", 'a "dull" one', "so\tso NA"], "label": [1, 0, 1]})


def jsonl(frame: pd.DataFrame, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))


WRITERS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "reviews.csv": lambda frame, path: frame.to_csv(path, index=False),
    "semicolons.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "reviews.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "reviews.jsonl": jsonl,
    "reviews.json": lambda frame, path: path.write_text(json.dumps(frame.to_dict("records"))),
    "reviews.parquet": lambda frame, path: frame.to_parquet(path),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / name
    WRITERS[name](FRAME, path)
    if packed:
        path = path.with_name(f"{name}.gz")
        path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    table = read(path)
    assert (table.text, table.label, table.texts) == ("text", "label", FRAME["text"].tolist())
    assert table.labels == ["1", "0", "1"] and table.rows.tolist() == [1, 2, 3] and not table.several


def test_what_reads_like_nothing_is_a_text() -> None:
    """pandas takes NA, null and None for missing cells where it is not told otherwise."""
    table = make_table(pd.DataFrame({"text": ["NA", "null"], "label": ["None", "nan"]}))
    assert table.texts == ["NA", "null"] and table.labels == ["None", "nan"]


def test_words_like_na_survive_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\nNA,None\nnull,a\n")
    assert read(path).texts == ["NA", "null"] and read(path).labels == ["None", "a"]


@pytest.mark.parametrize(
    ("columns", "given", "expected"),
    [
        (["review", "sentiment"], {}, ("review", "sentiment")),
        (["words", "label"], {"label": "label"}, ("words", "label")),
        (["words", "kind"], {"text": "words"}, ("words", "kind")),
        (["x", "y", "text", "label"], {}, ("text", "label")),
        (["text", "label"], {"text": "label", "label": "text"}, ("label", "text")),
    ],
)
def test_columns_are_found(columns: list[str], given: dict[str, str], expected: tuple[str, str]) -> None:
    table = make_table(pd.DataFrame([["word"] * len(columns)] * 2, columns=columns), **given)
    assert (table.text, table.label) == expected


@pytest.mark.parametrize("columns", [["a", "b"], ["text", "review", "label"], ["text", "a", "b"]])
def test_columns_that_are_not_plain_are_listed(columns: list[str]) -> None:
    with pytest.raises(InputError, match=f"is not plain; its columns are {', '.join(columns)}; name one with --"):
        make_table(pd.DataFrame([["word"] * len(columns)], columns=columns))


def test_several_labels() -> None:
    lists = make_table(pd.DataFrame({"text": ["x", "y"], "label": [["b", "a", "b"], []]}))
    bars = make_table(pd.DataFrame({"text": ["x", "y"], "label": ["b| a|b", ""]}), multi_label=True)
    assert lists.labels == bars.labels == [("a", "b"), ()] and lists.several and bars.several


def test_lists_survive_parquet(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["x", "y"], "label": [["b", "a"], ["a"]]}).to_parquet(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet").labels == [("a", "b"), ("a",)]


def test_lines_keep_their_numbers() -> None:
    table = lines("first\r\n\n  \nfourth\u2028\fline\n", "here")
    assert table.texts == ["first", "fourth\u2028\fline"] and table.rows.tolist() == [1, 4] and table.labels is None


def test_texts_to_predict_need_no_labels(tmp_path: Path) -> None:
    FRAME.drop(columns=["id", "label"]).to_csv(tmp_path / "x.csv", index=False)
    assert read(tmp_path / "x.csv", labelled=False).labels is None
    FRAME.rename(columns={"text": "words"}).to_csv(tmp_path / "y.csv", index=False)
    assert read(tmp_path / "y.csv", preferred="words", labelled=False).text == "words"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.csv", b"", "is empty; expected rows"),
        ("x.csv", b"text,label\n", "has no rows"),
        ("x.csv", b"text,label\ncaf\xe9,a\n", "line 2 holds the byte 0xe9; save it in UTF-8"),
        ("x.csv", bytes(range(256)), "is a binary file"),
        ("x.csv", b"text,label\nx,a\n,b\n", "text is empty in 1 of 2 rows, the first row 2"),
        ("x.csv", b"text,label\nx,a\ny,\n", "label is empty in 1 of 2 rows, the first row 2"),
        ("x.jsonl", b'{"text": "x", "label": 1}\n{"text": "y"\n', "line 2 is not JSON"),
        ("x.jsonl", b"[1, 2]\n", "something else than objects"),
        ("x.jsonl", b'{"text": "x", "label": 1}\n{"text": 5, "label": 1}\n', "text is 5 in row 2, which is no text"),
        (
            "x.jsonl",
            b'{"text": "x", "label": ["a"]}\n{"text": "y", "label": "a"}\n',
            "not in row 2; expected one of both",
        ),
        ("x.parquet", b"PAR1 and no more", "cannot be read as parquet"),
        ("x.csv.gz", b"no gzip", "cannot be read"),
        ("x.pdf", b"x", "says nothing of what is in it; expected .csv"),
        ("x.txt", b"x\n", "holds texts without labels"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read(path)
    assert sentence in str(raised.value) and str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_a_column_that_is_missing(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError, match="has no column 'txt'; its columns are id, text, label; did you mean 'text'"):
        read(tmp_path / "x.csv", "txt")
    with pytest.raises(InputError, match="must be different columns"):
        read(tmp_path / "x.csv", "text", "text")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "y.csv")


def test_selecting_keeps_rows() -> None:
    table = make_table(FRAME).select(np.array([2, 0]))
    assert table.texts == [FRAME["text"][2], FRAME["text"][0]] and table.rows.tolist() == [3, 1]


@pytest.mark.parametrize("row", ["well, a good film,pos", "a good film,pos,"])
def test_rows_with_more_fields_than_the_header_are_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\n" + f"{row}\n" * 20)
    with pytest.raises(InputError, match="has rows with more fields than its header; put texts with a comma"):
        read_frame(path)


def test_quotation_marks_that_open_texts_of_a_tsv(tmp_path: Path) -> None:
    lines_of = [f"{chr(34) * (row % 10 == 0)}text {row}\t{row % 2}" for row in range(60)]
    (tmp_path / "quotes.tsv").write_text("text\tlabel\n" + "\n".join(lines_of) + "\n")
    found = read(tmp_path / "quotes.tsv")
    assert len(found) == 60 and found.texts[0] == '"text 0' and found.texts[1] == "text 1"
    (tmp_path / "quoted.tsv").write_text('text\tlabel\n"two\nlines"\ta\nplain\tb\n')
    assert read(tmp_path / "quoted.tsv").texts == ["two\nlines", "plain"]
