"""Folders on disk, whole or not at all. What is in them is data; none is code to run."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

#: What is predicted from a run, in its folder, unless another place is named.
PREDICTION = "prediction.csv"


@dataclass(frozen=True)
class Kind:
    """What a folder is, as a JSON file in it tells.

    Attributes:
        name: for sentences: "run", "report".
        file: the file that tells.
        format: what its entry `format` says.
        version: its entry `version`.
        command: what writes such a folder anew.
    """

    name: str
    file: str
    format: str
    version: int
    command: str

    def __call__(self, path: Path) -> bool:
        """Whether a folder is of this kind, of whatever version."""
        try:
            content = json.loads((path / self.file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(content, dict) and content.get("format") == self.format


@contextmanager
def staged(path: Path, kind: Kind, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into, which becomes `path` when the block ends, and vanishes when it fails.

    An older folder of the kind in its place stays until the new one is whole.

    Raises:
        InputError: `path` exists and may not be overwritten, or cannot be written.
    """
    check_free(path, kind, overwrite)
    place = path.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except FileExistsError as error:
        raise InputError(f"{path} cannot be written: {error.filename} is a file; choose another --output") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; choose another --output") from None
    try:
        whole = beside / "new"
        whole.mkdir()
        yield whole
        check_free(path, kind, overwrite)  # what fills it takes a while
        _put(whole, place, beside / "old")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside)


def exists(path: Path) -> bool:
    """Whether something is there.

    Raises:
        InputError: the system refuses to say, as for a name that is too long.
    """
    try:
        return path.exists()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; choose another --output") from None


def check_file(path: Path, overwrite: bool, run: Path, source: Path | None) -> None:
    """See that the predictions of a run, from a file if any, may be written there.

    Raises:
        InputError: they may not.
    """
    if not exists(path):
        return
    if not path.is_file():
        raise InputError(
            f"{path} is {'a directory' if path.is_dir() else 'no file'}, so it stays; choose another --output"
        )
    if not overwrite:
        raise InputError(f"{path} exists already; choose another --output, or pass --overwrite")
    inside = run.resolve() in path.resolve().parents and path.name != PREDICTION
    if inside or (source is not None and exists(source) and path.samefile(source)):
        raise InputError(f"{path} is what is predicted from, so it stays; choose another --output")


def check_free(path: Path, kind: Kind, overwrite: bool) -> None:
    """See that a folder may be written there.

    Raises:
        InputError: it may not.
    """
    if not exists(path):
        return
    if not overwrite:
        raise InputError(f"{path} exists already; choose another --output, or pass --overwrite")
    if not kind(path) and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(
            f"{path} exists and is not a {kind.name} of this command, so it stays; choose another --output"
        )


def _put(whole: Path, place: Path, old: Path) -> None:
    if not place.exists():
        whole.rename(place)
        return
    place.rename(old)
    try:
        whole.rename(place)
    except BaseException:
        old.rename(place)
        raise


def free_folder(parent: str, name: str, otherwise: str) -> Path:
    """A folder in `parent` that does not exist yet, called after `name`, or `otherwise` where nothing of it is left."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or otherwise
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(path for path in (Path(parent) / one for one in names) if not path.exists())


def read(folder: Path, kind: Kind) -> dict[str, Any]:
    """The content of the file that tells what a folder is.

    Raises:
        InputError: the folder is of another kind, is damaged, or of another version.
    """
    path = folder / kind.file
    if not folder.is_dir():
        raise InputError(
            f"{folder} is {'a file' if folder.exists() else 'not there'}; expected a folder of a {kind.name}"
        )
    if not path.is_file():
        raise InputError(f"{folder} is not a folder of a {kind.name}: it has no {kind.file}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise damaged(path, error, kind) from None
    if not isinstance(content, dict) or content.get("format") != kind.format:
        raise InputError(f"{folder} is not a folder of a {kind.name}: {kind.file} is something else")
    if content.get("version") != kind.version:
        raise InputError(
            f"{folder} has the format version {content.get('version')}; expected {kind.version}: "
            "train again, or use the ostinato that wrote it"
        )
    return content


def damaged(path: Path, error: Exception, kind: Kind) -> InputError:
    """What to raise of a file that cannot be understood."""
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {lines[0].split('. ')[0].rstrip('.')}" if lines else type(error).__name__
    return InputError(f"{path} is damaged ({said}); train again with {kind.command}")


def write(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON file of dataclasses, arrays and what JSON has words for."""
    path.write_text(json.dumps(plain(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """Dataclasses and arrays as what JSON has words for: null for what is not finite, [real, imaginary] for complex
    numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.ndarray):
        return plain(np.stack([value.real, value.imag], -1) if np.iscomplexobj(value) else value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
