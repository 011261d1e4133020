"""From a file, or a pandas frame, to texts and their labels."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..errors import InputError

#: What columns of texts and of labels are called; the first name that a table has is taken, and two are ambiguous.
TEXT_NAMES = ("text", "texts", "review", "reviews", "sentence", "content", "comment", "message", "document", "body")
LABEL_NAMES = ("label", "labels", "class", "category", "sentiment", "target", "topic", "tags")
FORMATS = ".csv, .tsv, .jsonl or .parquet (each also .gz)"
#: What parts the labels of a cell of several labels.
BAR = "|"


@dataclass(frozen=True)
class Table:
    """Texts, and the labels of each.

    Attributes:
        source: where they come from, for people.
        texts: none of them empty.
        labels: one for each text, or a tuple of any number for each where there may be several; None where there are
            none.
        text, label: names of the columns.
        rows: (texts) numbers of the rows, from 1, or of the lines of a text file.
    """

    source: str
    texts: list[str]
    labels: list[Any] | None
    text: str
    label: str | None
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def several(self) -> bool:
        """Whether a text may have several labels."""
        return bool(self.labels) and isinstance(self.labels[0], tuple)  # type: ignore[index]

    def select(self, rows: np.ndarray, source: str | None = None) -> Table:
        """Some of the texts."""
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        texts = [self.texts[row] for row in rows]
        return Table(source or self.source, texts, labels, self.text, self.label, self.rows[rows])


def read(
    source: str | Path | pd.DataFrame,
    text: str | None = None,
    label: str | None = None,
    *,
    multi_label: bool = False,
    labelled: bool = True,
    preferred: str | None = None,
) -> Table:
    """Read texts and labels.

    Args:
        source: a file (CSV, TSV, JSON lines, Parquet, each also compressed by gzip; .txt with a text a line where no
            labels are wanted), or a frame.
        text, label: names of the columns; None takes those that are named like it, or are the only ones left.
        multi_label: whether a cell holds several labels with | between them. Lists are several labels anyway.
        labelled: whether there must be labels.
        preferred: the column of texts where there is one of this name and `text` is None.

    Raises:
        InputError: the file cannot be read, has no such columns, or texts or labels are missing.
    """
    if isinstance(source, pd.DataFrame):
        return make_table(source, text, label, source="the table", multi_label=multi_label, labelled=labelled)
    path = Path(source)
    if not labelled and _format(path) == ".txt":
        return lines(decoded(content_of(path), str(path)), str(path))
    frame = read_frame(path)
    text = preferred if text is None and preferred in frame.columns else text
    return make_table(frame, text, label, source=str(path), multi_label=multi_label, labelled=labelled)


def lines(content: str, source: str) -> Table:
    """A text a line, empty lines left out.

    Raises:
        InputError: there is none.
    """
    whole = enumerate(io.StringIO(content, newline=None), 1)  # str.splitlines would cut at form feeds and U+2028 too
    kept = [(number, line.rstrip("\n")) for number, line in whole if line.strip()]
    if not kept:
        raise InputError(f"{source} is empty; expected a text a line")
    numbers, texts = zip(*kept, strict=True)
    return Table(source, list(texts), None, "text", None, np.array(numbers))


def read_frame(path: Path) -> pd.DataFrame:
    """A table as it stands in a file; of CSV and TSV all cells are words.

    Raises:
        InputError: the file cannot be read as what its name says.
    """
    kind = _format(path)
    if kind == ".txt":
        raise InputError(f"{path} holds texts without labels; expected {FORMATS}")
    content = content_of(path)
    if not content.strip():
        raise InputError(f"{path} is empty; expected rows of texts and labels")
    try:
        if kind == ".parquet":
            frame = pd.read_parquet(io.BytesIO(content))
        elif kind in (".jsonl", ".ndjson", ".json"):
            frame = _json(decoded(content, str(path)), path)
        else:
            words = decoded(content, str(path))
            separator = "\t" if kind == ".tsv" else _separator(words)
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = _parsed(words, separator)
    except InputError:
        raise
    except pd.errors.ParserWarning:
        raise InputError(
            f"{path} has rows with more fields than its header; put texts with a comma or semicolon in quotes"
        ) from None
    except Exception as error:  # each of the readers raises its own
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read as {kind[1:]} ({said}); expected {FORMATS}") from None
    if not len(frame):
        raise InputError(f"{path} has no rows; expected rows of texts and labels")
    return frame


def _parsed(words: str, separator: str) -> pd.DataFrame:
    """The cells. A quotation mark that opens a cell begins quotes, but for one that swallows rows of separate cells."""

    def read(quoting: Literal[0, 3]) -> pd.DataFrame:
        return pd.read_csv(
            io.StringIO(words), sep=separator, dtype=str, keep_default_na=False, index_col=False, quoting=quoting
        )

    found = read(csv.QUOTE_MINIMAL)
    swallowed = separator == "\t" and any(found[name].str.contains("\t[^\n]*\n", regex=True).any() for name in found)
    return read(csv.QUOTE_NONE) if swallowed else found


def _format(path: Path) -> str:
    """The part of the name that says what is in the file.

    Raises:
        InputError: it says none that is read.
    """
    if not path.is_file():
        raise InputError(f"{path} {'is a directory' if path.exists() else 'does not exist'}; expected {FORMATS}")
    parts = [part.lower() for part in path.suffixes]
    kind = parts[-2] if parts[-1:] == [".gz"] and len(parts) > 1 else (parts or [""])[-1]
    if kind not in (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".txt"):
        raise InputError(f"{path} has a name that says nothing of what is in it; expected {FORMATS}")
    return kind


def content_of(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read ({said})") from None


def decoded(content: bytes, source: str) -> str:
    """The text of UTF-8, with or without a mark in front."""
    if b"\0" in content[:65536] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{source} is a binary file; expected text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{source} is not in UTF-8: line {line} holds the byte 0x{content[error.start]:02x}; "
            "save it in UTF-8 (iconv -t UTF-8 does it)"
        ) from None


def _separator(words: str) -> str:
    header = words.partition("\n")[0]
    return max(",;\t", key=header.count)


def _json(words: str, path: Path) -> pd.DataFrame:
    """An object a line, or one list of objects."""
    whole = words.lstrip().startswith("[")
    objects: list[Any] = []
    for number, line in enumerate([words] if whole else words.split("\n")):
        if not line.strip():
            continue
        try:
            objects += json.loads(line) if whole else [json.loads(line)]
        except json.JSONDecodeError as error:
            said = f"line {number + error.lineno} is not JSON ({error.msg})"
            raise InputError(f"{path}: {said}; expected an object a line") from None
    if not all(isinstance(one, dict) for one in objects):
        raise InputError(f"{path} holds something else than objects; expected an object a line")
    return pd.DataFrame(objects)


def make_table(
    frame: pd.DataFrame,
    text: str | None = None,
    label: str | None = None,
    *,
    source: str = "the table",
    multi_label: bool = False,
    labelled: bool = True,
) -> Table:
    """Texts and labels out of the columns of a frame; see `read`."""
    frame = frame.rename(columns=str)
    columns = list(frame.columns)
    for name in (text, label):
        if name is not None and name not in columns:
            raise InputError(_no_column(name, columns, source))
    if text is not None and text == label:
        raise InputError(f"text and label must be different columns; got {text!r} for both")
    text = text or _find(columns, label, TEXT_NAMES, "--text", "texts", source)
    if labelled:
        label = label or _find(columns, text, LABEL_NAMES, "--label", "labels", source)
    texts = _texts(frame[text], text, source)
    labels = _labels(frame[label], label, source, multi_label) if labelled and label is not None else None
    return Table(source, texts, labels, text, label if labels is not None else None, np.arange(len(texts)) + 1)


def _no_column(name: str, columns: list[str], source: str) -> str:
    near = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], n=1, cutoff=0.6)
    match = next((column for column in columns if near and column.lower() == near[0]), None)
    hint = f"; did you mean {match!r}?" if match else ""
    return f"{source} has no column {name!r}; its columns are {', '.join(columns)}{hint}"


def _find(columns: list[str], other: str | None, names: Sequence[str], flag: str, what: str, source: str) -> str:
    """The column that is named like what is looked for, or the only one that is left."""
    left = [column for column in columns if column != other]
    named = [column for column in left if column.strip().lower() in names]
    if len(named) == 1:
        return named[0]
    if other is not None and len(left) == 1:
        return left[0]
    told = f"its columns are {', '.join(columns)}"
    raise InputError(f"{source}: which column holds the {what} is not plain; {told}; name one with {flag}")


def _texts(column: pd.Series, name: str, source: str) -> list[str]:
    found = column.tolist()
    wrong = [row for row, cell in enumerate(found) if not (isinstance(cell, str) or _missing(cell))]
    if wrong:
        raise InputError(
            f"{source}: {name} is {_shown(found[wrong[0]])} in row {wrong[0] + 1}, which is no text; "
            "name another column with --text"
        )
    empty = [row for row, cell in enumerate(found) if _missing(cell) or not cell.strip()]
    _refuse_missing(empty, len(found), name, source)
    return found


def _refuse_missing(rows: Sequence[int], count: int, name: str, source: str) -> None:
    if rows:
        raise InputError(
            f"{source}: {name} is empty in {len(rows)} of {count} rows, the first row {rows[0] + 1}; "
            "fill in what is missing, or remove the rows"
        )


def _labels(column: pd.Series, name: str, source: str, multi_label: bool) -> list[Any]:
    cells = column.tolist()
    lists = [isinstance(cell, (list, tuple, np.ndarray)) for cell in cells]
    if all(lists):
        return [_sorted(cell) for cell in cells]
    if any(lists):
        row = lists.index(not lists[0])
        raise InputError(f"{source}: {name} holds lists in some rows and not in row {row + 1}; expected one of both")
    if multi_label:
        words = ["" if _missing(cell) else str(cell) for cell in cells]
        return [_sorted(part.strip() for part in cell.split(BAR) if part.strip()) for cell in words]
    _refuse_missing(
        [row for row, cell in enumerate(cells) if _missing(cell) or not str(cell).strip()], len(cells), name, source
    )
    return [_word(cell) for cell in cells]


def _sorted(labels: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted({_word(label) for label in labels}))


def _word(cell: Any) -> str:
    """A label as it is written: 1.0, as pandas makes it of 1 in a column with holes, is 1."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and np.isnan(cell))


def _shown(cell: Any) -> str:
    said = repr(cell)
    return said if len(said) <= 40 else f"{said[:39]}…"
