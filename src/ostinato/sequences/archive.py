"""The `.ts` files of the UCR and UEA archives of time series (Bagnall et al. 2018, 1811.00075)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from .dataset import Labelled


@dataclass
class _Header:
    """What the lines with @ say, names in lower case; None where a file does not say."""

    said: dict[str, list[str]] = field(default_factory=dict)

    def flag(self, name: str) -> bool | None:
        words = self.said.get(name)
        return None if words is None else words[0].lower() == "true"

    def number(self, name: str) -> int | None:
        words = self.said.get(name)
        return None if words is None else int(words[0])

    @property
    def classes(self) -> list[str] | None:
        return self.said["classlabel"][1:] if self.flag("classlabel") else None

    @property
    def labelled(self) -> bool:
        return self.classes is not None or bool(self.flag("targetlabel"))


_FLAGS = ("timestamps", "missing", "univariate", "equallength", "classlabel", "targetlabel")
_NUMBERS = ("dimensions", "dimension", "serieslength")


def read_ts(path: str | Path) -> Labelled:
    """Sequences of equal or unequal lengths, with one or several dimensions, labelled with classes or numbers.

    Raises:
        InputError: there is no such file, or a line of it is not as its header says.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a .ts file: it is no text in UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; expected a .ts file") from None
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    told = ((number, line) for number, line in lines if line and not line.startswith(("#", "%")))
    header = _read_header(told, path)
    sequences: list[np.ndarray] = []
    labels: list[str] = []
    for number, line in told:
        *dimensions, label = line.split(":") if header.labelled else [*line.split(":"), ""]
        where = f"{path} line {number}"
        sequences.append(_read_sequence(dimensions, header, where))
        if sequences[-1].shape[1] != sequences[0].shape[1]:
            raise InputError(f"{where} has {len(dimensions)} dimensions; the first has {sequences[0].shape[1]}")
        if header.classes is not None and label.strip() not in header.classes:
            raise InputError(f"{where} has the class {label.strip()!r}; the header has {', '.join(header.classes)}")
        labels.append(label.strip())
        if header.classes is None and header.labelled:
            _read_values([labels[-1]], where, "its target")
    if not sequences:
        raise InputError(f"{path} has no sequence after @data; expected one a line")
    found = None if not header.labelled else np.array(labels)
    if found is not None and header.classes is None:
        found = found.astype(float)
    features = tuple(f"dimension {k + 1}" for k in range(sequences[0].shape[1]))
    return Labelled(str(path), tuple(sequences), found, features)


def read_pair(path: str | Path) -> tuple[Labelled, Labelled]:
    """A training and a test file, `NAME_TRAIN.ts` and `NAME_TEST.ts`, given either of them or `NAME`.

    Raises:
        InputError: one of them is missing or malformed, or they differ in features or in the kind of their labels.
    """
    path = Path(path)
    name = path.name.removesuffix(".ts").removesuffix("_TRAIN").removesuffix("_TEST")
    parts = [path.with_name(f"{name}_{part}.ts") for part in ("TRAIN", "TEST")]
    missing = [str(part) for part in parts if not part.is_file()]
    if missing:
        raise InputError(f"{' and '.join(missing)} not found; expected the pair {parts[0].name} and {parts[1].name}")
    train, test = (read_ts(part) for part in parts)
    if len(train.features) != len(test.features):
        raise InputError(
            f"{test.source} has {len(test.features)} dimensions; expected {len(train.features)}, as {train.source}"
        )
    kinds = [None if part.labels is None else part.labels.dtype.kind for part in (train, test)]
    if kinds[0] != kinds[1]:
        raise InputError(f"{train.source} and {test.source} do not have the same kind of labels")
    return train, test


def _read_header(lines: Iterator[tuple[int, str]], path: Path) -> _Header:
    header = _Header()
    for number, line in lines:
        where = f"{path} line {number}"
        if not line.startswith("@"):
            raise InputError(f"{where} is not of a header; expected lines that begin with @, up to @data")
        name, *words = line[1:].split()
        name = name.lower()
        if name == "data":
            break
        if name in _FLAGS and (not words or words[0].lower() not in ("true", "false")):
            raise InputError(f"{where}: @{name} is {' '.join(words) or 'empty'}; expected true or false")
        if name in _NUMBERS and not (len(words) == 1 and words[0].isdigit()):
            raise InputError(f"{where}: @{name} is {' '.join(words) or 'empty'}; expected a whole number")
        header.said["dimensions" if name == "dimension" else name] = words
    else:
        raise InputError(f"{path} has no line @data; expected a .ts file")
    if header.flag("timestamps"):
        raise InputError(f"{path} has time stamps (@timeStamps true); expected evenly spaced values alone")
    if header.classes is not None and not header.classes:
        raise InputError(f"{path}: @classLabel true names no class; expected their names behind it")
    return header


def _read_sequence(dimensions: list[str], header: _Header, where: str) -> np.ndarray:
    """(steps, features) of the fields of a line."""
    expected = 1 if header.flag("univariate") else header.number("dimensions")
    if expected is not None and len(dimensions) != expected:
        behind = ", a colon before each and before the label" if header.labelled else ""
        raise InputError(f"{where} has {len(dimensions)} dimensions; the header says {expected}{behind}")
    if not dimensions:
        raise InputError(f"{where} has no values; expected dimensions, then a colon and the label")
    values = [_read_values(one.split(","), where, f"dimension {k}") for k, one in enumerate(dimensions, 1)]
    lengths = sorted({len(one) for one in values})
    if len(lengths) > 1:
        raise InputError(f"{where} has dimensions of {lengths[0]} and of {lengths[-1]} values; expected one length")
    steps = header.number("serieslength") if header.flag("equallength") else None
    if steps is not None and lengths[0] != steps:
        raise InputError(f"{where} has {lengths[0]} steps; the header says {steps}")
    return np.stack(values, axis=1)


def _read_values(fields: list[str], where: str, what: str) -> np.ndarray:
    missing = next((one.strip() for one in fields if one.strip().lower() in ("?", "nan", "")), None)
    if missing is not None:
        said = f"a missing value ({missing})" if missing else "an empty value"
        raise InputError(f"{where} has {said} in {what}; fill it in, or leave the line out")
    try:
        values = np.array(fields, dtype=float)
    except ValueError:
        wrong = next(one for one in fields if not _is_number(one))
        raise InputError(f"{where} has {wrong.strip()[:40]!r} in {what}; expected a number") from None
    if not np.isfinite(values).all():
        raise InputError(f"{where} has a value in {what} that is not finite; expected finite numbers")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
